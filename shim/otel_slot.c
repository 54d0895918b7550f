/* The thread-local variable by which readers find what a thread publishes (OTEP 4947). Only its name is
 * theirs; so this object alone is compiled for the TLSDESC dialect (Makefile), which leaves the relocation
 * behind that they look for. The library's other variables lie in the static block, and so this one does: no
 * access allocates.
 *
 * It stands under a version that is nobody's default: a program that brings OpenTelemetry's own must bind to
 * that, and not to ours. Readers ask the symbol table, where versions do not matter. */
#include "otel.h"

extern _Thread_local const struct otel_record *volatile otel_slot;
__asm__(".symver otel_slot, otel_thread_ctx_v1@CTXSHIM_OTEL, remove");
__attribute__((visibility("default"))) _Thread_local const struct otel_record *volatile otel_slot;

void otel_attach(const struct otel_record *record) {
    atomic_signal_fence(memory_order_seq_cst);
    otel_slot = record;
    atomic_signal_fence(memory_order_seq_cst);
}
