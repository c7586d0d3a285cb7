# Posebook's recipes. `./just` installs just and ffmpeg if they are missing, then runs one of these.

set positional-arguments := true

posebook := env("CARGO_TARGET_DIR", "target") / "release/posebook"

# list the recipes
default:
    @just --list --unsorted

# run an experiment and write its report: experiment quickstart [--quick] [key=value...]
experiment name *overrides: build
    @{{ posebook }} experiment run "$@"

# track the people in a video: track my.mp4 [key=value...]
track source *overrides: build
    @{{ posebook }} track "$@"

# reconstruct the bodies of the people in images: reconstruct photo.jpg [key=value...]
reconstruct +images: build
    @{{ posebook }} reconstruct "$@"

# serve jobs over HTTP with a page: serve [--listen 127.0.0.1:7878] [--allow FOLDER]
serve *options: build
    @{{ posebook }} serve "$@"

# estimate memory, disk and time of a run over a video in every mode: plan my.mp4
plan source *overrides: build
    @{{ posebook }} plan "$@"

# render the newest report of an experiment again from its tables
report name: build
    @{{ posebook }} report "$@"

# reproduce the reference reports and compare: references [NAME...] [--renew] [--newest] [--fresh]
references *arguments: build
    @{{ posebook }} references "$@"

# make an experiment's newest report its reference, which is committed
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

# build the program with its CUDA kernels, without an installed CUDA toolkit: build-cuda --features flash-attn
build-cuda *arguments:
    tools/build_cuda.sh build "$@"

# check that the CUDA build compiles, without linking it
check-cuda *arguments:
    tools/build_cuda.sh check "$@"

# run the tests without the slow ones
test *filter:
    cargo test --release --locked --workspace "$@"

# run the tests of parsers of untrusted files with overflow checks and debug assertions
test-checked:
    cargo test --profile checked --locked --lib -p posebook-core -p posebook-video -p posebook-track -p posebook-models -p posebook-export -- \
        archive:: npz:: pickle:: pkl:: tflite:: tfjs:: motchallenge:: sources:: images:: probe::stream_info probe::listing \
        probe::container

# run the slow tests: whole experiments, interrupted and resumed
test-slow:
    cargo test --release --locked --workspace -- --ignored

# check the format, the lints and the documentation
lint:
    cargo fmt --all --check
    cargo clippy --release --locked --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --workspace --no-deps

# run the benchmarks: all, or one of render, video, hmr2, fit, blazepose, association
bench *name:
    cargo bench --locked --workspace {{ if name == "" { "--benches" } else { "--bench " + name } }}

# compare the network with outputs of the original, including ViT-H with weights from a formula: parity [--precision bf16]
parity *arguments: build
    @{{ posebook }} parity --full "$@"

# test parity, pipeline, memory and speed on this machine's GPU; writes reports/gpu: gpu [--only speed]
gpu *arguments:
    tools/gpu.sh "$@"

# collect the CUDA program and ffmpeg in carry/, for a machine with a GPU but no toolchain
carry: (build-cuda "--features" "flash-attn")
    tools/carry.sh

# test the CUDA program's memory without a GPU: a fake driver counts every allocation; takes minutes
try-cuda:
    tools/cuda/try_without_card.sh
