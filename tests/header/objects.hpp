// What objects.cc and objects_other.cc share.
#ifndef OBJECTS_HPP
#define OBJECTS_HPP

#include <ctxshim.hpp>

ctxshim::scope open_elsewhere(const char *operation);
std::string stack_elsewhere();

#endif
