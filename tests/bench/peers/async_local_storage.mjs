// Node's AsyncLocalStorage at the work of ../store.c: prints a line "ROW VALUE" for each row.
//
// A key is an AsyncLocalStorage of its own (one that stores a Map, to be copied for each change, was slower at all
// but a capture). Capture is a new AsyncResource, a switch its runInAsyncScope; AsyncLocalStorage.snapshot() does the
// same and was dearer. Run with --expose-gc for the rows of memory.

import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';

const BATCHES = 5;
const BATCH_TIME = 20e6;
const WARM_UP_TIME = 100e6;
const CONTEXTS = 7;
const GETS = 10;
const LIVE = 20_000;

let sink;
const nothing = () => {};
const capture = () => new AsyncResource('bench');
const now = () => Number(process.hrtime.bigint());
const show = (row, value) => console.log(`${row} ${value.toFixed(3)}`);

function median(values) {
    values.sort((a, b) => a - b);
    return (values[(values.length - 1) >> 1] + values[values.length >> 1]) / 2;
}

function timed(run, count) {
    const began = now();
    run(count);
    return now() - began;
}

// Nanoseconds for one operation: run(count) less what less(count) takes, the median of several batches. Warm: both
// have run long enough to be compiled for good.
function measure(run, less, per = 1) {
    let count = 64;
    let taken = 0;
    for (const began = now(); now() - began < WARM_UP_TIME || taken < BATCH_TIME / 4;) {
        if (taken < BATCH_TIME / 4)
            count *= 2;
        taken = timed(run, count);
        if (less)
            less(count);
    }
    count = Math.ceil(count * BATCH_TIME / taken);
    const values = [];
    for (let i = 0; i < BATCHES; i++)
        values.push((timed(run, count) - (less ? timed(less, count) : 0)) / count / per);
    return median(values);
}

const make = (count) => Array.from({ length: count }, () => new AsyncLocalStorage());

// A store that is in use makes every capture dearer.
function drop(keys) {
    for (const key of keys)
        key.disable();
}

// Contexts in which all keys have different values.
function captureContexts(keys) {
    const contexts = [];
    for (let c = 0; c < CONTEXTS; c++) {
        for (const key of keys)
            key.enterWith({ value: c });
        contexts.push(capture());
    }
    return contexts;
}

function push(length) {
    const stack = new AsyncLocalStorage();
    const name = 'n'.repeat(length);
    stack.run({ name: 'request', parent: undefined }, () => {
        show(`push-${length}`, measure((count) => {
            for (let i = 0; i < count; i++)
                stack.run({ name, parent: stack.getStore() }, nothing);
        }));
    });
    stack.disable();
}

function get(size) {
    const keys = make(size);
    const contexts = captureContexts(keys);
    let k = 0;
    function tenGets() {
        for (let j = 0; j < GETS; j++) {
            sink = keys[k].getStore();
            k = k + 1 < size ? k + 1 : 0;
        }
    }
    function switchOnly(count) {
        for (let i = 0, c = 0; i < count; i++) {
            contexts[c].runInAsyncScope(nothing);
            c = c + 1 < CONTEXTS ? c + 1 : 0;
        }
    }
    function switchAndGet(count) {
        for (let i = 0, c = 0; i < count; i++) {
            contexts[c].runInAsyncScope(tenGets);
            c = c + 1 < CONTEXTS ? c + 1 : 0;
        }
    }
    show(`get-${size}`, measure(switchAndGet, switchOnly, GETS));
    if (size === 10) {
        show('switch-get-10', measure(switchAndGet));
        show('switch', measure(switchOnly));
        show('run-other', measure(switchOnly));
    }
    drop(keys);
}

function setAndRestore(size) {
    const keys = make(size);
    const contexts = captureContexts(keys);
    const other = { value: -1 };
    contexts[0].runInAsyncScope(() => show(`with-${size}`, measure((count) => {
        for (let i = 0, k = 0; i < count; i++) {
            keys[k].run(other, nothing);
            k = k + 1 < size ? k + 1 : 0;
        }
    })));
    let k = 0;
    const getAnother = () => {
        k = k + 1 < size ? k + 1 : 0;
        sink = keys[k].getStore();
    };
    if (size === 10 || size === 100)
        contexts[0].runInAsyncScope(() => show(`with-get-${size}`, measure((count) => {
            for (let i = 0; i < count; i++)
                keys[k].run(other, getAnother);
        })));
    const setAndPop = () => keys[k].run(other, nothing);
    show(`set-${size}`, measure((count) => {
        for (let i = 0; i < count; i++) {
            contexts[0].runInAsyncScope(setAndPop);
            k = k + 1 < size ? k + 1 : 0;
        }
    }));
    drop(keys);
}

function captureAndDrop(size) {
    const keys = make(size);
    const contexts = captureContexts(keys);
    contexts[0].runInAsyncScope(() => show(`capture-${size}`, measure((count) => {
        for (let i = 0; i < count; i++)
            sink = capture();
    })));
    if (size === 1)
        contexts[0].runInAsyncScope(() => show('capture-run', measure((count) => {
            for (let i = 0; i < count; i++)
                capture().runInAsyncScope(nothing);
        })));
    drop(keys);
}

function heapBytes() {
    gc();
    gc();
    const usage = process.memoryUsage();
    return usage.heapUsed + usage.external;
}

function grown(count, change) {
    const live = new Array(count).fill(null);
    const before = heapBytes();
    for (let i = 0; i < count; i++)
        live[i] = change(i);
    const bytes = heapBytes() - before;
    sink = live.length;
    return bytes / count;
}

function live(size) {
    const values = [{ value: -1 }, { value: -2 }];
    const keys = make(size);
    const contexts = captureContexts(keys);
    show(`live-${size}`, contexts[0].runInAsyncScope(() =>
        grown(LIVE, (i) => keys[i % size].run(values[i % 2], capture))));
    show(`live-set-${size}`, contexts[0].runInAsyncScope(() => grown(LIVE, (i) => {
        keys[i % size].enterWith(values[i % 2]);
        return capture();
    })));
    drop(keys);
}

function livePush(length) {
    const stack = new AsyncLocalStorage();
    const name = 'n'.repeat(length);
    stack.run({ name: 'request', parent: undefined }, () => {
        show(`live-push-${length}`, grown(LIVE, () =>
            stack.run({ name, parent: stack.getStore() }, capture)));
    });
    stack.disable();
}

if (globalThis.gc) {
    [1, 10, 100].forEach(live);
    [3, 24].forEach(livePush);
}
[3, 24, 200].forEach(push);
[1, 10, 100, 1000].forEach(get);
[1, 10, 100, 1000].forEach(setAndRestore);
[1, 100].forEach(captureAndDrop);
