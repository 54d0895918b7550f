# The tests of the public header: one program, built in every way that includes it, by both compilers and with
# all warnings, whatever builds the rest.

HEADER_TEST := $(BUILD)/tests/header
HEADER_VARIANTS := c99-pie c17-no-pie c17-static c17-static-pie cxx11-pie cxx20-no-pie c11-shared.so opener \
	objects-11 objects-14 objects-17-no-exceptions objects-20
HEADER_TEST_PROGRAMS := $(foreach compiler,gcc clang,$(addprefix $(HEADER_TEST)/$(compiler)-,$(HEADER_VARIANTS)))
TEST_BINARIES += $(BUILD)/tests/test_header
TEST_PREREQS += $(BUILD)/libctxshim.so $(HEADER_TEST_PROGRAMS)

HEADER_SOURCES := $(wildcard tests/header/*.c tests/header/*.cc tests/header/*.h) shim/ctxshim.h shim/ctxshim.hpp
HEADER_UNITS := $(addprefix tests/header/, contract.c other.c)
HEADER_PROGRAM := $(HEADER_UNITS) tests/header/program.c
HEADER_c99-pie := -std=c99 -fPIE -pie $(HEADER_PROGRAM)
HEADER_c17-no-pie := -std=c17 -fno-pie -no-pie -O2 $(HEADER_PROGRAM)
HEADER_c17-static := -std=c17 -static $(HEADER_PROGRAM)
HEADER_c17-static-pie := -std=c17 -fPIE -static-pie -O2 $(HEADER_PROGRAM)
HEADER_cxx11-pie := -x c++ -std=c++11 -fPIE -pie $(HEADER_PROGRAM) -lstdc++
HEADER_cxx20-no-pie := -x c++ -std=c++20 -fno-pie -no-pie -O2 $(HEADER_PROGRAM) -lstdc++
HEADER_c11-shared.so := -std=c11 -fPIC -shared $(HEADER_UNITS)
HEADER_OBJECTS := tests/header/objects.cc tests/header/objects_other.cc
HEADER_objects-11 := -x c++ -std=c++11 $(HEADER_OBJECTS) -lstdc++
HEADER_objects-14 := -x c++ -std=c++14 -O2 -fno-rtti $(HEADER_OBJECTS) -lstdc++
HEADER_objects-17-no-exceptions := -x c++ -std=c++17 -O2 -fno-exceptions $(HEADER_OBJECTS) -lstdc++
HEADER_objects-20 := -x c++ -std=c++20 -fno-pie -no-pie $(HEADER_OBJECTS) -lstdc++
HEADER_opener := -std=c17 tests/header/opener.c

# -Wl,--fatal-warnings: a static program must link without a remark about dlsym.
HEADER_COMPILE = @mkdir -p $(@D); \
	set -x; $(1) -g -Wall -Wextra -Wpedantic -Wshadow -Werror -Wl,--fatal-warnings -Ishim -o $@ $(HEADER_$*)

$(HEADER_TEST)/gcc-%: $(HEADER_SOURCES)
	$(call HEADER_COMPILE,gcc)

$(HEADER_TEST)/clang-%: $(HEADER_SOURCES)
	$(call HEADER_COMPILE,clang)

$(BUILD)/tests/test_header: tests/header/test_header.c
	@mkdir -p $(@D)
	$(CC) -std=c17 -D_GNU_SOURCE $(CFLAGS) -DBUILD='"$(BUILD)"' $(shell pkg-config --cflags criterion glib-2.0) \
		-o $@ $< $(LDFLAGS) $(shell pkg-config --libs criterion glib-2.0)
