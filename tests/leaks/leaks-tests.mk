# Leak finding, on programs with planted leaks and their clean twins; and the supervisor that reports them.

LEAK_TESTS := $(addprefix $(BUILD)/tests/,test_leaks test_supervisor)
TEST_BINARIES += $(LEAK_TESTS)
TEST_PREREQS += $(BUILD)/ctxshim $(BUILD)/libctxshim.so $(BUILD)/tests/leaks/planted

# -O1: one call a line, and no two that are the same made one.
PLANTED := $(wildcard tests/leaks/planted*.c) ctxstore/kernel.c
$(BUILD)/tests/leaks/planted: $(PLANTED) tests/leaks/planted.h tests/leaks/cases.def shim/ctxshim.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -g -O1 -fexceptions -Ishim -o $@ $(PLANTED) $(LDFLAGS) -pthread

$(LEAK_TESTS): $(BUILD)/tests/test_%: tests/leaks/test_%.c tests/leaks/cases.def
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -DBUILD='"$(BUILD)"' $(shell pkg-config --cflags criterion glib-2.0) -o $@ $< $(LDFLAGS) \
		$(shell pkg-config --libs criterion glib-2.0) -lutil
