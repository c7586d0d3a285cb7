//! ffprobe's account of a file, as JSON.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    posebook::video::fuzzing::facts(bytes);
});
