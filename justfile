# Posebook's recipes. `./just` makes sure of just and ffmpeg first, then runs one of these.

set positional-arguments := true

posebook := env("CARGO_TARGET_DIR", "target") / "release/posebook"

# list the recipes
default:
    @just --list --unsorted

# run an experiment and write its report: experiment quickstart [--quick] [key=value...]
experiment name *overrides: build
    @{{ posebook }} experiment run "$@"

# track the people of one video: track my.mp4 [key=value...]
track source *overrides: build
    @{{ posebook }} track "$@"

# recover the bodies of the people in pictures: reconstruct photo.jpg [key=value...]
reconstruct +images: build
    @{{ posebook }} reconstruct "$@"

# say what a run over a video will take, mode by mode, before it is made: plan my.mp4
plan source *overrides: build
    @{{ posebook }} plan "$@"

# redraw the newest report of an experiment from its tables
report name: build
    @{{ posebook }} report "$@"

# make all references again, compare, and say what moved: references [NAME...] [--renew] [--newest] [--fresh]
references *arguments: build
    @{{ posebook }} references "$@"

# keep an experiment's newest report as its reference, which is committed
reference name: build
    @{{ posebook }} references --newest --renew "$1"

# make the clips of every dataset, and list them
datasets: build
    @{{ posebook }} dataset make --all
    @{{ posebook }} dataset list

# list the model sets and verify their weights
models: build
    @{{ posebook }} model list
    @{{ posebook }} model verify

# build the program
build:
    @cargo build --release --locked --bin posebook

# build the program with its CUDA kernels, where no CUDA toolkit is installed: build-cuda --features flash-attn
build-cuda *arguments:
    tools/build_cuda.sh build "$@"

# check that the CUDA build compiles, without linking it
check-cuda *arguments:
    tools/build_cuda.sh check "$@"

# run the tests; the slow ones have a recipe of their own
test *filter:
    cargo test --release --locked "$@"

# run the slow tests: whole experiments, interrupted and resumed
test-slow:
    cargo test --release --locked -- --ignored

# check the format and the lints
lint:
    cargo fmt --check
    cargo clippy --release --locked --all-targets -- -D warnings

# run the benchmarks: all, or one of render, video, hmr2, fit, blazepose
bench *name:
    cargo bench --locked {{ if name == "" { "--benches" } else { "--bench " + name } }}

# hold the network against the original's numbers, ViT-H filled by formula included: parity [--precision bf16]
parity *arguments: build
    @{{ posebook }} parity --full "$@"

# put the graphics card here through parity, pipeline, memory and speed; writes reports/gpu: gpu [--only speed]
gpu *arguments:
    tools/gpu.sh "$@"

# gather the CUDA program and ffmpeg in carry/, for a machine with a card and nothing else
carry: (build-cuda "--features" "flash-attn")
    tools/carry.sh

# try the CUDA program's memory without a card: a stand-in driver counts every allocation; some minutes
try-cuda:
    tools/cuda/try_without_card.sh
