// The promises of ctxshim.hpp, checked from inside a program that includes it: objects with|without.
#include "objects.hpp"

#include <cstdio>
#include <cstring>
#include <thread>
#include <type_traits>
#include <vector>

static_assert(!std::is_copy_constructible<ctxshim::scope>::value, "a scope is closed by one object");
static_assert(!std::is_copy_assignable<ctxshim::scope>::value, "a scope is closed by one object");
static_assert(std::is_nothrow_move_constructible<ctxshim::scope>::value, "it may be kept in a vector");
static_assert(std::is_nothrow_move_assignable<ctxshim::scope>::value, "it may be kept in a vector");
static_assert(std::is_nothrow_destructible<ctxshim::scope>::value, "unwinding may close it");
static_assert(std::is_copy_constructible<ctxshim::context>::value, "a lambda may keep a context");
static_assert(std::is_nothrow_move_constructible<ctxshim::context>::value, "a queue may keep a context");

namespace {

int broken;

void check(bool holds, const char *condition, int line) {
    if (holds)
        return;
    std::fprintf(stderr, "objects.cc:%d: %s\n", line, condition);
    broken++;
}
#define CHECK(condition) check((condition) ? true : false, #condition, __LINE__)

int alive;

struct counted {
    int number;
    explicit counted(int value) : number(value) {
        alive++;
    }
    ~counted() {
        alive--;
        errno = EDOM; // a destructor may do so
    }
    counted(const counted &) = delete;
    counted &operator=(const counted &) = delete;
};

std::unique_ptr<counted> make(int number) {
    return std::unique_ptr<counted>(new counted(number));
}

void check_scopes_close() {
    {
        ctxshim::scope main("Main");
        CHECK(main);
        CHECK(stack_elsewhere() == "Main");
        auto inner = ctxshim::push(std::string("inner"));
        CHECK(ctxshim::stack() == "Main inner");
        errno = EDOM;
    }
    CHECK(errno == EDOM);
    CHECK(ctxshim::stack() == "");
}

void check_scopes_move() {
    auto first = open_elsewhere("A");
    ctxshim::scope second(std::move(first));
    CHECK(!first && second);
    CHECK(first.pop() == 0);
    CHECK(ctxshim::stack() == "A");
    second = ctxshim::scope();
    CHECK(ctxshim::stack() == "");
    std::vector<ctxshim::scope> kept;
    for (int i = 0; i < 20; i++)
        kept.push_back(ctxshim::push("x"));
    while (!kept.empty())
        kept.pop_back();
    CHECK(ctxshim::stack() == "");
    auto popped = ctxshim::push("B");
    CHECK(popped.pop() == 0 && !popped);
    CHECK(ctxshim::stack() == "");
    ctxshim_scope given = ctxshim::push("C").release();
    CHECK(ctxshim::stack() == "C");
    CHECK(ctxshim_pop(&given) == 0);
}

void check_long_stacks() {
    const std::string name(300, 'n');
    ctxshim::scope scope(name);
    CHECK(ctxshim::stack() == name);
}

void check_roots() {
    ctxshim::scope around("around");
    auto request = ctxshim::root("job 7");
    CHECK(ctxshim::stack() == "job 7");
    CHECK(ctxshim::rename(std::string("job seven")) == 0);
    CHECK(ctxshim::stack() == "job seven");
    request.pop();
    CHECK(ctxshim::stack() == "around");
}

void check_contexts() {
    ctxshim::context captured, copy;
    {
        ctxshim::scope scope("job");
        captured = ctxshim::context::capture();
        copy = captured;
    }
    CHECK(captured && copy && copy.get() == captured.get());
    CHECK(captured.run([] { return ctxshim::stack(); }) == "job");
    captured.run([] { CHECK(ctxshim::stack() == "job"); });
    CHECK(ctxshim::stack() == "");
    {
        ctxshim::scope scope("hidden");
        auto attached = ctxshim::context().attach();
        CHECK(ctxshim::stack() == "");
    }
    std::thread([copy] {
        auto attached = copy.attach();
        CHECK(ctxshim::stack() == "job");
    }).join();
    {
        ctxshim::scope scope("not handed on");
        auto suppressed = ctxshim::suppress_flow();
        CHECK(!ctxshim::context::capture());
    }
}

void check_values() {
    {
        ctxshim::key<counted> key("counted");
        CHECK(key && key.get() == nullptr);
        {
            ctxshim::scope scope("with values");
            CHECK(key.set(make(1)));
            CHECK(key.get() != nullptr && key.get()->number == 1);
            auto inner = key.with(make(2));
            CHECK(inner && key.get()->number == 2 && alive == 2);
            inner.pop();
            CHECK(key.get()->number == 1);
        }
        CHECK(key.get() == nullptr);
        CHECK(key.set(nullptr));
    }
    ctxshim::push("bury").pop();
    CHECK(alive == 0);
    ctxshim::key<const std::string> text;
    auto scope = text.with(std::unique_ptr<std::string>(new std::string("read only")));
    CHECK(*text.get() == "read only");
}

#if __cpp_exceptions
void check_exceptions() {
    try {
        ctxshim::scope scope("thrown through");
        throw 7;
    } catch (int) {
        CHECK(ctxshim::stack() == "");
    }
    try {
        ctxshim::context().run([] { throw 8; });
    } catch (int thrown) {
        CHECK(thrown == 8);
    }
}
#else
void check_exceptions() {
}
#endif

void check_without() {
    ctxshim::scope scope("nothing");
    CHECK(!scope && ctxshim::stack() == "" && scope.pop() == 0);
    CHECK(!ctxshim::root("r") && !ctxshim::suppress_flow());
    CHECK(ctxshim::rename("r") == 0);
    auto captured = ctxshim::context::capture();
    CHECK(!captured && !captured.attach());
    CHECK(captured.run([] { return 5; }) == 5);
    ctxshim::key<counted> key("counted");
    CHECK(key);
    CHECK(key.set(make(1)) && alive == 0);
    CHECK(!key.with(make(2)) && alive == 0);
    CHECK(key.get() == nullptr);
}

void check_with() {
    check_scopes_close();
    check_scopes_move();
    check_long_stacks();
    check_roots();
    check_contexts();
    check_values();
    check_exceptions();
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    bool with = std::strcmp(argv[1], "with") == 0;
    CHECK(ctxshim::active() == with);
    if (with)
        check_with();
    else
        check_without();
    return broken != 0;
}
