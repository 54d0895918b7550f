# The logical-stack example (C28) and its test: to be included by the Makefile in the root. They use the public
# header alone, and link nothing of ours.

DEMO_PROGRAMS := $(addprefix $(BUILD)/demo/,logical_stack_threads logical_stack_loop logical_stack_coroutines)
TEST_PREREQS += $(DEMO_PROGRAMS)
TEST_BINARIES += $(BUILD)/tests/test_demo

$(DEMO_PROGRAMS): $(BUILD)/demo/%: tests/demo/%.c tests/demo/logical_stack.h shim/ctxshim.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fexceptions -Ishim -o $@ $< $(LDFLAGS) -pthread

$(BUILD)/tests/test_demo: tests/demo/test_demo.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -DBUILD='"$(BUILD)"' $(shell pkg-config --cflags criterion glib-2.0) \
		-o $@ $< $(LDFLAGS) $(shell pkg-config --libs criterion glib-2.0)
