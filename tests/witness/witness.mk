# The witness, the judge, the load client and their tests: to be included by the Makefile in the root.
#
# Uses CC, CFLAGS and BUILD; adds to TEST_PREREQS what the server scripts need and to TEST_BINARIES the Criterion
# binaries.

WITNESS_TOOLS := $(addprefix $(BUILD)/tests/,libwitness.so libwitness-inner.so judge load scene \
	libfake-constant.so libfake-thread.so libfake-empty.so libfake-oracle.so)
WITNESS_TESTS := $(BUILD)/tests/test_witness $(BUILD)/tests/test_servers
TEST_PREREQS += $(WITNESS_TOOLS)
TEST_BINARIES += $(WITNESS_TESTS)

WITNESS_GLIB = $(shell pkg-config --cflags --libs glib-2.0)
SERVER_PROGRAMS := $(addprefix $(BUILD)/tests/,glib-http api-http hand-over-http passed-http)
TEST_PREREQS += $(SERVER_PROGRAMS)

# What is interposed must be called and defined by its own name: no builtins, no inline functions of stdio's.
WITNESS_PLAIN := -fno-builtin -U_FORTIFY_SOURCE -D__NO_INLINE__

WITNESS_SOURCES := $(addprefix tests/witness/,witness.c markers.c)
$(BUILD)/tests/libwitness.so: $(WITNESS_SOURCES) tests/witness/markers.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WITNESS_PLAIN) -fPIC -fvisibility=hidden -fexceptions -shared -o $@ $(filter %.c,$^)

$(BUILD)/tests/libwitness-inner.so: $(WITNESS_SOURCES) tests/witness/markers.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WITNESS_PLAIN) -DWITNESS_INNER -fPIC -fvisibility=hidden -fexceptions -shared -o $@ $(filter %.c,$^)

$(BUILD)/tests/libfake-%.so: tests/witness/fake_%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fPIC -fvisibility=hidden -shared -o $@ $<

$(BUILD)/tests/scene: tests/witness/scene.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WITNESS_PLAIN) -rdynamic -o $@ $< -pthread

$(BUILD)/tests/judge: tests/witness/judge.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $< $(WITNESS_GLIB)

LOAD_SOURCES := $(addprefix tests/witness/,load.c load_connection.c load_protocol.c)
$(BUILD)/tests/load: $(LOAD_SOURCES) tests/witness/load.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $(LOAD_SOURCES) $(WITNESS_GLIB) -lm -pthread

$(BUILD)/tests/test_witness: tests/witness/test_witness.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -DBUILD='"$(BUILD)"' -o $@ $< $(WITNESS_GLIB) -lcriterion

$(BUILD)/tests/test_servers: tests/servers/test_servers.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -DBUILD='"$(BUILD)"' -o $@ $< -lcriterion

$(BUILD)/tests/glib-http: tests/servers/glib-http.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $< $(shell pkg-config --cflags --libs gio-2.0)

$(BUILD)/tests/api-http: tests/servers/api-http.c shim/ctxshim.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fexceptions -Ishim -o $@ $< -pthread

$(BUILD)/tests/hand-over-http: tests/servers/hand-over-http.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $< -pthread

$(BUILD)/tests/passed-http: tests/servers/passed-http.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $< -pthread
