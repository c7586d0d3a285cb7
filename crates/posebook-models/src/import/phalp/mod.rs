//! Imports PHALP's files: the appearance encoder, the UV maps, the pose predictor, and tables for rendering.
//!
//! Any part may be missing: what is there is imported, and the rest is listed. Out: one safetensors file per part and
//! `NAME.toml`, which names them with their SHA-256 and that of every source ([`crate::recovery::PhalpSet`]). The body itself is imported with
//! HMR2.

mod configuration;
mod files;
mod networks;
mod tables;

pub use files::{PhalpFile, find_phalp_files};

use super::hashes::{SourceFiles, to_hex};
use super::weights::write_tensors;
use super::{ImportError, new_path};
use crate::pose_predictor::Structure;
use crate::recovery::{PhalpPart, PhalpSetFile};
use networks::{PredictorFiles, PredictorSource, read_encoder};
use posebook_core::files::{AtomicFile, write_atomically};
use posebook_core::scratch;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use tables::{Tables, read_maps, read_mesh};

/// What to import, and where to write it.
#[derive(Debug, Clone)]
pub struct PhalpRequest {
    /// The set's name: `NAME.toml`, `NAME.encoder.safetensors` and so on in `folder`.
    pub name: String,
    /// Folder of the output.
    pub folder: PathBuf,
    /// The files that there are.
    pub files: BTreeMap<PhalpFile, PathBuf>,
}

/// Result of an import.
#[derive(Debug, Clone, PartialEq)]
pub struct PhalpSummary {
    /// Path of the set's file.
    pub manifest: PathBuf,
    /// What was written.
    pub parts: Vec<PhalpWrittenPart>,
    /// Files that were not given.
    pub missing: Vec<MissingFile>,
}

/// A written part.
#[derive(Debug, Clone, PartialEq)]
pub struct PhalpWrittenPart {
    /// What it is.
    pub what: &'static str,
    /// Path of its file.
    pub path: PathBuf,
    /// SHA-256 of its file.
    pub sha256: String,
    /// Number of tensors.
    pub tensors: usize,
}

/// A file that was not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingFile {
    /// Which one.
    pub file: PhalpFile,
    /// Given files that are of no use without it.
    pub unused: Vec<PhalpFile>,
}

/// Files that are of use only together.
const GROUPS: [&[PhalpFile]; 4] = [
    &[PhalpFile::Hmar],
    &[PhalpFile::Bmap, PhalpFile::Fmap],
    &[PhalpFile::PosePredictor, PhalpFile::PosePredictorConfig, PhalpFile::MeanStd],
    &[PhalpFile::Texture],
];

/// Imports PHALP's files. `on_progress` is called with the bytes of weights written and their total; setting `stop` ends the
/// import.
///
/// # Errors
/// If no part can be made of the given files, or one of them cannot be read, belongs to another network, or is refused; then no
/// output is left.
pub fn import_phalp(
    request: &PhalpRequest,
    on_progress: &mut dyn FnMut(u64, u64),
    stop: &AtomicBool,
) -> Result<PhalpSummary, ImportError> {
    let PhalpRequest { name, folder, files } = request;
    let manifest = new_path(name, folder, "toml")?;
    // leftovers of an import that was killed
    scratch::remove_abandoned(folder, |stem| stem.starts_with(&format!("{name}.")));
    let mut output = Output { name, folder, stop, pending: Vec::new(), parts: Vec::new() };
    let given = |file: PhalpFile| files.get(&file).map(PathBuf::as_path);
    let hashes =
        SourceFiles::new(files.iter().map(|(file, path)| (file.role(), path.clone()))).hash_all(&[stop])?;
    let mut set = PhalpSetFile::new(hashes);
    if let Some(hmar) = given(PhalpFile::Hmar) {
        set.encoder = Some(output.encoder(hmar, on_progress)?);
    }
    if let (Some(fmap), Some(bmap)) = (given(PhalpFile::Fmap), given(PhalpFile::Bmap)) {
        set.maps = Some(output.tables("UV maps", "maps", read_maps(fmap, bmap)?)?);
    }
    if let (Some(checkpoint), Some(configuration), Some(mean_std)) =
        (given(PhalpFile::PosePredictor), given(PhalpFile::PosePredictorConfig), given(PhalpFile::MeanStd))
    {
        let mean_params = given(PhalpFile::SmplMeanParams);
        let files = PredictorFiles { checkpoint, configuration, mean_std, mean_params };
        let (part, structure) = output.pose_predictor(&files, on_progress)?;
        (set.pose_predictor, set.structure) = (Some(part), Some(structure));
    }
    let mesh = read_mesh(given(PhalpFile::Texture), given(PhalpFile::HeadFaces))?;
    if !mesh.is_empty() {
        set.mesh = Some(output.tables("faces for rendering", "mesh", mesh)?);
    }
    let missing = missing_files(files);
    if output.parts.is_empty() {
        let names: Vec<&str> = missing.iter().map(|missing| missing.file.file_name()).collect();
        return Err(ImportError::NothingToImport { missing: names.join(", ") });
    }
    let text = toml::to_string(&set).map_err(|error| ImportError::invalid(&manifest, error))?;
    let parts = output.finish(&manifest, &text)?;
    Ok(PhalpSummary { manifest, parts, missing })
}

