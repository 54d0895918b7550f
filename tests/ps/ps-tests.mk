# `ctxshim ps`, on a program whose contexts are known.

TEST_BINARIES += $(BUILD)/tests/test_ps
TEST_PREREQS += $(BUILD)/ctxshim $(BUILD)/libctxshim.so $(BUILD)/tests/ps/subject

$(BUILD)/tests/ps/subject: tests/ps/subject.c shim/ctxshim.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fexceptions -Ishim -o $@ $< $(LDFLAGS) -pthread

$(BUILD)/tests/test_ps: tests/ps/test_ps.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -DBUILD='"$(BUILD)"' $(shell pkg-config --cflags criterion glib-2.0) -o $@ $< $(LDFLAGS) \
		$(shell pkg-config --libs criterion glib-2.0)
