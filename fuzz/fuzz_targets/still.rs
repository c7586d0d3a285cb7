//! a picture of any kind.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    posebook::video::fuzzing::still(bytes);
});
