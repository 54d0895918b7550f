# Unit tests of ctxstore, of the options parser and of the W3C formats, linked straight into a Criterion binary: no preload.
#
# `make check-asan`, `check-tsan` and `check-ubsan` build the same with a sanitizer, each in a directory of its
# own, and run it; `check-valgrind` runs it under memcheck; `check-model` takes ten million steps of the random walk.

UNIT_STORE := $(wildcard ctxstore/*.c shim/queue*.c) shim/bell.c shim/ledger.c shim/options.c shim/w3c.c
UNIT_SOURCES := $(wildcard tests/unit/*.c)
UNIT_HEADERS := $(wildcard tests/unit/*.h ctxstore/*.h shim/queue*.h) shim/bell.h shim/ledger.h shim/options.h shim/options.def shim/w3c.h
TEST_BINARIES += $(BUILD)/tests/test_unit

# The kernel's memory comes by way of test_no_memory.c, which can refuse it.
UNIT_LINK := -Wl,--wrap=kernel_map -pthread

UNIT_COMPILE = @mkdir -p $(@D); set -x; $(CC) $(CFLAGS) $(1) -o $@ $(UNIT_SOURCES) $(UNIT_STORE) \
	$(LDFLAGS) $(UNIT_LINK) -lcriterion

$(BUILD)/tests/test_unit: $(UNIT_SOURCES) $(UNIT_STORE) $(UNIT_HEADERS)
	$(call UNIT_COMPILE)

# The shim's functions of strings, under other names.
TEST_BINARIES += $(BUILD)/tests/test_string
OWN_STRING := memcpy mempcpy memmove memset memcmp memchr memrchr strnlen strlen strcpy strncmp strcmp strchr strrchr \
	strspn strcspn wcslen wmemchr
$(BUILD)/tests/own_string.o: shim/string.c ctxstore/vector.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Wno-missing-prototypes -ffreestanding -fno-builtin $(foreach name,$(OWN_STRING),-D$(name)=own_$(name)) -c -o $@ $<
$(BUILD)/tests/test_string: tests/unit/string/test_string.c $(BUILD)/tests/own_string.o
	$(CC) $(CFLAGS) -fno-builtin -o $@ $< $(BUILD)/tests/own_string.o $(LDFLAGS) -lcriterion

# Leaks are counted by the tests themselves (context_live, destroy); Criterion leaks a little of its own.
SANITIZE_asan := -fsanitize=address
SANITIZE_ubsan := -fsanitize=undefined -fno-sanitize-recover=all
SANITIZED := asan ubsan

$(SANITIZED:%=$(BUILD)/%/test_unit): $(BUILD)/%/test_unit: $(UNIT_SOURCES) $(UNIT_STORE) $(UNIT_HEADERS)
	$(call UNIT_COMPILE,$(SANITIZE_$*) -O1 -fno-omit-frame-pointer)

.PHONY: $(SANITIZED:%=check-%) check-tsan
$(SANITIZED:%=check-%): check-%: $(BUILD)/%/test_unit
	UNIT_STEPS=100000 ASAN_OPTIONS=detect_leaks=0 timeout 900 $<

# ThreadSanitizer knows no fences (-Wno-tsan); none here guards what it looks at. Criterion does not run under it, and is slow under valgrind: plain/ stands in for it.
UNIT_PLAIN := $(UNIT_SOURCES) $(UNIT_STORE) $(wildcard tests/unit/plain/*.c)
UNIT_PLAIN_COMPILE = @mkdir -p $(@D); set -x; $(CC) $(CFLAGS) $(1) -O1 -Itests/unit/plain -Wno-pedantic \
	-Wno-missing-field-initializers -o $@ $(UNIT_PLAIN) $(LDFLAGS) $(UNIT_LINK)

$(BUILD)/tsan/test_unit: $(UNIT_PLAIN) $(UNIT_HEADERS)
	$(call UNIT_PLAIN_COMPILE,-fsanitize=thread -Wno-tsan)
$(BUILD)/valgrind/test_unit: $(UNIT_PLAIN) $(UNIT_HEADERS)
	$(call UNIT_PLAIN_COMPILE,-DNAME_BYTEWISE)

check-tsan: $(BUILD)/tsan/test_unit
	UNIT_STEPS=20000 TSAN_OPTIONS=halt_on_error=1 timeout 900 setarch -R $<

# What is still reachable at the end is the store's memory, which it never gives back.
.PHONY: check-valgrind check-model
check-valgrind: $(BUILD)/valgrind/test_unit
	UNIT_STEPS=20000 timeout 1800 valgrind --quiet --error-exitcode=9 --fair-sched=yes \
		--suppressions=tests/unit/valgrind.supp $<

check-model: $(BUILD)/tests/test_unit
	UNIT_STEPS=10000000 timeout 1800 $< --filter 'model/*'
