# The programs of the store's benchmark (scripts/bench-store.sh). They use the public header alone, and link nothing
# of ours. `make test` builds them, so that they stay buildable.

BENCH := $(BUILD)/tests/bench
BENCH_PROGRAMS := $(BENCH)/store $(BENCH)/thread $(BENCH)/connections $(BENCH)/costs
TEST_PREREQS += $(BENCH_PROGRAMS)
BENCH_COMMON := $(addprefix tests/bench/, measure.c)
BENCH_STORE := $(BENCH_COMMON) $(addprefix tests/bench/, store.c contexts.c two_threads.c rows_store.c \
	rows_two_threads.c rows_raw.c rows_memory.c)
BENCH_HEADERS := $(wildcard tests/bench/*.h) shim/ctxshim.h

# It is found where the program is.
$(BENCH)/libtls.so: tests/bench/tls.c tests/bench/tls.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fPIC -ftls-model=initial-exec -shared -o $@ $<

$(BENCH)/store: $(BENCH_STORE) $(BENCH_HEADERS) $(BENCH)/libtls.so
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Ishim -o $@ $(BENCH_STORE) $(LDFLAGS) -pthread -L$(@D) -ltls -Wl,-rpath,'$$ORIGIN'

$(BENCH)/thread: tests/bench/thread.c $(BENCH_COMMON) $(BENCH_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Ishim -o $@ $(filter %.c,$^) $(LDFLAGS) -pthread

$(BENCH)/costs: tests/bench/costs.c $(BENCH_COMMON) $(BENCH_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Ishim -o $@ $(filter %.c,$^) $(LDFLAGS) -pthread

$(BENCH)/connections: tests/bench/connections.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $< $(LDFLAGS)

# The store's map beside a flat array and a hash array mapped trie: this one links the store's files.
$(BENCH)/maps: tests/bench/maps.c $(BENCH_COMMON) $(BENCH_HEADERS) $(wildcard ctxstore/*.c ctxstore/*.h)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Ishim -o $@ $(filter %.c,$^) $(LDFLAGS) -pthread

.PHONY: bench-maps
bench-maps: $(BENCH)/maps
	$<

# What the hot hooks add, counted in instructions (scripts/bench-hooks.sh).
$(BENCH)/hooks: $(wildcard tests/bench/hooks*.c) tests/bench/hooks.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $(filter %.c,$^) $(LDFLAGS) -pthread

TEST_BINARIES += $(BUILD)/tests/test_hooks_cost
TEST_PREREQS += $(BENCH)/hooks
$(BUILD)/tests/test_hooks_cost: tests/bench/test_hooks_cost.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $< $(LDFLAGS) -lcriterion

TEST_BINARIES += $(BUILD)/tests/test_connection_memory
TEST_PREREQS += $(BENCH)/connections
$(BUILD)/tests/test_connection_memory: tests/bench/test_connection_memory.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -DBUILD='"$(BUILD)"' -o $@ $< $(LDFLAGS) -lcriterion

.PHONY: bench-hooks
bench-hooks: $(BENCH)/hooks $(BUILD)/libctxshim.so
	scripts/bench-hooks.sh
