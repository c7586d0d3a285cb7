#!/bin/sh
# Tries the CUDA program's memory without a card: a stand-in driver (fake/) counts every allocation, so that
# what streaming and extraction keep on a card can be seen to the byte, and how a full or a lost card ends.
# Nothing is computed: people come out as zeros.
#
#   tools/cuda/try_without_card.sh      after `just build-cuda`; some minutes
set -eu
cd "$(dirname "$0")/../.."
here=$PWD/tools/cuda/fake
program=$PWD/${CARGO_TARGET_DIR:-target}/cuda/release/posebook
case ${CARGO_TARGET_DIR:-} in /*) program=$CARGO_TARGET_DIR/cuda/release/posebook ;; esac
[ -x "$program" ] || { echo "try: there is no $program: build it first with 'just build-cuda'" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/lib" "$work/state"
library() { gcc -w -O1 -shared -fPIC -o "$work/lib/$1" "$here/$2" -lpthread; }
library libcuda.so.1 driver.c
library libnvidia-ml.so.1 nvml.c
for name in libcublas.so.13 libcublasLt.so.13 libcurand.so.10; do library "$name" libraries.c; done
# a project of its own, so that nothing of it is taken for a measurement
for part in datasets models; do ln -s "$PWD/$part" "$work/$part"; done
mkdir "$work/experiments"
cp experiments/gpu-memory.toml "$work/experiments"
cat >"$work/experiments/small-card.toml" <<'END'
question = "Does a small card run out of memory where it has to, and nowhere else?"
[defaults]
dataset = { name = "walkers", only = ["crossing"], people = 2, width = 320, height = 180, frames = 120 }
device = "cuda:0"
hmr2 = { batch = 2 }
[sweep]
"limits.device_mib" = [326, 2048]
"video.mode" = [{ extract = { store = "device" } }, { stream = { access = "sequential" } }]
[[cell]]
claim = "Only the frames kept on the smaller card run out of its memory"
source = "the stand-in's context holds 300 MiB, network and crops 18, the frames 20"
sql = """
select sum(case when (outcome = 'out_of_memory') = (mode = 'extract-device' and limit_device_mib = 326) then 1 else 0 end)
from runs
"""
holds = { equals = 4.0, unit = "of four runs end as they have to" }
expect = "holds"
END
cd "$work"
export LD_LIBRARY_PATH="$work/lib" FAKE_STATE="$work/state"
"$program" device
"$program" experiment run small-card
"$program" experiment run gpu-memory dataset.width=320 dataset.height=180
# after some launches the card is gone
FAKE_LOST=200 "$program" experiment run small-card --fresh 2>&1 | grep -m 1 'lost' ||
    { echo "try: a lost card was not told" >&2; exit 1; }
