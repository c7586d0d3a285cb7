//! Exports a trained model set: half-precision weights, and the manifest.

use super::checkpoint::TrainingState;
use super::{Evaluation, Settings, TrainError};
use candle_core::DType;
use posebook_core::files::write_atomically;
use posebook_core::provenance::{SourceVersion, sha256_of_bytes};
use std::path::Path;

/// Writes `{name}.safetensors` and `{name}.toml` to `folder`, each atomically.
///
/// # Errors
/// If a file cannot be written.
pub fn write_model_set(
    folder: &Path,
    state: &TrainingState,
    settings: &Settings,
    evaluation: &Evaluation,
) -> Result<(), TrainError> {
    let mut tensors = Vec::new();
    for (name, tensor) in state.tensors(true)? {
        tensors.push((name, tensor.to_dtype(DType::F16)?));
    }
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let weights = folder.join(format!("{}.safetensors", settings.name));
    let write = |path: &Path| {
        let path = path.to_path_buf();
        move |source| TrainError::Write { path, source }
    };
    let bytes =
        safetensors::serialize(tensors, None).map_err(|e| write(&weights)(std::io::Error::other(e)))?;
    write_atomically(&weights, &bytes).map_err(write(&weights))?;
    let text = manifest(state, settings, evaluation, &sha256_of_bytes(&bytes));
    let path = folder.join(format!("{}.toml", settings.name));
    let text = text.map_err(|e| write(&path)(std::io::Error::other(e)))?;
    write_atomically(&path, text.as_bytes()).map_err(write(&path))
}

fn manifest(
    state: &TrainingState,
    settings: &Settings,
    evaluation: &Evaluation,
    sha256: &str,
) -> Result<String, toml::ser::Error> {
    let source = SourceVersion::from_checkout(Path::new("."));
    let mut training = toml::Table::new();
    let mut insert = |key: &str, value: toml::Value| {
        training.insert(key.to_string(), value);
    };
    let rounded = |value: f64| toml::Value::Float((value * 100.0).round() / 100.0);
    let count = |value: usize| toml::Value::Integer(value as i64);
    insert(
        "command",
        format!("posebook model train models/training/{}.toml --out FOLDER", settings.name).into(),
    );
    insert("git_hash", source.git_hash.unwrap_or_else(|| "unknown".into()).into());
    insert("git_dirty", toml::Value::Boolean(source.git_dirty.unwrap_or(false)));
    insert("steps_done", count(state.optimizer.step));
    insert("crops_seen", count(state.optimizer.step * settings.learning.batch));
    insert("training_secs", rounded(state.seconds));
    insert("held_out_people", count(evaluation.people));
    insert("held_out_mpjpe_mm", rounded(evaluation.mpjpe_mm));
    insert("held_out_pa_mpjpe_mm", rounded(evaluation.pa_mpjpe_mm));
    insert("held_out_mean_pose_mpjpe_mm", rounded(evaluation.mean_pose_mpjpe_mm));
    insert("held_out_mean_pose_pa_mpjpe_mm", rounded(evaluation.mean_pose_pa_mpjpe_mm));
    insert("seed", toml::Value::Integer(settings.seed as i64));
    insert("learning", toml::Value::try_from(&settings.learning)?);
    insert("drawing", toml::Value::try_from(&settings.drawing)?);
    let mut set = toml::Table::new();
    let parameters = settings.architecture.parameters();
    let description = format!(
        "HMR2's architecture with {:.1} million parameters, trained on images of synthetic people generated on the fly",
        parameters as f64 / 1e6
    );
    set.insert("description".into(), description.into());
    set.insert("weights".into(), format!("{}.safetensors", settings.name).into());
    set.insert("sha256".into(), sha256.into());
    set.insert("licence".into(), "MIT OR Apache-2.0".into());
    set.insert("origin".into(), "trained by this project, on synthetic images alone".into());
    set.insert("body".into(), "stand-in".into());
    set.insert("architecture".into(), toml::Value::try_from(&settings.architecture)?);
    set.insert("training".into(), toml::Value::Table(training));
    toml::to_string(&set)
}
