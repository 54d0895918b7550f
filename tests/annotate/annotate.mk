# The tests of annotated log lines: one program that writes in every way there is, built so that each function
# is called by its own name, and so that the fortified and the inlined ones are. It prints %m, which is glibc's.

ANNOTATE_TEST := $(BUILD)/tests/annotate
ANNOTATE_TEST_PROGRAMS := $(addprefix $(ANNOTATE_TEST)/, plain fortified owner)
TEST_BINARIES += $(BUILD)/tests/test_annotate
TEST_PREREQS += $(BUILD)/libctxshim.so $(ANNOTATE_TEST_PROGRAMS)

$(ANNOTATE_TEST)/plain: ANNOTATE_WAY := -fno-builtin -D__NO_INLINE__ -U_FORTIFY_SOURCE
$(ANNOTATE_TEST)/fortified: ANNOTATE_WAY := -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
$(ANNOTATE_TEST)/plain $(ANNOTATE_TEST)/fortified: tests/annotate/program.c tests/annotate/calls.c tests/annotate/program.h shim/ctxshim.h
	@mkdir -p $(@D)
	$(CC) -std=c17 -D_GNU_SOURCE $(CFLAGS) $(ANNOTATE_WAY) -Wno-format -fexceptions -Ishim -o $@ $(filter %.c,$^) -pthread

# The library is found where the program is.
$(ANNOTATE_TEST)/libown.so: tests/annotate/own.c
	@mkdir -p $(@D)
	$(CC) -std=c17 $(CFLAGS) -fno-builtin -fPIC -shared -o $@ $<
$(ANNOTATE_TEST)/owner: tests/annotate/owner.c $(ANNOTATE_TEST)/libown.so
	@mkdir -p $(@D)
	$(CC) -std=c17 $(CFLAGS) -o $@ $< -L$(@D) -lown -Wl,-rpath,'$$ORIGIN'

$(BUILD)/tests/test_annotate: tests/annotate/test_annotate.c
	@mkdir -p $(@D)
	$(CC) -std=c17 -D_GNU_SOURCE $(CFLAGS) -DBUILD='"$(BUILD)"' $(shell pkg-config --cflags criterion glib-2.0) \
		-o $@ $< $(LDFLAGS) $(shell pkg-config --libs criterion glib-2.0)

# Logs that are no descriptor.
TEST_BINARIES += $(BUILD)/tests/test_system_logs
TEST_PREREQS += $(BUILD)/ctxshim $(BUILD)/tests/annotate/system-plain $(BUILD)/tests/annotate/system-fortified

$(BUILD)/tests/annotate/system-plain: FORTIFY := -U_FORTIFY_SOURCE
$(BUILD)/tests/annotate/system-fortified: FORTIFY := -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
$(BUILD)/tests/annotate/system-plain $(BUILD)/tests/annotate/system-fortified: tests/annotate/system.c shim/ctxshim.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(FORTIFY) -Wno-format -fexceptions -Ishim -o $@ $< $(LDFLAGS)

$(BUILD)/tests/test_system_logs: tests/annotate/test_system.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -DBUILD='"$(BUILD)"' $(shell pkg-config --cflags criterion glib-2.0) -o $@ $< $(LDFLAGS) \
		$(shell pkg-config --libs criterion glib-2.0)
