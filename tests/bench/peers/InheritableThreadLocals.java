// Java's InheritableThreadLocal at the work of ../store.c: prints a line "ROW VALUE" for each row.
//
// A key is an InheritableThreadLocal, the stack of operations a linked list in one of them. There is nothing that
// captures or switches: values move when a thread is created, and else by hand. So get has no switches here, and
// what is set is set in place.

import java.util.Arrays;
import java.util.function.IntConsumer;

final class InheritableThreadLocals {
    private static final int BATCHES = 5;
    private static final double BATCH_TIME = 10e6;
    private static final double WARM_UP_TIME = 200e6;
    private static final int THREADS = 300;

    private static Object sink;

    private record Operation(String name, Operation parent) {
    }

    private static double median(double[] values) {
        Arrays.sort(values);
        return (values[(values.length - 1) / 2] + values[values.length / 2]) / 2;
    }

    private static double timed(IntConsumer work, int count) {
        long began = System.nanoTime();
        work.accept(count);
        return System.nanoTime() - began;
    }

    /** Nanoseconds for one operation, the median of several batches, after it has run long enough to be compiled. */
    private static double measure(IntConsumer work) {
        int count = 64;
        double taken = 0;
        for (double warm = 0; warm < WARM_UP_TIME || taken < BATCH_TIME / 4; warm += taken) {
            if (taken < BATCH_TIME / 4)
                count *= 2;
            taken = timed(work, count);
        }
        count = (int) (count * BATCH_TIME / taken) + 1;
        double[] values = new double[BATCHES];
        for (int i = 0; i < BATCHES; i++)
            values[i] = timed(work, count) / count;
        return median(values);
    }

    private static void show(String row, double value) {
        System.out.printf(java.util.Locale.ROOT, "%s %.3f%n", row, value);
    }

    private static void push(int length) {
        String name = "n".repeat(length);
        InheritableThreadLocal<Operation> stack = new InheritableThreadLocal<>();
        stack.set(new Operation("request", null));
        show("push-" + length, measure(count -> {
            for (int i = 0; i < count; i++) {
                Operation before = stack.get();
                stack.set(new Operation(name, before));
                stack.set(before);
            }
        }));
        stack.remove();
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static InheritableThreadLocal<Object>[] make(int size) {
        InheritableThreadLocal<Object>[] keys = new InheritableThreadLocal[size];
        for (int k = 0; k < size; k++) {
            keys[k] = new InheritableThreadLocal<>();
            keys[k].set(new Object());
        }
        return keys;
    }

    private static void drop(InheritableThreadLocal<Object>[] keys) {
        for (InheritableThreadLocal<Object> key : keys)
            key.remove();
    }

    private static void get(int size) {
        InheritableThreadLocal<Object>[] keys = make(size);
        show("get-" + size, measure(count -> {
            for (int i = 0, k = 0; i < count; i++) {
                sink = keys[k].get();
                k = k + 1 < size ? k + 1 : 0;
            }
        }));
        drop(keys);
    }

    private static void setAndRestore(int size) {
        InheritableThreadLocal<Object>[] keys = make(size);
        Object other = new Object();
        show("with-" + size, measure(count -> {
            for (int i = 0, k = 0; i < count; i++) {
                Object before = keys[k].get();
                keys[k].set(other);
                keys[k].set(before);
                k = k + 1 < size ? k + 1 : 0;
            }
        }));
        if (size == 10 || size == 100) {
            show("with-get-" + size, measure(count -> {
                for (int i = 0, k = 0; i < count; i++) {
                    int another = k + 1 < size ? k + 1 : 0;
                    Object before = keys[k].get();
                    keys[k].set(other);
                    sink = keys[another].get();
                    keys[k].set(before);
                    k = another;
                }
            }));
        }
        drop(keys);
    }

    private static double createThreads(boolean inherit) {
        return timed(count -> {
            for (int i = 0; i < count; i++) {
                Thread thread = new Thread(null, () -> { }, "thread", 0, inherit);
                thread.start();
                try {
                    thread.join();
                } catch (InterruptedException e) {
                    throw new IllegalStateException(e);
                }
            }
        }, THREADS);
    }

    /** Ratio of a thread that inherits one key to one that inherits nothing. */
    private static void thread() {
        InheritableThreadLocal<Object>[] keys = make(1);
        double[] ratios = new double[BATCHES];
        createThreads(true);
        createThreads(false);
        for (int i = 0; i < BATCHES; i++)
            ratios[i] = createThreads(true) / createThreads(false);
        show("thread", median(ratios));
        drop(keys);
    }

    public static void main(String[] arguments) {
        for (int length : new int[] {3, 24, 200})
            push(length);
        for (int size : new int[] {1, 10, 100, 1000}) {
            get(size);
            setAndRestore(size);
        }
        thread();
    }
}
