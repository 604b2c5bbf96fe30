#!/usr/bin/env bash
# Many clients wait on a slow upstream at once: all of them must be answered right, in little memory, and the gateway's own share
# of their time must be small.
#
#   load.sh [--ecso PATH] [--requests N] [--delay TIME] [--spread TIME] [--harmful PERCENT] [--own TIME]
#
# A call of the upstream takes --delay (5s); the N (10000) requests begin within --spread (5s); --own (50ms) bounds the gateway's
# own time, which is what a client waited less the time of the calls. TIME is 5s or 200ms. `load.sh --requests 300 --delay 200ms` is a
# smoke test of a few seconds.
set -uo pipefail

ecso=
requests=10000
delay=5s
spread=5s
harmful=10
own=50ms
while (($# > 0)); do
  case $1 in
    --ecso) ecso=$2 ;;
    --requests) requests=$2 ;;
    --delay) delay=$2 ;;
    --spread) spread=$2 ;;
    --harmful) harmful=$2 ;;
    --own) own=$2 ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2 && exit 64 ;;
  esac
  shift 2
done

# shellcheck source=SCRIPTDIR/common.sh
. "$(dirname "$(realpath "$0")")/common.sh"
need curl curl
find_ecso
[ -n "${ecso:-}" ] || die "no ecso that can serve was found (--ecso PATH)"
find_tools
delay_ms=$(milliseconds "$delay")
spread_ms=$(milliseconds "$spread")
own_ms=$(milliseconds "$own")
[[ -n $delay_ms && -n $spread_ms && -n $own_ms ]] || die "a time is 5s or 200ms"

# The gateway holds a descriptor for each client, one for each call, and some of its own; where they do not suffice, the last
# clients wait in its queue.
ulimit -n "$(ulimit -Hn)"
in_flight=$(($(ulimit -n) - 64 - requests))
((in_flight > 0)) || die "$requests clients need more than the $(ulimit -n) descriptors that are allowed (ulimit -Hn)"
((in_flight < requests)) || in_flight=$requests

ecso_settings() {
  cat <<SETTINGS
listen = "127.0.0.1:$1"
dialect = "plain"

[[upstream]]
url = "http://127.0.0.1:$2/v1"
max_connections = $in_flight

[bounds]
max_connections = $((2 * requests))
max_in_flight = $in_flight
max_queued = $requests

[log]
level = "warn"
SETTINGS
}

start_upstream --delay "$delay_ms"
start_ecso
idle=$(peak_mib "$ecso_pid")
cpu=$(cpu_us "$ecso_pid")
"$tools/gateway_load" --port "$ecso_port" --requests "$requests" --spread "$spread_ms" --harmful "$harmful" --delay "$delay_ms" \
  --timeout $((60000 + 6 * delay_ms)) >"$directory/report" || die "the client failed"
cpu=$(($(cpu_us "$ecso_pid") - cpu))

report() { value "$1" "$directory/report"; }
echo "$requests requests within $spread, $(report repaired) of them repaired; $(counted calls) calls of $delay; at most $(report busy_most) open at once, $in_flight in flight"
echo "latency ms: p50 $(report latency_p50_ms), p99 $(report latency_p99_ms); own ms: p50 $(report own_p50_ms), p99 $(report own_p99_ms)," \
  "most $(report own_max_ms); of that the upstream's timer was late by p99 $(counted late_p99_ms) a call"
echo "RSS MiB: idle $idle, most $(peak_mib "$ecso_pid"); CPU us a request: $((cpu / requests))"
((spread_ms > delay_ms)) || demand 'requests open at once' "$(report busy_most)" == "$requests"
demand 'right answers' "$(report right)" == "$requests"
demand 'leaked answers' "$(report leaked)" == 0
demand 'RSS MiB' "$(peak_mib "$ecso_pid")" '<' 1024
demand 'own time ms, p99' "$(report own_p99_ms)" '<' "$own_ms"
exit "$failed"
