/* ctxshim.h for C++: scopes that close themselves, contexts that release themselves, keys that own objects.
 *
 * From C++11, with exceptions or without, by gcc or clang; nothing is linked, and without the shim every call
 * does what ctxshim.h says of it. Nothing here throws. What fails leaves errno as the function of ctxshim.h
 * does, and gives a scope that is false.
 *
 *     static ctxshim::key<const std::string> user("user");
 *
 *     void handle(request &request)
 *     {
 *         auto scope = ctxshim::push("handle");                              // until the block ends
 *         auto who = user.with(std::unique_ptr<std::string>(new std::string(request.user)));
 *         queue.put([context = ctxshim::context::capture()] { context.run(work); }); // a queue of one's own
 *     }
 *
 * What is not said here (threads, signals, who may close what) is in ctxshim.h. */
#ifndef CTXSHIM_HPP
#define CTXSHIM_HPP

#include "ctxshim.h"

#include <memory>
#include <string>
#include <utility>

/* Inlined, so that a report names the line that opened a scope and not this file. Hidden, since each linked
 * object has a table of the shim's functions of its own (ctxshim.h), which others must not share. */
#define CTXSHIM_HEADER_OWN __attribute__((always_inline, visibility("hidden")))

namespace ctxshim {

/* An open scope, closed at the latest when this object goes. It moves and does not copy, so that it may be
 * returned, kept in an object or handed to the callback that ends the work; a moved-from one is empty. Not
 * thread-safe. */
class scope {
  public:
    /* No scope: closes to nothing. */
    CTXSHIM_HEADER_OWN scope() noexcept : held() {
    }
    /* Takes over a scope of ctxshim.h's. */
    CTXSHIM_HEADER_OWN explicit scope(ctxshim_scope opened) noexcept : held(opened) {
    }
    /* An operation, as push() opens it. */
    CTXSHIM_HEADER_OWN explicit scope(const char *operation) noexcept : held(ctxshim_push(operation)) {
    }
    CTXSHIM_HEADER_OWN explicit scope(const std::string &operation) noexcept
        : held(ctxshim_push(operation.c_str())) {
    }
    CTXSHIM_HEADER_OWN scope(scope &&other) noexcept : held(other.release()) {
    }
    /* Closes what this one held: and with it what was opened inside, as `other` was, unless this one is
     * closed first. */
    CTXSHIM_HEADER_OWN scope &operator=(scope &&other) noexcept {
        if (this != &other) {
            ctxshim_header_close(&held);
            held = other.release();
        }
        return *this;
    }
    scope(const scope &) = delete;
    scope &operator=(const scope &) = delete;
    /* errno stays as it is. */
    CTXSHIM_HEADER_OWN ~scope() {
        ctxshim_header_close(&held);
    }

    /* Is there a scope? Not without the shim, nor after a failure. */
    CTXSHIM_HEADER_OWN explicit operator bool() const noexcept {
        return held.node != nullptr;
    }
    /* Closes it now: 0, or -1 with errno as ctxshim_pop. */
    CTXSHIM_HEADER_OWN int pop() noexcept {
        ctxshim_scope closed = release();
        return ctxshim_pop(&closed);
    }
    /* Gives it to the caller, who closes it. */
    CTXSHIM_HEADER_OWN ctxshim_scope release() noexcept {
        ctxshim_scope released = held;
        held = ctxshim_scope();
        return released;
    }

  private:
    ctxshim_scope held;
};

/* ctxshim_push, ctxshim_root and ctxshim_suppress_flow. */
CTXSHIM_HEADER_OWN inline scope push(const char *operation) noexcept {
    return scope(ctxshim_push(operation));
}
CTXSHIM_HEADER_OWN inline scope push(const std::string &operation) noexcept {
    return scope(ctxshim_push(operation.c_str()));
}
CTXSHIM_HEADER_OWN inline scope root(const char *name) noexcept {
    return scope(ctxshim_root(name));
}
CTXSHIM_HEADER_OWN inline scope root(const std::string &name) noexcept {
    return scope(ctxshim_root(name.c_str()));
}
CTXSHIM_HEADER_OWN inline scope suppress_flow() noexcept {
    return scope(ctxshim_suppress_flow());
}

/* ctxshim_rename: 0, or -1 with errno. */
CTXSHIM_HEADER_OWN inline int rename(const char *name) noexcept {
    return ctxshim_rename(name);
}
CTXSHIM_HEADER_OWN inline int rename(const std::string &name) noexcept {
    return ctxshim_rename(name.c_str());
}

/* A reference to a context: copying takes one, and each is given back. The empty context without one.
 * Different objects may be used by different threads, as with std::shared_ptr. */
class context {
  public:
    CTXSHIM_HEADER_OWN context() noexcept : held(nullptr) {
    }
    /* Takes over a reference of the caller's. */
    CTXSHIM_HEADER_OWN explicit context(ctxshim_context *reference) noexcept : held(reference) {
    }
    CTXSHIM_HEADER_OWN context(const context &other) noexcept : held(ctxshim_retain(other.held)) {
    }
    CTXSHIM_HEADER_OWN context(context &&other) noexcept : held(other.release()) {
    }
    CTXSHIM_HEADER_OWN context &operator=(context other) noexcept {
        std::swap(held, other.held);
        return *this;
    }
    CTXSHIM_HEADER_OWN ~context() {
        ctxshim_release(held);
    }

