#!/bin/sh
# Tests the CUDA program's memory without a GPU: a fake driver (fake/) counts every allocation, so that the
# GPU memory of streaming and extraction is known to the byte, and errors of a full and of a lost GPU are tested.
# Nothing is computed: results are zeros.
#
#   tools/cuda/try_without_card.sh      after `just build-cuda`; takes minutes
set -eu
cd "$(dirname "$0")/../.."
here=$PWD/tools/cuda/fake
program=$PWD/${CARGO_TARGET_DIR:-target}/cuda/release/posebook
case ${CARGO_TARGET_DIR:-} in /*) program=$CARGO_TARGET_DIR/cuda/release/posebook ;; esac
[ -x "$program" ] || { echo "try: $program does not exist; build it with 'just build-cuda'" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/lib" "$work/state"
library() { gcc -w -O1 -shared -fPIC -o "$work/lib/$1" "$here/$2" -lpthread; }
library libcuda.so.1 driver.c
library libnvidia-ml.so.1 nvml.c
for name in libcublas.so.13 libcublasLt.so.13 libcurand.so.10; do library "$name" libraries.c; done
# a separate project, so that its results are not used as measurements
for part in datasets models; do ln -s "$PWD/$part" "$work/$part"; done
mkdir "$work/experiments"
cp experiments/gpu-memory.toml "$work/experiments"
cat >"$work/experiments/small-card.toml" <<'END'
question = "Does a small GPU run out of memory in the expected runs only?"
[defaults]
dataset = { name = "walkers", only = ["crossing"], people = 2, width = 320, height = 180, frames = 120 }
device = "cuda:0"
hmr2 = { batch = 2 }
[sweep]
"limits.device_mib" = [326, 2048]
"video.mode" = [{ extract = { store = "device" } }, { stream = { access = "sequential" } }]
[[cell]]
claim = "Only storing the frames on the smaller GPU runs out of memory"
source = "the fake context takes 300 MiB, network and crops 18, the frames 20"
sql = """
select sum(case when (outcome = 'out_of_memory') = (mode = 'extract-device' and limit_device_mib = 326) then 1 else 0 end)
from runs
"""
holds = { equals = 4.0, unit = "of four runs with the expected outcome" }
expect = "holds"
END
cd "$work"
export LD_LIBRARY_PATH="$work/lib" FAKE_STATE="$work/state"
"$program" device
"$program" experiment run small-card
"$program" experiment run gpu-memory dataset.width=320 dataset.height=180
# the GPU is lost after some launches
FAKE_LOST=200 "$program" experiment run small-card --fresh 2>&1 | grep -m 1 'lost' ||
    { echo "try: the loss of the GPU was not reported" >&2; exit 1; }
