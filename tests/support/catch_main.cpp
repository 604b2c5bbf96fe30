// Built only where Catch2 brings no library with a main of its own.
#define CATCH_CONFIG_MAIN
#include "support/catch.hpp"
