#!/bin/bash
# Builds these tests against the libllama that tests/engine/setup.sh unpacked, and runs them through the loader that came with it:
# for machines whose own packages are too old for the component llama.
#
#   build_and_run.sh DIRECTORY COMPILER [FLAG|LIBRARY]... [-- TEST-ARGUMENT...]
#
# DIRECTORY is for objects and the program. The flags have the include directories; the libraries (-l, -L, *.a, *.o, *.so) are
# Catch2 with its main, and fmt.
# Exit status: as the tests'; 77 if there is no libllama to build against (tests skip), 64 usage.
set -euo pipefail

readonly SKIP=77

[[ $# -ge 2 && $1 != -* ]] || {
  echo "usage: build_and_run.sh DIRECTORY COMPILER [FLAG|LIBRARY]... [-- TEST-ARGUMENT...]" >&2
  exit 64
}
directory=$1 compiler=$2
shift 2
flags=() libraries=()
while [[ $# -gt 0 && $1 != -- ]]; do
  case $1 in
    -l* | -L* | *.a | *.o | *.so) libraries+=("$1") ;;
    *) flags+=("$1") ;;
  esac
  shift
done
[[ $# -eq 0 ]] || shift

here=$(dirname "$(realpath "$0")")
shopt -s nullglob
root=${ECSO_ENGINE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ecso/engine}/debian
loaders=("$root"/{usr/,}lib/*/ld-linux*.so.*)
search=("$root"/{usr/,}lib/*-linux-gnu*)
cpus=("$root"/usr/lib/*/ggml/backends*/libggml-cpu-{x64,armv8.0_1,?*}.so)
linked=("$root"/usr/lib/*/lib{llama,mtmd,ggml,ggml-base}.so.0)
if [[ ! -r $root/usr/include/mtmd-helper.h || ${#linked[@]} -ne 4 || ${#loaders[@]} -eq 0 ]]; then
  echo "skipped: no libllama with headers in $root; tests/engine/setup.sh gets one" >&2
  exit "$SKIP"
fi

mkdir -p "$directory"
cache=()
! command -v ccache >/dev/null || cache=(ccache)
objects=()
for source in "$here"/*.cpp; do
  object=$directory/$(basename "$source" .cpp).o
  "${cache[@]}" "$compiler" -std=c++20 "${flags[@]}" -isystem "$root/usr/include" -c "$source" -o "$object"
  objects+=("$object")
done
# The libraries want a newer C library than the one that is linked here; at run time they have it.
"$compiler" "${flags[@]}" "${objects[@]}" "${libraries[@]}" "${linked[@]}" -pthread -Wl,--allow-shlib-undefined \
  -o "$directory/llama_tests"

[[ ${#cpus[@]} -eq 0 ]] || export GGML_BACKEND_PATH=${cpus[0]}
# Unpacked libraries first; those that only this machine has, such as fmt, are found by the loader's own search.
exec "${loaders[0]}" --library-path "$(IFS=:; echo "${search[*]}")" "$directory/llama_tests" "$@"
