#!/bin/sh
# From a fresh checkout to a running demo or to passed tests. See --help.
set -eu

usage() {
  cat <<'TEXT'
Usage: cmake/bootstrap.sh demo|test [--quick] [--build-dir DIR] [--sudo]

  demo          build the command `ecso` and run `ecso demo`: one harmful and one benign example on the embedded simulated model
  test          build everything and run all tests but the long fuzz runs; what is skipped is named with the reason, and the last
                line is "N passed, N failed, N skipped"
  test --quick  the core, its drivers and the backends alone: three minutes at most, and fewer packages

  --build-dir DIR   where to build (default: build/demo, build/test, build/quick)
  --sudo            install missing packages by sudo
  --help            this text

Missing tools and libraries are installed by apt-get when run as root or with --sudo, which is told first and never removes a
package; otherwise their Debian packages are named and the exit code is 69. Libraries elsewhere than /usr are found by
CMAKE_PREFIX_PATH and PKG_CONFIG_PATH, the compiler by CXX.
TEXT
}

say() { printf 'bootstrap: %s\n' "$*" >&2; }

fail() {
  code=$1
  shift
  say "$*"
  exit "$code"
}

# --- What is here ---

prefixes() {
  printf '%s' "${CMAKE_PREFIX_PATH:-}" | tr ':;' '  '
  echo ' /usr/local /usr'
}

# have_header FILE PKG_CONFIG_NAME: under a prefix's include/, or its Debian folder for this architecture.
have_header() {
  for prefix in $(prefixes); do
    for found in "$prefix/include/$1" "$prefix"/include/*-linux-*/"$1"; do
      if [ -e "$found" ]; then return 0; fi
    done
  done
  command -v pkg-config >/dev/null && pkg-config --exists "$2"
}

# The compiler that CMake will take; nothing if there is none.
compiler() {
  for name in ${CXX:-c++ g++ clang++}; do
    if command -v "$name" >/dev/null; then
      echo "${CXX:-$name}"
      return
    elif [ -n "${CXX:-}" ]; then
      return
    fi
  done
}

check_compiler() {
  # The build goes through ccache by itself, where there is one.
  case ${CXX:-} in ccache\ * | */ccache\ *) export CXX="${CXX#* }" ;; esac
  compiler=$(compiler)
  if [ -z "$compiler" ]; then
    case ${CXX:-c++} in
      c++ | g++) return ;; # it will be installed
      *) fail 69 "CXX is \"$CXX\", which is not here: install that compiler, or unset CXX to build with g++" ;;
    esac
  fi
  # Unquoted: CXX may have options.
  # shellcheck disable=SC2086
  $compiler -std=c++20 -fsyntax-only -x c++ - 2>/dev/null <<'CODE' ||
#include <concepts>
#if defined(__clang_major__) ? __clang_major__ < 14 : __GNUC__ < 12
#error too old
#endif
static_assert(std::same_as<int, int>);
CODE
    fail 69 "$compiler cannot build ecso, which needs gcc 12 or clang 14, or newer: name another compiler by CXX"
}

have_cmake() {
  command -v cmake >/dev/null || return 1
  oldest=$(printf '3.25\n%s\n' "$(cmake --version | sed -n '1s/[^0-9]*//p')" | sort -V | head -n 1)
  [ "$oldest" = 3.25 ]
}

# boost_in PREFIX: the number of its version, 107400 for 1.74; 0 if there is none.
boost_in() {
  version=$(sed -n 's/^#define BOOST_VERSION \([0-9]*\).*/\1/p' "$1/include/boost/version.hpp" 2>/dev/null || true)
  echo "${version:-0}"
}

have_boost() {
  for prefix in $(prefixes); do
    if [ "$(boost_in "$prefix")" -ge 108100 ]; then return 0; fi
  done
  return 1
}

# --- What is missing, as Debian's packages ---

