//! Fuzzes reading an MP4 or Matroska container with symphonia.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    posebook_video::fuzzing::container(bytes);
});
