# libctxshim. `make` builds, `make demo` shows it at work, `make test` passes the tests; the last two install
# what they miss from Debian's packages (as root or with sudo). `make help` lists the rest.

# The tests' last line is their sum, and nothing comes after it.
MAKEFLAGS += --no-print-directory

# The first number is the SONAME's: it changes when a program that was built with the header could notice.
VERSION := 0.1.0
SONAME := libctxshim.so.$(firstword $(subst ., ,$(VERSION)))
BUILD ?= build
CC = gcc
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
CFLAGS ?= -O2 -g
override CFLAGS += -std=c17 -D_GNU_SOURCE $(WARNINGS)

.PHONY: all help deps demo test test-only matrix leaks transparency hazards soak bench bench-readme bench-store lint format format-check clean
all: $(BUILD)/libctxshim.so $(BUILD)/ctxshim $(BUILD)/libctxshim.so-gdb.py

help:
	@echo 'make           build $(BUILD)/libctxshim.so and $(BUILD)/ctxshim'
	@echo 'make demo      the main job: unmodified servers whose log lines carry their request'
	@echo 'make test      all tests'
	@echo 'make matrix    every kind of server, each judged, and what the shim costs it: a table'
	@echo 'make leaks     every kind of server, asked 10,000 requests: what it leaves behind; a table'
	@echo 'make transparency  suites that nobody here wrote, plain and under the shim: a table'
	@echo 'make hazards   the hazards with 10,000 forks, 10 s of signals and the like'
	@echo 'make bench     whole programs, plain and preloaded in turn, and what one thing costs;  make bench-readme'
	@echo 'make bench-hooks  the instructions that each hot hook adds, against the figures in the tree'
	@echo 'make bench-store  the context store, beside what other languages have for it'
	@echo 'make install   PREFIX=/usr/local DESTDIR=;  make uninstall;  make deb  a Debian package'
	@echo 'make check-asan, check-ubsan, check-tsan, check-valgrind  the unit tests under each of these'
	@echo 'make check-tsan-preload, check-helgrind  the conformance list with the whole shim under ThreadSanitizer, helgrind'
	@echo 'make fuzz-parsers  a fuzzer on all that reads what others wrote, FUZZ_SECONDS (60) each'
	@echo 'make monkey    random sequences of the interposed calls, plain and under the shim, for SECONDS (60);'
	@echo '               check-monkey-asan, -ubsan, -tsan  under each of these'
	@echo 'make soak      nginx and redis at full load for SOAK_MINUTES (30): is memory flat?'
	@echo 'make check-model  ten million steps of the store beside a model;  make fuzz-store  a fuzzer on both'
	@echo 'make lint      clang-tidy, cppcheck, gcc -fanalyzer;  make format-check  clang-format'
	@echo 'make clean     remove $(BUILD)/'

# --- the preloaded object: libc alone ---------------------------------------------------------------------
# -fexceptions: unwind tables, so that cancellation and C++ exceptions pass through a hook's frame.
# initial-exec: no allocation behind a TLS access. nodelete, initfirst: never unloaded, ready before others.
SHIM_SOURCES := $(wildcard ctxstore/*.c shim/*.c hooks/*.c)
SHIM_OBJECTS := $(SHIM_SOURCES:%.c=$(BUILD)/%.o)
SHIM_FLAGS := -fPIC -fvisibility=hidden -fexceptions -ftls-model=initial-exec -U_FORTIFY_SOURCE
# What gcc clears by `rep stos` takes longer to begin than all of it does in vectors.
SHIM_FLAGS += $(shell for flag in -mmemset-strategy=vector_loop:256:noalign,rep_8byte:-1:noalign; do \
	$(CC) $$flag -E -xc /dev/null >/dev/null 2>&1 && echo $$flag; done)
SHIM_LINK := -shared -Wl,-z,defs -Wl,-z,nodelete -Wl,-z,initfirst -Wl,-z,relro -Wl,-z,now \
	-Wl,--version-script=shim/ctxshim.map -Wl,-soname,$(SONAME) -Wl,--as-needed

# What is interposed is defined by its own name, and called by it.
$(filter $(BUILD)/hooks/%,$(SHIM_OBJECTS)): SHIM_FLAGS += -fno-builtin
# Their cleanup handlers must be libc's own kind: the other one needs a personality routine from libgcc_s.
$(BUILD)/hooks/thread.o $(BUILD)/hooks/system.o $(BUILD)/shim/annotate_text.o: SHIM_FLAGS += -fno-exceptions -fasynchronous-unwind-tables

# A scope is three words in registers: gathered in a vector first, they take longer.
$(BUILD)/shim/api.o: SHIM_FLAGS += -fno-tree-slp-vectorize

# Readers look for a TLSDESC relocation; where the compiler knows no other dialect, the older one is allowed.
TLSDESC := $(shell echo | $(CC) -mtls-dialect=gnu2 -x c -c -o /dev/null - 2>/dev/null && echo -mtls-dialect=gnu2)
$(BUILD)/shim/otel_slot.o: SHIM_FLAGS += -ftls-model=global-dynamic $(TLSDESC)

# Its loops must not become calls of what they define; and it is -O2, whatever the rest is.
$(BUILD)/shim/string.o: SHIM_FLAGS += -ffreestanding -fno-builtin -O2

$(BUILD)/libctxshim.so: $(SHIM_OBJECTS) shim/ctxshim.map
	$(CC) $(SHIM_LINK) -o $@ $(SHIM_OBJECTS) $(LDFLAGS)

$(SHIM_OBJECTS): $(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(SHIM_FLAGS) -MMD -MP -c -o $@ $<
-include $(SHIM_OBJECTS:.o=.d)

include shim/command/command.mk
include scripts/install/install.mk

# --- tests ------------------------------------------------------------------------------------------------
include $(wildcard tests/*/*.mk)

