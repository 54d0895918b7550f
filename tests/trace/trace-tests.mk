# The timeline: recorded by a program whose contexts are known, and read back in each format.

TEST_BINARIES += $(BUILD)/tests/test_trace
TEST_PREREQS += $(BUILD)/ctxshim $(BUILD)/libctxshim.so $(BUILD)/tests/trace/subject

$(BUILD)/tests/trace/subject: tests/trace/subject.c shim/ctxshim.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fexceptions -Ishim -o $@ $< $(LDFLAGS) -pthread

$(BUILD)/tests/test_trace: tests/trace/test_trace.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -DBUILD='"$(BUILD)"' $(shell pkg-config --cflags criterion glib-2.0) -o $@ $< $(LDFLAGS) \
		$(shell pkg-config --libs criterion glib-2.0)
