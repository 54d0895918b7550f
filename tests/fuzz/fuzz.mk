# Fuzzing with clang's libFuzzer, for FUZZ_SECONDS each. What it finds stays in $(FUZZ)/: `$(FUZZ)/fuzz_NAME FILE`
# shows it again. The corpora are kept from run to run; they begin with seeds/ and what seeds.c writes.
#
# `make fuzz-store`: the context store beside a model. `make fuzz-parsers`: whatever reads what others wrote.

FUZZ := $(BUILD)/fuzz
FUZZ_SECONDS ?= 60
FUZZ_STORE := tests/fuzz/fuzz_store.c tests/unit/model.c tests/unit/unit.c $(wildcard ctxstore/*.c)
FUZZ_COMPILE = @mkdir -p $(@D)/corpus; set -x; clang -std=c17 -D_GNU_SOURCE -g -O1 \
	-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all $(1) -o $@ $(filter %.c,$^) $(LDFLAGS) $(2)
# Leaks are looked for where nothing may be kept till exit: not in the command's.
FUZZ_RUN = ASAN_OPTIONS=detect_leaks=0 $(1) -max_total_time=$(FUZZ_SECONDS) -timeout=10 -artifact_prefix=$(1)- \
	-print_final_stats=1 -close_fd_mask=1

$(FUZZ)/fuzz_store: $(FUZZ_STORE) $(wildcard tests/unit/*.h ctxstore/*.h) tests/unit/plain/criterion/criterion.h
	$(call FUZZ_COMPILE,-Itests/unit/plain,-pthread)

FUZZ_TARGET := $(addprefix shim/command/, core_image.c snapshot.c target.c) shim/census.c ctxstore/peek.c \
	ctxstore/kernel.c
$(FUZZ)/fuzz_options: shim/options.c shim/glob.c
$(FUZZ)/fuzz_environment: shim/environment.c shim/w3c.c $(wildcard ctxstore/*.c)
$(FUZZ)/fuzz_suppressions: shim/command/suppressions.c shim/command/escape.c shim/command/target.c \
	shim/command/core_image.c
$(FUZZ)/fuzz_core: $(FUZZ_TARGET)
$(FUZZ)/fuzz_record: $(FUZZ_TARGET) $(addprefix shim/command/, escape.c holdings.c leaks.c record_file.c \
	sockets.c suppressions.c survey.c symbols.c verb.c) shim/holders.c shim/holders_work.c
$(FUZZ)/fuzz_elf: shim/command/elf_image.c shim/command/elf_needed.c

FUZZ_PARSERS := options environment suppressions record core elf
$(FUZZ_PARSERS:%=$(FUZZ)/fuzz_%): $(FUZZ)/fuzz_%: tests/fuzz/fuzz_%.c tests/fuzz/fuzz.h $(wildcard shim/*.h shim/command/*.h)
	$(call FUZZ_COMPILE,$(shell pkg-config --cflags glib-2.0),-pthread $(shell pkg-config --libs glib-2.0 libelf libdw))

$(FUZZ)/seeds: tests/fuzz/seeds.c $(wildcard shim/*.h ctxstore/*.h)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $<

FUZZ_SEEDED := $(FUZZ_PARSERS:%=$(FUZZ)/corpus_%/seeded)
$(FUZZ_SEEDED): $(FUZZ)/corpus_%/seeded: $(FUZZ)/seeds
	@mkdir -p $(@D)
	if [ -d tests/fuzz/seeds/$* ]; then cp tests/fuzz/seeds/$*/* $(@D); else $< $* >$(@D)/seed; fi
	@touch $@

.PHONY: fuzz-store fuzz-parsers $(FUZZ_PARSERS:%=fuzz-%)
fuzz-store: deps $(FUZZ)/fuzz_store
	$(call FUZZ_RUN,$(FUZZ)/fuzz_store) -max_len=4096 $(FUZZ)/corpus
fuzz-parsers: deps $(FUZZ_PARSERS:%=fuzz-%)
$(FUZZ_PARSERS:%=fuzz-%): fuzz-%: $(FUZZ)/fuzz_% $(FUZZ)/corpus_%/seeded
	$(call FUZZ_RUN,$(FUZZ)/fuzz_$*) -max_len=16384 $(FUZZ)/corpus_$*
