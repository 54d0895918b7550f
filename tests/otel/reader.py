#!/usr/bin/env python3
"""Reads what a process publishes to profilers, as one of those does: from outside, knowing nothing of the shim.

    reader.py PID [LOOKS]

The process context (OTEP 4719) is found by its mapping's name; the variable otel_thread_ctx_v1 (OTEP 4947) in the
symbol tables of what is loaded, and where it lies behind the thread pointer by its TLSDESC relocation; and each
thread is stopped while its record is read. Prints one JSON object for each look. x86-64 alone."""

import ctypes
import json
import os
import re
import struct
import subprocess
import sys

VARIABLE = "otel_thread_ctx_v1"
SEIZE, INTERRUPT, GETREGS, DETACH = 0x4206, 0x4207, 12, 17
FS_BASE = 21  # of struct user_regs_struct, in words
WALL = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


class Process:
    def __init__(self, pid):
        self.pid = pid
        self.memory = open(f"/proc/{pid}/mem", "rb", 0)
        self.maps = []
        for line in open(f"/proc/{pid}/maps"):
            fields = line.split(None, 5)
            low, high = (int(part, 16) for part in fields[0].split("-"))
            self.maps.append((low, high, int(fields[2], 16), fields[5].strip() if len(fields) > 5 else ""))

    def read(self, address, size):
        self.memory.seek(address)
        return self.memory.read(size)

    def words(self, address, form):
        return struct.unpack(form, self.read(address, struct.calcsize(form)))


# --- the process context -------------------------------------------------------------------------------------


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
        elif tag & 7 == 2:
            size, at = varint(data, at)
            assert at + size <= len(data), "a field is longer than its message"
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"wire type {tag & 7}")
        yield tag >> 3, value


def any_value(data):
    ((kind, value),) = fields(data)
    if kind == 1:
        return value.decode()
    return [any_value(item) for _, item in fields(value)] if kind == 5 else value


def pairs(messages):
    found = {}
    for message in messages:
        pair = dict(fields(message))
        assert pair[1].decode() not in found, "a key twice"
        found[pair[1].decode()] = any_value(pair[2])
    return found


def process_context(process):
    names = ("/memfd:OTEL_CTX", "[anon_shmem:OTEL_CTX]", "[anon:OTEL_CTX]")
    mapped = [low for low, _, _, name in process.maps if name.startswith(names)]
    if len(mapped) != 1:
        return {"mappings": len(mapped)}
    signature, version, size, published, payload = process.words(mapped[0], "<8sIIQQ")
    assert signature == b"OTEL_CTX" and version == 2 and published > 0, (signature, version, published)
    context = list(fields(process.read(payload, size)))
    assert process.words(mapped[0] + 16, "<Q")[0] == published
    (resource,) = [value for field, value in context if field == 1]
    return {
        "mappings": 1,
        "resource": pairs(value for field, value in fields(resource) if field == 1),
        "attributes": pairs(value for field, value in context if field == 2),
    }


# --- the threads' records ------------------------------------------------------------------------------------


def variable_offset(process):
    """From the thread pointer; None when nothing that is loaded has it."""
    for path in dict.fromkeys(name for _, _, _, name in process.maps if name.startswith("/")):
        if not os.path.isfile(path):
            continue
        output = subprocess.run(["readelf", "-W", "--dyn-syms", "-r", path], capture_output=True, text=True).stdout
        symbol = re.search(rf"TLS +GLOBAL +DEFAULT +\d+ {VARIABLE}\b", output)
        place = re.search(rf"^([0-9a-f]+) .*R_X86_64_TLSDESC .* {VARIABLE}\b", output, re.M)
        if symbol and place:
            base = min(low - offset for low, _, offset, name in process.maps if name == path)
            return process.words(base + int(place[1], 16) + 8, "<q")[0]
    return None


def ptrace(request, tid, data=None):
    if libc.ptrace(request, tid, None, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of {tid}")


def thread_record(process, tid, offset, names):
    registers = (ctypes.c_ulong * 32)()
    ptrace(SEIZE, tid)
    ptrace(INTERRUPT, tid)
    os.waitpid(tid, WALL)
    try:
        ptrace(GETREGS, tid, ctypes.addressof(registers))
        (pointer,) = process.words(registers[FS_BASE] + offset, "<Q")
        if pointer == 0:
            return None
        assert pointer % 2 == 0
        trace, span, valid, flags, size = process.words(pointer, "<16s8sBBH")
        data = process.read(pointer + 28, size)
    finally:
        ptrace(DETACH, tid)
    if valid != 1:
        return None
    attributes = {}
    while len(data) >= 2:
        key, length = data[0], data[1]
        assert len(data) >= 2 + length, "an attribute is longer than they all"
        attributes[names[key]] = data[2 : 2 + length].decode()
        data = data[2 + length :]
    return {"trace": trace.hex(), "span": span.hex(), "flags": flags, "attributes": attributes}


def main():
    process = Process(int(sys.argv[1]))
    context = process_context(process)
    offset = variable_offset(process)
    names = context.get("attributes", {}).get("threadlocal.attribute_key_map", [])
    for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 1):
        threads = []
        for tid in sorted(int(name) for name in os.listdir(f"/proc/{process.pid}/task")):
            name = open(f"/proc/{process.pid}/task/{tid}/comm").read().strip()
            record = thread_record(process, tid, offset, names) if offset is not None else None
            threads.append({"tid": tid, "name": name, "record": record})
        print(json.dumps({"context": context, "threads": threads}))


main()
