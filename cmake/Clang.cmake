# A toolchain file: the newest clang that is there.
find_program(ECSO_CLANG NAMES clang++-20 clang++-19 clang++-18 clang++-17 clang++-16 clang++-15 clang++-14 clang++ REQUIRED)
set(CMAKE_CXX_COMPILER ${ECSO_CLANG})
