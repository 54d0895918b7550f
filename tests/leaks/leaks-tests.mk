# Leak finding, on programs with planted leaks and their clean twins.

TEST_BINARIES += $(BUILD)/tests/test_leaks
TEST_PREREQS += $(BUILD)/ctxshim $(BUILD)/libctxshim.so $(BUILD)/tests/leaks/planted

# -O1: one call a line, and no two that are the same made one.
$(BUILD)/tests/leaks/planted: tests/leaks/planted.c ctxstore/kernel.c tests/leaks/cases.def shim/ctxshim.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -g -O1 -fexceptions -Ishim -o $@ tests/leaks/planted.c ctxstore/kernel.c $(LDFLAGS) -pthread

$(BUILD)/tests/test_leaks: tests/leaks/test_leaks.c tests/leaks/cases.def
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -DBUILD='"$(BUILD)"' $(shell pkg-config --cflags criterion glib-2.0) -o $@ $< $(LDFLAGS) \
		$(shell pkg-config --libs criterion glib-2.0)
