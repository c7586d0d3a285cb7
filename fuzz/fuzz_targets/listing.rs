//! Fuzzes parsing ffprobe's lists of packets and frames.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    posebook_video::fuzzing::listing(bytes);
});
