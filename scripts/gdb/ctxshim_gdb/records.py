"""What the shim knows, read from the memory of the process that gdb looks at (shim/census.h is the way in).

gdb has stopped the threads, so what is read belongs together, but it may have stopped one anywhere: a record is
believed only while it is alive, and a path only up to where it makes sense.
"""
import functools
import re

import gdb

MARK = b"ctxshim census\0\0"
NO_NODE = 1 << 63  # serials from here on: a scope's that attached a context or suppressed the flow
DEEPEST = 10000  # nodes of a path
LONGEST = 4096  # bytes of a name
RECORDS = 1 << 20  # of threads

_layouts = {}  # by the number that a library's census carries
_found = {}  # where the census was last, by inferior: a breakpoint's condition asks often


def add_layout(layout):
    _layouts[layout["layout"]] = layout


class Unreadable(gdb.GdbError):
    """Why there is nothing to show, and the way out: one line."""


class Path:
    """A context as it is shown: its operations, outermost first, and what else it might be."""

    def __init__(self):
        self.operations = []
        self.doubt = ""  # of what comes next, further out
        self.links = []  # addresses of contexts
        self.whole = True  # false: the rest of it cannot be read

    def add(self, operation):
        """The next one outwards. A ? stands behind what is not for sure."""
        self.operations.insert(0, printable(operation) + self.doubt)
        self.doubt = ""

    def __str__(self):
        return " ".join(([] if self.whole else ["(unreadable)" + self.doubt]) + self.operations)


class Provenance:
    """What told whose work it is."""

    def __init__(self, evidence):
        self.evidence = evidence
        self.carrier, self.fd = None, -1  # over what it came
        self.since = 0  # nanoseconds of the process's CLOCK_MONOTONIC; 0: not known
        self.giver = None  # gdb's thread that handed it over

    def __str__(self):
        text = self.evidence or "-"
        if self.carrier is not None:
            text += " %s %d" % (self.carrier, self.fd)
        if self.giver is not None:
            text += " from %d" % self.giver.ptid[1]
        return text


