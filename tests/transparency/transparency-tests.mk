# Real programs plain and preloaded, and what the preloaded object is: run from the root of the tree.

TEST_BINARIES += $(BUILD)/tests/test_transparency
TEST_PREREQS += $(BUILD)/libctxshim.so $(BUILD)/ctxshim

# A program for each library of event loops.
LOOPS := $(addprefix $(BUILD)/tests/loops/, libevent sd uv ev glib)
TEST_PREREQS += $(LOOPS)
$(BUILD)/tests/loops/libevent: LOOP_LIBRARY := $(shell pkg-config --cflags --libs libevent libevent_pthreads)
$(BUILD)/tests/loops/sd: LOOP_LIBRARY := $(shell pkg-config --cflags --libs libsystemd)
$(BUILD)/tests/loops/uv: LOOP_LIBRARY := $(shell pkg-config --cflags --libs libuv)
$(BUILD)/tests/loops/ev: LOOP_LIBRARY := -lev
$(BUILD)/tests/loops/glib: LOOP_LIBRARY := $(shell pkg-config --cflags --libs glib-2.0)
$(LOOPS): $(BUILD)/tests/loops/%: tests/transparency/loops/loop_%.c tests/transparency/loops/loops.c \
		tests/transparency/loops/loops.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $(filter %.c,$^) $(LDFLAGS) $(LOOP_LIBRARY) -pthread

$(BUILD)/tests/test_transparency: tests/transparency/test_transparency.c tests/transparency/pair.c \
		tests/transparency/pair.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -DBUILD='"$(BUILD)"' $(shell pkg-config --cflags glib-2.0) -o $@ $(filter %.c,$^) $(LDFLAGS) \
		-lcriterion $(shell pkg-config --libs glib-2.0)
