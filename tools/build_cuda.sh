#!/usr/bin/env bash
# Builds Posebook with its CUDA kernels on a machine without a CUDA toolkit, driver or GPU.
# (Where a CUDA 13 toolkit is installed, `cargo build --release --features cuda` is enough.)
#
#   tools/build_cuda.sh [build|check] [more arguments for cargo, e.g. --features flash-attn]
#
# build   builds the program, at $CARGO_TARGET_DIR/cuda/release/posebook (CARGO_TARGET_DIR: target if unset)
# check   only checks that the code compiles: kernels once, then some seconds per change
#
# POSEBOOK_CUDA_DIR      folder of the toolkit, headers and stub libraries   (.posebook/cuda; 400 MB)
# POSEBOOK_CUDA_KERNELS  needed: those that Posebook calls; all: all of candle's   (needed)
# CUDA_COMPUTE_CAP       compute capability of the GPU, 90 for H100 and H200     (90)
# JOBS                   number of parallel compilers                    (the machine's cores)
#
# Installs nvcc and its parts as packages with pip (with pip's mirrors and proxies), compiles
# cuda/forward.c as a stub for the libraries that the linker needs, and calls cargo with cuda/nvcc as
# the compiler of kernels. Nothing is written outside of the two folders.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'build-cuda: %s\n' "$*" >&2; }
stop() { say "$@"; exit 1; }

what=build
case ${1:-} in build | check) what=$1; shift ;; esac
kernels=${POSEBOOK_CUDA_KERNELS:-needed}
case $kernels in
    needed) target=${CARGO_TARGET_DIR:-target}/cuda ;;
    all) target=${CARGO_TARGET_DIR:-target}/cuda-all ;; # a separate folder: cargo does not track this choice
    *) stop "POSEBOOK_CUDA_KERNELS is '$kernels': set it to needed or to all" ;;
esac

[ "$(uname -sm)" = "Linux x86_64" ] || stop "this recipe is for Linux on x86-64; here, install a CUDA 13" \
    "toolkit and run 'cargo build --release --features cuda'"
for program in cargo python3 gcc g++ ar git; do
    command -v "$program" >/dev/null || stop "$program is missing: install it and run this again"
done

mkdir -p "${POSEBOOK_CUDA_DIR:-.posebook/cuda}"
dir=$(cd "${POSEBOOK_CUDA_DIR:-.posebook/cuda}" && pwd)
toolkit=$dir/toolkit

# unpacked PACKAGE==VERSION...: unpacks packages into one folder and prints its name
unpacked() {
    python3 -m pip --version >/dev/null 2>&1 ||
        stop "python3 has no pip, which fetches the compiler: install pip, or a CUDA 13 toolkit"
    local part
    part=$(mktemp -d "$dir/part.XXXXXX")
    python3 -m pip download -q --no-deps --only-binary=:all: -d "$part" "$@" >&2 ||
        { rm -rf "$part"; stop "pip could not fetch $*: see its message above"; }
    for wheel in "$part"/*.whl; do python3 -m zipfile -e "$wheel" "$part/files"; done
    echo "$part"
}

# The toolkit. nvcc 13.0 writes PTX 9.0, the newest that a driver of CUDA 13.0 (580) can load.
if [ ! -x "$toolkit/bin/nvcc" ]; then
    say "fetching nvcc 13.0 and its parts (102 MB) into $toolkit"
    part=$(unpacked nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 \
        nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85)
    chmod +x "$part"/files/nvidia/cu13/bin/* "$part"/files/nvidia/cu13/nvvm/bin/* # zipfile does not keep modes
    rm -rf "$toolkit" && mv "$part/files/nvidia/cu13" "$toolkit" && rm -rf "$part"
fi

# CUTLASS's headers, where candle-flash-attn looks for its commit before it uses the network.
export CUDAFORGE_HOME=$dir/cudaforge
cutlass=7d49e6c7e2f8896c47f586706e67e1fb215529dc # v3.5.0, CUTLASS_COMMIT in candle-flash-attn's build.rs
checkout=$CUDAFORGE_HOME/git/checkouts/cutlass-${cutlass:0:16}
if [[ " $* " == *flash-attn* && ! -d $checkout ]]; then
    say "fetching CUTLASS 3.5.0's headers into $checkout"
    part=$(unpacked nvidia-cutlass==3.5.0.0)
    source=$part/files/cutlass_library/source
    mkdir -p "$part/checkout/tools/util"
    mv "$source/include" "$part/checkout/" && mv "$source/tools/util/include" "$part/checkout/tools/util/"
    git init -q "$part/checkout" && echo "$cutlass" >"$part/checkout/.git/HEAD" # candle-flash-attn reads only this
    mkdir -p "${checkout%/*}" && mv "$part/checkout" "$checkout" && rm -rf "$part"
fi

# The stubs: one archive under every library name that cudarc passes to the linker.
cudarc=$(cargo metadata --format-version 1 --locked --features cuda | python3 -c 'import json, os, sys
print(next(os.path.dirname(p["manifest_path"]) for p in json.load(sys.stdin)["packages"] if p["name"] == "cudarc"))')
tools/cuda/stand_ins.sh "$cudarc" "$toolkit"

# A fixed path for the compiler wrapper: cargo recompiles the kernels if its path changes.
install -m 755 tools/cuda/nvcc.sh "$dir/nvcc"
export NVCC=$dir/nvcc CUDA_HOME=$toolkit CUDA_PATH=$toolkit PATH=$toolkit/bin:$PATH
export NVCC_APPEND_FLAGS=${NVCC_APPEND_FLAGS:---compress-mode=size}
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90} POSEBOOK_CUDA_KERNELS=$kernels
jobs=${JOBS:-$(nproc)}
export CUDAFORGE_THREADS=$jobs CARGO_TARGET_DIR=$target
unset CUDA_ROOT CUDA_TOOLKIT_ROOT_DIR CUDNN_LIB

cargo "$what" --release --locked --features cuda --bin posebook -j "$jobs" "$@"
if [ "$what" = build ]; then
    say "built $target/release/posebook, $(du -h --apparent-size "$target/release/posebook" | cut -f1)," \
        "for compute capability $CUDA_COMPUTE_CAP, kernels: $kernels"
fi
