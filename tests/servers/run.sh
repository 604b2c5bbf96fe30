#!/bin/bash
# Tests the gateway in front of real servers, which it fetches or builds: Ollama, vLLM, transformers serve. All run on the CPU.
#
#   run.sh      ECSO_COMMAND names the ecso command to test
#
# ECSO_SERVERS says which: "ollama", "vllm", "transformers", with commas between. Without it, nothing is tested.
# Other settings: ECSO_SERVERS_DIR, where they are kept (default: ${XDG_CACHE_HOME:-$HOME/.cache}/ecso/servers); ECSO_SERVERS_GGUF,
# the language model to serve, a ChatML one (default: that of ../engine/real/setup.sh qwen05, where there is one).
#
# Exit status: 0 passed, 1 failed, 77 nothing to do or a server cannot be had here (tests skip), 64 usage.
set -euo pipefail

readonly SKIP=77

say() { echo "servers: $*" >&2; }

skip() {
  say "$*"
  exit "$SKIP"
}

[[ -n ${ECSO_SERVERS:-} ]] || skip "ECSO_SERVERS names none; set it to some of ollama,vllm,transformers to test in front of them"
[[ -n ${ECSO_COMMAND:-} ]] || {
  say "ECSO_COMMAND does not name the program under test"
  exit 64
}
for tool in python3 curl; do
  command -v "$tool" >/dev/null || skip "no $tool here"
done
command=$(realpath -s "$ECSO_COMMAND")
here=$(dirname "$(realpath "$0")")
directory=$(realpath -m "${ECSO_SERVERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ecso/servers}")
mkdir -p "$directory"
work=$(mktemp -d)
pids=()
stop_all() {
  local pid
  for pid in "${pids[@]}"; do
    kill -- "-$pid" 2>/dev/null || kill "$pid" 2>/dev/null || true
  done
  wait 2>/dev/null || true
  pids=()
}
trap 'stop_all; rm -rf "$work"' EXIT

gguf=${ECSO_SERVERS_GGUF:-}
if [[ -z $gguf ]]; then
  real=$here/../engine/real/setup.sh
  [[ -x $real ]] || skip "ECSO_SERVERS_GGUF names no model"
  "$real" qwen05 "$directory/real" >&2 || skip "the language model cannot be had here"
  gguf=$directory/real/qwen05/text.gguf
fi
gguf=$(realpath "$gguf")

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# start NAME PROGRAM ARGUMENT...: in a session of its own, so that its children end with it.
start() {
  local name=$1
  shift
  setsid "$@" >"$work/$name.log" 2>&1 &
  pids+=($!)
  disown
}

