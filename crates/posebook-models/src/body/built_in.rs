//! The built-in body: a free body in SMPL's format that is embedded in the program.

use super::Body;
use std::path::Path;
use std::sync::LazyLock;

/// Its file in the source tree, for messages.
const ORIGIN: &str = "models/body/standin.safetensors";

static BUILT_IN: LazyLock<Body> = LazyLock::new(|| {
    let bytes = include_bytes!("../../../../models/body/standin.safetensors");
    let tensors = candle_core::safetensors::load_buffer(bytes, &candle_core::Device::Cpu);
    let tensors = tensors.expect("the embedded body is a safetensors file (tested)");
    Body::from_tensors(&tensors, Path::new(ORIGIN)).expect("the embedded body is complete (tested)")
});

impl Body {
    /// The built-in body, baked from MakeHuman's CC0 mesh (`models/body/README.md`).
    pub fn built_in() -> Body {
        BUILT_IN.clone()
    }

    /// The bytes of its file, for its hash.
    pub fn built_in_bytes() -> &'static [u8] {
        include_bytes!("../../../../models/body/standin.safetensors")
    }
}
