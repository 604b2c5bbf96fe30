#!/bin/sh
# From a fresh checkout to a running demo or to passed tests. See --help.
set -eu

usage() {
  cat <<'EOF'
Usage: cmake/bootstrap.sh demo|test [--build-dir DIR] [--sudo]

  demo   build the command `ecso` and run `ecso demo`: one harmful and one benign example on the embedded simulated model
  test   build everything and run all tests but the long fuzz runs; the last line is "N passed, N failed"

  --build-dir DIR   where to build (default: build/demo, build/test)
  --sudo            install missing packages by sudo
  --help            this text

Missing tools and libraries are installed by apt-get when run as root or with --sudo; otherwise their Debian packages are named
and the exit code is 69. Libraries elsewhere than /usr are found by CMAKE_PREFIX_PATH and PKG_CONFIG_PATH, the compiler by CXX.
EOF
}

fail() {
  code=$1
  shift
  printf 'bootstrap: %s\n' "$*" >&2
  exit "$code"
}

# have_header FILE PKG_CONFIG_NAME: under a prefix's include/, or its Debian folder for this architecture.
have_header() {
  for prefix in $(printf '%s' "${CMAKE_PREFIX_PATH:-}" | tr ':;' '  ') /usr/local /usr; do
    for found in "$prefix/include/$1" "$prefix"/include/*-linux-*/"$1"; do
      if [ -e "$found" ]; then return 0; fi
    done
  done
  command -v pkg-config >/dev/null && pkg-config --exists "$2"
}

# The compiler that CMake will take.
have_compiler() {
  for compiler in ${CXX:-c++ g++ clang++}; do
    if command -v "$compiler" >/dev/null; then
      printf '#include <concepts>\nstatic_assert(std::same_as<int, int>);\n' |
        "$compiler" -std=c++20 -fsyntax-only -x c++ - 2>/dev/null
      return
    fi
  done
  return 1
}

have_cmake() {
  command -v cmake >/dev/null || return 1
  oldest=$(printf '3.25\n%s\n' "$(cmake --version | sed -n '1s/[^0-9]*//p')" | sort -V | head -n 1)
  [ "$oldest" = 3.25 ]
}

have_boost() {
  for prefix in $(printf '%s' "${CMAKE_PREFIX_PATH:-}" | tr ':;' '  ') /usr/local /usr; do
    version=$(sed -n 's/^#define BOOST_VERSION \([0-9]*\).*/\1/p' "$prefix/include/boost/version.hpp" 2>/dev/null)
    if [ "${version:-0}" -ge 108100 ]; then return 0; fi
  done
  return 1
}

# Debian 12 has 1.81 beside its default, 1.74.
boost_package() {
  if apt-cache show libboost1.81-dev >/dev/null 2>&1; then echo libboost1.81-dev; else echo libboost-dev; fi
}

missing_packages() {
  have_compiler || echo g++
  have_cmake || echo cmake
  command -v ninja >/dev/null || echo ninja-build
  have_header fmt/format.h fmt || echo libfmt-dev
  have_header nlohmann/json.hpp nlohmann_json || echo nlohmann-json3-dev
  have_header curl/curl.h libcurl || echo libcurl4-openssl-dev
  have_header CLI/CLI.hpp CLI11 || echo libcli11-dev
  have_header toml++/toml.h tomlplusplus || echo libtomlplusplus-dev
  have_boost || boost_package
  have_header openssl/ssl.h openssl || echo libssl-dev
  have_header prometheus/registry.h prometheus-cpp-core || echo prometheus-cpp-dev
  have_header spdlog/spdlog.h spdlog || echo libspdlog-dev
  if [ "$1" = test ]; then
    have_header catch2/catch.hpp catch2 || have_header catch2/catch_all.hpp catch2 || echo catch2
    have_header sqlite3.h sqlite3 || echo libsqlite3-dev
    command -v python3 >/dev/null || echo python3
  fi
}

# What some tests would like: they are skipped without it.
wanted_packages() {
  command -v node >/dev/null || echo nodejs
  command -v npm >/dev/null || echo npm
  command -v chromium >/dev/null || echo chromium
  python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
  command -v openssl >/dev/null || echo openssl
  # Not where systemd would start them as services.
  if [ ! -d /run/systemd/system ]; then
    command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || echo nginx-light
    command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || echo haproxy
  fi
}

install_wanted() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 0
  for package in $(wanted_packages); do
    printf 'bootstrap: installing %s\n' "$package" >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$package" >&2 || true
  done
}

install_missing() {
  missing=$(missing_packages "$1" | paste -s -d ' ' -)
  [ -n "$missing" ] || return 0
  as_root=
  if [ "$(id -u)" != 0 ]; then
    as_root=sudo
    [ -n "$use_sudo" ] || fail 69 "missing: $missing
Install them with:  sudo apt-get install --no-install-recommends $missing"
  fi
  command -v apt-get >/dev/null || fail 69 "missing, and there is no apt-get (Debian's names): $missing"
  printf 'bootstrap: installing %s\n' "$missing" >&2
  # Unquoted: one word a package.
  # shellcheck disable=SC2086
  {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
  } >&2
  missing=$(missing_packages "$1" | paste -s -d ' ' -)
  [ -z "$missing" ] || fail 69 "still missing or too old after installing: $missing"
}

demo() {
  cmake --preset release -B "$build_dir" --compile-no-warning-as-error >&2
  cmake --build "$build_dir" --target ecso_command >&2
  "$build_dir/examples/ecso" demo
}

# Warnings are errors for people who work on ecso, not for people who try it with a newer compiler.
run_tests() {
  log=$build_dir/ctest.log
  rm -f "$log"
  status=0
  cmake --preset dev -B "$build_dir" --compile-no-warning-as-error -DCMAKE_CXX_FLAGS_DEBUG=-g1
  # What does not build counts as failed; the rest is tested all the same.
  cmake --build "$build_dir" -- -k 0 || status=$?
  ctest --test-dir "$build_dir" -LE fuzz -j "$(nproc)" --output-on-failure --no-tests=error -O "$log" || status=$?
  failed=$(sed -n 's/^.*tests passed, \([0-9]*\) tests failed out of .*$/\1/p' "$log")
  total=$(sed -n 's/^.*tests failed out of \([0-9]*\)$/\1/p' "$log")
  skipped=$(grep -c '\*\*\*Skipped' "$log" || true)
  printf '%d passed, %d failed\n' $((${total:-0} - ${failed:-0} - skipped)) "${failed:-0}"
  return "$status"
}

command=
build_dir=
use_sudo=
while [ $# -gt 0 ]; do
  case $1 in
    demo | test) command=$1 ;;
    --build-dir)
      [ $# -ge 2 ] || fail 64 "--build-dir needs a folder"
      build_dir=$2
      shift
      ;;
    --build-dir=*) build_dir=${1#*=} ;;
    --sudo) use_sudo=yes ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) fail 64 "unknown argument: $1 (see --help)" ;;
  esac
  shift
done
if [ -z "$command" ]; then
  usage >&2
  exit 64
fi

# A relative build folder is relative to where the user is, not to the source.
case $build_dir in
  '') build_dir=build/$command ;;
  /*) ;;
  *) build_dir=$PWD/$build_dir ;;
esac
cd "$(dirname "$0")/.."

install_missing "$command"
case $command in
  demo) demo ;;
  test)
    install_wanted
    run_tests
    ;;
esac
