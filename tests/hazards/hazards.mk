# The hazards H1 to H30, each by its id: a program of cases, as in behaviour/ (its case.h), which is run plain and
# under the shim and must do the same; and scripts, for what is done to whole programs.

HAZARDS := $(BUILD)/tests/hazards
HAZARD_CASES := $(wildcard tests/hazards/host_*.c)
HAZARD_HEADERS := tests/hazards/storm.h tests/behaviour/case.h shim/ctxshim.h ctxstore/kernel.h
HAZARD_LIBRARIES := $(addprefix $(HAZARDS)/lib, early.so allocator.so tls.so plugin.so other.so fault.so)
HAZARD_PROGRAMS := $(addprefix $(HAZARDS)/, cases fortified throws ifunc old deny asan tsan faults faults_linked)
TEST_BINARIES += $(BUILD)/tests/test_hazards
TEST_PREREQS += $(BUILD)/libctxshim.so $(HAZARD_PROGRAMS) $(HAZARD_LIBRARIES)

$(HAZARDS)/cases: tests/behaviour/cases.c $(HAZARD_CASES) tests/hazards/storm.c $(HAZARD_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fexceptions -Ishim -DBEHAVIOUR_PROGRAM -o $@ $(filter %.c,$^) $(LDFLAGS) -pthread -lutil

$(BUILD)/tests/test_hazards: tests/hazards/test_hazards.c tests/hazards/test_security.c $(HAZARD_CASES) tests/transparency/pair.c \
		tests/transparency/pair.h $(HAZARD_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Ishim -Wno-unused-function -DBUILD='"$(BUILD)"' $(shell pkg-config --cflags glib-2.0) -o $@ \
		$(filter %.c,$^) $(LDFLAGS) -pthread -lcriterion $(shell pkg-config --libs glib-2.0)

$(HAZARDS)/libearly.so: HAZARD_WAY := -Wl,-z,initfirst
$(HAZARDS)/libtls.so: HAZARD_WAY := -ftls-model=initial-exec
$(HAZARD_LIBRARIES): $(HAZARDS)/lib%.so: tests/hazards/lib%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(HAZARD_WAY) -fno-builtin -fPIC -shared -o $@ $< -pthread

# A program for each way of linking that is a hazard of its own.
$(HAZARDS)/fortified: HAZARD_WAY := -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
$(HAZARDS)/asan: HAZARD_WAY := -fsanitize=address -O1
$(HAZARDS)/tsan: HAZARD_WAY := -fsanitize=thread -O1
$(HAZARDS)/ifunc: HAZARD_WAY := -Wl,-z,now -Wno-pedantic
$(HAZARDS)/asan $(HAZARDS)/tsan: tests/hazards/sanitized.c
$(addprefix $(HAZARDS)/, fortified ifunc old deny faults): $(HAZARDS)/%: tests/hazards/%.c
$(addprefix $(HAZARDS)/, fortified ifunc old deny faults asan tsan):
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(HAZARD_WAY) -o $@ $(filter %.c,$^) -pthread

# With the shim's own objects in it, in front of what is preloaded, it can count what is left.
$(HAZARDS)/faults_linked: tests/hazards/faults.c $(SHIM_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -DLINKED -rdynamic -o $@ $^ -pthread

$(HAZARDS)/throws: tests/hazards/throws.cc
	@mkdir -p $(@D)
	$(CC) -x c++ -std=c++17 -O2 -g -Wall -Wextra -Werror -o $@ $< -lstdc++ -pthread
