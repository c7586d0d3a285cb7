#!/bin/sh
# Runs `posebook gpu` on this machine's GPU, after locating the program, ffmpeg and libraries.
#
#   tools/gpu.sh [arguments of posebook gpu, such as --only speed,torch]
#
# Uses the program of tools/carry.sh if there is one, otherwise the one built by `just build-cuda` or cargo.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
unpacked=.posebook/carry

# python3 unpacks it if there is no xz
if [ -f carry/posebook.xz ]; then
    mkdir -p "$unpacked"
    if ! [ "$unpacked/posebook" -nt carry/posebook.xz ]; then
        xz -dc carry/posebook.xz >"$unpacked/posebook.part" 2>/dev/null ||
            python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], "wb"))' \
                carry/posebook.xz "$unpacked/posebook.part"
        mv "$unpacked/posebook.part" "$unpacked/posebook"
    fi
fi
program=
for found in "$unpacked/posebook" "$target/cuda/release/posebook" "$target/release/posebook"; do
    if [ -f "$found" ]; then program=$found; break; fi
done
[ -n "$program" ] || { echo "gpu: no posebook is built: run 'just build-cuda' first" >&2; exit 1; }
chmod +x "$program"
if ! command -v ffmpeg >/dev/null || ! command -v ffprobe >/dev/null; then
    PATH=$PWD/carry:$PWD/.posebook/tools/bin:$PATH
    export PATH
fi
# missing libraries are reported by the program
LD_LIBRARY_PATH=$(tools/cuda/libraries.sh || true)
export LD_LIBRARY_PATH
exec "$program" gpu "$@"
