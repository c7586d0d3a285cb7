#!/usr/bin/env bash
# Compiler wrapper that cargo calls for candle's kernels (tools/build_cuda.sh, NVCC). With
# POSEBOOK_CUDA_KERNELS=needed it omits what Posebook never calls, which is most of the compile time and size:
#
#   - candle-kernels: products with quantized (GGUF) weights and mixtures of experts;
#   - candle-flash-attn: all head widths except 65 to 96 (HMR2 has 80), causal masks, paged keys; and, in
#     what remains, dropout, ALiBi, soft-capping and sliding windows (they would be ignored if requested).
#
# Each omitted function exists for the linker, and aborts the program with its name if it is called.
set -euo pipefail
nvcc=$CUDA_HOME/bin/nvcc
[ "${POSEBOOK_CUDA_KERNELS:-all}" = needed ] || exec "$nvcc" "$@"

source=${!#} # the last argument
object=
includes=()
previous=
for argument in "$@"; do
    [ "$previous" != -o ] || object=$argument
    case $argument in -I*) includes+=("$argument") ;; esac
    previous=$argument
done

# body NAME: the body of an omitted function; backslashes are doubled for sed
body() {
    printf 'fprintf(stderr, "posebook: %s is left out of this build (tools/cuda/nvcc.sh)\\\\n"); abort();' "$1"
}

case ${source##*/} in
    moe_gguf.cu)
        # The C functions of all these files, once, with the names that the crate's Rust code declares.
        {
            printf '#include <stdio.h>\n#include <stdlib.h>\n'
            sed -nE "s|^ *pub fn (\w+)\(.*|void \1(void) { $(body '\1') }|p" src/ffi.rs
        } | gcc -fPIC -O1 -x c -c - -o "$object"
        ;;
    moe_*.cu | mmvq_*.cu | mmq_*.cu)
        gcc -fPIC -x c -c /dev/null -o "$object"
        ;;
    flash_fwd_hdim96_bf16_sm80.cu | flash_fwd_hdim96_fp16_sm80.cu)
        exec "$nvcc" -w -DFLASHATTENTION_DISABLE_DROPOUT -DFLASHATTENTION_DISABLE_ALIBI \
            -DFLASHATTENTION_DISABLE_SOFTCAP -DFLASHATTENTION_DISABLE_LOCAL "$@"
        ;;
    flash_fwd_*.cu)
        # The file as it is, with what it declares but not its kernels, and with another body.
        sed -E -e 's/"flash_fwd_launch_template.h"/"flash.h"/' \
            -e "s|^    run_mha_.*|    $(body "${source##*/}")|" "$source" |
            g++ -std=c++17 -fPIC -O1 -w "${includes[@]}" -I"${source%/*}" -isystem "$CUDA_HOME/include" \
                -isystem "$CUDA_HOME/include/cccl" -include cstdio -include cstdlib -include cuda_runtime.h \
                -include cutlass/numeric_types.h -x c++ -c - -o "$object"
        ;;
    *)
        exec "$nvcc" "$@"
        ;;
esac