class Records:
    """The records of the selected inferior's library."""

    def __init__(self):
        self.inferior = gdb.selected_inferior()
        self.layout = None
        self.census = self._find_census()

    # --- memory

    def _bytes(self, address, size):
        return self.inferior.read_memory(address, size).tobytes()

    def _number(self, address, size, signed=False):
        return int.from_bytes(self._bytes(address, size), self.layout["order"], signed=signed)

    def _member(self, base, name, signed=False):
        offset, size = self.layout[name]
        return self._number(base + offset, size, signed)

    def _bits(self, base, name):
        offset, mask = self.layout[name]
        return (self._number(base + offset, 1) & mask) // (mask & -mask)

    # --- the census

    def _find_census(self):
        """Its address: the library's data has the mark. The mark is all that is known of a stripped library."""
        known = _found.get((self.inferior.num, self.inferior.pid))
        if known is not None and self._is_mark(known):
            return self._take_layout(known)
        seen = False
        for low, high in _data_of_library():
            seen = True
            try:
                found = self.inferior.search_memory(low, high - low, MARK)
            except gdb.MemoryError:
                continue
            if found is not None:
                _found[(self.inferior.num, self.inferior.pid)] = found
                return self._take_layout(found)
        raise Unreadable(
            "the records of libctxshim are not in this process or core file"
            if seen
            else 'libctxshim is not loaded here; start the program with "ctxshim run"'
        )

    def _is_mark(self, address):
        try:
            return self._bytes(address, len(MARK)) == MARK
        except gdb.MemoryError:
            return False

    def _take_layout(self, census):
        for layout in _layouts.values():
            offset, size = layout["census.layout"]
            number = int.from_bytes(self._bytes(census + offset, size), layout["order"])
            if number == layout["layout"]:
                self.layout = layout
                return census
        raise Unreadable("this libctxshim is of another version than what gdb has loaded for it")

    # --- threads

    @functools.cached_property
    def threads(self):
        """The addresses of the records of living threads, by the kernel's number for each."""
        found = {}
        pointer = self.layout["thread.next"][1]
        record = self._number(self._member(self.census, "census.records"), pointer)
        for _ in range(RECORDS):
            if record == 0:
                break
            tid = self._member(record, "thread.tid")
            if tid != 0:
                found[tid] = record
            record = self._member(record, "thread.next")
        return found

    def thread(self, thread):
        """The address of the record of one of gdb's threads; None: the shim never saw it."""
        lwp = thread.ptid[1]
        return self.threads.get(lwp) or self.threads.get(_inner_tid(lwp))

    def current(self, record):
        """The address of the thread's current context; 0: the empty one."""
        return self._member(record, "thread.flow.current")

    def provenance(self, record):
        """Where the thread's context came from; None: it is the thread's own."""
        depth = self._member(record, "thread.depth")
        if depth == 0 or depth > self.layout["FRAMES_DEEPEST"]:
            inherited = self._member(record, "thread.inherited") != 0
            return Provenance(self.layout["evidences"][self.layout["EVIDENCE_START"]]) if inherited else None
        frame = record + self.layout["thread.frames"][0] + (depth - 1) * self.layout["frame"]
        told = Provenance(_word(self.layout["evidences"], self._member(frame, "frame.provenance.evidence")))
        told.carrier = _word(self.layout["carriers"], self._member(frame, "frame.provenance.carrier", signed=True))
        told.fd = self._member(frame, "frame.provenance.fd", signed=True)
        told.since = self._member(frame, "frame.provenance.since")
        told.giver = self._giver(self._member(frame, "frame.provenance.by"), record)
        return told

    def _giver(self, tid, record):
        """gdb's thread that handed the work over, as far as it is another and still there."""
        giver = self.threads.get(tid)
        if giver is None or giver == record:
            return None
        return next((thread for thread in self.inferior.threads() if self.thread(thread) == giver), None)

    # --- contexts

    def is_context(self, address):
        """Does all of its path look like contexts? What a program's variable holds may be anything."""
        try:
            for _ in range(DEEPEST):
                if address == 0:
                    return True
                if address % 8 != 0 or not self._is_alive(address):
                    return False
                address = self._member(address, "context.parent")
        except gdb.MemoryError:
            pass
        return False

    def _is_alive(self, node):
        """Its serial is not 0, and below those of what is no node."""
        return (
            0 < self._member(node, "context.serial") < NO_NODE
            and self._member(node, "context.references") > 0
            and self._bits(node, "context.kind") <= self.layout["CONTEXT_AMBIGUOUS"]
        )

    def is_scope(self, node, serial):
        """Is the node still the one that had this serial?"""
        try:
            return self._member(node, "context.serial") == serial
        except gdb.MemoryError:
            return False

    def is_closed(self, node):
        return self._member(node, "context.marks") & self.layout["CONTEXT_CLOSED"] != 0

    def path(self, context):
        path = Path()
        try:
            for _ in range(DEEPEST):
                if context == 0:
                    break
                if not self._is_alive(context):
                    path.whole = False
                    break
                self._take_node(context, path)
                context = self._member(context, "context.parent")
        except gdb.MemoryError:
            path.whole = False
        return path

    def _take_node(self, node, path):
        kind = self._bits(node, "context.kind")
        if kind == self.layout["CONTEXT_OPERATION"]:
            path.add(self._operation(node))
        elif kind == self.layout["CONTEXT_ROOT"]:
            path.add(self._root(node))
        elif kind == self.layout["CONTEXT_AMBIGUOUS"]:
            path.doubt = "?"
            path.links = path.links or self._links(node)

    def _operation(self, node):
        if self._bits(node, "context.long_name"):
            return self._name(self._member(node, "context.long_text"))
        offset, size = self.layout["context.text"]
        return self._bytes(node + offset, size).split(b"\0")[0]

    def _root(self, node):
        renamed = self._member(node, "context.root.renamed")
        if renamed != 0:
            return self._name(renamed)
        word = gdb.Value(self._member(node, "context.root.word")).cast(gdb.lookup_type("char").pointer())
        return word.string().encode() + b"%d" % self._member(node, "context.root.number")

    def _name(self, address):
        length = min(self._member(address, "context_name.length"), LONGEST)
        return self._bytes(address + self.layout["context_name"], length)

    def _links(self, node):
        offset, size = self.layout["context.links"]
        pointer = self.layout["context.parent"][1]
        return [
            link
            for link in (self._number(node + offset + at, pointer) for at in range(0, size, pointer))
            if link != 0
        ]


def _word(words, index):
    return words[index] if 0 <= index < len(words) else None


def _data_of_library():
    """The (low, high) of the data sections of each libctxshim. gdb knows them live, in cores and remotely."""
    pattern = re.compile(r"\s*(0x[0-9a-f]+) - (0x[0-9a-f]+) \S+ \.(?:data|data\.rel\.ro) \S+ (.*libctxshim[^/]*)$")
    for line in gdb.execute("info files", to_string=True).splitlines():
        section = pattern.match(line)
        if section:
            yield int(section[1], 16), int(section[2], 16)


def _inner_tid(lwp):
    """The thread's number in the process's own namespace, where that is another (a container)."""
    try:
        with open("/proc/%d/status" % lwp, encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("NSpid:"):
                    return int(line.split()[-1])
    except OSError:
        pass
    return lwp


def printable(name):
    """Nothing that a client put into a name reaches a terminal as it is."""
    text = name.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "\\u%04x" % ord(c) for c in text)
