/* Every operation. Each throws the dice for what it does, and tells what came of it. */
#ifndef TESTS_MONKEY_OPS_H
#define TESTS_MONKEY_OPS_H

#include "../../hooks/fortified.h"
#include "monkey.h"

#define OPERATION(name, weight, where) void name(void);
#include "ops.def"
#undef OPERATION

#endif
