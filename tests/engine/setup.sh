#!/bin/bash
# Gets a real multimodal engine for the tests: a llama-server and a tiny model with random weights.
#
#   setup.sh [DIRECTORY]      default: $ECSO_ENGINE_DIR, else ${XDG_CACHE_HOME:-$HOME/.cache}/ecso/engine
#
# Afterwards DIRECTORY/llama-server runs, and DIRECTORY/model holds text.gguf and mmproj.gguf.
# The server is the first of these that runs and knows about images:
#   1. $ECSO_LLAMA_SERVER
#   2. llama-server on PATH
#   3. Debian packages unpacked in DIRECTORY/debian: without root and without touching the machine's own packages; from
#      the machine's own suite if that has llama.cpp, else from $ECSO_ENGINE_SUITE (default: forky) on the same mirror
#
# Exit status: 0 ready, 77 no engine can be had here (tests skip), 1 the engine asked for does not run, 64 usage.
set -euo pipefail

readonly SKIP=77

say() { echo "engine: $*" >&2; }

die() {
  local status=$1
  shift
  say "$*"
  exit "$status"
}

# Old builds lack --mmproj, some builds leave images out, and unpacked libraries may not fit the kernel.
sees_images() { "$1" --help 2>/dev/null | grep -- --mmproj >/dev/null; }

# $1 becomes the command behind DIRECTORY/llama-server. Written aside and renamed, so that nobody runs half a script.
install_launcher() {
  local launcher
  launcher=$(printf '#!/bin/bash\nexec %q "$@"' "$1")
  if [[ ! -x $directory/llama-server || $(<"$directory/llama-server") != "$launcher" ]]; then
    echo "$launcher" >"$directory/llama-server.new"
    chmod +x "$directory/llama-server.new"
    mv "$directory/llama-server.new" "$directory/llama-server"
  fi
  say "server: $1"
}

# apt-get with a state of its own: nothing counts as installed, so that a download brings every library, libc included.
private_apt() {
  apt-get -qq \
    -o Dir::State::status="$work/status" \
    -o Dir::Cache="$work/cache" \
    -o Dir::Cache::archives="$work/archives" \
    -o APT::Install-Recommends=false \
    -o APT::Sandbox::User= \
    -o Acquire::Retries=1 \
    -o Acquire::http::Timeout=20 \
    -o Acquire::https::Timeout=20 \
    -o Debug::NoLocking=true \
    "$@"
}

download_packages() {
  local packages
  # With headers where there are some: the tests of the component llama are built against them.
  for packages in "llama.cpp-tools libllama-dev" llama.cpp-tools llama.cpp; do
    # shellcheck disable=SC2086 # a list
    if private_apt "$@" install --yes --download-only $packages >>"$work/apt.log" 2>&1; then
      return 0
    fi
  done
  return 1
}

