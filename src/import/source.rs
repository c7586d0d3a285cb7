//! A checkpoint of either kind, torch's or safetensors: its tensors by the names that the network has for them.

use super::ImportError;
use crate::nn::TensorSpec;
use crate::nn::checkpoint;
use crate::pickle::foreign;
use crate::pickle::npz::start_of;
use crate::pickle::torch::{Checkpoint, TensorPlace};
use candle_core::{DType, Device};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Names that a message lists before it counts the rest.
const LISTED: usize = 8;
/// What wrappers put before every name.
const PREFIXES: [&str; 4] = ["module.", "_orig_mod.", "model.", "hmr2."];

/// Where tensors come from.
pub struct Source {
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    Torch(Box<Checkpoint>, HashMap<String, TensorPlace>),
    /// The name in the file, and the shape.
    Safetensors(HashMap<String, (String, Vec<usize>)>),
}

impl Source {
    /// Opens a checkpoint; no weight is read yet.
    ///
    /// # Errors
    /// If it is none, is damaged, or holds what must not be read.
    pub fn open(path: &Path) -> Result<Source, ImportError> {
        let kind = if path.extension().is_some_and(|extension| extension == "safetensors") {
            let shapes = checkpoint::shapes(path).map_err(|error| no_safetensors(path, error))?;
            let named = shapes.into_iter().map(|(name, shape)| (plain(&name), (name, shape)));
            Kind::Safetensors(distinct(path, named)?)
        } else {
            let checkpoint = Checkpoint::open(path).map_err(ImportError::pickle(path))?;
            let named = checkpoint.tensors.iter().map(|place| (plain(&place.name), place.clone()));
            let named = distinct(path, named)?;
            Kind::Torch(Box::new(checkpoint), named)
        };
        Ok(Source { path: path.to_path_buf(), kind })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of all tensors, without what wrappers put before them.
    pub fn names(&self) -> Vec<&str> {
        match &self.kind {
            Kind::Torch(_, places) => places.keys().map(String::as_str).collect(),
            Kind::Safetensors(shapes) => shapes.keys().map(String::as_str).collect(),
        }
    }

    /// The shape of a tensor; `None` where it is not there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        match &self.kind {
            Kind::Torch(_, places) => places.get(name).map(|place| place.shape.as_slice()),
            Kind::Safetensors(shapes) => shapes.get(name).map(|(_, shape)| shape.as_slice()),
        }
    }

    /// The numbers of one tensor.
    ///
    /// # Errors
    /// If it is not there, or its numbers cannot be read.
    pub fn floats(&mut self, name: &str) -> Result<Vec<f32>, ImportError> {
        let path = &self.path;
        let missing = || ImportError::wrong(path, format!("{name} is not there"));
        match &mut self.kind {
            Kind::Torch(checkpoint, places) => {
                let place = places.get(name).ok_or_else(missing)?;
                checkpoint.floats(place).map_err(ImportError::pickle(path))
            }
            Kind::Safetensors(shapes) => {
                let (key, shape) = shapes.get(name).cloned().ok_or_else(missing)?;
                let spec = [TensorSpec { key, shape }];
                let read = checkpoint::read(path, &spec, DType::F32, &Device::Cpu);
                let mut read = read.map_err(|error| ImportError::wrong(path, error))?;
                let tensor = read.remove(&spec[0].key).ok_or_else(missing)?;
                let values = tensor.flatten_all().and_then(|tensor| tensor.to_vec1::<f32>());
                values.map_err(|error| ImportError::wrong(path, error))
            }
        }
    }

    /// Everything that the network needs has to be there, in its shape, or among the initial values.
    ///
    /// # Errors
    /// One message that lists what is missing or has another shape.
    pub fn check(
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
            ", or give the initial values by `--mean-params smpl_mean_params.npz`"
        } else {
            ""
        };
        let more = problems.len().saturating_sub(LISTED);
        problems.truncate(LISTED);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let problems = format!("{}{more}", problems.join(", "));
        Err(ImportError::Misfit { path: self.path.clone(), problems, hint })
    }
}

/// What a file is instead of safetensors, where that can be told.
fn no_safetensors(path: &Path, error: impl ToString) -> ImportError {
    let start = start_of(path).unwrap_or_default();
    if start.starts_with(b"PK\x03\x04") {
        return ImportError::wrong(
            path,
            "this is a zip file and not safetensors; PyTorch's checkpoints end in .ckpt or .pth",
        );
    }
    match foreign(&start).filter(|_| !start.is_empty() && !is_torn(&start)) {
        Some(what) => ImportError::wrong(path, format!("this is {what}")),
        None => ImportError::wrong(path, error),
    }
}

/// Whether it begins as safetensors does: then something behind that is wrong.
fn is_torn(start: &[u8]) -> bool {
    start.get(8) == Some(&b'{')
}

/// A tensor's name without what wrappers put before it.
fn plain(name: &str) -> String {
    let mut name = name;
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        name = rest;
    }
    name.to_string()
}

/// One tensor for each name.
fn distinct<T>(
    path: &Path,
    named: impl Iterator<Item = (String, T)>,
) -> Result<HashMap<String, T>, ImportError> {
    let mut all = HashMap::new();
    for (name, tensor) in named {
        if all.contains_key(&name) {
            return Err(ImportError::wrong(
                path,
                format!("there are two tensors {name} in it; save one of them anew"),
            ));
        }
        all.insert(name, tensor);
    }
    Ok(all)
}
