//! Settings as JSON to arguments of the command line.
//!
//! In: keys and JSON values. Out: `key=value` as text. Keys that name files of the machine, or that the server decides, are refused
//! here.

use super::WrongSetting;
use posebook_serve::job::JobKind;
use serde_json::{Map, Value};

/// Characters of a key beside letters and digits. Hydra's `+`, `~` and `=` would change which key is meant.
const KEY_CHARACTERS: [char; 4] = ['.', '_', '-', '/'];

/// The settings as arguments.
///
/// # Errors
/// If a key is refused, or a value has no text form.
pub fn arguments(kind: JobKind, settings: &Map<String, Value>) -> Result<Vec<String>, WrongSetting> {
    let argument = |(key, value): (&String, &Value)| {
        check_key(kind, key, value)?;
        Ok(format!("{key}={}", value_text(key, value)?))
    };
    settings.iter().map(argument).collect()
}

fn check_key(kind: JobKind, key: &str, value: &Value) -> Result<(), WrongSetting> {
    let is_valid = |letter: char| letter.is_ascii_alphanumeric() || KEY_CHARACTERS.contains(&letter);
    if key.is_empty() || !key.chars().all(is_valid) {
        let message = format!(
            "there is no setting `{}`: keys are words with dots, such as video.mode",
            key.escape_default()
        );
        return Err(WrongSetting { is_unknown: true, ..WrongSetting::at(key, message) });
    }
    let reason = match key {
        "out" | "video.output_dir" | "hydra.run.dir" => "the results of a job are its files",
        "video.source" => "the video is the job's `source`",
        "boxes" if kind == JobKind::Reconstruct && is_inline(value) => return Ok(()),
        "boxes" => "boxes are the job's `boxes`: an upload, a path or an address",
        "truth" | "video.base_path" => "a job may not name files of the server",
        "device" | "sweep.device" => "the server chooses the device",
        "dataset" | "dataset.name" if kind == JobKind::Track => "the clip is the job's `source`",
        _ if kind == JobKind::Track && key.starts_with("dataset.") => "the clip is the job's `source`",
        _ => return Ok(()),
    };
    Err(WrongSetting::at(key, format!("`{key}`: {reason}; leave the setting out")))
}

/// Whether a value is boxes of one image, `left,top,width,height;...`, and no name of a file.
fn is_inline(value: &Value) -> bool {
    let is_part = |letter: char| letter.is_ascii_digit() || ".,;- ".contains(letter);
    value.as_str().is_some_and(|text| text.matches(',').count() >= 3 && text.chars().all(is_part))
}

/// A value as the command line has it.
fn value_text(key: &str, value: &Value) -> Result<String, WrongSetting> {
    match value {
        Value::Null => Ok("null".into()),
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Array(_) | Value::Object(_) => {
            let converted = toml::Value::try_from(value).map_err(|error| {
                WrongSetting::at(key, format!("`{key}`: {value} has no form in TOML: {error}"))
            })?;
            Ok(converted.to_string())
        }
    }
}
