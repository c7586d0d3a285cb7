//! Imports a published person detector: from detectron2's checkpoint (`.pkl` of its model zoo, `.pth` of a training) or a
//! `.safetensors` file to a detector set ([`crate::recovery::DetectorSet`]).
//!
//! One tensor at a time is read, checked and written, so that 2.8 GB of weights need little memory. What detectron2 itself
//! ignores in older files (`pixel_mean`, `pixel_std`, anchors, counters of batches) is left out and listed.

mod files;
mod left_out;
mod recognize;

pub use files::{detector_cache_folders, find_detector_checkpoint};
pub use left_out::LeftOut;

use super::checkpoint_reader::{CheckpointReader, summarize};
use super::hashes::{SourceFiles, while_hashing};
use super::weights::write_tensors;
use super::{ImportError, new_path};
use crate::detect::mask_rcnn::{Architecture, Config};
use crate::nn::TensorSpec;
use crate::recovery::{DetectorImport, DetectorSetFile};
use posebook_core::files::write_atomically;
use posebook_core::scratch;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Start of the names of the mask head's tensors.
const MASK_HEAD: &str = "roi_heads.mask_head.";

/// What to import, and where to write it.
#[derive(Debug, Clone)]
pub struct DetectorRequest {
    /// The set's name: `NAME.toml` and `NAME.safetensors` in `folder`.
    pub name: String,
    /// Folder of the output.
    pub folder: PathBuf,
    /// The sizes that the checkpoint must have.
    pub config: Config,
    /// Number of classes of a checkpoint that was trained on others than COCO's 80; class 0 has to be the person.
    pub classes: Option<usize>,
    /// `.pkl`, `.pth` or `.safetensors`.
    pub checkpoint: PathBuf,
}

/// Result of an import.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorSummary {
    /// Path of the set's file.
    pub manifest: PathBuf,
    /// SHA-256 of the weights file.
    pub weights_sha256: String,
    /// Number of tensors that the network uses.
    pub tensors_used: usize,
    /// Tensors of the checkpoint that it does not use, by kind.
    pub left_out: Vec<LeftOut>,
    /// `__author__` of the checkpoint.
    pub author: Option<String>,
    /// Classes without the background.
    pub classes: usize,
    /// What the user should know about values that are left out.
    pub notes: Vec<String>,
}

/// Imports a detector. `on_progress` is called with the bytes of weights written and their total; setting `stop` ends the
/// import.
///
/// # Errors
/// If the file cannot be read, is refused, belongs to another network or has other classes, or a weight is not finite; then no
/// output is left.
pub fn import_detector(
    request: &DetectorRequest,
    on_progress: &mut dyn FnMut(u64, u64),
    stop: &AtomicBool,
) -> Result<DetectorSummary, ImportError> {
    let DetectorRequest { name, folder, checkpoint, .. } = request;
    let manifest = new_path(name, folder, "toml")?;
    let weights = new_path(name, folder, "safetensors")?;
    // leftovers of an import that was killed
    scratch::remove_abandoned(folder, |stem| stem.starts_with(&format!("{name}.")));
    let mut source = CheckpointReader::open_with_arrays(checkpoint)?;
    let config = checked_config(request, &source)?;
    let specs = config.tensors();
    let left_out = left_out::by_kind(&source, &specs);
    let notes = left_out::notes(&mut source, &config)?;
    let author = source.author().map(str::to_string);

    let files = SourceFiles::new([("checkpoint", checkpoint.clone())].into_iter());
    let mut read = |spec: &TensorSpec| source.read_f32(&spec.key);
    let write = || write_tensors(&specs, checkpoint, &mut read, &weights, on_progress, stop);
    let ((file, sha256), sources) = while_hashing(&files, stop, write)?;
    let record = DetectorImport {
        tensors_used: specs.len(),
        tensors_left_out: left_out.iter().map(|kind| kind.tensors).sum(),
        author: author.clone(),
        sources,
    };
    let file_name = weights.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let set = DetectorSetFile::new(&config, file_name, sha256.clone(), record);
    let text = toml::to_string(&set).map_err(|error| ImportError::invalid(&manifest, error))?;
    file.finish().map_err(ImportError::file(&weights))?;
    if let Err(error) = write_atomically(&manifest, text.as_bytes()) {
        // weights without a manifest cannot be used
        let _ = std::fs::remove_file(&weights);
        return Err(ImportError::file(&manifest)(error));
    }
    Ok(DetectorSummary {
        manifest,
        weights_sha256: sha256,
        tensors_used: specs.len(),
        left_out,
        author,
        classes: config.classes,
        notes,
    })
}

/// The requested sizes with the checkpoint's number of classes.
///
/// # Errors
/// If the checkpoint is another network's, or has another number of classes than it should.
fn checked_config(request: &DetectorRequest, source: &CheckpointReader) -> Result<Config, ImportError> {
    let wanted = request.classes.unwrap_or(request.config.classes);
    let found = recognize::classes(source, &request.config).filter(|classes| *classes > 0);
    let config = Config { classes: found.unwrap_or(wanted), ..request.config.clone() };
    let problems = source.problems(&config.tensors(), |_| false);
    if !problems.is_empty() {
        return Err(mismatch(source, &config, problems));
    }
    if config.classes == wanted {
        return Ok(config);
    }
    let reason = format!(
        "has {} classes, and not {wanted}; if its class 0 is the person, give `--classes {0}`",
        config.classes
    );
    Err(ImportError::invalid(source.path(), reason))
}

/// The error of a checkpoint that is another network's.
fn mismatch(source: &CheckpointReader, config: &Config, problems: Vec<String>) -> ImportError {
    let path = source.path().to_path_buf();
    if problems.iter().all(|problem| problem.starts_with(MASK_HEAD)) {
        let reason = format!(
            "has the boxes of {}, but not its mask head ({}): it is a Faster R-CNN or damaged; give the checkpoint of Mask \
             R-CNN",
            describe(config.architecture()),
            summarize(problems)
        );
        return ImportError::Invalid { path, reason };
    }
    let other = Architecture::ALL.into_iter().find(|other| {
        let sizes = Config { classes: config.classes, ..Config::published(*other) };
        *other != config.architecture() && source.problems(&sizes.tensors(), |_| false).is_empty()
    });
    let advice = match (other, recognize::looks_like(source)) {
        (Some(other), _) => {
            format!("it is that of {}: `posebook model import {}` imports it", describe(other), other.name())
        }
        (None, Some(what)) => format!("it looks like {what}; give the file that belongs to the network"),
        (None, None) => "give the file that belongs to the network".into(),
    };
    ImportError::OtherDetector {
        path,
        wanted: describe(config.architecture()),
        problems: summarize(problems),
        advice,
    }
}

/// The name of a detector in messages.
fn describe(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Vitdet => "ViTDet-H with a cascade of box heads",
        Architecture::Regnety => "RegNetY-4GF Mask R-CNN",
        Architecture::X101 => "ResNeXt-101 32x8d Mask R-CNN",
    }
}
