//! Fuzzes parsing ffprobe's JSON description of a file.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    posebook_video::fuzzing::stream_info(bytes);
});
