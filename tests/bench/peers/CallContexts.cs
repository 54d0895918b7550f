// Mono at the work of ../store.c: prints a line "ROW VALUE" for each row.
//
// With the argument `callcontext` a key is a name of CallContext.LogicalSetData and the stack of operations that of
// CorrelationManager; with `asynclocal` a key is an AsyncLocal<object> and the stack a linked list in one of them.
// A captured context is what ExecutionContext.Capture() returns, a switch ExecutionContext.Run of a copy of it, for
// one that was run cannot be run again.

using System;
using System.Diagnostics;
using System.Runtime.Remoting.Messaging;
using System.Threading;

// What a key can do, in either way.
abstract class Keys {
    public abstract object Get(int k);
    public abstract void Set(int k, object value);
    public abstract void Push(string name);
    public abstract void Pop();
}

sealed class CallContextKeys : Keys {
    readonly string[] names;
    readonly CorrelationManager stack = Trace.CorrelationManager;

    public CallContextKeys(int count) {
        names = new string[count];
        for (int k = 0; k < count; k++)
            names[k] = "key" + k;
    }
    public override object Get(int k) {
        return CallContext.LogicalGetData(names[k]);
    }
    public override void Set(int k, object value) {
        CallContext.LogicalSetData(names[k], value);
    }
    public override void Push(string name) {
        stack.StartLogicalOperation(name);
    }
    public override void Pop() {
        stack.StopLogicalOperation();
    }
}

sealed class AsyncLocalKeys : Keys {
    sealed class Operation {
        public readonly string Name;
        public readonly Operation Parent;
        public Operation(string name, Operation parent) {
            Name = name;
            Parent = parent;
        }
    }
    readonly AsyncLocal<object>[] locals;
    readonly AsyncLocal<Operation> stack = new AsyncLocal<Operation>();

    public AsyncLocalKeys(int count) {
        locals = new AsyncLocal<object>[count];
        for (int k = 0; k < count; k++)
            locals[k] = new AsyncLocal<object>();
    }
    public override object Get(int k) {
        return locals[k].Value;
    }
    public override void Set(int k, object value) {
        locals[k].Value = value;
    }
    public override void Push(string name) {
        stack.Value = new Operation(name, stack.Value);
    }
    public override void Pop() {
        stack.Value = stack.Value.Parent;
    }
}

static class CallContexts {
    const int Batches = 5;
    const double BatchTime = 10e6;
    const double WarmUpTime = 30e6;
    const int Contexts = 7;
    const int Gets = 10;
    const int ManyKeys = 1000; // from here on more gets: a switch takes too long to be subtracted from ten
    const int Live = 20000;
    const int Chain = 1000000;
    const int Threads = 300;

    delegate void Work(int count);

    static readonly ContextCallback nothing = delegate { };
    public static object sink;
    static Func<int, Keys> make;

    static void Show(string row, double value) {
        Console.WriteLine("{0} {1}", row, value.ToString("F3", System.Globalization.CultureInfo.InvariantCulture));
    }

    static double Median(double[] values) {
        Array.Sort(values);
        return (values[(values.Length - 1) / 2] + values[values.Length / 2]) / 2;
    }

    static double Timed(Work work, int count) {
        long began = Stopwatch.GetTimestamp();
        work(count);
        return (Stopwatch.GetTimestamp() - began) * (1e9 / Stopwatch.Frequency);
    }

    // Nanoseconds for one operation: work(count) less what less(count) takes, the median of several batches.
    static double Measure(Work work, Work less = null, int per = 1) {
        int count = 16;
        double taken = 0;
        double warm = 0;
        while (taken < BatchTime / 4 || warm < WarmUpTime) {
            if (taken < BatchTime / 4)
                count *= 2;
            taken = Timed(work, count);
            warm += taken + (less != null ? Timed(less, count) : 0);
        }
        count = (int)(count * BatchTime / taken) + 1;
        var values = new double[Batches];
        for (int i = 0; i < Batches; i++)
            values[i] = (Timed(work, count) - (less != null ? Timed(less, count) : 0)) / count / per;
        return Median(values);
    }

    // In a context of its own: nothing that `body` sets stays.
    static void Apart(Action body) {
        ExecutionContext.Run(ExecutionContext.Capture(), _ => body(), null);
    }

    // Contexts in which all keys have different values.
    static ExecutionContext[] Capture(Keys keys, int count) {
        var contexts = new ExecutionContext[Contexts];
        for (int c = 0; c < Contexts; c++) {
            Apart(() => {
                for (int k = 0; k < count; k++)
                    keys.Set(k, new object());
                contexts[c] = ExecutionContext.Capture();
            });
        }
        return contexts;
    }

    static void In(ExecutionContext context, Action body) {
        ExecutionContext.Run(context.CreateCopy(), _ => body(), null);
    }

    static void Push(int length) {
        Keys keys = make(0);
        var name = new string('n', length);
        Apart(() => {
            keys.Push("request");
            Show("push-" + length, Measure(count => {
                for (int i = 0; i < count; i++) {
                    keys.Push(name);
                    keys.Pop();
                }
            }));
        });
    }