# The version that apt would install; nothing where a package is but a name.
candidate() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: \([^(].*\)$/\1/p'; }

is_new_enough() { dpkg --compare-versions "$(candidate "$1")" ge "$2"; }

# Some releases have newer ones beside their default.
boost_package() {
  if ! command -v apt-cache >/dev/null || is_new_enough libboost-dev 1.81; then
    echo libboost-dev
    return
  fi
  for package in $(apt-cache pkgnames libboost1. 2>/dev/null | grep -x 'libboost1\.[0-9]*-dev' | sort -V); do
    if is_new_enough "$package" 1.81; then
      echo "$package"
      return
    fi
  done
}

missing_for_all() {
  [ -n "$(compiler)" ] || echo g++
  have_cmake || echo cmake
  command -v ninja >/dev/null || echo ninja-build
  have_header fmt/format.h fmt || echo libfmt-dev
  have_header nlohmann/json.hpp nlohmann_json || echo nlohmann-json3-dev
  have_header curl/curl.h libcurl || echo libcurl4-openssl-dev
  [ "$command" = demo ] || have_header catch2/catch.hpp catch2 || have_header catch2/catch_all.hpp catch2 || echo catch2
}

missing_for_command() {
  have_header CLI/CLI.hpp CLI11 || echo libcli11-dev
  have_header toml++/toml.h tomlplusplus || echo libtomlplusplus-dev
  [ "$command" = demo ] || have_header sqlite3.h sqlite3 || echo libsqlite3-dev
  [ "$command" = demo ] || command -v python3 >/dev/null || echo python3
}

missing_for_gateway() {
  have_boost || echo "$boost"
  have_header openssl/ssl.h openssl || echo libssl-dev
  have_header prometheus/registry.h prometheus-cpp-core || echo prometheus-cpp-dev
  have_header spdlog/spdlog.h spdlog || echo libspdlog-dev
}

# Sets no_gateway, why the gateway cannot be built: everything else is, without it.
find_missing() {
  boost=
  no_gateway=
  if [ -z "$quick" ] && ! have_boost; then
    old=$(boost_in /usr)
    if [ "$old" != 0 ]; then
      no_gateway="it needs Boost 1.81, and Boost $((old / 100000)).$((old / 100 % 1000)) is installed, which stays; \`apt-get install \
$(boost_package)\` would replace it, or let CMAKE_PREFIX_PATH name the folder of a newer one"
    else
      boost=$(boost_package)
      # Nobody can tell before apt has its lists.
      if [ -z "$boost" ] && [ -z "$(candidate libboost-dev)" ]; then
        boost=libboost-dev
        if grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release; then boost=libboost1.81-dev; fi
      elif [ -z "$boost" ]; then
        no_gateway="it needs Boost 1.81, apt has $(candidate libboost-dev): name the folder of a newer one by CMAKE_PREFIX_PATH"
      fi
    fi
  fi
  missing=$({
    missing_for_all
    [ -n "$quick" ] || missing_for_command
    [ -n "$quick$no_gateway" ] || missing_for_gateway
  } | paste -s -d ' ' -)
}

# What ecso can do without: https, and tests that are skipped then.
wanted_packages() {
  [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
  [ "$command$quick" = test ] || return 0
  command -v curl >/dev/null || echo curl
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

# --- Installing it ---

# Unquoted where it is called with several packages: one word a package.
apt_get() { LC_ALL=C apt-get -q -o DPkg::Lock::Timeout=300 --no-install-recommends "$@"; }

# would_remove PACKAGE...: the packages that would go if these came; fails if these cannot come.
would_remove() {
  plan=$(apt_get -s install "$@" 2>/dev/null) || return 1
  printf '%s\n' "$plan" | sed -n 's/^Remv \([^ ]*\).*/\1/p' | paste -s -d ' ' -
}

# installable PACKAGE...: those of them that can come along with $missing.
installable() {
  chosen=
  for package in "$@"; do
    # shellcheck disable=SC2086
    if [ -n "$(candidate "$package")" ] && removed=$(would_remove $missing $chosen "$package") && [ -z "$removed" ]; then
      chosen="$chosen $package"
    fi
  done
  echo "$chosen"
}

# size_of PACKAGE...: what comes with them, in numbers.
size_of() {
  downloaded=$(apt_get --print-uris -y install "$@" 2>/dev/null | awk "/^'/ { sum += \$3 } END { printf \"%.0f\", sum / 1e6 }")
  new=$(apt_get -s install "$@" 2>/dev/null | sed -n 's/^Inst \([^ ]*\).*/\1/p')
  # shellcheck disable=SC2086
  on_disk=$(apt-cache show --no-all-versions $new | awk '/^Installed-Size:/ { sum += $2 } END { printf "%.0f", sum / 1e3 }')
  printf '%d packages, %s MB to download, %s MB on disk' "$(printf '%s\n' "$new" | wc -l)" "$downloaded" "$on_disk"
}

# shellcheck disable=SC2086
install_packages() {
  find_missing
  wanted=$(wanted_packages)
  [ -n "$missing$wanted" ] || return 0
  as_root=
  if [ "$(id -u)" != 0 ]; then
    as_root=sudo
    by_hand="apt-get update && apt-get install --no-install-recommends --no-remove $missing"
    if [ -z "$use_sudo" ]; then
      [ -n "$missing" ] || return 0
      fail 69 "packages are missing; run this with --sudo or as root, or do as root: $by_hand"
    fi
    command -v sudo >/dev/null || fail 69 "there is no sudo here; run this as root, or do as root: $by_hand"
  fi
  if ! command -v apt-get >/dev/null; then
    [ -n "$missing" ] || return 0
    fail 69 "there is no apt-get here; install what these are on Debian: $missing"
  fi

  say "asking apt-get what there is"
  $as_root apt-get update -qq >&2 || say "apt-get update failed, so the lists that are here have to do"
  find_missing
  for package in $missing; do
    [ -n "$(candidate "$package")" ] || fail 69 "apt has no package $package: see that apt-get update works, and that its sources \
have the component main (on Ubuntu universe too)"
  done
  removed=
  if [ -n "$missing" ]; then
    removed=$(would_remove $missing) || fail 69 "apt-get cannot install what is missing; this says why: apt-get install $missing"
  fi
  [ -z "$removed" ] || fail 69 "nothing was installed, since that would remove $removed; if you can do without, do as root: \
apt-get install --no-install-recommends $missing"
  packages=$(installable $wanted)
  packages=${missing:+$missing }${packages# }
  [ -n "$packages" ] || return 0
  say "installing $packages: $(size_of $packages)"
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends --no-remove \
    install $packages >&2 || [ -z "$missing" ] || fail 69 "apt-get failed, see above; mend that and run this again"
  check_compiler
  find_missing
  [ -z "$missing" ] || fail 69 "too old even after installing: $missing; put newer ones where PATH and CMAKE_PREFIX_PATH lead"
}

# --- Doing it ---

# Warnings are errors for people who work on ecso, not for people who try it with a newer compiler.
configure() {
  preset=$1
  shift
  [ -z "$no_gateway" ] || say "without the gateway (ecso serve): $no_gateway"
  cmake --preset "$preset" -B "$build_dir" --compile-no-warning-as-error "$@" >&2 ||
    fail 70 "cmake failed, see above; if $build_dir is from elsewhere or from before, remove it"
}

demo() {
  configure release
  say "building, which takes some minutes"
  cmake --build "$build_dir" --target ecso_command >&2 || fail 70 "the build failed, see above"
  ecso=$build_dir/examples/ecso
  "$ecso" demo
  cat <<TEXT

The program is $ecso
Type next:
TEXT
  [ -n "$no_gateway" ] || cat <<TEXT
  $ecso serve
      then open http://127.0.0.1:8800/ to try it on images of your own, still with the simulated model
TEXT
  cat <<TEXT
  $ecso protect --backend openai:http://127.0.0.1:8080 --image $PWD/examples/images/benign.png --query "What is this?"
      with your own model server; without one, $PWD/tests/engine/run-server.sh 8080 starts a tiny one
  $ecso --help
TEXT
}

# A line for each skipped test, with the last that it printed, which says why. CTest prints the names, and its own log has the rest.
skipped_tests() {
  awk '
    NR == FNR { if (/\*\*\*Skipped/) { sub(/^.*Test +#[0-9]+: /, ""); is_skipped[$1] = 1 } next }
    / Testing: / { name = $3; why = "it did not say why" }
    /^Output:$/ { getline; is_output = 1; next }
    /^<end of output>$/ && is_skipped[name] { sub("^(" name "|skipped): ", "", why); print "skipped: " name ": " why }
    /^<end of output>$/ { is_output = 0 }
    is_output && NF { why = $0 }
  ' "$log" "$build_dir/Testing/Temporary/LastTest.log"
  [ -z "$no_gateway" ] || printf 'skipped: gateway: %s\n' "$no_gateway"
}

run_tests() {
  log=$build_dir/ctest.log
  rm -f "$log"
  status=0
  if [ -n "$quick" ]; then
    configure test -DECSO_BUILD_EXAMPLES=OFF -DECSO_GATEWAY=OFF -DECSO_SQLITE=OFF -DECSO_LLAMA=OFF
    set -- --target quick_tests
    selection='-L quick'
  else
    configure test
    set --
    selection='-LE fuzz'
  fi
  # What does not build counts as failed; the rest is tested all the same.
  cmake --build "$build_dir" "$@" -- -k 0 || status=$?
  # shellcheck disable=SC2086
  ctest --test-dir "$build_dir" $selection -j "$(nproc)" --output-on-failure --no-tests=error -O "$log" || status=$?
  failed=$(sed -n 's/^.*tests passed, \([0-9]*\) tests failed out of .*$/\1/p' "$log")
  total=$(sed -n 's/^.*tests failed out of \([0-9]*\)$/\1/p' "$log")
  passed=$((${total:-0} - ${failed:-0} - $(grep -c '\*\*\*Skipped' "$log" || true)))
  skipped_tests >"$build_dir/skipped.log"
  cat "$build_dir/skipped.log"
  printf '%d passed, %d failed, %d skipped\n' "$passed" "${failed:-0}" "$(wc -l <"$build_dir/skipped.log")"
  return "$status"
}

command=
build_dir=
use_sudo=
quick=
while [ $# -gt 0 ]; do
  case $1 in
    demo | test) command=$1 ;;
    --quick) quick=yes ;;
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
[ -z "$quick" ] || [ "$command" = test ] || fail 64 "--quick is for test: cmake/bootstrap.sh test --quick"

# A relative build folder is relative to where the user is, not to the source.
case $build_dir in
  '' | /*) ;;
  *) build_dir=$PWD/$build_dir ;;
esac
cd "$(dirname "$(readlink -f "$0")")/.."
if [ -z "$build_dir" ]; then
  build_dir=$PWD/build/$command
  [ -z "$quick" ] || build_dir=$PWD/build/quick
fi
mkdir -p "$build_dir" 2>/dev/null || true
[ -w "$build_dir" ] || fail 73 "$build_dir cannot be written: name another folder by --build-dir DIR"

check_compiler
install_packages
case $command in
  demo) demo ;;
  test) run_tests ;;
esac
