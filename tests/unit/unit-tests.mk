# Unit tests of ctxstore, of the options parser and of the W3C formats, linked straight into a Criterion binary: no preload.
#
# `make check-asan`, `check-tsan` and `check-ubsan` build the same with a sanitizer, each in a directory of its
# own, and run it.

UNIT_STORE := $(wildcard ctxstore/*.c) shim/options.c shim/w3c.c
UNIT_SOURCES := $(wildcard tests/unit/*.c)
UNIT_HEADERS := $(wildcard tests/unit/*.h ctxstore/*.h) shim/options.h shim/options.def shim/w3c.h
TEST_BINARIES += $(BUILD)/tests/test_unit

UNIT_COMPILE = @mkdir -p $(@D); set -x; $(CC) $(CFLAGS) $(1) -o $@ $(UNIT_SOURCES) $(UNIT_STORE) \
	$(LDFLAGS) -pthread -lcriterion

$(BUILD)/tests/test_unit: $(UNIT_SOURCES) $(UNIT_STORE) $(UNIT_HEADERS)
	$(call UNIT_COMPILE)

# Leaks are counted by the tests themselves (context_live, destroy); Criterion leaks a little of its own.
SANITIZE_asan := -fsanitize=address
SANITIZE_ubsan := -fsanitize=undefined -fno-sanitize-recover=all
SANITIZED := asan ubsan

$(SANITIZED:%=$(BUILD)/%/test_unit): $(BUILD)/%/test_unit: $(UNIT_SOURCES) $(UNIT_STORE) $(UNIT_HEADERS)
	$(call UNIT_COMPILE,$(SANITIZE_$*) -O1 -fno-omit-frame-pointer)

.PHONY: $(SANITIZED:%=check-%) check-tsan
$(SANITIZED:%=check-%): check-%: $(BUILD)/%/test_unit
	UNIT_STEPS=100000 ASAN_OPTIONS=detect_leaks=0 timeout 900 $<

# Criterion does not run under ThreadSanitizer: plain/ stands in for it.
$(BUILD)/tsan/test_unit: $(UNIT_SOURCES) $(UNIT_STORE) $(UNIT_HEADERS) $(wildcard tests/unit/plain/*.c)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fsanitize=thread -O1 -Itests/unit/plain -Wno-pedantic -Wno-missing-field-initializers -o $@ \
		$(filter %.c,$^) $(LDFLAGS) -pthread

check-tsan: $(BUILD)/tsan/test_unit
	UNIT_STEPS=20000 TSAN_OPTIONS=halt_on_error=1 timeout 900 setarch -R $<
