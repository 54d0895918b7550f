"""libctxshim in gdb: "info context", "info contexts", $ctxshim_stack() and printers for the types of ctxshim.h.

The stub beside the library (../stub.py.in) calls register() with the layout of that library's records. Nothing
here needs debug information of the library, calls into the process, or asks anything but gdb: so it works on
live processes, on core files and over a remote connection.
"""
from . import commands, printers, records


def register(objfile, layout):
    """A libctxshim was loaded: objfile is it (None: the stub was sourced by hand)."""
    records.add_layout(layout)
    printers.register(objfile)
    commands.register()
