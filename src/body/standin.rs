//! The free stand-in for SMPL that comes with the program.

use super::Body;
use std::path::Path;
use std::sync::LazyLock;

/// Where it lies in the source tree, for messages.
const ORIGIN: &str = "models/body/standin.safetensors";

static STAND_IN: LazyLock<Body> = LazyLock::new(|| {
    let bytes = include_bytes!("../../models/body/standin.safetensors");
    let tensors = candle_core::safetensors::load_buffer(bytes, &candle_core::Device::Cpu);
    let tensors = tensors.expect("the embedded body is a safetensors file (tested)");
    Body::from_tensors(&tensors, Path::new(ORIGIN)).expect("the embedded body is whole (tested)")
});

impl Body {
    /// The body baked from MakeHuman's CC0 mesh (`models/body/README.md`). Nothing is read at run time.
    pub fn stand_in() -> Body {
        STAND_IN.clone()
    }

    /// The bytes of the stand-in's file, for its hash.
    pub fn stand_in_bytes() -> &'static [u8] {
        include_bytes!("../../models/body/standin.safetensors")
    }
}
