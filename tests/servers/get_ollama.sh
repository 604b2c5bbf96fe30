#!/bin/bash
# Builds a real Ollama for the CPU: its Go module, and headers of Debian's.
#
#   get_ollama.sh DIRECTORY      afterwards DIRECTORY/ollama runs; 1.5 GB, minutes of compiling
#
# Needs Go 1.24 or newer, a C++ compiler, nlohmann-json3-dev, and apt-get for libstb-dev, which is unpacked, not installed.
# Exit status: 0 ready, 77 something cannot be had here.
set -euo pipefail

readonly version=v0.17.4

skip() {
  echo "servers: $*" >&2
  exit 77
}

directory=$(realpath -m "$1")
mkdir -p "$directory"
cd "$directory"
if [[ -x ollama ]] && [[ $(OLLAMA_HOST=127.0.0.1:1 ./ollama --version 2>/dev/null) == *"${version#v}"* ]]; then
  exit 0
fi
command -v go >/dev/null || skip "Ollama is built by Go, which is not here"
[[ -d /usr/include/nlohmann ]] || skip "Ollama wants nlohmann-json3-dev"
export GOPATH=$directory/go GOCACHE=$directory/gocache GOFLAGS=-mod=mod
source=$(go mod download -json "github.com/ollama/ollama@$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p') ||
  skip "the module of Ollama cannot be had here"
rm -rf source
cp -r "$source" source
chmod -R u+w source

# A module has no folders named vendor: three headers of llama.cpp's come from elsewhere. Audio is not used here, so what is called
# of it fails.
vendor=source/llama/llama.cpp/vendor
mkdir -p "$vendor"/{miniaudio,stb}
cat >"$vendor/miniaudio/miniaudio.h" <<'HEADER'
#pragma once
#include <stddef.h>
typedef unsigned long long ma_uint64;
typedef int ma_result;
enum { MA_SUCCESS = 0, MA_ERROR = -1 };
typedef enum { ma_format_f32 } ma_format;
typedef struct { int unused; } ma_decoder_config;
typedef struct { int unused; } ma_decoder;
static inline ma_decoder_config ma_decoder_config_init(ma_format, unsigned, unsigned) { return ma_decoder_config{0}; }
static inline ma_result ma_decoder_init_memory(const void*, size_t, const ma_decoder_config*, ma_decoder*) { return MA_ERROR; }
static inline ma_result ma_decoder_get_length_in_pcm_frames(ma_decoder*, ma_uint64*) { return MA_ERROR; }
static inline ma_result ma_decoder_read_pcm_frames(ma_decoder*, void*, ma_uint64, ma_uint64*) { return MA_ERROR; }
static inline ma_result ma_decoder_uninit(ma_decoder*) { return MA_SUCCESS; }
HEADER
if [[ -r /usr/include/stb/stb_image.h ]]; then
  cp /usr/include/stb/stb_image.h "$vendor/stb/"
else
  rm -rf deb
  mkdir deb
  (cd deb && chmod 777 . && apt-get download -q libstb-dev >/dev/null 2>&1 && dpkg -x libstb-dev*.deb .) ||
    skip "libstb-dev cannot be had here"
  cp deb/usr/include/stb/stb_image.h "$vendor/stb/"
fi
ln -sfn /usr/include/nlohmann "$vendor/nlohmann"

export CGO_CFLAGS='-O3 -march=native' CGO_CXXFLAGS='-O3 -march=native'
(cd source && nice go build -trimpath -ldflags "-s -w -X=github.com/ollama/ollama/version.Version=${version#v}" -o ../ollama.new .) ||
  skip "Ollama does not build here"
mv ollama.new ollama
rm -rf source