fn missing_files(files: &BTreeMap<PhalpFile, PathBuf>) -> Vec<MissingFile> {
    let is_missing = |file: &PhalpFile| !files.contains_key(file);
    let unused = |file: PhalpFile| {
        let group = GROUPS.iter().find(|group| group.contains(&file)).copied().unwrap_or_default();
        group.iter().copied().filter(|file| files.contains_key(file)).collect()
    };
    PhalpFile::ALL
        .into_iter()
        .filter(is_missing)
        .map(|file| MissingFile { file, unused: unused(file) })
        .collect()
}

/// The files being written. Until all are complete they are temporary.
struct Output<'r> {
    name: &'r str,
    folder: &'r Path,
    stop: &'r AtomicBool,
    pending: Vec<AtomicFile>,
    parts: Vec<PhalpWrittenPart>,
}

impl Output<'_> {
    fn encoder(
        &mut self,
        hmar: &Path,
        on_progress: &mut dyn FnMut(u64, u64),
    ) -> Result<PhalpPart, ImportError> {
        let tensors = read_encoder(hmar)?;
        let specs: Vec<_> = tensors.iter().map(|(spec, _)| spec.clone()).collect();
        let mut values = tensors.into_iter().map(|(_, values)| values);
        let path = new_path(self.name, self.folder, "encoder.safetensors")?;
        let mut read = |_: &_| Ok(values.next().unwrap_or_default());
        let (file, sha256) = write_tensors(&specs, hmar, &mut read, &path, on_progress, self.stop)?;
        Ok(self.add("appearance encoder", path, file, sha256, specs.len()))
    }

    fn pose_predictor(
        &mut self,
        files: &PredictorFiles<'_>,
        on_progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(PhalpPart, Structure), ImportError> {
        let mut source = PredictorSource::open(files)?;
        let (specs, structure, origin) =
            (source.specs.clone(), source.structure, source.path().to_path_buf());
        let path = new_path(self.name, self.folder, "pose_predictor.safetensors")?;
        let mut read = |spec: &_| source.read(spec);
        let (file, sha256) = write_tensors(&specs, &origin, &mut read, &path, on_progress, self.stop)?;
        Ok((self.add("pose predictor", path, file, sha256, specs.len()), structure))
    }

    fn tables(&mut self, what: &'static str, ending: &str, tables: Tables) -> Result<PhalpPart, ImportError> {
        let path = new_path(self.name, self.folder, &format!("{ending}.safetensors"))?;
        let count = tables.len();
        let bytes = safetensors::tensor::serialize(tables, None)
            .map_err(|error| ImportError::invalid(&path, error))?;
        let mut file = AtomicFile::create(&path).map_err(ImportError::file(&path))?;
        file.write_all(&bytes).map_err(ImportError::file(&path))?;
        let sha256 = to_hex(&Sha256::digest(&bytes));
        Ok(self.add(what, path, file, sha256, count))
    }

    fn add(
        &mut self,
        what: &'static str,
        path: PathBuf,
        file: AtomicFile,
        sha256: String,
        tensors: usize,
    ) -> PhalpPart {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.parts.push(PhalpWrittenPart { what, path, sha256: sha256.clone(), tensors });
        self.pending.push(file);
        PhalpPart { file: name, sha256 }
    }

    /// Gives every file its name, the manifest last; after a failure none is left.
    fn finish(self, manifest: &Path, text: &str) -> Result<Vec<PhalpWrittenPart>, ImportError> {
        let named = self
            .pending
            .into_iter()
            .zip(&self.parts)
            .try_for_each(|(file, part)| file.finish().map_err(ImportError::file(&part.path)));
        let saved = named
            .and_then(|()| write_atomically(manifest, text.as_bytes()).map_err(ImportError::file(manifest)));
        if let Err(error) = saved {
            for part in &self.parts {
                let _ = std::fs::remove_file(&part.path);
            }
            return Err(error);
        }
        Ok(self.parts)
    }
}
