# Fuzzing with clang's libFuzzer, for FUZZ_SECONDS. What it finds stays in $(FUZZ)/: `$(FUZZ)/fuzz_store FILE` shows it
# again. The corpus is kept from run to run.

FUZZ := $(BUILD)/fuzz
FUZZ_SECONDS ?= 60
FUZZ_STORE := tests/fuzz/fuzz_store.c tests/unit/model.c tests/unit/unit.c $(wildcard ctxstore/*.c)

$(FUZZ)/fuzz_store: $(FUZZ_STORE) $(wildcard tests/unit/*.h ctxstore/*.h) tests/unit/plain/criterion/criterion.h
	@mkdir -p $(@D)/corpus
	clang -std=c17 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
		-Itests/unit/plain -o $@ $(FUZZ_STORE) $(LDFLAGS) -pthread

.PHONY: fuzz-store
fuzz-store: deps $(FUZZ)/fuzz_store
	ASAN_OPTIONS=detect_leaks=0 $(FUZZ)/fuzz_store -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 \
		-artifact_prefix=$(FUZZ)/ $(FUZZ)/corpus
