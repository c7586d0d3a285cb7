//! Fuzzes decoding a JPEG file of an extraction.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    posebook_video::fuzzing::extracted_jpeg(bytes);
});
