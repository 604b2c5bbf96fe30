// What CMake users of ecso::gateway need not write.
#include <ecso/gateway/src.hpp>
