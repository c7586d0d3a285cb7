//! PHALP's and 4D-Humans' settings, in their own spelling: what `python track.py key=value ...` accepts, `posebook track`
//! accepts.
//!
//! In: the arguments of a command line. Out: a [`CommandLine`]: overrides of posebook's settings, options of the command,
//! and notes for the user. [`KEYS`] says for every setting of PHALP what happens with it. A preset ([`Preset`]) sets the
//! defaults of PHALP or of 4D-Humans; without one the defaults are posebook's. `hydra` has the syntax, `translate` and
//! `frames` the translations, `print` the texts of `--cfg job`, `--info` and `docs/PHALP_SETTINGS.md`.

mod frames;
mod hydra;
mod print;
mod table;
#[cfg(test)]
mod tests;
mod translate;

pub use print::{info, markdown};
pub use table::{Handling, KEYS, PhalpKey};

use super::overrides::{self, Override, OverrideError};
use super::settings::Settings;
use frames::SourceKind;
use hydra::Argument;
use posebook_core::toml_error::nearest_match;
use posebook_video::sources;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};
use translate::Given;

/// Keys of the command line that are no settings of a run.
const REQUEST_KEYS: [&str; 6] = ["boxes", "truth", "out", "benchmark", "fps", "video.fps"];

/// Whose defaults are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// PHALP's (`phalp/configs/base.py`).
    Phalp,
    /// Those of 4D-Humans' `track.py`: PHALP's, and boxes widened to 192:256.
    FourDHumans,
}

impl Preset {
    fn parse(text: &str) -> Result<Preset, OverrideError> {
        match text {
            "phalp" => Ok(Preset::Phalp),
            "4dhumans" => Ok(Preset::FourDHumans),
            _ => Err(OverrideError::Value {
                given: format!("preset={text}"),
                message: "there is no such preset; write phalp or 4dhumans".into(),
            }),
        }
    }

    /// The preset's default of a setting, as YAML.
    pub fn default_of(self, key: &PhalpKey) -> &'static str {
        match self {
            Preset::Phalp => key.phalp,
            Preset::FourDHumans => key.humans.unwrap_or(key.phalp),
        }
    }
}

/// Options of `posebook track` that are no settings of a run, in PHALP's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackOptions {
    /// First half of the .pkl's name.
    pub track_dataset: String,
    /// First half of the video's name.
    pub base_tracker: String,
    /// Whether the video is tracked although its .pkl exists.
    pub overwrite: bool,
    /// Folder of the frames that a .pkl with boxes names.
    pub base_path: Option<PathBuf>,
    /// Whether the overlay video is drawn, and the .pkl has PHALP's keys of a run with rendering.
    pub render: bool,
}

impl Default for TrackOptions {
    fn default() -> TrackOptions {
        TrackOptions {
            track_dataset: "demo".into(),
            base_tracker: "PHALP".into(),
            overwrite: true,
            base_path: None,
            render: true,
        }
    }
}

/// Which settings have their value from the preset, so that they may be changed where they do not fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChosenByPreset {
    /// `detect.least_score`, which is meant for the published detector.
    pub least_score: bool,
    /// `phalp.cues`, which need an imported pose predictor.
    pub cues: bool,
}

/// A parsed command line.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CommandLine {
    /// Settings and paths of posebook, in the order in which they are applied.
    pub overrides: Vec<Override>,
    /// What was translated, and what has no effect.
    pub notes: Vec<String>,
    /// Whose defaults are used.
    pub preset: Option<Preset>,
    /// Options that are no settings.
    pub options: TrackOptions,
    /// Settings that may be changed.
    pub chosen_by_preset: ChosenByPreset,
    values: Values,
}

/// The user's values of PHALP's settings, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Values(BTreeMap<&'static str, String>);

impl Values {
    fn user(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The user's value, otherwise the preset's default.
    fn get(&self, key: &str, preset: Option<Preset>) -> Option<&str> {
        self.user(key).or_else(|| Some(preset?.default_of(table::find(key)?)))
    }
}

impl CommandLine {
    /// Parses the arguments after the video, which is `source`, if it was given without a key.
    ///
    /// # Errors
    /// If an argument is not Hydra's, a key is unknown, or a value is refused: with what to write instead.
    pub fn parse<S: AsRef<str>>(source: Option<&Path>, given: &[S]) -> Result<CommandLine, OverrideError> {
        let mut line = CommandLine::default();
        let mut own: Vec<Override> = Vec::new();
        for given in given {
            line.add(given.as_ref(), &mut own)?;
        }
        let preset = line.preset;
        let values = std::mem::take(&mut line.values);
        let source = source.map(Path::to_path_buf).or(values.user("video.source").map(PathBuf::from));
        let streams = frames::streams(&values, preset)?;
        if preset.is_some() {
            // `track.py` draws bodies as they are; its smoothing belongs to LART
            line.set("smoothing.overlay", Value::Boolean(false));
        }
        for known in KEYS {
            line.apply(known, &values, streams)?;
        }
        let has_mode = own.iter().any(|given| {
            given.key == "video" || given.key == "video.preset" || given.key.starts_with("video.mode")
        });
        let kind = source.as_deref().map_or(SourceKind::Video, kind_of_source);
        frames::translate(&values, preset, kind, has_mode, &mut line)?;
        line.overrides.extend(own);
        line.values = values;
        Ok(line)
    }

    /// The configuration of the command line in PHALP's keys, as YAML; what `--cfg job` prints.
    pub fn to_yaml(&self) -> String {
        print::yaml(self)
    }

