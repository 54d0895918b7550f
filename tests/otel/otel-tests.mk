# What profilers see, read by one who knows nothing of the shim (reader.py).

TEST_BINARIES += $(BUILD)/tests/test_otel
TEST_PREREQS += $(BUILD)/ctxshim $(BUILD)/libctxshim.so $(BUILD)/tests/otel/subject $(BUILD)/tests/ps/subject

$(BUILD)/tests/otel/libown.so: tests/otel/own.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fPIC -shared -o $@ $< $(LDFLAGS)

$(BUILD)/tests/otel/subject: tests/otel/subject.c $(BUILD)/tests/otel/libown.so shim/ctxshim.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fexceptions -Ishim -o $@ $< $(LDFLAGS) -pthread -L$(@D) -lown -Wl,-rpath,'$$ORIGIN'

$(BUILD)/tests/test_otel: tests/otel/test_otel.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -DBUILD='"$(BUILD)"' $(shell pkg-config --cflags criterion glib-2.0) -o $@ $< $(LDFLAGS) \
		$(shell pkg-config --libs criterion glib-2.0)
