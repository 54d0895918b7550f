// H15: exceptions through callbacks of libc and out of threads' depths, 10,000 of them, with hooks in
// between.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>
#include <vector>

struct Event {
    int fd = eventfd(1, EFD_NONBLOCK);
    ~Event() {
        close(fd);
    }
};

static long deep(int depth) {
    Event event;
    std::uint64_t value = 0;
    if (depth == 0 && read(event.fd, &value, sizeof value) == sizeof value)
        throw std::runtime_error("thrown " + std::to_string(value));
    return deep(depth - 1) + 1;
}

static int compare(const void *, const void *) {
    return static_cast<int>(deep(3));
}

static int throw_all(int count) {
    int caught = 0;
    for (int i = 0; i < count; i++) {
        int array[] = {3, 1, 2};
        try {
            if (i % 2 == 0)
                std::qsort(array, 3, sizeof *array, compare);
            else
                deep(i % 10);
        } catch (const std::runtime_error &error) {
            caught += error.what() == std::string("thrown 1");
        }
    }
    return caught;
}

static const char *home_of(const char *symbol) {
    Dl_info info;
    void *address = dlsym(RTLD_DEFAULT, symbol);
    if (address == nullptr || dladdr(address, &info) == 0)
        return "nowhere";
    const char *slash = std::strrchr(info.dli_fname, '/');
    return slash != nullptr ? slash + 1 : info.dli_fname;
}

int main() {
    std::vector<std::thread> threads;
    std::vector<int> caught(4);
    std::printf("main: %d\n", throw_all(10000));
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&caught, i] { caught[i] = throw_all(2500); });
    for (auto &thread : threads)
        thread.join();
    for (int one : caught)
        std::printf("thread: %d\n", one);
    for (const char *symbol :
         {"_Unwind_RaiseException", "_Unwind_Resume", "_Unwind_Backtrace", "__cxa_throw"})
        std::printf("%s: %s\n", symbol, home_of(symbol));
    // What no handler catches ends a process as ever.
    std::fflush(stdout);
    deep(2);
}
