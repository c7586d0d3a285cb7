//! What a checkpoint holds besides the network's tensors.

use crate::detect::mask_rcnn::preprocess::{DEVIATION, MEAN};
use crate::detect::mask_rcnn::{ChannelOrder, Config};
use crate::import::ImportError;
use crate::import::checkpoint_reader::CheckpointReader;
use crate::nn::TensorSpec;
use std::collections::HashSet;

/// Names of tensors of an unknown kind that are listed.
const MAX_LISTED: usize = 4;
/// Values closer than this are equal: they are stored in single precision.
const CLOSE: f32 = 1e-3;

/// Tensors of one kind that are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// What they are.
    pub what: String,
    /// How many.
    pub tensors: usize,
}

/// Whether the name of a tensor is of a kind.
type IsOfKind = fn(&str) -> bool;

/// The tensors of a checkpoint that the network does not use, by kind.
pub fn by_kind(source: &CheckpointReader, specs: &[TensorSpec]) -> Vec<LeftOut> {
    let used: HashSet<&str> = specs.iter().map(|spec| spec.key.as_str()).collect();
    let mut unused: Vec<&str> = source.names().into_iter().filter(|name| !used.contains(name)).collect();
    unused.sort_unstable();
    let kinds: [(&str, IsOfKind); 3] = [
        ("counters of batches (num_batches_tracked)", |name| name.ends_with("num_batches_tracked")),
        ("mean and deviation of images (pixel_mean, pixel_std)", |name| {
            matches!(name, "pixel_mean" | "pixel_std")
        }),
        ("anchors (cell_anchors)", |name| name.contains("anchor_generator.cell_anchors")),
    ];
    let mut all = Vec::new();
    for (what, is_of_kind) in kinds {
        let before = unused.len();
        unused.retain(|name| !is_of_kind(name));
        all.push(LeftOut { what: what.into(), tensors: before - unused.len() });
    }
    let shown = unused[..unused.len().min(MAX_LISTED)].join(", ");
    let more = if unused.len() > MAX_LISTED { ", ..." } else { "" };
    all.push(LeftOut { what: format!("others ({shown}{more})"), tensors: unused.len() });
    all.retain(|kind| kind.tensors > 0);
    all
}

/// Notes about values that detectron2 ignores and that differ from those it uses.
///
/// # Errors
/// If they cannot be read.
pub fn notes(source: &mut CheckpointReader, config: &Config) -> Result<Vec<String>, ImportError> {
    let ordered = |mut values: [f32; 3]| {
        if config.input.channels == ChannelOrder::Bgr {
            values.reverse();
        }
        values
    };
    let mut notes = Vec::new();
    for (name, used) in [("pixel_mean", ordered(MEAN)), ("pixel_std", ordered(DEVIATION))] {
        if source.shape(name).is_none() {
            continue;
        }
        let found = source.read_f32(name)?;
        let is_same =
            found.len() == 3 && found.iter().zip(used).all(|(found, used)| (found - used).abs() < CLOSE);
        if !is_same {
            let found = &found[..found.len().min(3)];
            notes.push(format!(
                "{name} of the checkpoint is {found:?}; it is ignored, as detectron2 does, and {used:?} is used: with a \
                 network that was trained otherwise, results are wrong"
            ));
        }
    }
    Ok(notes)
}
