# The tests of the public header: one program, built in every way that includes it, by both compilers and with
# all warnings, whatever builds the rest.

HEADER_TEST := $(BUILD)/tests/header
HEADER_VARIANTS := c99-pie c17-no-pie c17-static c17-static-pie cxx11-pie cxx20-no-pie c11-shared.so opener
HEADER_TEST_PROGRAMS := $(foreach compiler,gcc clang,$(addprefix $(HEADER_TEST)/$(compiler)-,$(HEADER_VARIANTS)))
TEST_BINARIES += $(BUILD)/tests/test_header
TEST_PREREQS += $(BUILD)/libctxshim.so $(HEADER_TEST_PROGRAMS)

HEADER_UNITS := $(addprefix tests/header/, contract.c other.c)
HEADER_PROGRAM := $(HEADER_UNITS) tests/header/program.c
HEADER_c99-pie := -std=c99 -fPIE -pie $(HEADER_PROGRAM)
HEADER_c17-no-pie := -std=c17 -fno-pie -no-pie -O2 $(HEADER_PROGRAM)
HEADER_c17-static := -std=c17 -static $(HEADER_PROGRAM)
HEADER_c17-static-pie := -std=c17 -fPIE -static-pie -O2 $(HEADER_PROGRAM)
HEADER_cxx11-pie := -x c++ -std=c++11 -fPIE -pie $(HEADER_PROGRAM) -lstdc++
HEADER_cxx20-no-pie := -x c++ -std=c++20 -fno-pie -no-pie -O2 $(HEADER_PROGRAM) -lstdc++
HEADER_c11-shared.so := -std=c11 -fPIC -shared $(HEADER_UNITS)
HEADER_opener := -std=c17 tests/header/opener.c

# -Wl,--fatal-warnings: a static program must link without a remark about dlsym.
HEADER_COMPILE = @mkdir -p $(@D); \
	set -x; $(1) -g -Wall -Wextra -Wpedantic -Wshadow -Werror -Wl,--fatal-warnings -Ishim -o $@ $(HEADER_$*)

$(HEADER_TEST)/gcc-%: tests/header/contract.c tests/header/other.c tests/header/program.c tests/header/opener.c \
		tests/header/contract.h shim/ctxshim.h
	$(call HEADER_COMPILE,gcc)

$(HEADER_TEST)/clang-%: tests/header/contract.c tests/header/other.c tests/header/program.c tests/header/opener.c \
		tests/header/contract.h shim/ctxshim.h
	$(call HEADER_COMPILE,clang)

$(BUILD)/tests/test_header: tests/header/test_header.c
	@mkdir -p $(@D)
	$(CC) -std=c17 -D_GNU_SOURCE $(CFLAGS) -DBUILD='"$(BUILD)"' $(shell pkg-config --cflags criterion glib-2.0) \
		-o $@ $< $(LDFLAGS) $(shell pkg-config --libs criterion glib-2.0)
