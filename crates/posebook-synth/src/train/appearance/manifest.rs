//! Writes a trained encoder: weights in single precision, and the manifest.

use super::{AppearanceSettings, Separation};
use crate::train::TrainError;
use candle_core::Tensor;
use posebook_core::files::write_atomically;
use posebook_core::provenance::{SourceVersion, sha256_of_bytes};
use std::collections::HashMap;
use std::path::Path;

/// Writes `{name}.safetensors` and `{name}.toml` to `folder`, each atomically. `separations` are those of the encoder and of the
/// encoder without weights.
///
/// # Errors
/// If a file cannot be written.
pub fn write_encoder(
    folder: &Path,
    settings: &AppearanceSettings,
    tensors: &HashMap<String, Tensor>,
    steps: usize,
    secs: f64,
    separations: [Separation; 2],
) -> Result<(), TrainError> {
    let mut tensors: Vec<(&String, &Tensor)> = tensors.iter().collect();
    tensors.sort_by(|a, b| a.0.cmp(b.0));
    let weights = folder.join(format!("{}.safetensors", settings.name));
    let write = |path: &Path| {
        let path = path.to_path_buf();
        move |source| TrainError::Write { path, source }
    };
    let bytes =
        safetensors::serialize(tensors, None).map_err(|e| write(&weights)(std::io::Error::other(e)))?;
    write_atomically(&weights, &bytes).map_err(write(&weights))?;
    let path = folder.join(format!("{}.toml", settings.name));
    let text = manifest(settings, &sha256_of_bytes(&bytes), steps, secs, separations);
    let text = text.map_err(|e| write(&path)(std::io::Error::other(e)))?;
    write_atomically(&path, text.as_bytes()).map_err(write(&path))
}

fn manifest(
    settings: &AppearanceSettings,
    sha256: &str,
    steps: usize,
    secs: f64,
    [trained, raw]: [Separation; 2],
) -> Result<String, toml::ser::Error> {
    let source = SourceVersion::from_checkout(Path::new("."));
    let mut training = toml::Table::new();
    let command =
        format!("posebook model train models/training/appearance-{}.toml --out FOLDER", settings.name);
    training.insert("command".into(), command.into());
    training.insert("git_hash".into(), source.git_hash.unwrap_or_else(|| "unknown".into()).into());
    training.insert("git_dirty".into(), source.git_dirty.unwrap_or(false).into());
    training.insert("steps_done".into(), toml::Value::Integer(steps as i64));
    training.insert("training_secs".into(), toml::Value::Float((secs * 10.0).round() / 10.0));
    training.insert("seed".into(), toml::Value::Integer(settings.seed as i64));
    training.insert("held_out".into(), rounded(&trained)?);
    training.insert("held_out_without_weights".into(), rounded(&raw)?);
    training.insert("learning".into(), toml::Value::try_from(&settings.learning)?);
    training.insert("views".into(), toml::Value::try_from(&settings.views)?);
    training.insert("drawing".into(), toml::Value::try_from(&settings.drawing)?);
    let mut set = toml::Table::new();
    let parameters: usize = settings.sizes().iter().map(|(inputs, outputs)| outputs * (9 * inputs + 1)).sum();
    let description = format!(
        "HMAR's encoding head with {parameters} parameters, trained on textures of synthetic people generated on the fly"
    );
    set.insert("description".into(), description.into());
    set.insert("weights".into(), format!("{}.safetensors", settings.name).into());
    set.insert("sha256".into(), sha256.into());
    set.insert("licence".into(), "MIT OR Apache-2.0".into());
    set.insert("origin".into(), "trained by this project, on synthetic images alone".into());
    set.insert("body".into(), "stand-in".into());
    set.insert("channels".into(), toml::Value::try_from(settings.channels)?);
    set.insert("training".into(), toml::Value::Table(training));
    toml::to_string(&set)
}

/// A separation with four decimals.
fn rounded(separation: &Separation) -> Result<toml::Value, toml::ser::Error> {
    let mut value = toml::Value::try_from(separation)?;
    for (_, value) in value.as_table_mut().into_iter().flatten() {
        if let toml::Value::Float(number) = value {
            *number = (*number * 1e4).round() / 1e4;
        }
    }
    Ok(value)
}
