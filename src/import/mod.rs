//! From the files that people have to a model set: 4D-Humans' checkpoint and SMPL's body become safetensors with
//! a manifest beside them.
//!
//! The files are bound by licences: what is made of them stays on the machine that made it (`.gitignore` sees to
//! that), and the manifest says where each came from, by name and SHA-256. What is imported is what 4D-Humans itself
//! would have loaded: where the checkpoint has its own initial pose, shape and camera they win over
//! `smpl_mean_params.npz` (`load_from_checkpoint` writes over what the constructor read), and where it lacks something
//! that the original would silently leave at random, the import is refused. Must not know how the network runs.

mod body;
mod cache;
pub mod fetched;
mod hashes;
mod manifest;
mod source;
mod weights;

pub use body::arrays as body_arrays;
pub use cache::{Found, find};

use crate::body::BodyError;
use crate::files::write_whole;
use crate::hmr2::Config;
use crate::pickle::PickleError;
use crate::scratch;
use hashes::{Hashes, sha256_until};
use source::Source;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What is to be imported, and where it goes.
#[derive(Debug, Clone)]
pub struct Request {
    /// The model set's name: `NAME.toml`, `NAME.safetensors` and `NAME.body.safetensors` in `folder`.
    pub name: String,
    pub folder: PathBuf,
    /// The sizes that the checkpoint has to have.
    pub architecture: Config,
    /// A PyTorch checkpoint (.ckpt, .pth, .pt) or a .safetensors file.
    pub checkpoint: PathBuf,
    /// SMPL's body: .pkl or .npz.
    pub smpl: PathBuf,
    /// 4D-Humans' `SMPL_to_J19.pkl`; not needed where the body or the checkpoint has it, too.
    pub joint_regressor: Option<PathBuf>,
    /// `smpl_mean_params.npz`, needed where the checkpoint has no initial pose, shape and camera.
    pub mean_params: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub manifest: PathBuf,
    pub weights_sha256: String,
    /// Tensors that the network uses.
    pub used: usize,
    /// Tensors of the checkpoint that it does not use.
    pub left_out: usize,
    pub vertices: usize,
    /// Whether the initial pose, shape or camera came out of `mean_params`.
    pub mean_params_used: bool,
}

/// Why an import failed; nothing is left behind then.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{path}: {source}")]
    Pickle { path: PathBuf, source: PickleError },
    /// One that names the file itself.
    #[error(transparent)]
    Unreadable(PickleError),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("cannot read or write {path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error(
        "{path} is not the checkpoint of this network: {problems}; import the file that belongs to it{hint}"
    )]
    Misfit { path: PathBuf, problems: String, hint: &'static str },
    #[error(
        "tensor {key} of {path} holds {value} at number {index}; the checkpoint is damaged or was never good"
    )]
    NotFinite { path: PathBuf, key: String, index: usize, value: f32 },
    #[error("{path}: {reason}")]
    Wrong { path: PathBuf, reason: String },
    #[error(
        "`{0}` is no name of a model set: give letters, digits, `-`, `_` and `.`, a letter or a digit first"
    )]
    Name(String),
    #[error("{path} stands there already; give another name (`--name`), or remove it")]
    Exists { path: PathBuf },
    #[error("stopped; nothing is left of it")]
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

    fn wrong(path: &Path, reason: impl ToString) -> ImportError {
        ImportError::Wrong { path: path.to_path_buf(), reason: reason.to_string() }
    }
}

/// Imports HMR2. `tell` hears how many of how many bytes of weights are written; `stop` ends it.
///
/// # Errors
/// If a file cannot be read, is another network's, or holds what must not be read; then no file is left.
pub fn hmr2(
    request: &Request,
    tell: &mut dyn FnMut(u64, u64),
    stop: &AtomicBool,
) -> Result<Outcome, ImportError> {
    let Request { name, folder, checkpoint, .. } = request;
    let places = places(name, folder)?;
    // what an import that was killed has left
    scratch::sweep(folder, |stem| stem.starts_with(&format!("{name}.")));
    let specs = request.architecture.tensors();
    let mut source = Source::open(checkpoint)?;
    let initial = weights::initial(request, &specs, &source)?;
    source.check(&specs, &initial)?;
    let body = body::read(request, &mut source)?;

    // the files are hashed while the weights are written; whichever fails ends the other
    let over = AtomicBool::new(false);
    let hashes = Hashes::of(request);
    let (written, hashes) = std::thread::scope(|scope| {
        let hashing = scope.spawn(|| hashes.read(&[stop, &over]));
        let written = weights::write(&specs, &mut source, &initial, &places.weights, tell, stop);
        over.store(written.is_err(), Ordering::Relaxed);
        let hashes = hashing.join().unwrap_or(Err(ImportError::Stopped));
        (written, hashes)
    });
    let written = written?;
    let sources = hashes?;
    let body_written = body.save(&places.body).map_err(ImportError::from);
    let put = body_written.and_then(|()| {
        let body_sha256 = sha256_until(&places.body, &[stop])?.0;
        let text = manifest::text(request, &written.facts, body_sha256, sources)?;
        written.file.finish().map_err(ImportError::file(&places.weights))?;
        write_whole(&places.manifest, text.as_bytes()).map_err(ImportError::file(&places.manifest))
    });
    if let Err(error) = put {
        // a set without its manifest is of no use to anybody
        for path in [&places.weights, &places.body] {
            let _ = std::fs::remove_file(path);
        }
        return Err(error);
    }
    Ok(Outcome {
        manifest: places.manifest,
        weights_sha256: written.facts.sha256,
        used: written.facts.used,
        left_out: written.facts.left_out,
        vertices: body.vertex_count(),
        mean_params_used: !initial.is_empty(),
    })
}

/// Where the three files go.
struct Places {
    manifest: PathBuf,
    weights: PathBuf,
    body: PathBuf,
}

fn places(name: &str, folder: &Path) -> Result<Places, ImportError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let starts_well = name.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    if !starts_well || !name.bytes().all(is_plain) || name.len() > 100 {
        return Err(ImportError::Name(name.to_string()));
    }
    let place = |ending: &str| {
        let path = folder.join(format!("{name}.{ending}"));
        if path.exists() { Err(ImportError::Exists { path }) } else { Ok(path) }
    };
    Ok(Places { manifest: place("toml")?, weights: place("safetensors")?, body: place("body.safetensors")? })
}
