#!/usr/bin/env bash
# Collects what `just gpu` needs on a machine with only a GPU (no network, no Rust, no root):
# the compressed program with its CUDA kernels, and a small static ffmpeg and ffprobe. The rest is in the checkout.
#
#   tools/carry.sh [FOLDER]      into FOLDER (carry/), which is copied with the checkout
#
# Then run tools/gpu.sh there. Build the program first: just build-cuda --features flash-attn.
#
# POSEBOOK_FFMPEG   a folder with your own static ffmpeg and ffprobe, instead of building them
#
# Prebuilt static builds of ffmpeg have 150 MB, mostly unused codecs. This one, from the
# distribution's sources, has 12 MB: it reads and writes H.264 and reads HEVC, MPEG-4, JPEG and PNG.
set -euo pipefail
cd "$(dirname "$0")/.."
to=${1:-carry}
program=${CARGO_TARGET_DIR:-target}/cuda/release/posebook
say() { printf 'carry: %s\n' "$*" >&2; }
stop() { say "$@"; exit 1; }

# sources_of PACKAGE...: downloads the distribution's source packages into this folder
sources_of() {
    mkdir -p apt/parts apt/lists/partial
    for list in /etc/apt/sources.list.d/*.sources; do
        [ -f "$list" ] && sed 's/^Types: deb$/Types: deb-src/' "$list" >"apt/parts/$(basename "$list")"
    done
    if [ -f /etc/apt/sources.list ]; then
        sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >apt/parts/main.list
    fi
    local options=(-o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$PWD/apt/parts" -o "Dir::State::Lists=$PWD/apt/lists")
    apt-get -q "${options[@]}" update >apt.log 2>&1 || stop "apt-get cannot read its sources: see $PWD/apt.log"
    apt-get -q "${options[@]}" source --download-only "$@" >>apt.log 2>&1 || stop "no sources of $*: see $PWD/apt.log"
}

# in a separate folder: x264, then ffmpeg with it
build_ffmpeg() {
    sources_of x264 ffmpeg
    tar xf x264_*.orig.tar.*z && tar xf ffmpeg_*.orig.tar.xz
    say "building x264"
    (cd x264*/ && ./configure --prefix="$PWD/../out" --enable-static --disable-cli --disable-opencl --bit-depth=8 &&
        make -j"$(nproc)" && make install) >x264.log 2>&1 || stop "x264 could not be built: see $PWD/x264.log"
    say "building ffmpeg, some minutes"
    (cd ffmpeg-*/ && PKG_CONFIG_PATH=$PWD/../out/lib/pkgconfig ./configure \
        --pkg-config-flags=--static --extra-ldexeflags=-static --enable-gpl --enable-libx264 --enable-small \
        --disable-everything --disable-autodetect --disable-network --disable-doc --disable-debug --disable-ffplay \
        --disable-avdevice --disable-postproc --enable-protocol=file,pipe \
        --enable-demuxer=mov,matroska,rawvideo,h264,image2,image2pipe,png_pipe \
        --enable-muxer=mp4,matroska,rawvideo,null,hash,framehash,image2,image2pipe \
        --enable-decoder=h264,hevc,mpeg4,mjpeg,png,rawvideo,wrapped_avframe \
        --enable-encoder=libx264,rawvideo,wrapped_avframe,png,mjpeg \
        --enable-parser=h264,hevc,mpeg4video,mjpeg,png --enable-bsf=h264_mp4toannexb,extract_extradata,h264_metadata \
        --enable-filter=scale,format,null,copy,transpose,hflip,vflip,rotate,select,setpts,trim,fps,crop,pad,aformat,anull,atrim &&
        make -j"$(nproc)") >ffmpeg.log 2>&1 || stop "ffmpeg could not be built: see $PWD/ffmpeg.log"
}

[ -x "$program" ] || stop "there is no $program: build it first with 'just build-cuda --features flash-attn'"
mkdir -p "$to"
to=$(cd "$to" && pwd)

if [ ! -x "$to/ffmpeg" ] || [ ! -x "$to/ffprobe" ]; then
    if [ -n "${POSEBOOK_FFMPEG:-}" ]; then
        cp "$POSEBOOK_FFMPEG/ffmpeg" "$POSEBOOK_FFMPEG/ffprobe" "$to"
    else
        for tool in apt-get gcc make nasm pkg-config; do
            command -v "$tool" >/dev/null || stop "$tool is missing: install it, or set POSEBOOK_FFMPEG to static ones"
        done
        part=$(mktemp -d)
        (cd "$part" && build_ffmpeg) || stop "its logs are in $part"
        cp "$part"/ffmpeg-*/ffmpeg "$part"/ffmpeg-*/ffprobe "$to"
        rm -rf "$part"
    fi
fi
say "packing the program, which takes a minute or two"
xz -6 -T1 -c "$program" >"$to/posebook.xz.part"
mv "$to/posebook.xz.part" "$to/posebook.xz"

kib=$(du -sk --apparent-size "$to" models tests/goldens experiments datasets tools | awk '{ sum += $1 } END { print sum }')
say "$to with models, goldens and experiments: $((kib / 1024)) MiB"
[ "$kib" -lt $((60 * 1024)) ] || stop "that is more than the 60 MiB that can be carried"
