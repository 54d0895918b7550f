/* All threads and what each is doing: see census.h. */
#include "census.h"

#include "thread.h"

/* A thread's line, or false when the record is nobody's, or became somebody else's meanwhile. */
static bool line_of(const struct memory *memory, const struct thread *record, char *text, size_t size,
                    struct census_line *line) {
    uint64_t flow = 0, flow_after = 0;
    int tid_after = 0;
    const struct piece before[] = {{&line->tid, &record->tid, sizeof line->tid},
                                   {&flow, &record->flow.serial, sizeof flow}};
    const struct piece after[] = {{&flow_after, &record->flow.serial, sizeof flow_after},
                                  {&tid_after, &record->tid, sizeof tid_after}};
    if (!memory->read(memory, before, 2) || line->tid == 0)
        return false;
    line->stack = context_peek(memory, &record->flow.current, text, size);
    return memory->read(memory, after, 2) && line->tid == tid_after && flow == flow_after;
}

void census_take(const struct memory *memory, const void *records,
                 void (*each)(const struct census_line *line, void *arg), void *arg) {
    char text[1024];
    struct census_line line;
    const struct thread *record;
    if (!memory_copy(memory, &record, records, sizeof record))
        return;
    while (record != NULL) {
        if (line_of(memory, record, text, sizeof text, &line))
            each(&line, arg);
        if (!memory_copy(memory, &record, &record->next, sizeof record))
            return;
    }
}
