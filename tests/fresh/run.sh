#!/bin/bash
# Tries cmake/bootstrap.sh from nothing: in roots that have what debootstrap calls minimal and no more, with apt's lists and without
# them. What an unprivileged user is told, `demo` in each, `test --quick` in one of each release; on Debian 12 also where a Boost is
# installed that is too old, which must stay.
#
#   run.sh [RELEASE...]      default: bookworm trixie (Debian 12 and 13), both at once
#
# The mirror and how it is reached are those of this machine's apt. Everything is below a folder of ${TMPDIR:-/tmp} that goes at the
# end, 2 GB a root; mounts are private to each command. ECSO_FRESH_LOGS is where the logs stay (default: that folder, so they go).
# The last line of the output is "N passed, N failed".
#
# Exit status: 0 passed, 1 failed, 77 no such roots can be had here (tests skip).
set -euo pipefail

readonly SKIP=77

skip() {
  echo "fresh: $*" >&2
  exit "$SKIP"
}

source=$(realpath "$(dirname "$0")/../..")
[[ $EUID == 0 ]] || skip "this needs root, for chroot"
for tool in apt-get debootstrap git unshare; do
  command -v "$tool" >/dev/null || skip "no $tool here"
done
mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI)' 'Created-By: Packages' | awk '/\/debian\/*$/ && !found++')
[[ -n $mirror ]] || skip "this machine's apt has no Debian mirror"

work=$(mktemp -d -t ecso-fresh.XXXXXX)
logs=${ECSO_FRESH_LOGS:-$work}
mkdir -p "$logs"
finish() {
  local job
  # With all that they have started.
  for job in $(jobs -p); do kill -- "-$job" 2>/dev/null || true; done
  rm -rf --one-file-system "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
mkdir "$work/empty" && unshare --mount mount --bind "$work/empty" "$work/empty" 2>/dev/null || skip "mounts are not permitted here"

# debootstrap does not ask apt for the proxy.
eval "$(apt-config shell apt_proxy Acquire::http::Proxy)"
[[ -z ${apt_proxy:-} ]] || export http_proxy=${http_proxy:-$apt_proxy}
proxies=()
for name in http_proxy https_proxy no_proxy HTTPS_PROXY NO_PROXY; do
  [[ -z ${!name:-} ]] || proxies+=("$name=${!name}")
done

# make_base RELEASE: the folder RELEASE, with what every machine here needs to reach its mirror.
make_base() {
  local base=$work/$1 file
  debootstrap --variant=minbase "$1" "$base" "$mirror" >"$logs/$1-debootstrap.log" 2>&1 || return
  rm -rf "$base"/var/lib/apt/lists/* "$base"/var/cache/apt/archives/*.deb
  apt-config dump | grep -E '^Acquire::(http|https|Check-|Retries|ForceIPv)' >"$base/etc/apt/apt.conf.d/90machine" || true
  echo force-unsafe-io >"$base/etc/dpkg/dpkg.cfg.d/fast"
  for file in /etc/resolv.conf /etc/hosts; do cp "$file" "$base$file"; done
  mkdir -p "$base/usr/local/share/ca-certificates"
  cp -r /usr/local/share/ca-certificates/. "$base/usr/local/share/ca-certificates/"
  if [[ $mirror == https:* ]]; then install -D -t "$base/etc/ssl/certs" /etc/ssl/certs/ca-certificates.crt; fi
  mkdir -p "$base/ecso" "$work/archives/$1"
  git -C "$source" ls-files -co --exclude-standard -z | tar -C "$source" --null -T - -cf - | tar -C "$base/ecso" -xf -
}

# in_root USER COMMAND...: in $root, with nothing of this machine's environment. The packages that came once are kept.
in_root() {
  local user=$1
  shift
  # shellcheck disable=SC2016
  unshare --mount bash -c '
    mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && mount --bind "$2" "$1/var/cache/apt/archives" || exit
    exec chroot --userspec="$3" "$1" "${@:4}"' bash "$root" "$work/archives/$release" "$user" \
    env -i -C /tmp PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp TERM=dumb LC_ALL=C.UTF-8 \
    CMAKE_BUILD_PARALLEL_LEVEL="$(nproc)" ${proxies[@]+"${proxies[@]}"} "$@" </dev/null
}

# check NAME COMMAND...: a test. Its output is $log.
check() {
  local name=$1
  shift
  if "$@" >"$log" 2>&1; then
    echo "ok $release, $kind: $name"
  else
    printf 'not ok %s, %s: %s\n%s\n' "$release" "$kind" "$name" "$(tail -n 25 "$log" | sed 's/^/    /')"
  fi
}

# says USER STATUS PATTERN COMMAND...: it ends so, with one line, which is like that.
says() {
  local user=$1 expected=$2 pattern=$3 status=0
  shift 3
  in_root "$user" "$@" >"$log.said" 2>&1 || status=$?
  cat "$log.said"
  echo "exit status $status"
  [[ $status == "$expected" && $(wc -l <"$log.said") == 1 ]] && grep -Eq -- "$pattern" "$log.said"
}

# What the line in $log names can be installed.
names_candidates() {
  local package names
  names=$(sed -n 's/^bootstrap: .*--no-remove //p' "$logs/$release-$kind-user.log")
  [[ -n $names ]] || return
  for package in $names; do
    [[ $(in_root root: apt-cache policy "$package") =~ Candidate:\ [0-9] ]] || {
      echo "apt has no $package"
      return 1
    }
  done
}

messages() {
  local bootstrap=/ecso/cmake/bootstrap.sh
  check 'a tree that cannot be written is told' says nobody: 73 '/ecso/build/demo cannot be written: .*--build-dir' $bootstrap demo
  check 'a compiler that does not exist is told' says root: 69 'CXX is "g\+\+-0", which is not here' env CXX=g++-0 $bootstrap demo
  check 'ccache before a compiler that does not exist is told' \
    says root: 69 'CXX is "g\+\+-0", which is not here' env 'CXX=ccache g++-0' $bootstrap demo
  check 'sudo that does not exist is told' says nobody: 69 'there is no sudo here' $bootstrap demo --sudo --build-dir user
  log=$logs/$release-$kind-user.log
  check 'a user is told which packages are missing' \
    says nobody: 69 'as root: apt-get update && apt-get install .*g\+\+ cmake .*libboost' $bootstrap demo --build-dir user
  log=$logs/$release-$kind.log
  [[ $kind == no-lists ]] || check 'and apt has them' names_candidates
}

installed() { in_root root: dpkg-query -W -f '${Package} ${Status}\n' | sed -n 's/ install ok installed$//p' | sort; }

# The demo runs, through a link to the script, says first what it installs, removes nothing, and ends with what to type.
demo() {
  local before
  before=$(installed)
  ln -sf /ecso/cmake/bootstrap.sh "$root/usr/local/bin/set-up"
  in_root root: env 'CXX=ccache g++' set-up demo || return
  grep -Eq '^bootstrap: installing .*: [0-9]+ packages, [0-9]+ MB to download, [0-9]+ MB on disk$' "$log" || return
  grep -q '^The program is /ecso/build/demo/examples/ecso$' "$log" || return
  comm -23 <(echo "$before") <(installed) | sed 's/^/was removed: /' | grep . && return 1
  in_root root: /ecso/build/demo/examples/ecso --help >"$log.help"
}

serves() { in_root root: /ecso/build/demo/examples/ecso serve --check; }

boost_stays() {
  grep 'without the gateway.*Boost 1.74 is installed, which stays' "$logs/$release-$kind-demo.log" &&
    in_root root: /ecso/cmake/bootstrap.sh demo && ! serves &&
    in_root root: dpkg-query -W -f '${Status}\n' libboost1.74-dev | grep 'install ok installed'
}

quick() {
  in_root root: /ecso/cmake/bootstrap.sh test --quick && tail -n 1 "$log" | grep -E '^[0-9]+ passed, 0 failed, [0-9]+ skipped$'
}

# try_root KIND: with apt's `lists`, or with `no-lists`.
try_root() {
  kind=$1
  local start=$SECONDS begun root=$work/$release-root log=$logs/$release-$kind.log
  cp -a "$work/$release" "$root"
  if [[ $kind == lists ]]; then in_root root: apt-get -q update >"$log" 2>&1; fi
  messages
  if [[ $release == bookworm && $kind == lists ]]; then
    in_root root: apt-get -q -y --no-install-recommends install libboost1.74-dev >"$log" 2>&1
  fi
  begun=$SECONDS
  log=$logs/$release-$kind-demo.log
  check demo demo
  echo "   demo took $((SECONDS - begun)) s; $(grep -h '^bootstrap: installing' "$log" | sed 's/^.*: //')"
  log=$logs/$release-$kind.log
  if [[ $release == bookworm && $kind == lists ]]; then
    check 'a Boost that is too old stays, and the rest is built' boost_stays
  else
    check 'and can serve' serves
  fi
  if [[ $kind == no-lists ]]; then
    begun=$SECONDS
    log=$logs/$release-$kind-quick.log
    check 'test --quick' quick
    echo "   test --quick took $((SECONDS - begun)) s: $(tail -n 1 "$log")"
  fi
  echo "   $release, $kind: $((SECONDS - start)) s, $(du -sxm "$root" | cut -f1) MB, of which ecso $(du -sxm "$root/ecso" | cut -f1) MB"
  rm -rf --one-file-system "$root"
}

try_release() (
  release=$1
  trap '(($? == 0)) || echo "not ok $release: broke off"' EXIT
  if ! make_base "$release"; then
    tail -n 5 "$logs/$release-debootstrap.log"
    echo "skipped $release: it cannot be had from this machine's mirror"
    return
  fi
  echo "   $release: $(du -sxm "$work/$release" | cut -f1) MB, after $SECONDS s"
  try_root lists
  try_root no-lists
)

(($# > 0)) || set -- bookworm trixie
set -m # a process group for each
for release in "$@"; do
  try_release "$release" 2>&1 | tee "$work/$release.out" &
done
wait
cat "$work"/*.out >"$work/all"
times >"$work/times" # not in a pipe, which would be a process without children
echo "$SECONDS s; processor time, of programs and of the system: $(tail -n 1 "$work/times")"
grep -q '^\(not \)\?ok' "$work/all" || skip "none of $* can be had from this machine's mirror"
passed=$(grep -c '^ok' "$work/all" || true)
failed=$(grep -cE '^(not ok|skipped)' "$work/all" || true)
echo "$passed passed, $failed failed"
((failed == 0))
