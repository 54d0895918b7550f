# The tests of the command: they start it on programs that are really linked in each refused way.

COMMAND_TEST := $(BUILD)/tests/command
COMMAND_TEST_PROGRAMS := $(addprefix $(COMMAND_TEST)/, show stand_in.so plain plain-static plain-static-pie)
TEST_BINARIES += $(BUILD)/tests/test_command
TEST_PREREQS += $(BUILD)/ctxshim $(COMMAND_TEST_PROGRAMS)

$(BUILD)/tests/test_command: $(addprefix tests/command/, test_command.c test_loadable.c room.c room.h)
	@mkdir -p $(@D)
	$(CC) -std=c17 -D_GNU_SOURCE $(CFLAGS) -DBUILD='"$(BUILD)"' \
		-DMULTIARCH='"$(shell $(CC) -print-multiarch)"' $(shell pkg-config --cflags criterion glib-2.0) \
		-o $@ $(filter %.c,$^) $(LDFLAGS) $(shell pkg-config --libs criterion glib-2.0)

$(COMMAND_TEST)/plain-static: LINKAGE := -static
$(COMMAND_TEST)/plain-static-pie: LINKAGE := -static-pie -fPIE
$(COMMAND_TEST)/stand_in.so: LINKAGE := -shared -fPIC

$(COMMAND_TEST)/plain $(COMMAND_TEST)/plain-static $(COMMAND_TEST)/plain-static-pie: tests/command/plain.c
$(COMMAND_TEST)/show: tests/command/show.c
$(COMMAND_TEST)/stand_in.so: tests/command/stand_in.c
$(COMMAND_TEST_PROGRAMS):
	@mkdir -p $(@D)
	$(CC) -std=c17 -D_GNU_SOURCE $(CFLAGS) $(LINKAGE) -o $@ $<
