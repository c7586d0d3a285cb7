//! Settings of a `.pkl`.

use super::keys::KeyKind;

/// What the frames do not say.
#[derive(Debug, Clone, PartialEq)]
pub struct PklSettings {
    /// Kind of the frames' keys.
    pub keys: KeyKind,
    /// PHALP's `video.output_dir`, for keys that are paths.
    pub output_dir: String,
    /// Whether to write the keys `appe`, `loca` and `pose` (26 keys; else 23). Then everybody needs an embedding.
    pub appearance: bool,
    /// Ratio of width and height to which boxes were padded before `center` and `scale` (`expand_bbox_shape`): 192:256 in
    /// 4D-Humans, `None` in PHALP.
    pub box_shape: Option<[f32; 2]>,
}

impl PklSettings {
    /// Paths as keys, no embeddings, boxes padded as in 4D-Humans.
    pub fn new(output_dir: &str) -> PklSettings {
        PklSettings {
            keys: KeyKind::Path,
            output_dir: output_dir.into(),
            appearance: false,
            box_shape: Some([192.0, 256.0]),
        }
    }
}
