//! MP4 and Matroska, as symphonia reads them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    posebook::video::fuzzing::container(bytes);
});
