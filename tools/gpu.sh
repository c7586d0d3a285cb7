#!/bin/sh
# Puts the graphics card of this machine through everything: `posebook gpu`, with what it needs found first.
#
#   tools/gpu.sh [arguments of posebook gpu, such as --only speed,torch]
#
# The program is that of tools/carry.sh if there is one, else what `just build-cuda` or cargo built here.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
program=
for found in carry/posebook "$target/cuda/release/posebook" "$target/release/posebook"; do
    if [ -f "$found" ]; then program=$found; break; fi
done
[ -n "$program" ] || { echo "gpu: no posebook is built: run 'just build-cuda' first" >&2; exit 1; }
chmod +x "$program"
if ! command -v ffmpeg >/dev/null || ! command -v ffprobe >/dev/null; then
    tools=.posebook/tools/bin
    if [ -f carry/ffmpeg.tar.xz ]; then
        mkdir -p "$tools"
        # python3 unpacks it where there is no xz
        tar -C "$tools" -xf carry/ffmpeg.tar.xz 2>/dev/null ||
            python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter="data")' \
                carry/ffmpeg.tar.xz "$tools"
    fi
    PATH=$PWD/$tools:$PATH
    export PATH
fi
# what lies in no folder that was found is said by the program itself
LD_LIBRARY_PATH=$(tools/cuda/libraries.sh || true)
export LD_LIBRARY_PATH
exec "$program" gpu "$@"