$(TEST_BINARIES): $(TEST_PREREQS)
TESTS_READY := $(TEST_BINARIES) $(TEST_PREREQS) $(BUILD)/libctxshim.so $(BUILD)/ctxshim

test: deps
	$(MAKE) test-only
test-only: $(TESTS_READY)
	scripts/run-tests.sh $(TEST_BINARIES)

transparency: deps
	scripts/deps.sh transparency
	$(MAKE) all
	tests/transparency/suites.py --library $(BUILD)/libctxshim.so

hazards: deps
	$(MAKE) $(TESTS_READY)
	HAZARDS_THOROUGH=1 LIMIT=3600 scripts/run-tests.sh $(BUILD)/tests/test_hazards

soak: deps
	$(MAKE) all
	scripts/soak.sh

deps:
	scripts/deps.sh

demo: deps
	$(MAKE) all $(BUILD)/tests/libwitness.so $(BUILD)/tests/libwitness-inner.so $(BUILD)/tests/judge $(BUILD)/tests/load $(DEMO_PROGRAMS)
	scripts/demo.sh

# What a row must reach is in tests/servers/matrix.txt.
matrix: deps
	scripts/deps.sh matrix
	$(MAKE) all $(WITNESS_TOOLS) $(SERVER_PROGRAMS)
	tests/servers/matrix.sh

leaks: deps
	scripts/deps.sh matrix
	$(MAKE) all $(WITNESS_TOOLS) $(SERVER_PROGRAMS)
	TABLE=tests/servers/LEAKS.md tests/servers/leaks.sh

bench: deps
	scripts/deps.sh matrix
	[ "$(TOOLS)" != 1 ] || scripts/deps.sh tools
	$(MAKE) all $(BUILD)/tests/load $(BENCH_PROGRAMS)
	scripts/bench.sh
	scripts/bench-costs.sh

# What README.md says of it, measured anew.
bench-readme: deps
	scripts/deps.sh matrix
	$(MAKE) all $(BUILD)/tests/load $(BENCH_PROGRAMS)
	(scripts/bench.sh && scripts/bench-costs.sh) >$(BUILD)/bench.md
	sed -i -e '/^<!-- make bench -->$$/r $(BUILD)/bench.md' -e '/^<!-- make bench -->$$/,/^<!-- end -->$$/{/^<!--/!d}' README.md

# Without the others' runtimes it is a benchmark all the same.
bench-store: deps
	-scripts/deps.sh peers
	$(MAKE) all $(BENCH_PROGRAMS)
	scripts/bench-store.sh

SOURCES = $(shell git ls-files --cached --others --exclude-standard '*.c' '*.h' '*.cc' '*.hpp')
lint: deps
	scripts/lint.sh
format:
	clang-format -i $(SOURCES)
format-check:
	clang-format --dry-run --Werror $(SOURCES)

clean:
	rm -rf $(BUILD)
