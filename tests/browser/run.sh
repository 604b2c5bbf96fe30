#!/bin/bash
# Tests the gateway's page in headless Chromium.
#
#   run.sh      against scripted gateways, and against a real one if there is
#                 ECSO_GATEWAY_URL   the URL of one that runs, in front of the simulated model, or
#                 ECSO_COMMAND       the ecso command, to start one with
#
# Other settings: ECSO_BROWSER_DIR, where playwright-core is kept (default: ${XDG_CACHE_HOME:-$HOME/.cache}/ecso/browser),
# ECSO_CHROMIUM, the browser (default: chromium on PATH), ECSO_SCREENSHOTS, a directory for pictures of the page (default: none),
# ECSO_BROWSER_TESTS, a regular expression that the tests to run match (default: all).
#
# Exit status: 0 passed, 1 failed, 77 nothing to test with (tests skip).
set -euo pipefail

readonly SKIP=77
readonly PLAYWRIGHT=1.61.1 # the last one that takes Debian 12's Node, 18

skip() {
  echo "browser: $*" >&2
  exit "$SKIP"
}

here=$(dirname "$(realpath "$0")")
directory=$(realpath -m "${ECSO_BROWSER_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ecso/browser}")
for tool in node npm flock; do
  command -v "$tool" >/dev/null || skip "no $tool here"
done
node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 18 ? 0 : 1)' || skip "node is older than 18"
ECSO_CHROMIUM=$(command -v "${ECSO_CHROMIUM:-chromium}") || skip "no chromium here"

mkdir -p "$directory"
exec 9>"$directory/lock"
flock 9 # two test runs may share the directory
if [[ ! -r $directory/$PLAYWRIGHT/node_modules/playwright-core/package.json ]]; then
  rm -rf "$directory/new"
  mkdir -p "$directory/new"
  echo '{"private":true}' >"$directory/new/package.json"
  (cd "$directory/new" && npm install --silent --no-audit --no-fund --ignore-scripts "playwright-core@$PLAYWRIGHT") >&2 ||
    skip "playwright-core cannot be had here"
  rm -rf "${directory:?}/$PLAYWRIGHT"
  mv "$directory/new" "$directory/$PLAYWRIGHT"
fi
exec 9>&-

export ECSO_CHROMIUM ECSO_PLAYWRIGHT=$directory/$PLAYWRIGHT
exec node "$here/page_test.mjs"
