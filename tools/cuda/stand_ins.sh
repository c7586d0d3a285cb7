#!/usr/bin/env bash
# stand_ins.sh CUDARC TOOLKIT: what the linker takes for libcuda, libcublas and the others, which
# candle (through cudarc) links dynamically and which this machine does not have.
#
# The functions' names are read from cudarc's own bindings, so that they fit the version in Cargo.lock.
# forward.c turns them into an archive; it says what happens at run time.
set -euo pipefail
bindings=$1/src
libraries=$2/lib64
code=$(cd "$(dirname "$0")" && pwd)/forward.c

part=$(mktemp -d)
trap 'rm -rf "$part"' EXIT
for module in driver nvrtc curand cublas cublaslt; do
    # What answers with a text would be read as one: FORWARD_TEXT. The openers are written in forward.c.
    grep -ohE '\bfn (cu|nvrtc|curand|cublas)[A-Z_]\w*\(' "$bindings/$module/sys/mod.rs" |
        sed -E 's/fn (\w+)\(/\1/' | sort -u | grep -vxE 'cuInit|cuDriverGetVersion' |
        sed -E '/^(nvrtc|cublas).*Get(Error|Status)(String|Name)$/{s/.*/FORWARD_TEXT(&)/;b};s/.*/FORWARD(&)/' \
            >"$part/$module.inc"
    [ -s "$part/$module.inc" ] || { echo "build-cuda: no functions found in $bindings/$module" >&2; exit 1; }
done
gcc -O2 -Wall -fPIC -fvisibility=hidden -I"$part" -c "$code" -o "$part/forward.o"

mkdir -p "$libraries"
ar crs "$part/libcuda.a" "$part/forward.o"
if ! cmp -s "$part/libcuda.a" "$libraries/libcuda.a"; then cp "$part/libcuda.a" "$libraries/libcuda.a"; fi
for name in nvrtc curand cublas cublasLt; do ln -sf libcuda.a "$libraries/lib$name.a"; done
ln -sf ../lib/libcudart_static.a "$libraries/libcudart.a" # the kernels' launcher, linked in
