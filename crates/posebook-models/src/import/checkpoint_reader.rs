//! Reads a checkpoint by the network's tensor names: a file of torch, safetensors, or, for detectors, a pickle of numpy's arrays.

use super::ImportError;
use crate::nn::checkpoint;
use crate::nn::{MappedFile, TensorSpec};
use crate::pickle::describe_foreign_file;
use crate::pickle::npz::read_start;
use crate::pickle::state_dict::{ArrayEntry, list_arrays};
use crate::pickle::torch::{Checkpoint, TensorEntry};
use candle_core::{DType, Device};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Maximum number of problems listed in a message; the rest is counted.
const MAX_LISTED_PROBLEMS: usize = 8;
/// End of a problem with a tensor that is not in the file.
const MISSING: &str = " is missing";
/// Prefixes that wrappers add to every name.
const PREFIXES: [&str; 4] = ["module.", "_orig_mod.", "model.", "hmr2."];

/// An opened checkpoint.
pub struct CheckpointReader {
    path: PathBuf,
    format: Format,
    author: Option<String>,
}

enum Format {
    Torch(Box<Checkpoint>, HashMap<String, TensorEntry>),
    /// Per name: the name in the file, and the shape.
    Safetensors(HashMap<String, (String, Vec<usize>)>),
    /// A pickle of arrays: the file, whose bytes are not copied, and the arrays in it.
    Arrays(MappedFile, HashMap<String, ArrayEntry>),
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
        Ok(CheckpointReader { path: path.to_path_buf(), format, author: None })
    }

    /// As [`CheckpointReader::open`], and of a pickle of arrays as detectron2's model zoo has them (.pkl). The contents of the
    /// file decide, not its name.
    ///
    /// # Errors
    /// If the file is not a checkpoint, is damaged or refused.
    pub fn open_with_arrays(path: &Path) -> Result<CheckpointReader, ImportError> {
        let is_safetensors = path.extension().is_some_and(|extension| extension == "safetensors");
        let start = read_start(path).map_err(ImportError::file(path))?;
        if is_safetensors || Checkpoint::is_start_of_one(&start) {
            return CheckpointReader::open(path);
        }
        let file = MappedFile::open(path).map_err(ImportError::file(path))?;
        let found = list_arrays(&file).map_err(ImportError::pickle(path))?;
        let named = found.arrays.into_iter().map(|entry| (strip_wrapper_prefixes(&entry.name), entry));
        let format = Format::Arrays(file, collect_unique(path, named)?);
        Ok(CheckpointReader { path: path.to_path_buf(), format, author: found.author })
    }

    /// `__author__` of a pickle of arrays.
    pub fn author(&self) -> Option<&str> {
        self.author.as_deref()
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
            Format::Arrays(_, entries) => entries.keys().map(String::as_str).collect(),
        }
    }

    /// Shape of a tensor; `None` if it is missing.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        match &self.format {
            Format::Torch(_, entries) => entries.get(name).map(|entry| entry.shape.as_slice()),
            Format::Safetensors(shapes) => shapes.get(name).map(|(_, shape)| shape.as_slice()),
            Format::Arrays(_, entries) => entries.get(name).map(|entry| entry.shape.as_slice()),
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
            Format::Arrays(file, entries) => {
                let entry = entries.get(name).ok_or_else(missing)?;
                entry.read_f32(file).map_err(ImportError::pickle(path))
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
        let problems = self.problems(specs, |key| initial.contains_key(key));
        if problems.is_empty() {
            return Ok(());
        }
        let lacks_some = problems.iter().any(|problem| problem.ends_with(MISSING));
        let hint = if lacks_some && problems.iter().all(|problem| problem.contains(".init_")) {
            ", or give the initial values with `--mean-params smpl_mean_params.npz`"
        } else {
            ""
        };
        let problems = summarize(problems);
        Err(ImportError::ArchitectureMismatch { path: self.path.clone(), problems, hint })
    }

    /// What differs from the network's tensors: those that are missing unless they are given otherwise, and wrong shapes.
    pub fn problems(&self, specs: &[TensorSpec], is_given: impl Fn(&str) -> bool) -> Vec<String> {
        let problem = |TensorSpec { key, shape }: &TensorSpec| match self.shape(key) {
            Some(found) if found == shape => None,
            Some(found) => Some(format!("{key} is {found:?} and not {shape:?}")),
            None if is_given(key) => None,
            None => Some(format!("{key}{MISSING}")),
        };
        specs.iter().filter_map(problem).collect()
    }
}

/// Problems as text: the first, and the number of further ones.
pub fn summarize(mut problems: Vec<String>) -> String {
    let more = problems.len().saturating_sub(MAX_LISTED_PROBLEMS);
    problems.truncate(MAX_LISTED_PROBLEMS);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("{}{more}", problems.join(", "))
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