    static void Get(int size) {
        Keys keys = make(size);
        ExecutionContext[] contexts = Capture(keys, size);
        int gets = size < ManyKeys ? Gets : 10 * size;
        int key = 0;
        ContextCallback rotate = _ => {
            int k = key;
            for (int j = 0; j < gets; j++) {
                sink = keys.Get(k);
                k = k + 1 < size ? k + 1 : 0;
            }
            key = k;
        };
        Work switchOnly = count => {
            for (int i = 0, c = 0; i < count; i++) {
                ExecutionContext.Run(contexts[c].CreateCopy(), nothing, null);
                c = c + 1 < Contexts ? c + 1 : 0;
            }
        };
        Work switchAndGet = count => {
            for (int i = 0, c = 0; i < count; i++) {
                ExecutionContext.Run(contexts[c].CreateCopy(), rotate, null);
                c = c + 1 < Contexts ? c + 1 : 0;
            }
        };
        Show("get-" + size, Measure(switchAndGet, switchOnly, gets));
        if (size == 10) {
            Show("switch-get-10", Measure(switchAndGet));
            Show("switch", Measure(switchOnly));
        }
        if (size == 1)
            Show("run-other", Measure(switchOnly));
    }

    static void SetAndRestore(int size) {
        Keys keys = make(size);
        ExecutionContext context = Capture(keys, size)[0];
        var other = new object();
        In(context, () => Show("with-" + size, Measure(count => {
            for (int i = 0, k = 0; i < count; i++) {
                object before = keys.Get(k);
                keys.Set(k, other);
                keys.Set(k, before);
                k = k + 1 < size ? k + 1 : 0;
            }
        })));
        if (size == 10 || size == 100)
            In(context, () => Show("with-get-" + size, Measure(count => {
                for (int i = 0, k = 0; i < count; i++) {
                    int another = k + 1 < size ? k + 1 : 0;
                    object before = keys.Get(k);
                    keys.Set(k, other);
                    sink = keys.Get(another);
                    keys.Set(k, before);
                    k = another;
                }
            })));
        int key = 0;
        ContextCallback set = _ => keys.Set(key, other);
        Show("set-" + size, Measure(count => {
            for (int i = 0; i < count; i++) {
                ExecutionContext.Run(context.CreateCopy(), set, null);
                key = key + 1 < size ? key + 1 : 0;
            }
        }));
    }

    static readonly Work capture = count => {
        for (int i = 0; i < count; i++)
            sink = ExecutionContext.Capture();
    };

    static void CaptureOnly(int size) {
        In(Capture(make(size), size)[0], () => Show("capture-" + size, Measure(capture)));
    }

    static void CaptureAndRun() {
        In(Capture(make(1), 1)[0], () => Show("capture-run", Measure(count => {
            for (int i = 0; i < count; i++)
                ExecutionContext.Run(ExecutionContext.Capture(), nothing, null);
        })));
    }

    // On two threads that have inherited one context.
    static void CaptureShared() {
        In(Capture(make(1), 1)[0], () => {
            Show("capture-shared", Measure(count => {
                var second = new Thread(() => capture(count));
                second.Start();
                capture(count);
                second.Join();
            }));
        });
    }

    // Ratio of a thread that inherits the context to one that does not.
    static void CreateThread() {
        Work create = count => {
            for (int i = 0; i < count; i++) {
                var thread = new Thread(() => { });
                thread.Start();
                thread.Join();
            }
        };
        In(Capture(make(1), 1)[0], () => {
            var ratios = new double[Batches];
            Timed(create, Threads);
            for (int i = 0; i < Batches; i++) {
                double with = Timed(create, Threads);
                using (ExecutionContext.SuppressFlow())
                    ratios[i] = with / Timed(create, Threads);
            }
            Show("thread", Median(ratios));
        });
    }

    static double Grown(int count, Func<int, object> change) {
        var live = new object[count];
        long before = GC.GetTotalMemory(true);
        for (int i = 0; i < count; i++)
            live[i] = change(i);
        double grown = GC.GetTotalMemory(true) - before;
        GC.KeepAlive(live);
        return grown / count;
    }

    static void LiveValues(int size) {
        Keys keys = make(size);
        ExecutionContext context = Capture(keys, size)[0];
        var values = new[] { new object(), new object() };
        int key = 0;
        object captured = null;
        ContextCallback setAndCapture = _ => {
            keys.Set(key % size, values[key % 2]);
            captured = ExecutionContext.Capture();
        };
        Show("live-" + size, Grown(Live, i => {
            key = i;
            ExecutionContext.Run(context.CreateCopy(), setAndCapture, null);
            return captured;
        }));
        In(context, () => Show("live-set-" + size, Grown(Live, i => {
            keys.Set(i % size, values[i / size % 2]);
            return ExecutionContext.Capture();
        })));
    }

    static void LiveOperations(int length) {
        Keys keys = make(0);
        var name = new string('n', length);
        Apart(() => Show("live-push-" + length, Grown(Live, i => {
            keys.Push(name);
            object captured = ExecutionContext.Capture();
            keys.Pop();
            return captured;
        })));
    }

    static void LiveChain() {
        Keys keys = make(0);
        Apart(() => Show("chain", Grown(Chain, i => {
            keys.Push("op");
            return ExecutionContext.Capture();
        }) * Chain / 1e6));
    }

    static void Main(string[] arguments) {
        bool asyncLocal = arguments.Length > 0 && arguments[0] == "asynclocal";
        make = count => asyncLocal ? new AsyncLocalKeys(count) : (Keys)new CallContextKeys(count);
        foreach (int size in new[] { 1, 10, 100 })
            LiveValues(size);
        foreach (int length in new[] { 3, 24 })
            LiveOperations(length);
        if (asyncLocal)
            LiveChain();
        foreach (int length in new[] { 3, 24, 200 })
            Push(length);
        foreach (int size in new[] { 1, 10, 100, 1000 }) {
            Get(size);
            SetAndRestore(size);
        }
        foreach (int size in new[] { 1, 100 })
            CaptureOnly(size);
        CaptureAndRun();
        CaptureShared();
        CreateThread();
    }
}
