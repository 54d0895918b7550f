# The monkey: long random sequences of the calls that the shim interposes, from a seed. As a program of its own, plain
# and preloaded; and with the shim's own objects in it, so that it can count the contexts that are left, also under
# each sanitizer. monkey.py runs it in every way.

MONKEY := $(BUILD)/tests/monkey
MONKEY_SOURCES := $(filter-out %/test_monkey.c,$(wildcard tests/monkey/*.c))
MONKEY_HEADERS := $(wildcard tests/monkey/*.h) tests/monkey/ops.def hooks/hooks.def hooks/fortified.h shim/ctxshim.h
MONKEY_PROGRAMS := $(MONKEY)/plain $(MONKEY)/linked
MONKEY_FLAGS := -I. -Ishim -fexceptions -fno-builtin -U_FORTIFY_SOURCE -Wno-deprecated-declarations -Wno-unused-result -Wno-pedantic
TEST_BINARIES += $(BUILD)/tests/test_monkey
TEST_PREREQS += $(BUILD)/libctxshim.so $(MONKEY_PROGRAMS)

$(MONKEY)/plain: $(MONKEY_SOURCES) $(MONKEY_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(MONKEY_FLAGS) -o $@ $(MONKEY_SOURCES) $(LDFLAGS) -pthread

# -rdynamic: the header finds the shim's functions by dlsym, and libc's own calls meet its hooks.
$(MONKEY)/linked: $(MONKEY_SOURCES) $(MONKEY_HEADERS) $(SHIM_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(MONKEY_FLAGS) -DLINKED -rdynamic -o $@ $(MONKEY_SOURCES) $(SHIM_OBJECTS) $(LDFLAGS) -pthread
