#!/bin/bash
# Proves the files of examples/deploy: nginx and HAProxy as shipped, in front of two gateways each of which is killed or told to end
# under load; the systemd unit; the packages of the Dockerfile. Whatever is missing here of the latter two is left out.
#
#   run.sh      ECSO_COMMAND names the ecso command to test
#
# The last line of the output is "N passed, N failed".
#
# Exit status: 0 passed, 1 failed, 77 no nginx, HAProxy, openssl or python3 here (tests skip), 64 usage.
set -euo pipefail

readonly SKIP=77

say() { echo "deploy: $*" >&2; }

[[ -n ${ECSO_COMMAND:-} ]] || {
  say "ECSO_COMMAND does not name the program under test"
  exit 64
}
command=$(realpath "$ECSO_COMMAND")
here=$(dirname "$(realpath "$0")")
files=$(realpath "$here/../../examples/deploy")
PATH=$PATH:/usr/sbin:/sbin
for tool in nginx haproxy openssl python3; do
  command -v "$tool" >/dev/null || {
    say "no $tool here"
    exit "$SKIP"
  }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

check() {
  local name=$1
  shift
  if "$@" >"$work/output" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "not ok: $name"
    cat "$work/output"
  fi
}

# systemd reads it, and the command takes the arguments that it gives.
unit() {
  sed "s|/usr/bin/ecso|$command|" "$files/ecso.service" >"$work/ecso.service"
  systemd-analyze verify "$work/ecso.service" || return
  local start
  start=$(sed -n 's|^ExecStart=/usr/bin/ecso \(.*\)/etc/ecso/ecso.toml$|\1|p' "$files/ecso.service")
  # Unquoted: one word an argument.
  # shellcheck disable=SC2086
  [[ -n $start ]] && "$command" $start"$files/ecso.toml" --check
}

# The names after "apt-get install" of the stage $1 of the Dockerfile.
packages() {
  awk -v stage="$1" '
    /^FROM/ { at += 1 }
    at != stage { next }
    /apt-get install/ { on = 1; sub(/.*--no-install-recommends/, "") }
    on { line = $0; if (line ~ /&&/) { sub(/&&.*/, "", line); on = 0 } else if (line !~ /\\$/) { on = 0 } gsub(/\\/, "", line); print line }
  ' "$files/Dockerfile" | xargs -n 1
}

# Debian 12 has every package that the Dockerfile names.
known_packages() {
  local package unknown=0
  for package in $(packages 1) $(packages 2); do
    [[ $(apt-cache policy "$package" | sed -n 's/^ *Candidate: //p') =~ ^[0-9] ]] || {
      echo "Debian 12 has no $package"
      unknown=1
    }
  done
  return $unknown
}

# The package that a library is of. Packages name their files with and without the /usr that all are under.
package_of() {
  local file
  file=$(realpath "$1")
  dpkg-query -S "$file" 2>/dev/null || dpkg-query -S "${file#/usr}" 2>/dev/null
}

# Each library that the program needs comes with a package that the second stage names, or with every Debian.
needed_packages() {
  local library file package named missing=0
  named=$(packages 2)
  for library in $(readelf -d "$command" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
    file=$(ldd "$command" | awk -v name="$library" '$1 == name { print $3 }')
    package=$(package_of "$file" | sed -n '1s/:.*//p')
    case $package in libc6 | libgcc-s1 | libstdc++6) continue ;; esac
    grep -qx "$package" <<<"$named" || {
      echo "$library comes with ${package:-no package}, which the Dockerfile does not install"
      missing=1
    }
  done
  return $missing
}

if command -v systemd-analyze >/dev/null; then check 'the unit is right' unit; fi
if grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release && [[ -n $(apt-cache policy libfmt9 2>/dev/null) ]]; then
  check 'Debian 12 has the packages of the Dockerfile' known_packages
  if command -v readelf >/dev/null && ! ldd "$command" | grep -q san; then
    check 'the Dockerfile installs what the program needs' needed_packages
  fi
fi

for front in nginx haproxy; do
  ECSO_COMMAND=$command python3 "$here/fronts.py" "$front" "$files" "$work" >"$work/$front.out" 2>&1 || true
  cat "$work/$front.out"
  read -r ok bad < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$work/$front.out" | tail -n 1) || bad=1
  passed=$((passed + ${ok:-0}))
  failed=$((failed + ${bad:-1}))
  ok='' bad=''
done
echo "$passed passed, $failed failed"
((failed == 0))
