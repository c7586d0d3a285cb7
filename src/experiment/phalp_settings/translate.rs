//! Translates values of PHALP's settings to settings of posebook.
//!
//! In: a value as text. Out: overrides, options of the command and notes, added to the [`CommandLine`]. One function per
//! setting; [`super::table`] says which. Bounds of the frames are translated together, in [`super::frames`].

use super::hydra::{is_null, parse_bool};
use super::{CommandLine, Preset};
use posebook_core::files;
use posebook_track::phalp::Cues;
use std::path::PathBuf;
use toml::Value;

/// Translates one value; an error is what is wrong with the value and what to write instead.
pub(super) type Translate = fn(&Given, &mut CommandLine) -> Result<(), String>;

/// A value of a setting, and where it comes from.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// The key.
    pub(super) key: &'static str,
    /// The value without quotes.
    pub(super) text: &'a str,
    /// Whether it is the default of the preset, and not the user's.
    pub(super) is_default: bool,
    /// The preset of the command line.
    pub(super) preset: Option<Preset>,
    /// Whether the command line streams the video (`video.extract_video=False`).
    pub(super) streams: bool,
}

impl Given<'_> {
    fn bool(&self) -> Result<bool, String> {
        parse_bool(self.text).ok_or_else(|| "write True or False".to_string())
    }

    /// A name that becomes a part of a file's name.
    fn file_name(&self) -> Result<String, String> {
        let is_name = !self.text.is_empty() && !self.text.contains(['/', '\\', '\0']);
        is_name
            .then(|| self.text.to_string())
            .ok_or_else(|| "it becomes a part of a file's name: write a word without slashes".to_string())
    }

    fn path(&self) -> Result<Option<PathBuf>, String> {
        match self.text {
            "" => Err("the path is empty; give one, or leave the setting out".to_string()),
            text if is_null(text) => Ok(None),
            text => files::expand_home(text).map(Some),
        }
    }
}

pub(super) fn track_dataset(given: &Given, line: &mut CommandLine) -> Result<(), String> {
    line.options.track_dataset = given.file_name()?;
    Ok(())
}

pub(super) fn base_tracker(given: &Given, line: &mut CommandLine) -> Result<(), String> {
    line.options.base_tracker = given.file_name()?;
    Ok(())
}

pub(super) fn device(given: &Given, line: &mut CommandLine) -> Result<(), String> {
    match given.text {
        // `auto` uses a GPU if there is one, and computes on the CPU where PHALP would fail
        _ if given.is_default => {}
        "cuda" => line.translate(given, "device", Value::String("cuda:0".into())),
        device => line.set("device", Value::String(device.to_string())),
    }
    Ok(())
}

pub(super) fn use_gt(given: &Given, line: &mut CommandLine) -> Result<(), String> {
    if given.bool()? {
        line.translate(given, "phalp.use_gt", Value::Boolean(true));
        line.note("use_gt=True: the costs of all pairs are not written to a `_distance.pkl`".to_string());
    }
    Ok(())
}

pub(super) fn overwrite(given: &Given, line: &mut CommandLine) -> Result<(), String> {
    line.options.overwrite = given.bool()?;
    Ok(())
}

pub(super) fn render(given: &Given, line: &mut CommandLine) -> Result<(), String> {
    line.options.render = given.bool()?;
    Ok(())
}

pub(super) fn side_view(given: &Given, line: &mut CommandLine) -> Result<(), String> {
    if given.bool()? {
        line.translate(given, "render.side_view", Value::Boolean(true));
    }
    Ok(())
}

pub(super) fn verbose(given: &Given, line: &mut CommandLine) -> Result<(), String> {
    if given.bool()? {
        line.note(format!("{}={}: cost matrices are not printed", given.key, given.text));
    }
    Ok(())
}

pub(super) fn detect_shots(given: &Given, line: &mut CommandLine) -> Result<(), String> {
    if !given.bool()? {
        return Ok(());
    }
    line.translate(given, "shots.detect", Value::Boolean(true));
    if given.preset.is_some() && given.streams {
        line.set("shots.scan", Value::String("file".into()));
    }
    Ok(())
}

pub(super) fn output_dir(given: &Given, line: &mut CommandLine) -> Result<(), String> {
    if let Some(path) = given.path()?
        && !given.is_default
    {
        line.translate(given, "out", Value::String(path.to_string_lossy().into_owned()));
    }
    Ok(())
}

pub(super) fn base_path(given: &Given, line: &mut CommandLine) -> Result<(), String> {
    line.options.base_path = given.path()?;
    Ok(())
}

pub(super) fn predict(given: &Given, line: &mut CommandLine) -> Result<(), String> {
    let cues = Cues::from_letters(given.text).map_err(|error| error.to_string())?;
    let cues = Value::try_from(cues).map_err(|error| error.to_string())?;
    line.chosen_by_preset.cues = given.is_default;
    line.translate(given, "phalp.cues", cues);
    Ok(())
}

pub(super) fn distance_type(given: &Given, line: &mut CommandLine) -> Result<(), String> {
    if matches!(given.text, "EQ_020" | "EQ_021") {
        return Err("PHALP names it and stops with `Unknown distance type`; write EQ_019 or EQ_010".into());
    }
    line.set("phalp.distance_type", Value::String(given.text.to_string()));
    Ok(())
}

pub(super) fn least_score(given: &Given, line: &mut CommandLine) -> Result<(), String> {
    let score: f64 = given.text.parse().map_err(|_| "write a number from 0 to 1".to_string())?;
    line.chosen_by_preset.least_score = given.is_default;
    if given.is_default {
        line.set("detect.least_score", Value::Float(score));
    } else {
        line.translate(given, "detect.least_score", Value::Float(score));
    }
    Ok(())
}

pub(super) fn detector(given: &Given, line: &mut CommandLine) -> Result<(), String> {
    let model = match given.text {
        // The preset's detector is used where it is imported, which is looked up when the video is tracked.
        _ if given.is_default => return Ok(()),
        // posebook's own names are accepted, too
        "vitdet" | "nanodet" | "regnety" => given.text,
        "maskrcnn" => "regnety",
        _ => {
            return Err("there is no such detector; write vitdet, maskrcnn (detect.model=regnety), or detect.model=nanodet".into());
        }
    };
    line.translate(given, "detect.model", Value::String(model.into()));
    Ok(())
}

pub(super) fn expand_bbox_shape(given: &Given, line: &mut CommandLine) -> Result<(), String> {
    const KEY: &str = "hmr2.expand_bbox_shape";
    let value = if is_null(given.text) {
        Value::String("none".into())
    } else {
        let text = given.text.replace('(', "[").replace(')', "]");
        let parsed = format!("value = {text}").parse::<toml::Table>().ok();
        let value = parsed.and_then(|mut table| table.remove("value")).filter(Value::is_array);
        value.ok_or("write [width,height], such as [192,256], or null")?
    };
    if given.is_default {
        line.set(KEY, value);
    } else {
        line.translate(given, KEY, value);
    }
    Ok(())
}
