#!/bin/sh
# Prints where CUDA 13's libraries lie on this machine, as LD_LIBRARY_PATH wants it: what that holds
# already, then the packages that came with python3's PyTorch, then an installed toolkit.
#
#   LD_LIBRARY_PATH=$(tools/cuda/libraries.sh) posebook device
#
# Prints what LD_LIBRARY_PATH held, and fails, where cuBLAS is in none of them.
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
