//! Imports 4D-Humans' checkpoint and SMPL's body as a model set, PHALP's files ([`crate::recovery::PhalpSet`]) and detectron2's
//! person detectors ([`crate::recovery::DetectorSet`]) as sets of their own: safetensors files with a manifest.
//!
//! The original files are under licenses: the output stays on the machine that made it (`.gitignore` covers it), and
//! the manifest records each source by name and SHA-256. The import gives what 4D-Humans itself would load: if the
//! checkpoint has its own initial pose, shape and camera, they take precedence over `smpl_mean_params.npz`
//! (`load_from_checkpoint` overwrites what the constructor read). If the checkpoint lacks a tensor that the original
//! would silently leave random, the import fails.

mod body;
mod cache;
mod checkpoint_reader;
mod detector;
pub mod fetched;
mod hashes;
mod manifest;
mod phalp;
mod weights;

pub use crate::pickle::PickleError;
pub use body::body_arrays;
pub use cache::{CachedFiles, find_cached_files};
pub use detector::{
    DetectorRequest, DetectorSummary, LeftOut, detector_cache_folders, find_detector_checkpoint,
    import_detector,
};
pub use phalp::{
    MissingFile, PhalpFile, PhalpRequest, PhalpSummary, PhalpWrittenPart, find_phalp_files, import_phalp,
};

use crate::body::BodyError;
use crate::hmr2::Config;
use checkpoint_reader::CheckpointReader;
use hashes::{SourceFiles, sha256_unless_stopped, while_hashing};
use posebook_core::files::write_atomically;
use posebook_core::scratch;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// What to import, and where to write it.
#[derive(Debug, Clone)]
pub struct ImportRequest {
    /// The model set's name: `NAME.toml`, `NAME.safetensors` and `NAME.body.safetensors` in `folder`.
    pub name: String,
    /// Folder of the output.
    pub folder: PathBuf,
    /// The architecture that the checkpoint must have.
    pub architecture: Config,
    /// A PyTorch checkpoint (.ckpt, .pth, .pt) or a .safetensors file.
    pub checkpoint: PathBuf,
    /// SMPL's body: .pkl or .npz.
    pub smpl: PathBuf,
    /// 4D-Humans' `SMPL_to_J19.pkl`; not needed if the body or the checkpoint contains the regressor.
    pub joint_regressor: Option<PathBuf>,
    /// `smpl_mean_params.npz`; needed if the checkpoint has no initial pose, shape and camera.
    pub mean_params: Option<PathBuf>,
}

/// Result of an import.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportSummary {
    /// Path of the manifest.
    pub manifest: PathBuf,
    /// SHA-256 of the weights file.
    pub weights_sha256: String,
    /// Number of tensors that the network uses.
    pub tensors_used: usize,
    /// Number of the checkpoint's tensors that it does not use.
    pub tensors_unused: usize,
    /// Number of the body's vertices.
    pub vertices: usize,
    /// Whether the initial pose, shape or camera came from `mean_params`.
    pub mean_params_used: bool,
}

/// Why an import failed. No output is left behind.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A pickle, or a file with pickles, is damaged, refused or of another kind.
    #[error("{path}: {source}")]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PickleError,
    },
    /// Like `Pickle`, where the message names the file itself.
    #[error(transparent)]
    Unreadable(PickleError),
    /// The arrays do not form a body.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A file cannot be read or written.
    #[error("cannot read or write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The checkpoint belongs to another architecture.
    #[error(
        "{path} is not the checkpoint of this network: {problems}; import the file that belongs to it{hint}"
    )]
    ArchitectureMismatch {
        /// The checkpoint.
        path: PathBuf,
        /// Missing tensors and wrong shapes.
        problems: String,
        /// What else may help.
        hint: &'static str,
    },
    /// The checkpoint belongs to another detector.
    #[error("{path} is not the checkpoint of {wanted}: {problems}; {advice}")]
    OtherDetector {
        /// The checkpoint.
        path: PathBuf,
        /// The requested detector.
        wanted: &'static str,
        /// Missing tensors and wrong shapes.
        problems: String,
        /// What the file is instead, and what to do.
        advice: String,
    },
    /// A weight is NaN or infinite.
    #[error("tensor {key} of {path} holds {value} at index {index}; the checkpoint is damaged")]
    NotFinite {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor's name.
        key: String,
        /// Index of the value in C order.
        index: usize,
        /// The value.
        value: f32,
    },
    /// The file's contents are not usable.
    #[error("{path}: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The weights are not those of a network that is supported; the message names the file.
    #[error("{0}")]
    Network(String),
    /// None of PHALP's parts can be made of the given files.
    #[error(
        "nothing can be imported: missing {missing}; give the files by options, or use `--from-cache` where PHALP has run"
    )]
    NothingToImport {
        /// Names of the missing files.
        missing: String,
    },
    /// The name cannot be used as a file name.
    #[error(
        "`{0}` is not a valid name of a model set: use letters, digits, `-`, `_` and `.`, starting with a letter or a digit"
    )]
    InvalidName(String),
    /// An output file exists.
    #[error("{path} exists already; give another name (`--name`), or remove it")]
    Exists {
        /// The existing file.
        path: PathBuf,
    },
    /// The caller requested a stop.
    #[error("stopped; no output was left behind")]
    Stopped,
}

