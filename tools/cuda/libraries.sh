#!/bin/sh
# Prints the folders of CUDA 13's libraries in the format of LD_LIBRARY_PATH: its present value, then the
# packages of python3's PyTorch, then an installed toolkit.
#
#   LD_LIBRARY_PATH=$(tools/cuda/libraries.sh) posebook device
#
# If cuBLAS is in none of them, prints the present LD_LIBRARY_PATH and fails.
folders=${LD_LIBRARY_PATH:-}
found=
packages=$(python3 - 2>/dev/null <<'END'
import glob, importlib.util, os
spec = importlib.util.find_spec("nvidia")
for root in spec.submodule_search_locations if spec else []:
    for folder in sorted(glob.glob(os.path.join(root, "*", "lib"))):
        if any(glob.glob(os.path.join(folder, name)) for name in ("libcublas.so.13", "libcurand.so.10")):
            print(folder)
END
)
for folder in $packages /usr/local/cuda/lib64 /usr/local/cuda-13*/lib64; do
    [ -e "$folder/libcublas.so.13" ] && found=yes
    [ -d "$folder" ] && folders=${folders:+$folders:}$folder
done
printf '%s\n' "$folders"
[ -n "$found" ]
