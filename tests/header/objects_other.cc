// A second translation unit, as programs have them: its scopes are of the same type.
#include "objects.hpp"

ctxshim::scope open_elsewhere(const char *operation) {
    return ctxshim::push(operation);
}

std::string stack_elsewhere() {
    return ctxshim::stack();
}
