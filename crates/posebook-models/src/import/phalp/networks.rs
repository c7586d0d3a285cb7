//! The two networks of PHALP's files: HMAR's encoding head and the pose predictor.

use super::configuration::Configuration;
use crate::appearance::encoder::Encoder;
use crate::import::ImportError;
use crate::import::checkpoint_reader::{CheckpointReader, summarize};
use crate::import::weights::check_finite;
use crate::nn::TensorSpec;
use crate::pickle::npz::{Npz, read_npy_file};
use crate::pose_predictor::{Normalizer, PosePredictorError, Sizes, Structure};
use candle_core::{Device, Tensor};
use std::collections::HashMap;
use std::path::Path;

const ENCODER: &str = "encoding_head.";
/// Layers of the encoding head with four input channels, and with three. Its decoder (`t_*`) is never run by the tracker.
const LAYERS: [&str; 7] = ["conv1x", "conv1", "conv2", "conv3", "conv4", "conv5", "conv5_1"];
/// The mean parameters are 157 values, mean and deviation 458.
const MAX_SMALL_BYTES: u64 = 1 << 16;

/// Reads the encoding head from HMAR's checkpoint: its tensors under the names `encoding_head.*`.
///
/// # Errors
/// If the file is no checkpoint, is refused, or does not hold the encoding head.
pub fn read_encoder(path: &Path) -> Result<Vec<(TensorSpec, Vec<f32>)>, ImportError> {
    let mut reader = CheckpointReader::open(path)?;
    let keys =
        LAYERS.iter().flat_map(|layer| ["weight", "bias"].map(|part| format!("{ENCODER}{layer}.{part}")));
    let mut tensors = Vec::new();
    for key in keys {
        let Some(name) = find_name(&reader, &key)? else { continue };
        let shape = reader.shape(&name).unwrap_or_default().to_vec();
        let values = reader.read_f32(&name)?;
        check_finite(&values, &name, path)?;
        tensors.push((TensorSpec { key, shape }, values));
    }
    let mut by_key = HashMap::new();
    for (spec, values) in &tensors {
        let tensor = Tensor::from_slice(values, spec.shape.as_slice(), &Device::Cpu);
        by_key.insert(spec.key.clone(), tensor.map_err(|error| ImportError::invalid(path, error))?);
    }
    // the encoder's own checks of names and shapes
    let origin = path.display().to_string();
    Encoder::from_tensors(&by_key, None, &origin, &Device::Cpu)
        .map_err(|error| ImportError::Network(error.to_string()))?;
    Ok(tensors)
}

/// The name in the checkpoint that ends in `key`: HMAR's tensors have a prefix.
fn find_name(reader: &CheckpointReader, key: &str) -> Result<Option<String>, ImportError> {
    let is_it =
        |name: &str| name.strip_suffix(key).is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('.'));
    let found: Vec<&str> = reader.names().into_iter().filter(|name| is_it(name)).collect();
    match found[..] {
        [] => Ok(None),
        [name] => Ok(Some(name.to_string())),
        [first, second, ..] => Err(ImportError::invalid(
            reader.path(),
            format!("holds two tensors that end in {key}: {first} and {second}; save one of them alone"),
        )),
    }
}

/// The files of the pose predictor.
pub struct PredictorFiles<'p> {
    /// The training checkpoint.
    pub checkpoint: &'p Path,
    /// The YAML file.
    pub configuration: &'p Path,
    /// `mean_std.npy`.
    pub mean_std: &'p Path,
    /// `smpl_mean_params.npz`.
    pub mean_params: Option<&'p Path>,
}

/// An opened pose predictor: what to write, and where each tensor is read from.
pub struct PredictorSource {
    /// The tensors to write, in order.
    pub specs: Vec<TensorSpec>,
    /// Heads and convolutions.
    pub structure: Structure,
    reader: CheckpointReader,
    /// The name in the checkpoint of each key.
    names: HashMap<String, String>,
    /// Values from other files.
    given: HashMap<String, Vec<f32>>,
}

