#!/usr/bin/env bash
# The gateway beside its limit and its rival, in one run on one machine: nginx making as many calls one after the other (2 for a
# benign request, 4 for a harmful one), and the server that somebody would write in Node today. One thread each.
#
#   run.sh [--quick] [--ecso PATH] [--threads N] [--rounds N] [--seconds N] [--only REGEX]
#
# --quick is one round of 3 s; --only picks of "text benign 1", "image harmful 64" and so on; --threads is of ecso alone.
# The processor time a request is the sturdiest figure; all others tell more about a machine than about a server. The image
# request has 1 MiB of base64. The policy is the paper's, with texts checked as well, so that every server makes as many calls; that
# is counted. "upstream %" tells how busy the upstream was: at 100 it is what was measured. No server writes a log of requests.
# Exit status: 0 all aims are met, 1 one is missed.
set -uo pipefail

ecso=
rounds=3
seconds=5
threads=1
only=.
while (($# > 0)); do
  case $1 in
    --quick) rounds=1 seconds=3 && shift ;;
    --ecso) ecso=$2 && shift 2 ;;
    --threads) threads=$2 && shift 2 ;;
    --rounds) rounds=$2 && shift 2 ;;
    --seconds) seconds=$2 && shift 2 ;;
    --only) only=$2 && shift 2 ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2 && exit 64 ;;
  esac
done

# shellcheck source=SCRIPTDIR/common.sh
. "$(dirname "$(realpath "$0")")/common.sh"
echo_module=/usr/lib/nginx/modules/ngx_http_echo_module.so
need wrk wrk nginx nginx-light "$echo_module" libnginx-mod-http-echo node nodejs npm npm curl curl
find_tools
find_ecso
[ -n "${ecso:-}" ] || echo "no ecso was found (--ecso PATH): only the others are measured"

# Bodies may take this much memory together, so that 64 clients with an image each keep below 64 MiB.
max_buffered_mib=24
# A harmful text has no image to describe; the check of its new answer makes up for that call.
ecso_settings() {
  local recheck=off
  [ "$payload" = image ] || recheck=on
  cat <<SETTINGS
listen = "127.0.0.1:$1"
threads = $threads
policy = "bench"
dialect = "plain"

[[upstream]]
url = "http://127.0.0.1:$2/v1"

[policies.bench]
base = "paper"
text_only = "check"
recheck = "$recheck"

[bounds]
max_buffered_bytes = "${max_buffered_mib}MiB"
max_in_flight = 4096

[log]
level = "warn"
SETTINGS
}

install_naive() {
  naive=${ECSO_BENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ecso/bench-naive}
  mkdir -p "$naive" && cp "$here/naive/package.json" "$here/naive/server.mjs" "$naive" || die "cannot write $naive"
  [ -d "$naive/node_modules/openai" ] || npm install --prefix "$naive" --no-audit --no-fund --loglevel=error >&2 || die "npm failed"
}

# start_nginx CALLS: nginx_seqN, with one worker.
start_nginx() {
  local name=nginx_seq$1 user='' calls='' call
  free_port
  ((EUID != 0)) || user='user root;'
  for ((call = 0; call < $1; ++call)); do calls+='      echo_subrequest POST /call/v1/chat/completions;\n'; done
  sed -e "s|@MODULE@|$echo_module|; s|@USER@|$user|; s|@DIR@|$directory|g; s|@NAME@|$name|g; s|@CALLS@|$1|" \
    -e "s|@UPSTREAM@|$upstream_port|; s|@PORT@|$port|; s|@SUBREQUESTS@|$calls|" "$here/nginx.conf.in" >"$directory/$name.conf"
  start "$name" nginx -e "$directory/$name.err" -c "$directory/$name.conf"
  await "$name" "$port"
  server nginx "$pid" "$port"
  await_child "$pid"
  pid_of[nginx]=$child
  name_of[nginx]=$name
}

# server NAME PID PORT
declare -A pid_of port_of started_of name_of
server() {
  servers+=("$1")
  name_of[$1]=$1 started_of[$1]=$2 pid_of[$1]=$2 port_of[$1]=$3
}

start_servers() {
  servers=()
  start_nginx "$1"
  free_port
  PORT=$port UPSTREAM=http://127.0.0.1:$upstream_port/v1 start naive node "$naive/server.mjs"
  await naive "$port"
  server naive "$pid" "$port"
  [ -n "${ecso:-}" ] || return
  start_ecso
  server ecso "$ecso_pid" "$ecso_port"
}

stop_servers() {
  local name
  for name in "${servers[@]}"; do stop "${started_of[$name]}"; done
}

# Every server makes so many calls and gives the answer that is due.
verify() {
  local name=$1 payload=$2 kind=$3 calls=$4 before after reply try due='The picture shows a long table'
  [ "$kind" = benign ] || due='here is what is safe to know'
  before=$(counted calls)
  for try in 1 2 3 4 5; do
    reply=$(curl -s -H 'Content-Type: application/json' --data-binary "@$directory/$payload-$kind.json" \
      "http://127.0.0.1:${port_of[$name]}/v1/chat/completions")
    [ "$name" = nginx ] && continue
    grep -q "$due" <<<"$reply" && ! grep -q FORBIDDEN <<<"$reply" || die "$name: $payload $kind: wrong answer: $reply"
  done
  after=$(counted calls)
  ((after - before == try * calls)) || die "${name_of[$name]}: $((after - before)) calls for $try requests, not $((try * calls))"
}

# measure NAME PAYLOAD KIND CONNECTIONS: a line of the results.
measure() {
  local name=$1 id=${pid_of[$1]} before after upstream_before result
  reset_peak "$id"
  before=$(cpu_us "$id") upstream_before=$(cpu_us "$upstream_pid")
  result=$(wrk -t 1 -c "$4" -d "${seconds}s" --timeout 20s -s "$here/wrk.lua" "http://127.0.0.1:${port_of[$name]}/v1/chat/completions" \
    -- "$directory/$2-$3.json" | awk '/^RESULT/ { print $2, $3, $4, $5, $6 }')
  after=$(cpu_us "$id")
  echo "$2 $3 $4 ${name_of[$name]} $result $((after - before)) $(peak_mib "$id")" \
    "$(($(cpu_us "$upstream_pid") - upstream_before))" >>"$directory/results"
}

load_now() { cut -d' ' -f1 /proc/loadavg; }

load=$(load_now)
install_naive
node "$here/payloads.mjs" "$directory" || die "no payloads"
start_upstream
for payload in text image; do
  for kind in benign harmful; do
    grep -qE "$only" <(printf '%s\n' "$payload $kind "{1,16,64}) || continue
    calls=2
    [ "$kind" = benign ] || calls=4
    start_servers "$calls"
    for name in "${servers[@]}"; do verify "$name" "$payload" "$kind" "$calls"; done
    for connections in 1 16 64; do
      grep -qE "$only" <<<"$payload $kind $connections" || continue
      for ((round = 0; round < rounds; ++round)); do
        for name in "${servers[@]}"; do measure "$name" "$payload" "$kind" "$connections"; done
      done
    done
    stop_servers
  done
done

echo "medians of $rounds rounds of $seconds s; ecso: $threads thread(s), bodies bounded to $max_buffered_mib MiB; $(nproc) cores, load $load before and" \
  "$(load_now) after (on a busy machine only large differences mean something)"
awk -f "$here/report.awk" "$directory/results"
