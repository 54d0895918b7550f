"""How the types of ctxshim.h print: a ctxshim_context * as its operations, a ctxshim_scope as what it names."""
import gdb
import gdb.printing

from . import records


def _records():
    """None: printing a value never fails for want of the library."""
    try:
        return records.Records()
    except (gdb.error, gdb.GdbError):
        return None


class ContextPrinter:
    def __init__(self, value):
        self.address = int(value)

    def to_string(self):
        if self.address == 0:
            return "0x0 (the empty context)"
        known = _records()
        text = "?" if known is None else self._text(known)
        return "0x%x %s" % (self.address, text)

    def _text(self, known):
        if not known.is_context(self.address):
            return "(no context, or no longer)"
        return '"%s"' % known.path(self.address)


class ScopePrinter:
    def __init__(self, value):
        self.node = int(value["node"])
        self.serial = int(value["serial"])

    def to_string(self):
        if self.node == 0:
            return "{no scope}"
        if self.serial >= records.NO_NODE:
            return "{attached context or suppression, serial %d}" % (self.serial - records.NO_NODE)
        known = _records()
        if known is None or not known.is_scope(self.node, self.serial):
            return "{closed scope, serial %d}" % self.serial
        state = "closed" if known.is_closed(self.node) else "open"
        return '{%s scope "%s", serial %d}' % (state, known.path(self.node), self.serial)


class Collection(gdb.printing.PrettyPrinter):
    def __init__(self):
        super().__init__("ctxshim", [])

    def __call__(self, value):
        kind = value.type.strip_typedefs()
        if kind.code == gdb.TYPE_CODE_PTR:
            target = kind.target().strip_typedefs().unqualified()
            if target.code == gdb.TYPE_CODE_STRUCT and target.tag == "ctxshim_context":
                return ContextPrinter(value)
        elif kind.code == gdb.TYPE_CODE_STRUCT and kind.unqualified().tag == "ctxshim_scope":
            return ScopePrinter(value)
        return None


def register(objfile):
    gdb.printing.register_pretty_printer(objfile, Collection(), replace=True)
