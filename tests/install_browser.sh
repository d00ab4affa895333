#!/usr/bin/env bash
# Install the browser of the browser tests where there is none. They are skipped without.
set -uo pipefail

if command -v chromium >/dev/null; then
  exit 0
elif ! command -v apt-get >/dev/null; then
  echo "no chromium, and no apt-get to install it: browser tests are skipped"
elif [ "$(id -u)" -ne 0 ]; then
  echo "no chromium, and only root installs it: browser tests are skipped"
elif ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null; then
  echo "chromium could not be installed: browser tests are skipped"
fi
exit 0
