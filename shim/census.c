/* All threads and what each is doing: see census.h. The command has this file too, and reads others' memory
 * with it. */
#include "census.h"

/* The provenance of the innermost frame, or that of the thread's start. */
static bool provenance_of(const struct memory *memory, const struct thread *record,
                          struct census_line *line) {
    unsigned depth;
    unsigned char inherited; /* a bool, or whatever a forged core file has there */
    line->adopted = false;
    if (!memory_copy(memory, &depth, &record->depth, sizeof depth) ||
        !memory_copy(memory, &inherited, &record->inherited, sizeof inherited))
        return false;
    if (depth > 0 && depth <= FRAMES_DEEPEST) {
        line->adopted = true;
        return memory_copy(memory, &line->provenance, &record->frames[depth - 1].provenance,
                           sizeof line->provenance);
    }
    line->adopted = inherited != 0;
    line->provenance = (struct provenance){EVIDENCE_START, -1, -1, 0, 0};
    return true;
}

/* A thread's line, or false when the record is nobody's, or became somebody else's meanwhile. What told so is
 * looked at before the stack and after it, and must have stayed what it was; if it never does, nothing is
 * said of it. */
static bool line_of(const struct memory *memory, const struct thread *record, char *text, size_t size,
                    struct census_line *line) {
    enum { LOOKS = 20 };
    struct census_line again = {0};
    uint64_t flow = 0, flow_after = 0;
    int tid_after = 0;
    const struct piece before[] = {{&line->tid, &record->tid, sizeof line->tid},
                                   {&flow, &record->flow.serial, sizeof flow}};
    const struct piece after[] = {{&flow_after, &record->flow.serial, sizeof flow_after},
                                  {&tid_after, &record->tid, sizeof tid_after}};
    if (!memory->read(memory, before, 2) || line->tid == 0)
        return false;
    bool steady = false;
    for (int look = 0; look < LOOKS && !steady; look++) {
        if (!provenance_of(memory, record, line))
            return false;
        line->stack = context_peek(memory, &record->flow.current, text, size, &line->doubtful);
        steady = provenance_of(memory, record, &again) && again.adopted == line->adopted &&
                 again.provenance.since == line->provenance.since &&
                 again.provenance.evidence == line->provenance.evidence;
    }
    line->adopted &= steady;
    return memory->read(memory, after, 2) && line->tid == tid_after && flow == flow_after;
}

static bool is_record(const struct thread *record) {
    return record != NULL && (uintptr_t)record % _Alignof(struct thread) == 0;
}

void census_take(const struct memory *memory, const void *records,
                 void (*each)(const struct census_line *line, void *arg), void *arg) {
    char text[1024];
    struct census_line line;
    const struct thread *record;
    if (!memory_copy(memory, &record, records, sizeof record))
        return;
    struct circle circle = {0};
    while (is_record(record) && !circle_closed(&circle, record)) {
        if (line_of(memory, record, text, sizeof text, &line))
            each(&line, arg);
        if (!memory_copy(memory, &record, &record->next, sizeof record))
            return;
    }
}
