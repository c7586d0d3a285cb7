//! an extraction's JPEG.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    posebook::video::fuzzing::picture(bytes);
});
