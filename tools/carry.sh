#!/usr/bin/env bash
# Gathers what `just gpu` needs on a machine with a card and nothing else (no network, no Rust, no root):
# the program with its CUDA kernels, ffmpeg and ffprobe. The rest is the checkout itself.
#
#   tools/carry.sh [FOLDER]      into FOLDER (carry/), which travels with the checkout
#
# There: tools/gpu.sh. Build the program first: just build-cuda.
set -euo pipefail
cd "$(dirname "$0")/.."
to=${1:-carry}
program=${CARGO_TARGET_DIR:-target}/cuda/release/posebook
say() { printf 'carry: %s\n' "$*" >&2; }
stop() { say "$@"; exit 1; }

[ -x "$program" ] || stop "there is no $program: build it first with 'just build-cuda'"
for tool in python3 npm xz; do command -v "$tool" >/dev/null || stop "$tool is missing: install it and run this again"; done
mkdir -p "$to"
cp "$program" "$to/posebook"

# static binaries, since a machine with nothing on it has no libraries for them either
if [ ! -s "$to/ffmpeg.tar.xz" ]; then
    part=$(mktemp -d)
    trap 'rm -rf "$part"' EXIT
    say "fetching static ffmpeg and ffprobe"
    python3 -m pip download -q --no-deps --only-binary=:all: -d "$part" imageio-ffmpeg==0.6.0
    python3 -m zipfile -e "$part"/imageio_ffmpeg-*.whl "$part/python"
    npm install --silent --no-save --prefix "$part" @ffprobe-installer/ffprobe >/dev/null
    mkdir "$part/bin"
    cp "$part"/python/imageio_ffmpeg/binaries/ffmpeg-linux* "$part/bin/ffmpeg"
    find "$part/node_modules/@ffprobe-installer" -type f -name ffprobe -exec cp {} "$part/bin/ffprobe" \;
    chmod +x "$part/bin/ffmpeg" "$part/bin/ffprobe"
    say "packing them, which takes a minute"
    tar -C "$part/bin" -cf - ffmpeg ffprobe | xz -6 >"$to/ffmpeg.tar.xz.part"
    mv "$to/ffmpeg.tar.xz.part" "$to/ffmpeg.tar.xz"
fi

kib=$(du -sk --apparent-size "$to" models tests/goldens experiments datasets tools | awk '{ sum += $1 } END { print sum }')
say "$to with models, goldens and experiments: $((kib / 1024)) MiB"
[ "$kib" -lt $((60 * 1024)) ] || stop "that is more than the 60 MiB that can be carried"
