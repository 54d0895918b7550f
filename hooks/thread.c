/* Threads: F1. The start routine is wrapped, so that the new thread begins in the context that was
 * current where it was created, and its end is seen however it comes: return, pthread_exit, cancellation. */
#include "hook.h"

static struct thread *start_new(struct context *context, void *argument, size_t stack_size) {
    struct thread *record = thread_prepare();
    if (record != NULL)
        record->start_with = (struct start){
            .argument = argument, .context = context, .origin = origin_here(), .stack_size = stack_size};
    else
        rules_thread_dropped(context);
    return record;
}

static void start_drop(struct thread *record) {
    rules_thread_dropped(record->start_with.context);
    thread_unprepare(record);
}

static void over(void *nothing) {
    (void)nothing;
    thread_end();
}

static void *run(void *argument) {
    const struct thread *record = argument;
    void *result;
    thread_begin(argument, (uintptr_t)__builtin_frame_address(0));
    pthread_cleanup_push(over, NULL);
    result = record->start_with.routine(record->start_with.argument);
    pthread_cleanup_pop(1);
    return result;
}

static int run_c11(void *argument) {
    const struct thread *record = argument;
    int result;
    thread_begin(argument, (uintptr_t)__builtin_frame_address(0));
    pthread_cleanup_push(over, NULL);
    result = record->start_with.c11_routine(record->start_with.argument);
    pthread_cleanup_pop(1);
    return result;
}

/* How large a stack is where nobody says, kept because to ask takes a lock; until the program changes it. */
static _Atomic size_t usual_size; /* 0: not asked yet */
static _Atomic bool usual_changes;

static size_t usual_stack_size(void) {
    size_t size = atomic_load_explicit(&usual_size, memory_order_relaxed);
    pthread_attr_t usual;
    if (size != 0 && !atomic_load_explicit(&usual_changes, memory_order_acquire))
        return size;
    if (pthread_getattr_default_np(&usual) != 0)
        return 0;
    pthread_attr_getstacksize(&usual, &size);
    pthread_attr_destroy(&usual);
    atomic_store_explicit(&usual_size, size, memory_order_relaxed);
    return size;
}

HOOK(int, pthread_setattr_default_np, (const pthread_attr_t *attributes)) {
    atomic_store_explicit(&usual_changes, true, memory_order_release);
    return REAL(pthread_setattr_default_np)(attributes);
}

/* Of the stack that the thread will have, in bytes. */
static size_t stack_size_of(const pthread_attr_t *attributes) {
    size_t size = 0;
    if (attributes == NULL)
        return usual_stack_size();
    return pthread_attr_getstacksize(attributes, &size) == 0 ? size : 0;
}

HOOK(int, pthread_create,
     (pthread_t *restrict thread, const pthread_attr_t *restrict attributes, void *(*routine)(void *),
      void *restrict argument)) {
    struct thread *start =
        process_started() ? start_new(rules_thread_capture(HERE), argument, stack_size_of(attributes)) : NULL;
    if (start == NULL)
        return REAL(pthread_create)(thread, attributes, routine, argument);
    start->start_with.routine = routine;
    int error = REAL(pthread_create)(thread, attributes, run, start);
    if (error != 0)
        start_drop(start);
    return error;
}

HOOK(int, thrd_create, (thrd_t * thread, thrd_start_t routine, void *argument)) {
    struct thread *start =
        process_started() ? start_new(rules_thread_capture(HERE), argument, stack_size_of(NULL)) : NULL;
    if (start == NULL)
        return REAL(thrd_create)(thread, routine, argument);
    start->start_with.c11_routine = routine;
    int error = REAL(thrd_create)(thread, run_c11, start);
    if (error != thrd_success)
        start_drop(start);
    return error;
}
