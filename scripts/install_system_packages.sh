#!/usr/bin/env bash
# The one thing the tests need that Python's package index lacks: a browser to look at the HTML report.
# Does nothing where it is installed already. Debian and Ubuntu; elsewhere install Chromium by hand.
set -euo pipefail

for browser in chromium chromium-browser google-chrome; do
  if command -v "$browser" >/dev/null; then
    exit 0
  fi
done
if ! command -v apt-get >/dev/null; then
  echo "There is no apt-get here: install Chromium yourself, so that 'chromium' is on the PATH." >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends chromium
