"""The commands, and the function $ctxshim_stack()."""
import contextlib
import time

import gdb

from . import records

_registered = []  # commands outlive the library that brought them, and are not made twice


def _age(since):
    """How long ago, for a process whose clock is ours; else None."""
    inferior = gdb.selected_inferior()
    connection = getattr(inferior, "connection", None)
    if since == 0 or connection is None or connection.type != "native":
        return None
    return max(0.0, time.clock_gettime_ns(time.CLOCK_MONOTONIC) / 1e9 - since / 1e9)


def _age_text(age):
    if age is None:
        return "-"
    if age < 60:
        return "%.2fs" % age
    if age < 3600:
        return "%dm%02ds" % (age // 60, age % 60)
    return "%dh%02dm" % (age // 3600, age // 60 % 60)


@contextlib.contextmanager
def _plain_errors():
    """A core file may lack what is looked for: one line says so."""
    try:
        yield
    except gdb.MemoryError as problem:
        raise gdb.GdbError("the records of libctxshim cannot be read: %s" % problem) from None


class Sight:
    """One thread, as it is shown."""

    def __init__(self, known, thread):
        self.thread = thread
        record = known.thread(thread)
        self.seen = record is not None
        self.path = known.path(known.current(record)) if self.seen else records.Path()
        told = known.provenance(record) if self.seen and str(self.path) else None
        self.by = "-" if told is None else str(told)
        self.age = None if told is None else _age(told.since)

    def context(self):
        return str(self.path) or ("-" if self.seen else "(not seen)")


class InfoContext(gdb.Command):
    """Which logical work the selected thread does, what told so, and since when.

"thread apply all info context" shows it of every thread, "info contexts" as a table. A ? behind a context says
that it is not for sure; what else it might be is listed then."""

    def __init__(self):
        super().__init__("info context", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        del argument, from_tty
        thread = gdb.selected_thread()
        if thread is None:
            raise gdb.GdbError("no thread is selected")
        with _plain_errors():
            self._show(thread)

    @staticmethod
    def _show(thread):
        known = records.Records()
        sight = Sight(known, thread)
        print(sight.context())
        if sight.by != "-":
            ago = "" if sight.age is None else ", %s ago" % _age_text(sight.age)
            print("  by %s%s" % (sight.by, ago))
        for link in sight.path.links:
            print("  or %s" % (str(known.path(link)) or "-"))


class InfoContexts(gdb.Command):
    """Lists the threads, and which logical work each does.

SINCE is how long ago the thread took it up, where that can be told; BY is what told whose work it is: event,
read, response, ..., over which descriptor, and which other thread (LWP) handed it over. (not seen) is a thread that never came by the shim."""

    def __init__(self):
        super().__init__("info contexts", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        del argument, from_tty
        with _plain_errors():
            self._show()

    @staticmethod
    def _show():
        known = records.Records()
        selected = gdb.selected_thread()
        print("  %-4s %8s  %-16s %8s  %-30s  %s" % ("Id", "LWP", "NAME", "SINCE", "BY", "CONTEXT"))
        for thread in sorted(known.inferior.threads(), key=lambda thread: thread.num):
            sight = Sight(known, thread)
            star = "*" if selected is not None and thread.num == selected.num else " "
            name = records.printable((thread.name or "-").encode())
            print(
                "%s %-4d %8d  %-16s %8s  %-30s  %s"
                % (star, thread.num, thread.ptid[1], name, _age_text(sight.age), sight.by, sight.context())
            )


class StackFunction(gdb.Function):
    """The selected thread's context as a string, "" for the empty one: for conditions and printf.

    break handler if $_regex($ctxshim_stack(), "conn#3 .*")"""

    def __init__(self):
        super().__init__("ctxshim_stack")

    def invoke(self):
        thread = gdb.selected_thread()
        if thread is None:
            raise gdb.GdbError("no thread is selected")
        with _plain_errors():
            return str(Sight(records.Records(), thread).path)


def register():
    if not _registered:
        _registered.extend((InfoContext(), InfoContexts(), StackFunction()))
