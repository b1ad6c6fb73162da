#!/usr/bin/env bash
# What the tests need that Python's package index lacks: a browser to look at the HTML report, the curl of the
# README's calls, a Redis that speaks TLS, which the embedded Valkey is built without (redis-tools has the
# server's binary under another name, and starts no service), and promtool for the alert rules. Does nothing where
# they are installed already. Debian and Ubuntu; elsewhere by hand.
set -euo pipefail

wanted=()
command -v curl >/dev/null || wanted+=(curl)
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
  || wanted+=(chromium)
command -v redis-server >/dev/null || command -v redis-check-rdb >/dev/null || wanted+=(redis-tools)
promtool=true
command -v promtool >/dev/null || promtool=false
if [ "${#wanted[@]}" -eq 0 ] && $promtool; then
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "There is no apt-get here: install ${wanted[*]} and promtool yourself, so that they are on the PATH." >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
if [ "${#wanted[@]}" -gt 0 ]; then
  "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${wanted[@]}"
fi
if ! $promtool; then
  # It comes in the package of the server, which starts a service: this one file is taken out of it.
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  (cd "$scratch" && apt-get download -qq prometheus && dpkg-deb --extract prometheus_*.deb .)
  "${as_root[@]}" install -D "$scratch/usr/bin/promtool" /usr/local/bin/promtool
fi
