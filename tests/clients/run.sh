#!/bin/bash
# Tests the gateway with the client libraries that people use, in front of a real llama-server with the tiny model.
#
#   run.sh      ECSO_COMMAND names the ecso command to test
#
# Other settings: ECSO_CLIENTS_DIR, where the libraries are kept (default: ${XDG_CACHE_HOME:-$HOME/.cache}/ecso/clients),
# ECSO_CLIENTS, which of them to run (default: "openai_node anthropic_node openai_python engine_killed"; the last one kills the
# engine).
#
# The model's weights are random, so its verdicts are noise: the policies below have it forced to say neither yes nor no, so that
# every verdict is undecided, and differ in what that counts as; "early" takes it for safe, as the paper does, so that a window lets
# its answers out early. The last line of the output is "N passed, N failed".
#
# Exit status: 0 passed, 1 failed, 77 no libraries or no engine can be had here (tests skip), 64 usage.
set -euo pipefail

readonly SKIP=77

say() { echo "clients: $*" >&2; }

skip() {
  say "$*"
  exit "$SKIP"
}

[[ -n ${ECSO_COMMAND:-} ]] || {
  say "ECSO_COMMAND does not name the program under test"
  exit 64
}
command=$(realpath -s "$ECSO_COMMAND")
here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
directory=$(realpath -m "${ECSO_CLIENTS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ecso/clients}")
engine=$(realpath -m "${ECSO_ENGINE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ecso/engine}")

# Puts the libraries of the versions named here into $libraries, once.
install_libraries() {
  local tool
  for tool in node npm python3 flock; do
    command -v "$tool" >/dev/null || skip "no $tool here"
  done
  # They say 20; all that is tested here works with Debian 12's 18.
  node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 18 ? 0 : 1)' || skip "node is older than 18"
  libraries=$directory/$(cat "$here/package.json" "$here/requirements.txt" | cksum | cut -d' ' -f1)
  mkdir -p "$directory"
  exec 9>"$directory/lock"
  flock 9 # two test runs may share the directory
  if [[ ! -e $libraries/installed ]]; then
    say "installing the client libraries in $libraries"
    rm -rf "$libraries"
    mkdir -p "$libraries"
    cp "$here/package.json" "$libraries/"
    (cd "$libraries" && npm install --silent --no-audit --no-fund --ignore-scripts) >&2 || skip "the Node libraries cannot be had here"
    python3 -m venv "$libraries/python" >&2 || skip "no Python environment can be made here"
    "$libraries/python/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2 ||
      skip "the Python library cannot be had here"
    touch "$libraries/installed"
  fi
  exec 9>&-
}

pids=()
stop_all() {
  local pid
  for pid in "${pids[@]}"; do
    kill -KILL "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}

# Waits until a command succeeds, 60 s at most, as long as the process $1 lives.
wait_for() {
  local pid=$1 end=$((SECONDS + 60))
  shift
  until "$@" >/dev/null 2>&1; do
    kill -0 "$pid" 2>/dev/null && ((SECONDS < end)) || return 1
    sleep 0.05
  done
}

fetch() { node -e 'fetch(process.argv[1]).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))' "$1"; }

start_engine() {
  local attempt port
  for attempt in 1 2 3; do # another program may take the port between the look and the server's bind
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    # The options are those of ../engine/server.hpp. Without an end of text (token 440) an answer is as long as it may be.
    "$engine/llama-server" --model "$engine/model/text.gguf" --mmproj "$engine/model/mmproj.gguf" --alias ecso-tiny \
      --host 127.0.0.1 --port "$port" -t 1 -tb 1 -np 4 -c 16384 --slot-prompt-similarity 0.05 --slots --logit-bias 440-100 \
      >"$work/engine.log" 2>&1 &
    pids+=($!)
    ECSO_ENGINE_PID=$!
    disown # that it is killed need not be told
    ECSO_ENGINE=http://127.0.0.1:$port
    wait_for "$ECSO_ENGINE_PID" fetch "$ECSO_ENGINE/health" && return
    say "the engine did not get ready (attempt $attempt)"
  done
  tail -n 20 "$work/engine.log" >&2
  exit 1
}

write_configuration() {
  local name undecided recheck
  printf 'tests:%s\n' "$(printf %s "$ECSO_CLIENT_KEY" | sha256sum | cut -d' ' -f1)" >"$work/keys"
  cat >"$work/ecso.toml" <<TOML
listen = "127.0.0.1:0"

[[upstream]]
url = "$ECSO_ENGINE/v1"

[clients]
keys_file = "keys"

[overrides]
stream = true
TOML
  while read -r name undecided recheck; do
    cat >>"$work/ecso.toml" <<TOML

[policies.$name]
reader = "probabilities"
check_choices = ["perhaps", "maybe"]
undecided = "$undecided"
recheck = "$recheck"
empty_reply = "accept"
refusal = "$ECSO_REFUSAL"

[[route]]
model = "${name//_/-}"
policy = "$name"
TOML
  done <<'POLICIES'
direct safe on
eyes_closed harmful off
refused harmful on
POLICIES
  cat >>"$work/ecso.toml" <<'TOML'

[policies.early]
base = "paper"
text_only = "check"
sampling = { check = { temperature = 0.0, max_tokens = 8 } }

[[route]]
model = "early"
policy = "early"
TOML
}

start_gateway() {
  env -u ECSO_POLICY -u ECSO_CONFIG -u ECSO_UPSTREAM "$command" serve --config "$work/ecso.toml" >"$work/gateway.out" 2>"$work/gateway.log" &
  pids+=($!)
  disown
  wait_for "${pids[-1]}" grep -q ' serves http' "$work/gateway.log" || {
    tail -n 20 "$work/gateway.log" >&2
    exit 1
  }
  ECSO_GATEWAY=$(sed -n 's|^.* serves \(http://[0-9.:]*\).*$|\1|p' "$work/gateway.log" | head -n 1)
}

install_libraries
"$here/../engine/setup.sh" "$engine" || exit $?
work=$(mktemp -d)
trap stop_all EXIT
export ECSO_CLIENT_KEY=sk-the-key-of-the-tests-0123456789 ECSO_REFUSAL="This was refused by the tests' policy."
export ECSO_PICTURE=$root/examples/images/benign.png ECSO_ENGINE ECSO_ENGINE_PID ECSO_GATEWAY
start_engine
write_configuration
start_gateway
say "engine $ECSO_ENGINE, gateway $ECSO_GATEWAY"

# Node looks for libraries beside the script.
mkdir "$work/scripts"
cp "$here"/*.mjs "$here"/*.py "$work/scripts/"
ln -s "$libraries/node_modules" "$work/scripts/node_modules"
passed=0
failed=0
for name in ${ECSO_CLIENTS:-openai_node anthropic_node openai_python engine_killed}; do
  run=(node "$work/scripts/$name.mjs")
  [[ -e $here/$name.mjs ]] || run=("$libraries/python/bin/python" "$work/scripts/$name.py")
  "${run[@]}" >"$work/$name.out" 2>&1 || true
  cat "$work/$name.out"
  read -r ok bad < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$work/$name.out" | tail -n 1) || bad=1
  passed=$((passed + ${ok:-0}))
  failed=$((failed + ${bad:-1}))
  ok='' bad=''
done
if ((failed > 0)); then
  say "what the gateway's log has of warnings and errors:"
  grep -v '"level":"info"' "$work/gateway.log" | tail -n 20 | cut -c1-400 >&2
fi
echo "$passed passed, $failed failed"
((failed == 0))
