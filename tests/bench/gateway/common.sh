# shellcheck shell=bash disable=SC2034
# What run.sh, load.sh and soak.sh share. Servers listen on ports of 127.0.0.1 that are free; at exit all of them end, by process
# id, and the temporary directory goes.
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
root=$(realpath "$here/../../..")
directory=$(mktemp -d)
pids=()
failed=0

finish() {
  local status=$? log
  trap - EXIT INT TERM
  ((${#pids[@]} == 0)) || { kill "${pids[@]}" && wait; } 2>/dev/null
  for log in "$directory"/*.err; do
    if ((status != 0)) && [ -s "$log" ]; then echo "$(basename "$log" .err): $(tail -n 5 "$log")" >&2; fi
  done
  rm -rf "$directory"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

die() {
  echo "$(basename "$0"): $*" >&2
  exit 69
}

# need COMMAND PACKAGE...: names what is missing as the Debian packages that have it; ends with 77, "skipped" to CTest.
need() {
  local missing=()
  while (($# > 0)); do
    [[ $1 == /* ]] && [ -e "$1" ] || command -v "$1" >/dev/null || missing+=("$2")
    shift 2
  done
  ((${#missing[@]} == 0)) && return
  echo "$(basename "$0"): missing: apt-get install ${missing[*]}" >&2
  exit 77
}

# The upstream and the client: from $ECSO_BENCH_TOOLS (where CMake built them), else compiled here.
find_tools() {
  tools=${ECSO_BENCH_TOOLS:-$directory}
  [ -n "${ECSO_BENCH_TOOLS:-}" ] && return
  need "${CXX:-c++}" g++
  local name
  for name in upstream load; do
    "${CXX:-c++}" -std=c++20 -O2 "$here/$name.cpp" -o "$tools/gateway_$name" || die "cannot compile $name.cpp"
  done
}

# The command `ecso`, if it has not been given: the newest built here that can serve. Empty if there is none, or if "none" was given.
find_ecso() {
  local built
  case ${ecso:-} in
    none) ecso='' ;;
    '')
      for built in "$root"/build/*/examples/ecso; do
        "$built" serve --help 2>/dev/null | grep -qe "--upstream" || continue
        if [ -z "${ecso:-}" ] || [ "$built" -nt "$ecso" ]; then ecso=$built; fi
      done
      ;;
    *) [ -x "$ecso" ] || die "$ecso cannot be run" ;;
  esac
  if grep -qs '^CMAKE_BUILD_TYPE:STRING=Debug' "$(dirname "${ecso:-.}")/../CMakeCache.txt"; then
    echo "$ecso is of a Debug build: its times say little"
  fi
}

# Not of the ports that connections are given.
free_port() {
  local candidate
  while :; do
    candidate=$((RANDOM % 20000 + 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null || break
  done
  port=$candidate
}

# start NAME COMMAND...: in the background; sets pid.
start() {
  local name=$1
  shift
  "$@" >"$directory/$name.out" 2>"$directory/$name.err" &
  pid=$!
  pids+=("$pid")
}

# await NAME PORT: until it accepts connections.
await() {
  local try
  for ((try = 0; try < 200; ++try)); do
    (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null && return
    sleep 0.05
  done
  cat "$directory/$1.err" >&2
  die "$1 does not listen"
}

# stop PID...
stop() {
  local left=() other
  for other in "${pids[@]}"; do [[ " $* " == *" $other "* ]] || left+=("$other"); done
  kill "$@" 2>/dev/null
  wait "$@" 2>/dev/null
  pids=("${left[@]}")
}

# start_upstream OPTION...: sets upstream_port and upstream_pid.
start_upstream() {
  free_port
  upstream_port=$port
  start "upstream_$port" "$tools/gateway_upstream" --port "$port" "$@"
  upstream_pid=$pid
  await "upstream_$port" "$port"
}

# counted NAME: what the upstream counted.
counted() { curl -s "http://127.0.0.1:$upstream_port/count" | awk -v name="$1" '$1 == name { print $2 }'; }

# start_ecso: with what ecso_settings PORT UPSTREAM_PORT prints; sets ecso_port and ecso_pid.
start_ecso() {
  free_port
  ecso_port=$port
  ecso_settings "$port" "$upstream_port" >"$directory/ecso.toml"
  start ecso "$ecso" serve --config "$directory/ecso.toml"
  ecso_pid=$pid
  await ecso "$port"
}

# await_child PID: until it has one; sets child.
await_child() {
  child=''
  local try
  for ((try = 0; try < 100; ++try)); do
    child=$(cat /proc/[0-9]*/stat 2>/dev/null |
      awk -v parent="$1" '{ pid = $1; sub(/^.*\) /, ""); if ($2 == parent) { print pid; exit } }')
    [ -n "$child" ] && return
    sleep 0.05
  done
  die "process $1 has no child"
}

# cpu_us PID: processor time of all its threads, those that ended too.
cpu_us() { awk -v ticks="$(getconf CLK_TCK)" '{ sub(/^.*\) /, ""); printf "%.0f\n", ($12 + $13) * 1e6 / ticks }' "/proc/$1/stat"; }

# rss_mib PID, peak_mib PID: resident memory now, and at most since reset_peak.
rss_mib() { awk '/^VmRSS/ { printf "%.1f\n", $2 / 1024 }' "/proc/$1/status"; }
peak_mib() { awk '/^VmHWM/ { printf "%.1f\n", $2 / 1024 }' "/proc/$1/status"; }
reset_peak() { echo 5 >"/proc/$1/clear_refs"; }

# value NAME FILE: of a report of gateway_load.
value() { awk -v name="$1" '$1 == name { print $2 }' "$2"; }

# demand WHAT VALUE OPERATOR BOUND: prints PASS or FAIL, and notes a failure.
demand() {
  if awk -v value="$2" -v bound="$4" "BEGIN { exit !(value != \"\" && value + 0 $3 bound + 0) }"; then
    echo "PASS  $1: $2 (aim: $3 $4)"
  else
    echo "FAIL  $1: $2 (aim: $3 $4)"
    failed=1
  fi
}

# descriptors PID: how many are open.
descriptors() {
  local open=(/proc/"$1"/fd/*)
  echo "${#open[@]}"
}

# milliseconds TIME: of 5s or 200ms; nothing of anything else.
milliseconds() {
  if [[ $1 =~ ^([0-9]+)(ms|s)$ ]]; then
    echo $((BASH_REMATCH[1] * (${#BASH_REMATCH[2]} == 2 ? 1 : 1000)))
  fi
}
