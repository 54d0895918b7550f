"""CPython's contextvars at the work of ../store.c: prints a line "ROW VALUE" for each row.

A key is a ContextVar, a captured context what copy_context() returns, a switch ctx.run(), the stack of operations an
immutable linked list in one variable. Nanoseconds are without those of the interpreter's loop.
"""

import contextvars
import itertools
import os
import statistics
import sys
import threading
import time

BATCHES = 5
BATCH_TIME = 20e6
CONTEXTS = 7
GETS = 10
LIVE = 50_000
CHAIN = 1_000_000
THREADS = 300


def nothing():
    pass


def measure(run, less, per=1):
    """Nanoseconds for one operation: run(count) less what less(count) takes, the median of several batches."""
    count = 64
    while True:
        began = time.perf_counter_ns()
        run(count)
        taken = time.perf_counter_ns() - began
        if taken > BATCH_TIME / 4:
            break
        count *= 2
    count = int(count * BATCH_TIME / taken) + 1
    values = []
    for _ in range(BATCHES):
        began = time.perf_counter_ns()
        run(count)
        between = time.perf_counter_ns()
        less(count)
        values.append((2 * between - began - time.perf_counter_ns()) / count / per)
    return statistics.median(values)


def loop(count):
    for _ in itertools.repeat(None, count):
        pass


def show(row, value):
    print(f"{row} {value:.3f}")


def make(key_count):
    """Variables, and CONTEXTS contexts in which all of them have different values."""
    variables = [contextvars.ContextVar(f"key{k}") for k in range(key_count)]
    contexts = []
    for _ in range(CONTEXTS):
        context = contextvars.Context()
        for variable in variables:
            context.run(variable.set, object())
        contexts.append(context)
    return variables, contexts


def push(length):
    name = "n" * length
    stack = contextvars.ContextVar("stack")
    stack.set(("request", None))

    def run(count):
        for _ in itertools.repeat(None, count):
            token = stack.set((name, stack.get()))
            stack.reset(token)

    show(f"push-{length}", measure(run, loop))


def ten_gets(gets):
    for get in gets:
        get()


def no_gets(gets):
    for _ in gets:
        pass


def get(key_count):
    variables, contexts = make(key_count)
    getters = itertools.cycle([variable.get for variable in variables])
    rounds = [[next(getters) for _ in range(GETS)] for _ in range(max(1, key_count // GETS))]

    def switching(body):
        def run(count):
            for context, gets in itertools.islice(zip(itertools.cycle(contexts), itertools.cycle(rounds)), count):
                context.run(body, gets)

        return run

    show(f"get-{key_count}", measure(switching(ten_gets), switching(no_gets), GETS))
    if key_count == 10:
        show("switch-get-10", measure(switching(ten_gets), loop))


def switch():
    _, contexts = make(10)

    def run(count):
        for context in itertools.islice(itertools.cycle(contexts), count):
            context.run(nothing)

    show("switch", measure(run, loop))
    show("run-other", measure(run, loop))


def set_and_restore(key_count):
    variables, contexts = make(key_count)
    base = contexts[0]
    other = object()

    def with_pop(count):
        for variable in itertools.islice(itertools.cycle(variables), count):
            token = variable.set(other)
            variable.reset(token)

    def with_get_pop(count):
        pairs = itertools.cycle(zip(variables, variables[1:] + variables[:1]))
        for variable, another in itertools.islice(pairs, count):
            token = variable.set(other)
            another.get()
            variable.reset(token)

    def attach_set_pop(count):
        for variable in itertools.islice(itertools.cycle(variables), count):
            base.copy().run(variable.set, other)

    captured = base.run(contextvars.copy_context)
    show(f"with-{key_count}", captured.run(measure, with_pop, loop))
    if key_count in (10, 100):
        show(f"with-get-{key_count}", captured.run(measure, with_get_pop, loop))
    show(f"set-{key_count}", captured.run(measure, attach_set_pop, loop))


def capture(key_count):
    _, contexts = make(key_count)

    def run(count):
        for _ in itertools.repeat(None, count):
            contextvars.copy_context()

    show(f"capture-{key_count}", contexts[0].run(measure, run, loop))


def capture_run():
    _, contexts = make(1)

    def run(count):
        for _ in itertools.repeat(None, count):
            contextvars.copy_context().run(nothing)

    show("capture-run", contexts[0].run(measure, run, loop))


def thread():
    """A thread inherits no context (before 3.14): it is captured and run. Ratio to a thread without."""
    _, contexts = make(1)

    def with_context():
        return threading.Thread(target=contextvars.copy_context().run, args=(nothing,))

    def without():
        return threading.Thread(target=nothing)

    def taken(create):
        began = time.perf_counter_ns()
        for _ in range(THREADS):
            started = create()
            started.start()
            started.join()
        return time.perf_counter_ns() - began

    contexts[0].run(taken, without)
    ratios = [contexts[0].run(taken, with_context) / contexts[0].run(taken, without) for _ in range(BATCHES)]
    show("thread", statistics.median(ratios))


def resident():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def in_child(row, fill):
    """In a process of its own, where no other row has left memory to use again."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        show(row, fill())
        sys.stdout.flush()
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit(f"{row} failed")


def grown(count, change):
    live = [None] * count
    before = resident()
    for i in range(count):
        live[i] = change(i)
    return resident() - before


def live_with(key_count):
    variables, contexts = make(key_count)
    values = [object(), object()]

    def change(i):
        variable = variables[i % key_count]
        token = variable.set(values[i % 2])
        captured = contextvars.copy_context()
        variable.reset(token)
        return captured

    return contexts[0].run(grown, LIVE, change) / LIVE


def live_set(key_count):
    variables, contexts = make(key_count)
    values = [object(), object()]

    def change(i):
        variables[i % key_count].set(values[i // key_count % 2])
        return contextvars.copy_context()

    return contexts[0].run(grown, LIVE, change) / LIVE


def live_push(length):
    name = "n" * length
    stack = contextvars.ContextVar("stack", default=None)

    def change(_):
        token = stack.set((name, stack.get()))
        captured = contextvars.copy_context()
        stack.reset(token)
        return captured

    return grown(LIVE, change) / LIVE


def chain():
    stack = contextvars.ContextVar("stack", default=None)

    def change(_):
        stack.set(("op", stack.get()))
        return contextvars.copy_context()

    return grown(CHAIN, change) / 1e6


for size in (1, 10, 100):
    in_child(f"live-{size}", lambda: live_with(size))
    in_child(f"live-set-{size}", lambda: live_set(size))
for size in (3, 24):
    in_child(f"live-push-{size}", lambda: live_push(size))
in_child("chain", chain)
for size in (3, 24, 200):
    push(size)
for size in (1, 10, 100, 1000):
    get(size)
    set_and_restore(size)
switch()
for size in (1, 100):
    capture(size)
capture_run()
thread()
