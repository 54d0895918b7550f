/* The C++ parts of C1 and C16: exceptions through ctxshim_run and out of the scope macro's blocks. */
#include "shim/ctxshim.h"

extern "C" {
bool run_and_throw(ctxshim_context *context, void (*fn)(void *), void *argument);
bool scope_and_throw(void (*inside)());
}

namespace {
struct body {
    void (*fn)(void *);
    void *argument;
};

void call_and_throw(void *argument) {
    const body *what = static_cast<const body *>(argument);
    what->fn(what->argument);
    throw 1;
}
} // namespace

bool run_and_throw(ctxshim_context *context, void (*fn)(void *), void *argument) {
    body what{fn, argument};
    try {
        ctxshim_run(context, call_and_throw, &what);
    } catch (int) {
        return true;
    }
    return false;
}

bool scope_and_throw(void (*inside)()) {
    try {
        CTXSHIM_SCOPE("outer");
        CTXSHIM_SCOPE("inner");
        inside();
        throw 1;
    } catch (int) {
        return true;
    }
    return false;
}