impl ImportError {
    fn file(path: &Path) -> impl FnOnce(std::io::Error) -> ImportError + '_ {
        |source| ImportError::File { path: path.to_path_buf(), source }
    }

    fn pickle(path: &Path) -> impl FnOnce(PickleError) -> ImportError + '_ {
        |source| match source {
            PickleError::Archive(_) | PickleError::File { .. } => ImportError::Unreadable(source),
            source => ImportError::Pickle { path: path.to_path_buf(), source },
        }
    }

    fn invalid(path: &Path, reason: impl ToString) -> ImportError {
        ImportError::Invalid { path: path.to_path_buf(), reason: reason.to_string() }
    }
}

/// Imports HMR2. `on_progress` is called with the bytes of weights written and their total; setting `stop` ends the
/// import.
///
/// # Errors
/// If a file cannot be read, belongs to another network, or is refused; then no output is left.
pub fn import_hmr2(
    request: &ImportRequest,
    on_progress: &mut dyn FnMut(u64, u64),
    stop: &AtomicBool,
) -> Result<ImportSummary, ImportError> {
    let ImportRequest { name, folder, checkpoint, .. } = request;
    let paths = output_paths(name, folder)?;
    // leftovers of an import that was killed
    scratch::remove_abandoned(folder, |stem| stem.starts_with(&format!("{name}.")));
    let specs = request.architecture.tensors();
    let mut source = CheckpointReader::open(checkpoint)?;
    let initial = weights::initial_values(request, &specs, &source)?;
    source.check_tensors(&specs, &initial)?;
    let body = body::read_body(request, &mut source)?;

    let source_files = SourceFiles::from_request(request);
    let write = || weights::write_weights(&specs, &mut source, &initial, &paths.weights, on_progress, stop);
    let (written, sources) = while_hashing(&source_files, stop, write)?;
    let body_written = body.save(&paths.body).map_err(ImportError::from);
    let saved = body_written.and_then(|()| {
        let body_sha256 = sha256_unless_stopped(&paths.body, &[stop])?.0;
        let text = manifest::manifest_toml(request, &written.summary, body_sha256, sources)?;
        written.file.finish().map_err(ImportError::file(&paths.weights))?;
        write_atomically(&paths.manifest, text.as_bytes()).map_err(ImportError::file(&paths.manifest))
    });
    if let Err(error) = saved {
        // weights without a manifest cannot be used
        for path in [&paths.weights, &paths.body] {
            let _ = std::fs::remove_file(path);
        }
        return Err(error);
    }
    Ok(ImportSummary {
        manifest: paths.manifest,
        weights_sha256: written.summary.sha256,
        tensors_used: written.summary.used,
        tensors_unused: written.summary.unused,
        vertices: body.vertex_count(),
        mean_params_used: !initial.is_empty(),
    })
}

/// Paths of the three output files.
struct OutputPaths {
    manifest: PathBuf,
    weights: PathBuf,
    body: PathBuf,
}

fn output_paths(name: &str, folder: &Path) -> Result<OutputPaths, ImportError> {
    let new_path = |ending: &str| new_path(name, folder, ending);
    Ok(OutputPaths {
        manifest: new_path("toml")?,
        weights: new_path("safetensors")?,
        body: new_path("body.safetensors")?,
    })
}

/// The path `NAME.ending` in a folder, for a file that does not exist yet.
///
/// # Errors
/// If the name is not valid, or the file exists.
fn new_path(name: &str, folder: &Path, ending: &str) -> Result<PathBuf, ImportError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let starts_well = name.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    if !starts_well || !name.bytes().all(is_plain) || name.len() > 100 {
        return Err(ImportError::InvalidName(name.to_string()));
    }
    let path = folder.join(format!("{name}.{ending}"));
    if path.exists() { Err(ImportError::Exists { path }) } else { Ok(path) }
}
