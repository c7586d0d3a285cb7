//! Fuzzes decoding a JPEG or PNG image.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    posebook_video::fuzzing::still_image(bytes);
});
