//! Reads a checkpoint of either format, torch or safetensors, by the network's tensor names.

use super::ImportError;
use crate::nn::TensorSpec;
use crate::nn::checkpoint;
use crate::pickle::describe_foreign_file;
use crate::pickle::npz::read_start;
use crate::pickle::torch::{Checkpoint, TensorEntry};
use candle_core::{DType, Device};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Maximum number of problems listed in a message; the rest is counted.
const MAX_LISTED_PROBLEMS: usize = 8;
/// Prefixes that wrappers add to every name.
const PREFIXES: [&str; 4] = ["module.", "_orig_mod.", "model.", "hmr2."];

/// An opened checkpoint.
pub struct CheckpointReader {
    path: PathBuf,
    format: Format,
}

enum Format {
    Torch(Box<Checkpoint>, HashMap<String, TensorEntry>),
    /// Per name: the name in the file, and the shape.
    Safetensors(HashMap<String, (String, Vec<usize>)>),
}

impl CheckpointReader {
    /// Opens a checkpoint without reading weights.
    ///
    /// # Errors
    /// If the file is not a checkpoint, is damaged or refused.
    pub fn open(path: &Path) -> Result<CheckpointReader, ImportError> {
        let format = if path.extension().is_some_and(|extension| extension == "safetensors") {
            let shapes = checkpoint::read_shapes(path).map_err(|error| not_safetensors_error(path, error))?;
            let named =
                shapes.into_iter().map(|(name, shape)| (strip_wrapper_prefixes(&name), (name, shape)));
            Format::Safetensors(collect_unique(path, named)?)
        } else {
            let checkpoint = Checkpoint::open(path).map_err(ImportError::pickle(path))?;
            let named =
                checkpoint.tensors.iter().map(|entry| (strip_wrapper_prefixes(&entry.name), entry.clone()));
            let named = collect_unique(path, named)?;
            Format::Torch(Box::new(checkpoint), named)
        };
        Ok(CheckpointReader { path: path.to_path_buf(), format })
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of all tensors, without wrapper prefixes.
    pub fn names(&self) -> Vec<&str> {
        match &self.format {
            Format::Torch(_, entries) => entries.keys().map(String::as_str).collect(),
            Format::Safetensors(shapes) => shapes.keys().map(String::as_str).collect(),
        }
    }

    /// Shape of a tensor; `None` if it is missing.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        match &self.format {
            Format::Torch(_, entries) => entries.get(name).map(|entry| entry.shape.as_slice()),
            Format::Safetensors(shapes) => shapes.get(name).map(|(_, shape)| shape.as_slice()),
        }
    }

    /// Values of one tensor in C order.
    ///
    /// # Errors
    /// If it is missing or cannot be read.
    pub fn read_f32(&mut self, name: &str) -> Result<Vec<f32>, ImportError> {
        let path = &self.path;
        let missing = || ImportError::invalid(path, format!("has no tensor {name}"));
        match &mut self.format {
            Format::Torch(checkpoint, entries) => {
                let entry = entries.get(name).ok_or_else(missing)?;
                checkpoint.read_f32(entry).map_err(ImportError::pickle(path))
            }
            Format::Safetensors(shapes) => {
                let (key, shape) = shapes.get(name).cloned().ok_or_else(missing)?;
                let spec = [TensorSpec { key, shape }];
                let read = checkpoint::read(path, &spec, DType::F32, &Device::Cpu);
                let mut read = read.map_err(|error| ImportError::invalid(path, error))?;
                let tensor = read.remove(&spec[0].key).ok_or_else(missing)?;
                let values = tensor.flatten_all().and_then(|tensor| tensor.to_vec1::<f32>());
                values.map_err(|error| ImportError::invalid(path, error))
            }
        }
    }

    /// Checks that every tensor of the network is present with its shape, or among the initial values.
    ///
    /// # Errors
    /// One message that lists the missing tensors and wrong shapes.
    pub fn check_tensors(
        &self,
        specs: &[TensorSpec],
        initial: &HashMap<String, Vec<f32>>,
    ) -> Result<(), ImportError> {
        let mut problems = Vec::new();
        let mut lacks_initial = false;
        for TensorSpec { key, shape } in specs {
            match self.shape(key) {
                Some(found) if found == shape => {}
                Some(found) => problems.push(format!("{key} is {found:?} and not {shape:?}")),
                None if initial.contains_key(key) => {}
                None => {
                    lacks_initial |= key.contains(".init_");
                    problems.push(format!("{key} is missing"));
                }
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        let is_that_all = lacks_initial && problems.iter().all(|problem| problem.contains(".init_"));
        let hint = if is_that_all {
            ", or give the initial values with `--mean-params smpl_mean_params.npz`"
        } else {
            ""
        };
        let more = problems.len().saturating_sub(MAX_LISTED_PROBLEMS);
        problems.truncate(MAX_LISTED_PROBLEMS);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let problems = format!("{}{more}", problems.join(", "));
        Err(ImportError::ArchitectureMismatch { path: self.path.clone(), problems, hint })
    }
}

/// An error that says what the file is instead of safetensors, if it can be recognized.
fn not_safetensors_error(path: &Path, error: impl ToString) -> ImportError {
    let start = read_start(path).unwrap_or_default();
    if start.starts_with(b"PK\x03\x04") {
        return ImportError::invalid(
            path,
            "this is a zip file, not safetensors; PyTorch checkpoints end in .ckpt or .pth",
        );
    }
    match describe_foreign_file(&start).filter(|_| !start.is_empty() && !has_safetensors_header(&start)) {
        Some(what) => ImportError::invalid(path, format!("this is {what}")),
        None => ImportError::invalid(path, error),
    }
}

/// Whether the file starts like safetensors: then the damage is further back.
fn has_safetensors_header(start: &[u8]) -> bool {
    start.get(8) == Some(&b'{')
}

/// A tensor's name without wrapper prefixes.
fn strip_wrapper_prefixes(name: &str) -> String {
    let mut name = name;
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        name = rest;
    }
    name.to_string()
}

/// Collects tensors by name and rejects duplicates.
fn collect_unique<T>(
    path: &Path,
    named: impl Iterator<Item = (String, T)>,
) -> Result<HashMap<String, T>, ImportError> {
    let mut all = HashMap::new();
    for (name, tensor) in named {
        if all.contains_key(&name) {
            return Err(ImportError::invalid(
                path,
                format!("there are two tensors named {name} in it; save one of them under another name"),
            ));
        }
        all.insert(name, tensor);
    }
    Ok(all)
}
