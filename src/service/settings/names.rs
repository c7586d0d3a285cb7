//! Settings that name model sets, detectors, encoders and datasets: a job may give plain names only.
//!
//! On the command line these may be paths of files. A value that an experiment of the project has itself is allowed.

use super::WrongSetting;
use crate::experiment::{DatasetChoice, Settings};
use crate::runner::Project;

/// Keys of datasets of files and footage that a job may change.
const CHANGEABLE: [&str; 2] = ["only", "benchmark"];

/// Checks the names in `settings`; those of `own`, the experiment's own points, are allowed.
///
/// # Errors
/// The first one that is not a plain name.
pub fn check(settings: &Settings, own: &[Settings]) -> Result<(), WrongSetting> {
    for (key, name) in named(settings) {
        let is_own = own.iter().any(|own| named(own).contains(&(key, name)));
        if !is_own {
            check_plain(key, name)?;
        }
    }
    Ok(())
}

fn named(settings: &Settings) -> [(&'static str, &str); 4] {
    [
        ("model", &settings.model),
        ("appearance.encoder", &settings.appearance.encoder),
        ("pose_predictor.model", &settings.pose_predictor.model),
        ("detect.weights", settings.detect.weights.as_deref().unwrap_or_default()),
    ]
}

/// Checks that `name` is a plain name, or empty.
///
/// # Errors
/// If it may be a path.
pub fn check_plain(key: &str, name: &str) -> Result<(), WrongSetting> {
    if name.is_empty() || is_plain(name) {
        return Ok(());
    }
    let message = format!(
        "`{key}={name}` is not a name: a job may not name files of the server; give the name of a dataset or model set of the project"
    );
    Err(WrongSetting::at(key, message))
}

/// Whether a name cannot be a path of a file.
pub fn is_plain(name: &str) -> bool {
    let is_valid = |letter: char| letter.is_alphanumeric() || "._-".contains(letter);
    let is_file = [".toml", ".safetensors"].iter().any(|ending| name.to_ascii_lowercase().ends_with(ending));
    !name.is_empty() && !name.starts_with(['.', '-']) && name.chars().all(is_valid) && !is_file
}

/// Checks a dataset with its changes; those of `own` are allowed. Parameters of drawn clips may be changed; of other kinds only
/// which clips are selected, since their clips are paths.
///
/// # Errors
/// If the dataset is named by a path, or a change may name a file.
pub fn check_dataset(
    project: &Project,
    dataset: &DatasetChoice,
    own: &[Settings],
) -> Result<(), WrongSetting> {
    if own.iter().any(|own| own.dataset == *dataset) {
        return Ok(());
    }
    if !own.iter().any(|own| own.dataset.name == dataset.name) {
        check_plain("dataset", &dataset.name)?;
    }
    let text = std::fs::read_to_string(project.dataset(&dataset.name)).unwrap_or_default();
    let table: toml::Table = text.parse().unwrap_or_default();
    let is_drawn = table.get("kind").and_then(toml::Value::as_str) == Some("walkers");
    let has_own =
        |key: &str, value: &toml::Value| own.iter().any(|own| own.dataset.changes.get(key) == Some(value));
    let is_allowed = |key: &str, value: &toml::Value| {
        if is_drawn { key != "kind" } else { CHANGEABLE.contains(&key) || has_own(key, value) }
    };
    match dataset.changes.iter().find(|(key, value)| !is_allowed(key, value)) {
        None => Ok(()),
        Some((key, _)) => {
            let (key, name) = (format!("dataset.{key}"), &dataset.name);
            let message = format!(
                "`{key}` of the dataset `{name}` may name files of the server; a job may change {}",
                CHANGEABLE.map(|key| format!("dataset.{key}")).join(" and ")
            );
            Err(WrongSetting::at(&key, message))
        }
    }
}