    /// Adds one argument: a value of PHALP's, or an override of posebook's.
    fn add(&mut self, given: &str, own: &mut Vec<Override>) -> Result<(), OverrideError> {
        let (key, text, raw) = match hydra::parse(given)? {
            Argument::Set { key, text, raw } => (key, text, raw),
            Argument::Reset { key } => {
                own.retain(|given| given.key != key);
                let known = table::find(&key);
                if let Some(known) = known {
                    self.values.0.remove(known.key);
                } else if let Some(message) = unknown_key(&key, &Value::Boolean(true)) {
                    return Err(OverrideError::Value { given: given.to_string(), message });
                }
                self.note(format!("~{key}: the default is used"));
                return Ok(());
            }
        };
        if key == "preset" {
            self.preset = Some(Preset::parse(&text)?);
            return Ok(());
        }
        if let Some(known) = table::find(&key) {
            self.values.0.insert(known.key, text);
            return Ok(());
        }
        if key.starts_with("hydra.") || key.starts_with("hydra/") {
            self.note(format!("{key} has no effect: it configures Hydra, which is not used"));
            return Ok(());
        }
        let is_path = REQUEST_KEYS[..3].contains(&key.as_str());
        let parsed = Override::parse(&format!("{key}={}", if is_path { &text } else { &raw }))?;
        if !REQUEST_KEYS.contains(&key.as_str())
            && let Some(message) = unknown_key(&key, &parsed.value)
        {
            return Err(OverrideError::Value { given: given.to_string(), message });
        }
        self.notes.extend(parsed.translation.clone());
        own.push(Override { translation: None, ..parsed });
        Ok(())
    }

    /// Applies the user's value of a setting, or the preset's default.
    fn apply(
        &mut self,
        known: &'static PhalpKey,
        values: &Values,
        streams: bool,
    ) -> Result<(), OverrideError> {
        let preset = self.preset;
        let is_default = values.user(known.key).is_none();
        let Some(text) = values.get(known.key, preset) else { return Ok(()) };
        let error =
            |message: String| OverrideError::Value { given: format!("{}={text}", known.key), message };
        match known.handling {
            Handling::Frames(_) => Ok(()),
            Handling::Setting(key) => {
                let parsed = Override::parse(&format!("{key}={text}"))?;
                if key != known.key && !is_default {
                    self.note(format!("{}={text} became {key}={text}", known.key));
                }
                self.overrides.push(Override { translation: None, ..parsed });
                Ok(())
            }
            Handling::Translated(function, _) => {
                let given = Given { key: known.key, text, is_default, preset, streams };
                function(&given, self).map_err(error)
            }
            _ if is_default => Ok(()),
            Handling::Dead(reason) => {
                self.note(format!("{}={text} has no effect: {reason}", known.key));
                Ok(())
            }
            Handling::Fixed(reason) => {
                let is_same = is_same_value(text, known.phalp);
                if is_same {
                    Ok(())
                } else {
                    Err(error(format!("only {} is possible: {reason}", known.phalp)))
                }
            }
            Handling::File(how) => {
                if is_default_path(text, known.phalp) {
                    return Ok(());
                }
                Err(error(format!("files are not read at every start: {how}; then leave the setting out")))
            }
        }
    }

    /// Adds an override.
    fn set(&mut self, key: &str, value: Value) {
        self.overrides.push(Override { key: key.to_string(), value, translation: None });
    }

    /// Adds an override, and a note unless it is the preset's.
    fn translate(&mut self, given: &Given, key: &str, value: Value) {
        if !given.is_default {
            self.note(format!("{}={} became {key}={value}", given.key, given.text));
        }
        self.set(key, value);
    }

    fn note(&mut self, note: String) {
        self.notes.push(note);
    }
}

/// Whether images are read, which PHALP does not cut by its ranges.
fn kind_of_source(source: &Path) -> SourceKind {
    let is_pickle = source.extension().is_some_and(|extension| extension == "pkl");
    if is_pickle || sources::is_image_source(source) { SourceKind::Images } else { SourceKind::Video }
}

/// Whether two texts are the same value: the same number, truth value or word.
fn is_same_value(one: &str, other: &str) -> bool {
    if let (Ok(one), Ok(other)) = (one.parse::<f64>(), other.parse::<f64>()) {
        return one == other;
    }
    match (hydra::parse_bool(one), hydra::parse_bool(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// Whether a path is the default of a file, which lies in PHALP's cache.
fn is_default_path(text: &str, default: &str) -> bool {
    let home = std::env::var("HOME").unwrap_or_default();
    [table::CACHE, "~/.cache/", &format!("{home}/.cache/")]
        .iter()
        .any(|cache| text == format!("{cache}{default}"))
}

/// The message for a key that neither PHALP nor posebook has; `None` if posebook has it. Wrong values are reported later,
/// when all settings are parsed.
fn unknown_key(key: &str, value: &Value) -> Option<String> {
    let mut table = Table::from_iter([("dataset".to_string(), Value::String("one video".into()))]);
    overrides::set(&mut table, key, value.clone());
    let error = Value::Table(table).try_into::<Settings>().err()?;
    let message = error.message();
    if !message.starts_with("unknown field") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    let parent = key.split('.').take_while(|part| *part != unknown).collect::<Vec<_>>();
    let full = |name: &str| parent.iter().chain([&name]).copied().collect::<Vec<_>>().join(".");
    let own: Vec<String> = quoted.map(full).collect();
    let known: Vec<&str> = own
        .iter()
        .map(String::as_str)
        .chain(KEYS.iter().map(|known| known.key))
        .chain(REQUEST_KEYS)
        .collect();
    Some(match nearest_match(key, &known) {
        Some(nearest) => format!("there is no setting `{key}`; did you mean `{nearest}`?"),
        None => format!(
            "there is no setting `{key}`, neither PHALP's (`posebook track --info` lists them) nor one of posebook's"
        ),
    })
}
