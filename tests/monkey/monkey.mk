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

# `make check-monkey-asan`, -ubsan, -tsan: the shim and the monkey in one program under each. As for
# check-tsan-preload, hooks and what stands for string.h are as they always are: the runtimes call them before they are
# ready. Contexts lie in memory of our own, of which AddressSanitizer knows nothing: it looks at stacks, globals and
# whatever is read of libc's.
MONKEY_SANITIZE_asan := -fsanitize=address -fno-omit-frame-pointer -Wno-maybe-uninitialized
MONKEY_SANITIZE_ubsan := -fsanitize=undefined -fno-sanitize-recover=all
MONKEY_SANITIZE_tsan := $(TSAN_FLAGS)
MONKEY_WAYS_tsan := --ways "linked,linked exact"
MONKEY_SANITIZED := asan ubsan tsan
MONKEY_INSTRUMENTED := $(filter-out $(TSAN_PLAIN),$(SHIM_OBJECTS))

define monkey_sanitized
$(BUILD)/monkey-$(1)/%.o: %.c $(wildcard shim/*.h ctxstore/*.h)
	@mkdir -p $$(@D)
	$$(CC) $$(CFLAGS) $$(SHIM_FLAGS) -O1 $$(MONKEY_SANITIZE_$(1)) -c -o $$@ $$<
$(BUILD)/monkey-$(1)/tests/monkey/linked: $(MONKEY_SOURCES) $(MONKEY_HEADERS) $(TSAN_PLAIN) \
		$(MONKEY_INSTRUMENTED:$(BUILD)/%=$(BUILD)/monkey-$(1)/%)
	@mkdir -p $$(@D)
	$$(CC) $$(CFLAGS) $$(MONKEY_FLAGS) -O1 $$(MONKEY_SANITIZE_$(1)) -DLINKED -rdynamic -o $$@ $$(filter %.c %.o,$$^) \
		$$(LDFLAGS) -pthread
check-monkey-$(1): $(BUILD)/monkey-$(1)/tests/monkey/linked $(MONKEY)/plain
	tests/monkey/monkey.py --build $(BUILD) --sanitized $(1) $$(MONKEY_WAYS_$(1)) --seconds $$(or $$(SECONDS),60)
endef
$(foreach sanitizer,$(MONKEY_SANITIZED),$(eval $(call monkey_sanitized,$(sanitizer))))
.PHONY: $(MONKEY_SANITIZED:%=check-monkey-%)

$(BUILD)/tests/test_monkey: tests/monkey/test_monkey.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -DBUILD='"$(BUILD)"' -o $@ $< $(LDFLAGS) -lcriterion

# `make monkey SECONDS=600`: random seeds, in every way.
.PHONY: monkey
monkey: $(MONKEY_PROGRAMS) $(BUILD)/libctxshim.so
	tests/monkey/monkey.py --build $(BUILD) --seconds $(or $(SECONDS),60)