impl PredictorSource {
    /// Opens the files and checks shapes and names; weights are read later.
    ///
    /// # Errors
    /// If a file cannot be read, is refused, or they do not belong together.
    pub fn open(files: &PredictorFiles<'_>) -> Result<PredictorSource, ImportError> {
        let configuration = Configuration::read(files.configuration)?;
        let reader = CheckpointReader::open(files.checkpoint)?;
        let (mean, deviation) = read_mean_std(files.mean_std)?;
        Normalizer::new(&mean, &deviation)
            .map_err(|message| ImportError::invalid(files.mean_std, message))?;
        let columns = mean.len();
        let mut given = HashMap::from([("mean".to_string(), mean), ("std".to_string(), deviation)]);
        let names = keys_of_names(&reader)?;
        let mut shapes: HashMap<String, Vec<usize>> = names
            .iter()
            .map(|(key, name)| (key.clone(), reader.shape(name).unwrap_or_default().to_vec()))
            .collect();
        for row in ["mean", "std"] {
            shapes.insert(row.into(), vec![1, columns]);
        }
        if let Some(path) = files.mean_params {
            for (key, values) in read_mean_params(path)? {
                if !shapes.contains_key(&key) {
                    shapes.insert(key.clone(), vec![1, values.len()]);
                    given.insert(key, values);
                }
            }
        }
        let structure = configuration.structure();
        let origin = files.checkpoint.display().to_string();
        let sizes = Sizes::from_shapes(&shapes, structure, &origin).map_err(|error| match error {
            PosePredictorError::Weights { message, .. } => ImportError::invalid(files.checkpoint, message),
            other => ImportError::Network(other.to_string()),
        })?;
        configuration.compare(&sizes, files.configuration)?;
        let specs = sizes.tensors();
        let problems = specs.iter().filter_map(|spec| match shapes.get(&spec.key) {
            None => Some(format!("{} is missing", spec.key)),
            Some(shape) if *shape != spec.shape => {
                Some(format!("{} is {shape:?} and should be {:?}", spec.key, spec.shape))
            }
            Some(_) => None,
        });
        let problems: Vec<String> = problems.collect();
        if !problems.is_empty() {
            let lacks_initial = problems.iter().all(|problem| problem.contains(".init_"));
            let hint = if lacks_initial { ", or give `--smpl-mean-params smpl_mean_params.npz`" } else { "" };
            return Err(ImportError::ArchitectureMismatch {
                path: files.checkpoint.to_path_buf(),
                problems: summarize(problems),
                hint,
            });
        }
        Ok(PredictorSource { specs, structure, reader, names, given })
    }

    /// The checkpoint.
    pub fn path(&self) -> &Path {
        self.reader.path()
    }

    /// The values of one tensor.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&mut self, spec: &TensorSpec) -> Result<Vec<f32>, ImportError> {
        if let Some(values) = self.given.get(&spec.key) {
            return Ok(values.clone());
        }
        self.reader.read_f32(self.names.get(&spec.key).unwrap_or(&spec.key))
    }
}

/// Names in the checkpoint by key `encoder.*`. The training's own prefix stands before each name, once: 4D-Humans' PHALP cuts
/// `encoder.` out everywhere, and thereby loses the tensors `pose_shape_encoder.*`, which are trained all the same.
fn keys_of_names(reader: &CheckpointReader) -> Result<HashMap<String, String>, ImportError> {
    const ANCHOR: &str = "mask_token";
    let mut prefixes: Vec<String> = reader
        .names()
        .iter()
        .filter_map(|name| name.strip_suffix(ANCHOR))
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
        .map(str::to_string)
        .collect();
    prefixes.sort_by_key(|prefix| (prefix != "encoder.", prefix.len(), prefix.clone()));
    let Some(prefix) = prefixes.first() else {
        let reason = "has no tensor `encoder.mask_token`, so that it is not PHALP's pose predictor; give pose_predictor.pth \
                      (pose_predictor_40006.ckpt)";
        return Err(ImportError::invalid(reader.path(), reason));
    };
    let named = reader.names().into_iter().filter_map(|name| {
        Some((format!("encoder.{}", name.strip_prefix(prefix.as_str())?), name.to_string()))
    });
    Ok(named.collect())
}

/// The two rows of `mean_std.npy`: two arrays of objects, or one array of numbers with a first axis of 2.
fn read_mean_std(path: &Path) -> Result<(Vec<f32>, Vec<f32>), ImportError> {
    let arrays = read_npy_file(path, MAX_SMALL_BYTES).map_err(ImportError::pickle(path))?;
    let is_two = match &arrays[..] {
        [one] => one.shape.first() == Some(&2),
        [first, second] => first.shape == second.shape,
        // an object array of numbers
        all => all.len().is_multiple_of(2) && all.iter().all(|array| array.shape.is_empty()),
    };
    let values: Vec<f32> = arrays.iter().flat_map(|array| array.to_f32()).collect();
    if !is_two || values.len() < 2 {
        let shapes: Vec<_> = arrays.iter().take(4).map(|array| &array.shape).collect();
        let reason =
            format!("is not two rows, mean and deviation, of pose vectors; it has shapes {shapes:?}");
        return Err(ImportError::invalid(path, reason));
    }
    check_finite(&values, "mean_std", path)?;
    let (mean, deviation) = values.split_at(values.len() / 2);
    Ok((mean.to_vec(), deviation.to_vec()))
}

/// Initial pose, shape and camera by key.
fn read_mean_params(path: &Path) -> Result<Vec<(String, Vec<f32>)>, ImportError> {
    let mut file = Npz::open(path, MAX_SMALL_BYTES).map_err(ImportError::pickle(path))?;
    let arrays = [("pose", "init_body_pose"), ("shape", "init_betas"), ("cam", "init_cam")];
    let read = |(theirs, ours): (&str, &str)| {
        let array = file.get(theirs).map_err(ImportError::pickle(path))?;
        let missing = || ImportError::invalid(path, format!("has no array `{theirs}`"));
        Ok((format!("encoder.smpl_head.0.{ours}"), array.ok_or_else(missing)?.to_f32()))
    };
    arrays.into_iter().map(read).collect()
}