    /* The current one. */
    CTXSHIM_HEADER_OWN static context capture() noexcept {
        return context(ctxshim_capture());
    }
    /* Makes it current until the scope is closed; the scope holds a reference of its own. */
    CTXSHIM_HEADER_OWN scope attach() const noexcept {
        return scope(ctxshim_attach(held));
    }
    /* Returns function(), called inside it. When memory runs out, the call is made all the same, in the
     * caller's context: work is not to be lost. */
    template <typename Function>
    CTXSHIM_HEADER_OWN auto run(Function &&function) const -> decltype(std::forward<Function>(function)()) {
        scope inside = attach();
        return std::forward<Function>(function)();
    }

    /* Not the empty one? */
    CTXSHIM_HEADER_OWN explicit operator bool() const noexcept {
        return held != nullptr;
    }
    CTXSHIM_HEADER_OWN ctxshim_context *get() const noexcept {
        return held;
    }
    CTXSHIM_HEADER_OWN ctxshim_context *release() noexcept {
        ctxshim_context *released = held;
        held = nullptr;
        return released;
    }

  private:
    ctxshim_context *held;
};

/* What a value is found by: an object of type T, which the contexts that hold it own together, and delete. It
 * must not change while they do: so everybody sees a const one. The key itself is meant to live as long as
 * the program, as a static or a member of what does; when it goes its values stay until their contexts go. */
template <typename T> class key {
  public:
    /* `name` is for people. A key that could not be made, ENOMEM, takes nothing and finds nothing. */
    CTXSHIM_HEADER_OWN explicit key(const char *name = nullptr) noexcept
        : held(ctxshim_key_create(name, &key::destroy)) {
    }
    CTXSHIM_HEADER_OWN ~key() {
        if (held != nullptr)
            (void)ctxshim_key_destroy(held);
    }
    key(const key &) = delete;
    key &operator=(const key &) = delete;

    CTXSHIM_HEADER_OWN explicit operator bool() const noexcept {
        return held != nullptr;
    }
    /* The current context's, or nullptr. Borrowed: as long as a context that holds it is held. */
    CTXSHIM_HEADER_OWN const T *get() const noexcept {
        return held != nullptr ? static_cast<const T *>(ctxshim_get(held)) : nullptr;
    }
    /* For the rest of the flow, nullptr removes it: as ctxshim_set; on failure, false with errno, the value
     * is deleted.
     */
    CTXSHIM_HEADER_OWN bool set(std::unique_ptr<T> value) const noexcept {
        int result = ctxshim_set(held, untyped(value.get()));
        if (result >= 0)
            (void)value.release();
        return result >= 0;
    }
    /* Until the scope is closed, as ctxshim_with; on failure the scope is false with errno set, and the value
     * is deleted, as it is without the shim. */
    CTXSHIM_HEADER_OWN scope with(std::unique_ptr<T> value) const noexcept {
        if (held != nullptr && !ctxshim_active()) {
            value.reset();
            return scope();
        }
        ctxshim_scope opened = ctxshim_with(held, untyped(value.get()));
        if (opened.node != nullptr)
            (void)value.release();
        return scope(opened);
    }

  private:
    CTXSHIM_HEADER_OWN static void destroy(void *value) {
        delete static_cast<T *>(value);
    }
    CTXSHIM_HEADER_OWN static void *untyped(const T *value) noexcept {
        return const_cast<void *>(static_cast<const void *>(value));
    }
    ctxshim_key *held;
};

/* The operations of the current context, "conn#3 req#2 handle". Throws only if std::string does. */
CTXSHIM_HEADER_OWN inline std::string stack() {
    std::string text(128, '\0');
    size_t length = ctxshim_stack(&text[0], text.size());
    while (length >= text.size()) {
        text.resize(length + 1);
        length = ctxshim_stack(&text[0], text.size());
    }
    text.resize(length);
    return text;
}

CTXSHIM_HEADER_OWN inline bool active() noexcept {
    return ctxshim_active() != 0;
}

} // namespace ctxshim

#undef CTXSHIM_HEADER_OWN

#endif
