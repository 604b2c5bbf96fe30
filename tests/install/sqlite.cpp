#include <ecso/decorator/sqlite_store.hpp>

#include <iostream>

// Links and runs: a store that is never filled.
int main() {
  const ecso::SqliteStore store{":memory:"};
  std::cout << "a store\n";
}
