# Installing: `make install`, `make uninstall`, `make deb`; and what is generated for it, the manual and the
# debugger's part. install.sh says what goes where.

PREFIX ?= /usr/local
DESTDIR ?=
BINDIR = $(PREFIX)/bin
LIBDIR = $(PREFIX)/lib
INCLUDEDIR = $(PREFIX)/include
DATADIR = $(PREFIX)/share
MANDIR = $(DATADIR)/man
# Debian's gdb looks into /usr/share/gdb/auto-load by itself, and elsewhere when it is told (README.md).
AUTOLOADDIR = $(DATADIR)/gdb/auto-load

# --- the manual ---------------------------------------------------------------------------------------------
# ctxshim(1) is the command's own --help, ctxshim(3) the header's comments: neither can go stale.
MANUAL := $(BUILD)/man/man1/ctxshim.1 $(BUILD)/man/man3/ctxshim.3 $(BUILD)/man/man7/ctxshim.7

$(BUILD)/man/man1/ctxshim.1: $(addprefix shim/manual/, command.sh command.in help.awk) $(BUILD)/ctxshim $(BUILD)/libctxshim.so
	@mkdir -p $(@D)
	VERSION=$(VERSION) shim/manual/command.sh $(BUILD)/ctxshim shim/manual/command.in >$@.new
	mv $@.new $@

# With one page for each function, which only leads to this one.
$(BUILD)/man/man3/ctxshim.3: shim/manual/functions.awk shim/manual/functions.in shim/ctxshim.h Makefile
	@rm -rf $(@D) && mkdir -p $(@D)
	awk -v version=$(VERSION) -v links=$(@D) -f shim/manual/functions.awk shim/ctxshim.h shim/manual/functions.in >$@.new
	mv $@.new $@

$(BUILD)/man/man7/ctxshim.7: shim/manual/evidences.awk shim/manual/concepts.in shim/provenance.h Makefile
	@mkdir -p $(@D)
	awk -v version=$(VERSION) -f shim/manual/evidences.awk shim/provenance.h shim/manual/concepts.in >$@.new
	mv $@.new $@

# --- the debugger's part ------------------------------------------------------------------------------------
# Where the library's objects keep what gdb shows, told by the compiler: scripts/gdb/README.md.
GDB_STUB := $(BUILD)/gdb/stub.py

$(BUILD)/gdb/layout: scripts/gdb/layout.c $(wildcard shim/*.h shim/command/words.h ctxstore/*.h)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $<

$(GDB_STUB): scripts/gdb/stub.py.in $(BUILD)/gdb/layout
	$(BUILD)/gdb/layout >$(@D)/layout.py
	sed -e '/^@LAYOUT@$$/{r $(@D)/layout.py' -e 'd' -e '}' $< >$@

# For the library where it was built: gdb -iex 'add-auto-load-safe-path $(BUILD)'.
$(BUILD)/libctxshim.so-gdb.py: $(GDB_STUB)
	sed 's|@GDBDIR@|$(CURDIR)/scripts/gdb|' $< >$@

# --- targets ------------------------------------------------------------------------------------------------
INSTALLED := $(BUILD)/libctxshim.so $(BUILD)/ctxshim $(MANUAL) $(GDB_STUB) $(BUILD)/libctxshim.so-gdb.py
INSTALL = VERSION='$(VERSION)' BUILD='$(BUILD)' DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' BINDIR='$(BINDIR)' \
	LIBDIR='$(LIBDIR)' INCLUDEDIR='$(INCLUDEDIR)' DATADIR='$(DATADIR)' MANDIR='$(MANDIR)' \
	AUTOLOADDIR='$(AUTOLOADDIR)' scripts/install/install.sh

.PHONY: install uninstall deb manual
manual: $(MANUAL)

install: $(INSTALLED)
	@$(INSTALL) install

uninstall: $(INSTALLED)
	@$(INSTALL) uninstall

deb: $(INSTALLED)
	@VERSION='$(VERSION)' BUILD='$(BUILD)' CC='$(CC)' scripts/install/deb.sh
