# What is installed, staged in temporary directories; the system is left alone.

INSTALL_TEST := $(BUILD)/tests/install
TEST_BINARIES += $(BUILD)/tests/test_install
TEST_PREREQS += $(INSTALLED) $(INSTALL_TEST)/holder $(BUILD)/tests/ps/subject

$(INSTALL_TEST)/holder: tests/install/holder.c shim/ctxshim.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -O0 -g -Ishim -o $@ $< $(LDFLAGS)

$(BUILD)/tests/test_install: $(wildcard tests/install/test_*.c tests/install/stage.[ch])
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -DBUILD='"$(BUILD)"' -DBUILT_BY='"$(CC)"' -DVERSION='"$(VERSION)"' -DSONAME='"$(SONAME)"' \
		-DMULTIARCH='"$(shell $(CC) -print-multiarch)"' $(shell pkg-config --cflags criterion glib-2.0) -o $@ \
		$(filter %.c,$^) $(LDFLAGS) $(shell pkg-config --libs criterion glib-2.0)
