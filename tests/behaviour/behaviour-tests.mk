# Behaviour under preload: the files of cases are compiled into a program and into the Criterion binary that runs
# it (case.h says how).

BEHAVIOUR_CASES := $(wildcard tests/behaviour/rules_*.c) tests/behaviour/stacks.c
BEHAVIOUR_HEADERS := tests/behaviour/case.h tests/behaviour/pipes.h shim/ctxshim.h ctxstore/kernel.h
TEST_BINARIES += $(BUILD)/tests/test_behaviour
TEST_PREREQS += $(BUILD)/libctxshim.so $(BUILD)/tests/behaviour/cases

$(BUILD)/tests/behaviour/cases: tests/behaviour/cases.c $(BEHAVIOUR_CASES) $(BEHAVIOUR_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fexceptions -Ishim -DBEHAVIOUR_PROGRAM -o $@ $(filter %.c,$^) $(LDFLAGS) -pthread -lutil

$(BUILD)/tests/test_behaviour: tests/behaviour/test_behaviour.c $(BEHAVIOUR_CASES) $(BEHAVIOUR_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Ishim -Wno-unused-function -DBUILD='"$(BUILD)"' -o $@ $(filter %.c,$^) $(LDFLAGS) -pthread \
		-lutil -lcriterion
