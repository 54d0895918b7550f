# The conformance list, a Criterion test for each behaviour. The tests drive a program that has the shim's own
# objects linked in: its symbols interpose libc's as a preload's do, and it can count live contexts.

CONFORMANCE := $(BUILD)/tests/conformance
CONFORMANCE_C := $(patsubst tests/conformance/%.c,$(CONFORMANCE)/%.o, \
	$(filter-out %/test_conformance.c,$(wildcard tests/conformance/*.c)))
CONFORMANCE_CXX := $(patsubst tests/conformance/%.cc,$(CONFORMANCE)/%.o,$(wildcard tests/conformance/*.cc))
TEST_BINARIES += $(BUILD)/tests/test_conformance
TEST_PREREQS += $(CONFORMANCE)/conformance-program

# -fexceptions: what CTXSHIM_SCOPE asks of a program that leaves blocks by pthread_exit or cancellation.
CONFORMANCE_FLAGS := -I. -fexceptions -MMD -MP

$(CONFORMANCE_C): $(CONFORMANCE)/%.o: tests/conformance/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CONFORMANCE_FLAGS) -c -o $@ $<

$(CONFORMANCE_CXX): $(CONFORMANCE)/%.o: tests/conformance/%.cc
	@mkdir -p $(@D)
	$(CC) -x c++ -std=c++17 $(filter-out -std=% -Wstrict-prototypes -Wmissing-prototypes,$(CFLAGS)) \
		$(CONFORMANCE_FLAGS) -c -o $@ $<
-include $(CONFORMANCE_C:.o=.d) $(CONFORMANCE_CXX:.o=.d)

# -rdynamic: the public header finds the shim's functions by dlsym, as in any program.
$(CONFORMANCE)/conformance-program: $(CONFORMANCE_C) $(CONFORMANCE_CXX) $(SHIM_OBJECTS)
	$(CC) -rdynamic -o $@ $^ $(LDFLAGS) -pthread -lstdc++

$(BUILD)/tests/test_conformance: tests/conformance/test_conformance.c tests/conformance/conformance.def
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -DPROGRAM='"$(CONFORMANCE)/conformance-program"' -o $@ $< $(LDFLAGS) -lcriterion
