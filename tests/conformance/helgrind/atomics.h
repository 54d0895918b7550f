/* C11's atomics as helgrind understands them (`make check-helgrind` includes this before everything).
 *
 * It follows locks and threads of pthreads, and takes each load and store of an atomic for a plain one. Here
 * each is said to be what it is: the object itself is not checked, and where the order asks for it, what the
 * thread has done before is released there, or what others have released is acquired. A release that is
 * joined to all former ones of the same object is more than C11 promises: what only relaxed operations, or
 * fences, order is shown as a race. */
#ifndef TESTS_HELGRIND_ATOMICS_H
#define TESTS_HELGRIND_ATOMICS_H

#include <stdatomic.h>
#include <stdint.h>
#include <valgrind/helgrind.h>

#pragma GCC diagnostic ignored "-Wpedantic" /* statements in expressions, and casts by client requests */
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wcast-qual"

static inline void helgrind_before(const volatile void *object, unsigned long size, int order) {
    VALGRIND_HG_DISABLE_CHECKING((uintptr_t)object, size);
    if (order == memory_order_release || order == memory_order_acq_rel || order == memory_order_seq_cst)
        ANNOTATE_HAPPENS_BEFORE((uintptr_t)object);
}

static inline void helgrind_after(const volatile void *object, int order) {
    if (order == memory_order_acquire || order == memory_order_consume || order == memory_order_acq_rel ||
        order == memory_order_seq_cst)
        ANNOTATE_HAPPENS_AFTER((uintptr_t)object);
}

/* What a type is without its qualifiers, as stdatomic.h has it. */
#define HELGRIND_PLAIN(object) __typeof__((void)0, *(object))

#define HELGRIND_DO(object, order, does)                                                                     \
    __extension__({                                                                                          \
        helgrind_before((object), sizeof *(object), (order));                                                \
        HELGRIND_PLAIN(object) helgrind_result = does;                                                       \
        helgrind_after((object), (order));                                                                   \
        helgrind_result;                                                                                     \
    })
#define HELGRIND_SWAP(object, expected, desired, weak, order, failed)                                        \
    __extension__({                                                                                          \
        HELGRIND_PLAIN(object) helgrind_desired = (desired);                                                 \
        helgrind_before((object), sizeof *(object), (order));                                                \
        _Bool helgrind_done =                                                                                \
            __atomic_compare_exchange((object), (expected), &helgrind_desired, (weak), (order), (failed));   \
        helgrind_after((object), helgrind_done ? (order) : (failed));                                        \
        helgrind_done;                                                                                       \
    })

/* A name inside its own macro is the compiler's. */
#define __atomic_load_n(object, order) HELGRIND_DO((object), (order), __atomic_load_n((object), (order)))
#define __atomic_store_n(object, value, order)                                                               \
    (helgrind_before((object), sizeof *(object), (order)), __atomic_store_n((object), (value), (order)))

#undef atomic_load_explicit
#undef atomic_load
#undef atomic_store_explicit
#undef atomic_store
#undef atomic_exchange_explicit
#undef atomic_exchange
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak_explicit
#undef atomic_compare_exchange_weak

#define atomic_load_explicit(object, order) HELGRIND_DO((object), (order), __atomic_load_n((object), (order)))
#define atomic_load(object) atomic_load_explicit((object), memory_order_seq_cst)
#define atomic_store_explicit(object, value, order)                                                          \
    __extension__({                                                                                          \
        HELGRIND_PLAIN(object) helgrind_value = (value);                                                     \
        helgrind_before((object), sizeof *(object), (order));                                                \
        __atomic_store((object), &helgrind_value, (order));                                                  \
    })
#define atomic_store(object, value) atomic_store_explicit((object), (value), memory_order_seq_cst)
#define atomic_exchange_explicit(object, value, order)                                                       \
    HELGRIND_DO((object), (order), __atomic_exchange_n((object), (value), (order)))
#define atomic_exchange(object, value) atomic_exchange_explicit((object), (value), memory_order_seq_cst)
#define atomic_fetch_add_explicit(object, value, order)                                                      \
    HELGRIND_DO((object), (order), __atomic_fetch_add((object), (value), (order)))
#define atomic_fetch_sub_explicit(object, value, order)                                                      \
    HELGRIND_DO((object), (order), __atomic_fetch_sub((object), (value), (order)))
#define atomic_fetch_or_explicit(object, value, order)                                                       \
    HELGRIND_DO((object), (order), __atomic_fetch_or((object), (value), (order)))
#define atomic_fetch_and_explicit(object, value, order)                                                      \
    HELGRIND_DO((object), (order), __atomic_fetch_and((object), (value), (order)))
#define atomic_compare_exchange_strong_explicit(object, expected, desired, order, failed)                    \
    HELGRIND_SWAP((object), (expected), (desired), 0, (order), (failed))
#define atomic_compare_exchange_strong(object, expected, desired)                                            \
    HELGRIND_SWAP((object), (expected), (desired), 0, memory_order_seq_cst, memory_order_seq_cst)
#define atomic_compare_exchange_weak_explicit(object, expected, desired, order, failed)                      \
    HELGRIND_SWAP((object), (expected), (desired), 1, (order), (failed))
#define atomic_compare_exchange_weak(object, expected, desired)                                              \
    HELGRIND_SWAP((object), (expected), (desired), 1, memory_order_seq_cst, memory_order_seq_cst)

#endif
