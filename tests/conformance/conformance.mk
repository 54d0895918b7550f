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

# `make check-tsan-preload`: the same, and the program of tests/hazards whose calls fail, under ThreadSanitizer. Its
# runtime calls what we interpose before it is ready: so hooks, which decide nothing, and what stands for string.h are
# as they always are, and functions do not say that they are entered. C38 counts instructions, which is too slow.
TSAN_PRELOAD := $(BUILD)/tsan-preload
TSAN_FLAGS := -fsanitize=thread -Wno-tsan --param tsan-instrument-func-entry-exit=0
TSAN_PLAIN := $(filter $(BUILD)/hooks/% $(BUILD)/shim/string.o,$(SHIM_OBJECTS))
TSAN_SHIM := $(patsubst $(BUILD)/%,$(TSAN_PRELOAD)/%,$(filter-out $(TSAN_PLAIN),$(SHIM_OBJECTS)))
TSAN_TESTS := $(patsubst $(CONFORMANCE)/%,$(TSAN_PRELOAD)/%,$(CONFORMANCE_C) $(CONFORMANCE_CXX))

$(TSAN_SHIM): $(TSAN_PRELOAD)/%.o: %.c $(wildcard shim/*.h ctxstore/*.h)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(SHIM_FLAGS) -O1 $(TSAN_FLAGS) -c -o $@ $<
$(TSAN_PRELOAD)/%.o: tests/conformance/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -I. -fexceptions -O1 -fsanitize=thread -c -o $@ $<
$(TSAN_PRELOAD)/%.o: tests/conformance/%.cc
	@mkdir -p $(@D)
	$(CC) -x c++ -std=c++17 -g -I. -O1 -fsanitize=thread -c -o $@ $<
$(TSAN_PRELOAD)/conformance-program: $(TSAN_TESTS) $(TSAN_SHIM) $(TSAN_PLAIN)
	$(CC) -fsanitize=thread -rdynamic -o $@ $^ -pthread -lstdc++
$(TSAN_PRELOAD)/faults: tests/hazards/faults.c $(TSAN_SHIM) $(TSAN_PLAIN)
	$(CC) $(CFLAGS) -O1 -fsanitize=thread -DLINKED -rdynamic -o $@ $^ -pthread

.PHONY: check-tsan-preload
check-tsan-preload: $(TSAN_PRELOAD)/conformance-program $(TSAN_PRELOAD)/faults
	for name in $$(sed -n 's/^BEHAVIOUR(\(.*\))/\1/p' tests/conformance/conformance.def | grep -v ^C38); do \
		echo $$name; TSAN_OPTIONS=halt_on_error=1 timeout 100 setarch -R $(TSAN_PRELOAD)/conformance-program $$name || exit 1; \
	done
	TSAN_OPTIONS=halt_on_error=1 timeout 100 setarch -R $(TSAN_PRELOAD)/faults >$(TSAN_PRELOAD)/said

# `make check-helgrind`: the same under helgrind, which has to be told of our atomics (helgrind/atomics.h). Left out are
# C7, which has more threads than valgrind can, C15, which measures memory, of which valgrind has its own, C37, whose
# children helgrind takes for the threads that they were copied from, and is too slow for, and C38, which counts
# instructions.
HELGRIND := $(BUILD)/helgrind
HELGRIND_FLAGS := -O1 -include tests/conformance/helgrind/atomics.h
HELGRIND_SHIM := $(patsubst $(BUILD)/%,$(HELGRIND)/%,$(filter-out $(TSAN_PLAIN),$(SHIM_OBJECTS)))
HELGRIND_TESTS := $(patsubst $(CONFORMANCE)/%,$(HELGRIND)/%,$(CONFORMANCE_C) $(CONFORMANCE_CXX))

$(HELGRIND_SHIM): $(HELGRIND)/%.o: %.c $(wildcard shim/*.h ctxstore/*.h) tests/conformance/helgrind/atomics.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(SHIM_FLAGS) $(HELGRIND_FLAGS) -c -o $@ $<
$(HELGRIND)/%.o: tests/conformance/%.c tests/conformance/helgrind/atomics.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -I. -fexceptions $(HELGRIND_FLAGS) -c -o $@ $<
$(HELGRIND)/%.o: tests/conformance/%.cc
	@mkdir -p $(@D)
	$(CC) -x c++ -std=c++17 -g -I. -O1 -c -o $@ $<
$(HELGRIND)/conformance-program: $(HELGRIND_TESTS) $(HELGRIND_SHIM) $(TSAN_PLAIN)
	$(CC) -rdynamic -o $@ $^ $(LDFLAGS) -pthread -lstdc++

.PHONY: check-helgrind
check-helgrind: $(HELGRIND)/conformance-program
	for name in $$(sed -n 's/^BEHAVIOUR(\(.*\))/\1/p' tests/conformance/conformance.def | grep -Ev '^C(7|15|37|38)_'); do \
		echo $$name; timeout 300 valgrind --tool=helgrind --fair-sched=yes -q --error-exitcode=9 \
			--suppressions=tests/conformance/helgrind/helgrind.supp $< $$name || exit 1; \
	done
