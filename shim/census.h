/* How the outside finds what the shim knows: one object in the library's own memory, recognised by its mark,
 * that leads to all the rest. `ctxshim ps` and the debugger read it without the process's help: by
 * process_vm_readv, in one that hangs, or in a core file.
 *
 * What makes that safe for the reader: objects are type-stable and their slabs' chunks are never given back,
 * so each address that was once right can be read for ever; an object says whether it is alive, and a
 * context's serial, which no other ever has, says whether it is still the same after it was copied. Nothing
 * here costs the process anything. */
#ifndef SHIM_CENSUS_H
#define SHIM_CENSUS_H

#include "../ctxstore/context.h"
#include "openfile.h"
#include "thread.h"

#define CENSUS_MARK "ctxshim census"

/* Of everything that a reader looks into: a command of another version is told by it that it cannot read. */
#define CENSUS_LAYOUT                                                                                        \
    ((uint64_t)sizeof(struct thread) << 48 | (uint64_t)offsetof(struct thread, frames) << 32 |               \
     (uint64_t)sizeof(struct frame) << 20 | (uint64_t)sizeof(struct open_file) << 8 |                        \
     (uint64_t)sizeof(struct context))

struct census {
    _Alignas(16) char mark[16];
    uint64_t layout;
    const struct slab *threads;                   /* of struct thread: alive while `tid` is not 0 */
    const struct slab *contexts, *value_contexts; /* of struct context: alive while `serial` is not 0 */
    const struct slab *files; /* of struct open_file: alive while `descriptors` is not 0 */
};
extern const struct census census_of_shim;

#endif