# The machine's mirror, with another suite.
download_from_newer_suite() {
  local suite=${ECSO_ENGINE_SUITE:-forky} keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror
  mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI)' 'Created-By: Packages' | awk '/\/debian\/*$/ && !found++')
  [[ -n $mirror ]] || {
    say "this machine's apt has no Debian mirror"
    return 1
  }
  [[ -r $keyring ]] || {
    say "no $keyring to verify Debian packages with"
    return 1
  }
  mkdir -p "$work/lists/partial"
  echo "deb [signed-by=$keyring] $mirror $suite main" >"$work/suite.list"
  local own_lists=(
    -o Dir::Etc::sourcelist="$work/suite.list"
    -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::lists="$work/lists"
    -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
    -o Acquire::Languages=none
  )
  say "downloading llama.cpp and its libraries from the suite $suite (about 30 MB)"
  if ! private_apt "${own_lists[@]}" -o APT::Update::Error-Mode=any update >>"$work/apt.log" 2>&1; then
    say "the package lists of the suite $suite cannot be downloaded"
    return 1
  fi
  download_packages "${own_lists[@]}"
}

# Makes DIRECTORY/debian: the unpacked packages and a script that runs their llama-server through their own loader.
unpack_debian_packages() {
  local tool
  for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || {
      say "no $tool here to get Debian packages with"
      return 1
    }
  done
  work=$(mktemp -d "$directory/download.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/cache" "$work/archives/partial" "$work/root"
  : >"$work/status"

  if ! download_packages && ! download_from_newer_suite; then
    tail -n 5 "$work/apt.log" >&2 2>/dev/null || true
    return 1
  fi
  local deb
  for deb in "$work"/archives/*.deb; do
    dpkg-deb -x "$deb" "$work/root"
  done

  cat >"$work/root/llama-server" <<'LAUNCHER'
#!/bin/bash
# Runs the unpacked llama-server through the loader and the libraries that came with it.
# The baseline CPU backend gives the same numbers on every machine; its compiled-in search path is the system's.
shopt -s nullglob
root=$(dirname "$(realpath "$0")")
loaders=("$root"/{usr/,}lib/*/ld-linux*.so.*)
libraries=("$root"/{usr/,}lib/*-linux-gnu*{,/llama})
cpus=("$root"/usr/lib/*/ggml/backends*/libggml-cpu-{x64,armv8.0_1,?*}.so)
[[ ${#cpus[@]} -eq 0 ]] || export GGML_BACKEND_PATH=${cpus[0]}
exec "${loaders[0]}" --library-path "$(IFS=:; echo "${libraries[*]}")" "$root/usr/bin/llama-server" "$@"
LAUNCHER
  chmod +x "$work/root/llama-server"
  if ! sees_images "$work/root/llama-server"; then
    say "the unpacked llama-server does not run here:"
    "$work/root/llama-server" --version 2>&1 | tail -n 5 >&2 || true
    return 1
  fi
  rm -rf "$directory/debian"
  mv "$work/root" "$directory/debian"
}

find_server() {
  local on_path
  if [[ -n ${ECSO_LLAMA_SERVER:-} ]]; then
    on_path=$(command -v "$ECSO_LLAMA_SERVER") || die 1 "ECSO_LLAMA_SERVER=$ECSO_LLAMA_SERVER is not a command"
    sees_images "$on_path" || die 1 "ECSO_LLAMA_SERVER=$ECSO_LLAMA_SERVER does not run or does not know --mmproj"
    install_launcher "$(realpath -s "$on_path")"
    return
  fi
  if on_path=$(command -v llama-server); then
    if sees_images "$on_path"; then
      install_launcher "$(realpath -s "$on_path")"
      return
    fi
    say "$on_path does not run or does not know --mmproj; looking further"
  fi
  if [[ ! -x $directory/debian/llama-server ]] || ! sees_images "$directory/debian/llama-server"; then
    unpack_debian_packages || die "$SKIP" "no llama-server can be had here; install one or set ECSO_LLAMA_SERVER"
  fi
  install_launcher "$directory/debian/llama-server"
}

# Whether there is a model, made as it would be now.
has_model() { [[ -r $directory/model/made-by && $(<"$directory/model/made-by") == "$made_by" ]]; }

make_model() {
  if ! has_model; then
    rm -rf "$directory/model"
    python3 "$maker" "$directory/model"
    echo "$made_by" >"$directory/model/made-by"
  fi
  say "model:  $directory/model"
}

[[ $# -le 1 && ${1:-} != -* ]] || die 64 "usage: setup.sh [DIRECTORY]"
directory=$(realpath -m "${1:-${ECSO_ENGINE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ecso/engine}}")
mkdir -p "$directory"
exec 9>"$directory/lock"
flock 9 # two test runs may share the directory
maker=$(dirname "$(realpath "$0")")/make_tiny_model.py
made_by=$(cksum <"$maker")
# Before a download that would be for nothing.
has_model || command -v python3 >/dev/null ||
  die "$SKIP" "no python3 here, which makes the tiny model: apt-get install python3"
find_server
make_model
