# Real programs plain and preloaded, and what the preloaded object is: run from the root of the tree.

TEST_BINARIES += $(BUILD)/tests/test_transparency
TEST_PREREQS += $(BUILD)/libctxshim.so $(BUILD)/ctxshim

$(BUILD)/tests/test_transparency: tests/transparency/test_transparency.c tests/transparency/pair.c \
		tests/transparency/pair.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -DBUILD='"$(BUILD)"' $(shell pkg-config --cflags glib-2.0) -o $@ $(filter %.c,$^) $(LDFLAGS) \
		-lcriterion $(shell pkg-config --libs glib-2.0)
