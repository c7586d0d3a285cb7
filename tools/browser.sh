#!/bin/sh
# Installs what the browser test of the service's page needs, if it is missing, from Debian: Chromium, Node.js with npm, a font.
# The test itself installs npm's playwright-core, which drives the browser and brings none.
set -eu
cd "$(dirname "$0")/.."

have() { command -v "$1" >/dev/null 2>&1; }

# as_root COMMAND...: runs a command as root, or through sudo
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

packages=
have chromium || packages="$packages chromium"
have node || packages="$packages nodejs"
have npm || packages="$packages npm"
[ -d /usr/share/fonts/truetype/dejavu ] || packages="$packages fonts-dejavu-core"
if [ -n "$packages" ]; then
    echo "installing$packages with apt-get" >&2
    export DEBIAN_FRONTEND=noninteractive
    # the names of packages are separate arguments
    # shellcheck disable=SC2086
    as_root apt-get install -y --no-install-recommends $packages >/dev/null || {
        as_root apt-get update >/dev/null
        as_root apt-get install -y --no-install-recommends $packages >/dev/null
    }
fi
