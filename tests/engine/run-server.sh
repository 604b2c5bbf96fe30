#!/bin/bash
# Starts the tests' engine in the foreground, for trying things by hand; stop it with Ctrl-C.
#
#   run-server.sh [PORT [LLAMA-SERVER-OPTION...]]      default port: 8091
#
# The model's weights are random: whatever it says is noise.
set -euo pipefail

[[ ${1:-8091} =~ ^[0-9]+$ ]] || {
  echo "usage: run-server.sh [PORT [LLAMA-SERVER-OPTION...]]" >&2
  exit 64
}
port=${1:-8091}
directory=$(realpath -m "${ECSO_ENGINE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ecso/engine}")
"$(dirname "$(realpath "$0")")/setup.sh" "$directory"

cat >&2 <<HINT

In another terminal:
  ecso protect --backend openai:http://127.0.0.1:$port --image picture.png --query "What is this?"
  ecso backends --probe http://127.0.0.1:$port

HINT
# The options are those of server.hpp, which says why.
exec "$directory/llama-server" --model "$directory/model/text.gguf" --mmproj "$directory/model/mmproj.gguf" \
  --alias ecso-tiny --host 127.0.0.1 --port "$port" -t 1 -tb 1 -np 4 -c 16384 --slot-prompt-similarity 0.05 "${@:2}"
