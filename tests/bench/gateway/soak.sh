#!/usr/bin/env bash
# The gateway for a long time at most of what it can do, in front of an upstream that fails in every way: no leak, no wrong answer,
# and not a byte of a harmful one.
#
#   soak.sh [--ecso PATH] [--minutes N] [--share PERCENT] [--faults PERCENT]
#
# First the most requests a second are measured, then --share (70) percent of that run for --minutes (20), both with --faults (5)
# percent of the upstream's calls failing. Of the requests 20 % are harmful, 20 % have an image, 30 % are streamed.
# Memory is compared between the third minute and the last; of short runs between tenths.
set -uo pipefail

ecso=
minutes=20
share=70
faults=5
while (($# > 0)); do
  case $1 in
    --ecso) ecso=$2 ;;
    --minutes) minutes=$2 ;;
    --share) share=$2 ;;
    --faults) faults=$2 ;;
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
ulimit -n "$(ulimit -Hn)"

# The upstream's stalls outlast these times.
ecso_settings() {
  cat <<SETTINGS
listen = "127.0.0.1:$1"
dialect = "plain"

[[upstream]]
url = "http://127.0.0.1:$2/v1"
first_byte_timeout = "2s"
between_bytes_timeout = "2s"

[log]
level = "off"
SETTINGS
}

mix=(--harmful 20 --stream 30 --images 20 --image "$root/examples/images/benign.png" --timeout 60000)
seconds=$(awk -v minutes="$minutes" 'BEGIN { printf "%d", minutes * 60 }')

start_upstream
start_ecso
"$tools/gateway_load" --port "$ecso_port" --seconds 10 --connections 32 "${mix[@]}" >"$directory/faultless" || die "the client failed"
stop "$ecso_pid" "$upstream_pid"
demand 'right answers without faults' "$(value right "$directory/faultless")" == "$(value requests "$directory/faultless")"

start_upstream --faults "$faults" --stall 4000
start_ecso
# The most memory that so many requests at once can take is taken first: what comes on top of it is a leak.
concurrent=2000
"$tools/gateway_load" --port "$ecso_port" --seconds 10 --connections "$concurrent" --faulty "${mix[@]}" >"$directory/burst" ||
  die "the client failed"
most=$(value per_second "$directory/burst")
rate=$(awk -v most="$most" -v share="$share" 'BEGIN { printf "%d", most * share / 100 }')
echo "RSS MiB after $concurrent requests at once for 10 s: $(rss_mib "$ecso_pid")"
echo "most: $most requests a second; now $rate a second for $seconds s with $faults % faults"
cpu=$(cpu_us "$ecso_pid")
start client "$tools/gateway_load" --port "$ecso_port" --seconds "$seconds" --rate "$rate" --connections "$concurrent" --faulty "${mix[@]}"
client=$pid
begin=$SECONDS
next=60
while kill -0 "$client" 2>/dev/null; do
  kill -0 "$ecso_pid" 2>/dev/null || die "the gateway ended"
  now=$((SECONDS - begin))
  ((now > seconds)) || echo "$now $(rss_mib "$ecso_pid") $(descriptors "$ecso_pid")" >>"$directory/samples"
  if ((now >= next)); then
    echo "minute $((next / 60)): RSS $(rss_mib "$ecso_pid") MiB, $(descriptors "$ecso_pid") descriptors, $(counted calls) calls, $(counted faults) faults"
    next=$((next + 60))
  fi
  sleep 1
done
wait "$client" || die "the client failed"
cpu=$(($(cpu_us "$ecso_pid") - cpu))

cat "$directory/client.err" >&2 && : >"$directory/client.err"
report() { value "$1" "$directory/client.out"; }
# window FROM TO: mean RSS of the samples between.
window() { awk -v from="$1" -v to="$2" '$1 >= from && $1 <= to { sum += $2; ++count } END { if (count) printf "%.1f", sum / count }' "$directory/samples"; }
tenth=$((seconds < 600 ? seconds / 10 : 60))
early=$(window $((2 * tenth)) $((3 * tenth)))
late=$(window $((seconds - tenth)) "$seconds")
echo "$(report requests) requests: $(report right) right ($(report repaired) repaired), $(report errors) errors; $(counted calls) calls, $(counted faults) of them faulty"
grep '^status_' "$directory/client.out" | paste -sd' '
echo "latency ms: p50 $(report latency_p50_ms), p99 $(report latency_p99_ms); CPU us a request: $(awk -v cpu="$cpu" -v requests="$(report requests)" \
  'BEGIN { printf "%.0f", cpu / requests }')"
echo "RSS MiB: $early at first, $late at the end, at most $(peak_mib "$ecso_pid"); descriptors at the end: $(descriptors "$ecso_pid")"
demand 'wrong answers' "$(($(report wrong) + $(value wrong "$directory/burst")))" == 0
demand 'leaked answers' "$(($(report leaked) + $(value leaked "$directory/burst")))" == 0
demand 'broken connections' "$(report broken)" == 0
# A chat of five calls meets a fault in 23 % of all cases.
demand 'errors, percent' "$(awk -v errors="$(report errors)" -v requests="$(report requests)" 'BEGIN { printf "%.2f", 100 * errors / requests }')" \
  '<' $((5 * faults))
demand 'RSS MiB at the end' "$late" '<=' "$(awk -v early="$early" 'BEGIN { printf "%.1f", early * 1.05 + 4 }')"
demand 'descriptors at the end' "$(descriptors "$ecso_pid")" '<' 2000
exit "$failed"
