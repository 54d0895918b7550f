# The command, build/ctxshim. It needs GLib and elfutils; the library never does.

# What reads the records of the shim is the same inside and outside.
COMMAND_SOURCES := $(wildcard shim/command/*.c) shim/census.c shim/holders.c shim/holders_work.c shim/w3c.c ctxstore/peek.c ctxstore/kernel.c
COMMAND_TABLES := hooks/hooks.def shim/options.def shim/command/timeline.html
COMMAND_FLAGS = -D_GNU_SOURCE -DCTXSHIM_VERSION='"$(VERSION)"' \
	-DCTXSHIM_MULTIARCH='"$(shell $(CC) -print-multiarch)"' $(shell pkg-config --cflags glib-2.0 libelf libdw)

$(BUILD)/ctxshim: $(COMMAND_SOURCES) $(wildcard shim/command/*.h shim/*.h ctxstore/*.h) $(COMMAND_TABLES)
	@mkdir -p $(@D)
	$(CC) -std=c17 $(CFLAGS) $(COMMAND_FLAGS) -o $@ $(COMMAND_SOURCES) $(LDFLAGS) $(shell pkg-config --libs glib-2.0 libelf libdw)