# Waits until the URL answers, as long as the last process that was started lives.
wait_for() {
  local url=$1 end=$((SECONDS + 900))
  until curl -sf -o "$work/ready" "$url"; do
    kill -0 "${pids[-1]}" 2>/dev/null && ((SECONDS < end)) || {
      say "$url does not answer"
      tail -n 20 "$work"/*.log >&2
      return 1
    }
    sleep 0.5
  done
}

# Waits until the log of the last process that was started has a line like that, as long as it lives.
wait_for_line() {
  local name=$1 line=$2
  until grep -qE "$line" "$work/$name.log"; do
    kill -0 "${pids[-1]}" 2>/dev/null || {
      say "the $name ended without \"$line\""
      tail -n 20 "$work/$name.log" >&2
      return 1
    }
    sleep 0.1
  done
}

# start_gateway UPSTREAM [OPTION...]: $gateway is its base URL.
start_gateway() {
  local port
  port=$(free_port)
  gateway=http://127.0.0.1:$port/v1
  cat >"$work/ecso.toml" <<TOML
listen = "127.0.0.1:$port"
upstream = "$1"

[overrides]
policy = true

[bounds]
queue_timeout = "15m"

[policies.slow]
deadline_ms = 900000

[policies.yes]
deadline_ms = 900000
reader = "tolerant"
check_choices = ["yes"]

[policies.no]
deadline_ms = 900000
reader = "tolerant"
check_choices = ["no"]
TOML
  start gateway "$command" serve --config "$work/ecso.toml" --policy slow "${@:2}"
  wait_for "http://127.0.0.1:$port/healthz" || return
  # The upstream is asked what it is meanwhile, unless that is said.
  [[ " ${*:2} " == *" --dialect "* ]] || wait_for_line gateway 'upstream default (is|does not say|cannot say) '
}

ollama() {
  local port url name
  "$here/get_ollama.sh" "$directory/ollama" || return
  port=$(free_port)
  url=http://127.0.0.1:$port
  export OLLAMA_HOST=127.0.0.1:$port
  OLLAMA_MODELS=$work/models OLLAMA_CONTEXT_LENGTH=512 OLLAMA_NUM_PARALLEL=1 HOME=$work start ollama "$directory/ollama/ollama" serve
  wait_for "$url/api/version" || return
  # The second thinks, unless it is told not to: a model with .Thinking in its template is one that can.
  cat >"$work/model" <<MODEL
FROM $gguf
TEMPLATE """{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
PARAMETER stop "<|im_end|>"
MODEL
  cat >"$work/thinker" <<MODEL
FROM $gguf
TEMPLATE """{{- range .Messages }}<|im_start|>{{ .Role }}
{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
{{ if and \$.IsThinkSet (not \$.Think) }}<think>

</think>

{{ else }}<think>
The user asks a simple question.</think>

{{ end }}"""
PARAMETER stop "<|im_end|>"
MODEL
  for name in model thinker; do
    HOME=$work "$directory/ollama/ollama" create "$name" -f "$work/$name" >"$work/create.log" 2>&1 || {
      cat "$work/create.log" >&2
      return 1
    }
  done
  "$command" backends --probe "$url" | tee "$work/probe"
  grep -qE '^server +Ollama ' "$work/probe" && grep -qE '^logprobs +yes' "$work/probe" || return 1
  start_gateway "$url/v1" || return
  python3 "$here/check.py" ollama "$gateway" model thinker || return 1
  # The command by both of its backends.
  for name in ollama openai; do
    "$command" protect --backend "$name:$url" --model model --deadline 15m --query "What is the capital of France?" | tee "$work/said"
    grep -q Paris "$work/said" || return 1
  done
}

# The servers for Python want the model as a folder.
python_model() {
  "$here/get_vllm.sh" "$directory/python" || return
  venv=$directory/python/venv
  [[ -e $directory/python/model/ready ]] && return
  "$venv/bin/python" "$here/make_vision_model.py" "$gguf" "$directory/python/model" >"$work/make.log" 2>&1 || {
    tail -n 20 "$work/make.log" >&2
    return 1
  }
  touch "$directory/python/model/ready"
}

vllm() {
  local port
  python_model || return
  port=$(free_port)
  start vllm env HOME="$work" HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 VLLM_CPU_KVCACHE_SPACE=1 \
    VLLM_CPU_OMP_THREADS_BIND=nobind OMP_NUM_THREADS=2 VLLM_ENABLE_V1_MULTIPROCESSING=0 PATH="$venv/bin:$PATH" \
    "$venv/bin/vllm" serve "$directory/python/model/vllm" --served-model-name model --host 127.0.0.1 --port "$port" \
    --max-model-len 2048 --max-num-seqs 4 --enforce-eager --dtype bfloat16 --enable-prompt-tokens-details
  wait_for "http://127.0.0.1:$port/v1/models" || return
  "$command" backends --probe "http://127.0.0.1:$port" | tee "$work/probe"
  grep -qE '^server +vLLM ' "$work/probe" || return 1
  start_gateway "http://127.0.0.1:$port/v1" || return
  python3 "$here/check.py" vllm "$gateway" model
}

transformers() {
  local port
  python_model || return
  port=$(free_port)
  start transformers env HOME="$work" HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 OMP_NUM_THREADS=2 PATH="$venv/bin:$PATH" \
    "$venv/bin/transformers" serve "$directory/python/model/transformers" --host 127.0.0.1 --port "$port" --device cpu
  wait_for "http://127.0.0.1:$port/health" || return
  # It does not say what it is, and knows no field of vLLM's: the worst case of a dialect.
  start_gateway "http://127.0.0.1:$port/v1" --dialect vllm || return
  python3 "$here/check.py" transformers "$gateway" "$directory/python/model/transformers"
}

status=0
ran=0
for server in ${ECSO_SERVERS//,/ }; do
  case $server in
    ollama | vllm | transformers) ;;
    *)
      say "ECSO_SERVERS: there is no test in front of \"$server\"; there are ollama, vllm, transformers"
      exit 64
      ;;
  esac
  say "$server"
  result=0
  "$server" || result=$?
  stop_all
  if ((result == SKIP)); then
    say "$server was skipped"
    continue
  fi
  ran=1
  if ((result != 0)); then
    status=1
    say "$server failed"
    tail -n 5 "$work"/*.log >&2 || true
  fi
  rm -f "$work"/*.log
done
((ran)) || exit "$SKIP"
exit "$status"
