//! Translates PHALP's selection of frames: `video.source`, `video.extract_video`, its ranges, and the slice of `phalp.*_frame`.
//!
//! In: PHALP's values. Out: overrides of posebook's `[video]`. Under a preset the rules are PHALP's: a video file that is
//! extracted is selected by frames, one that is streamed by whole seconds, folders and boxes not at all. Without a preset
//! the bounds are posebook's own, and the slice is applied to them.

use super::hydra::{is_null, parse_bool};
use super::{CommandLine, Preset, Values};
use crate::experiment::{Override, OverrideError};
use posebook_video::{Access, Mode};
use toml::Value;

/// What is selected from, which decides the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SourceKind {
    /// A video file or an address.
    Video,
    /// A folder of images, one image, or a .pkl with boxes.
    Images,
}

const BOUNDS: [&str; 4] = ["video.start_frame", "video.end_frame", "video.start_time", "video.end_time"];

/// Adds the overrides for the values of one command line. `has_mode` is whether it sets posebook's own `video.mode` or
/// `video.preset`.
pub(super) fn translate(
    values: &Values,
    preset: Option<Preset>,
    kind: SourceKind,
    has_mode: bool,
    line: &mut CommandLine,
) -> Result<(), OverrideError> {
    if let Some(source) = values.user("video.source") {
        line.overrides.push(Override::parse(&format!("video.source={source}"))?);
    }
    match preset {
        None => without_preset(values, line),
        Some(preset) => with_preset(values, preset, kind, has_mode, line),
    }
}

fn without_preset(values: &Values, line: &mut CommandLine) -> Result<(), OverrideError> {
    for key in ["video.extract_video"].iter().chain(&BOUNDS) {
        if let Some(text) = values.user(key) {
            let given = Override::parse(&format!("{key}={text}"))?;
            line.notes.extend(given.translation.clone());
            line.overrides.push(Override { translation: None, ..given });
        }
    }
    let Some(slice) = Slice::parse(values, None)? else { return Ok(()) };
    let start = frame_bound(values.user("video.start_frame").unwrap_or("-1"), "video.start_frame")?;
    let end = frame_bound(values.user("video.end_frame").unwrap_or("-1"), "video.end_frame")?;
    if values.user("video.start_time").or(values.user("video.end_time")).is_some() {
        return Err(slice.beside_times());
    }
    slice.apply(start, end, line)
}

fn with_preset(
    values: &Values,
    preset: Preset,
    kind: SourceKind,
    has_mode: bool,
    line: &mut CommandLine,
) -> Result<(), OverrideError> {
    let streams = streams(values, Some(preset))?;
    let (used, unused): (&[&str], &[&str]) = match (kind, streams) {
        (SourceKind::Images, _) => (&[], &BOUNDS),
        (SourceKind::Video, false) => (&BOUNDS[..2], &BOUNDS[2..]),
        (SourceKind::Video, true) => (&BOUNDS[2..], &BOUNDS[..2]),
    };
    for key in unused.iter().filter(|key| values.user(key).is_some()) {
        let why = match kind {
            SourceKind::Images => "PHALP reads all images of a folder or a .pkl",
            SourceKind::Video if streams => "PHALP selects by times where it streams",
            SourceKind::Video => "PHALP selects by frames where it extracts",
        };
        line.note(format!(
            "{key} is not used: {why}; phalp.start_frame and phalp.end_frame select in every case"
        ));
    }
    let slice = Slice::parse(values, Some(preset))?;
    match kind {
        SourceKind::Images => {
            if !has_mode {
                // the files are read one by one, without writing them again; PHALP does not read ahead either
                line.set("video.mode", mode(Access::Sequential)?);
                line.set("video.overlap", Value::Boolean(false));
            }
            slice.map_or(Ok(()), |slice| slice.apply(None, None, line))
        }
        SourceKind::Video if streams => {
            if !has_mode {
                line.set("video.preset", Value::String("phalp-stream".into()));
            }
            for key in used {
                let text = values.get(key, Some(preset)).unwrap_or("0s");
                let secs = whole_seconds(key, text, values.user(key).is_some(), line)?;
                line.set(key, Value::Integer(secs));
            }
            slice.map_or(Ok(()), |slice| Err(slice.beside_times()))
        }
        SourceKind::Video => {
            if !has_mode {
                line.set("video.preset", Value::String("phalp-extract".into()));
            }
            let bound = |key: &'static str| frame_bound(values.get(key, Some(preset)).unwrap_or("-1"), key);
            let (start, end) = (bound("video.start_frame")?, bound("video.end_frame")?);
            match slice {
                Some(slice) => slice.apply(start, end, line),
                None => {
                    set_frames(start, end, line);
                    Ok(())
                }
            }
        }
    }
}

/// Whether the command line asks for PHALP's stream.
pub(super) fn streams(values: &Values, preset: Option<Preset>) -> Result<bool, OverrideError> {
    let Some(text) = values.user("video.extract_video").or(preset.map(|_| "true")) else { return Ok(false) };
    let wrong = || invalid("video.extract_video", text, "PHALP's switch must be True or False");
    parse_bool(text).map(|extracts| !extracts).ok_or_else(wrong)
}

fn mode(access: Access) -> Result<Value, OverrideError> {
    let mode = Mode::stream(access);
    Value::try_from(mode).map_err(|error| invalid("video.mode", mode.name(), &error.to_string()))
}

fn invalid(key: &str, text: &str, message: &str) -> OverrideError {
    OverrideError::Value { given: format!("{key}={text}"), message: message.to_string() }
}

/// PHALP's times: the last character is dropped, whatever it is, and the rest has to be a whole number.
fn whole_seconds(
    key: &str,
    text: &str,
    is_given: bool,
    line: &mut CommandLine,
) -> Result<i64, OverrideError> {
    let shortened = text.char_indices().next_back().map_or("", |(last, _)| &text[..last]);
    let secs: i64 = shortened.trim().parse().map_err(|_| {
        let message = "PHALP drops the last character and reads a whole number, so that it stops here; write whole seconds \
                       such as 10s, or leave the preset out";
        invalid(key, text, message)
    })?;
    if secs < 0 {
        return Err(invalid(key, text, "give seconds from 0 on"));
    }
    if is_given && !text.ends_with('s') {
        line.note(format!("{key}={text} is {secs} s under a preset: PHALP drops the last character"));
    }
    Ok(secs)
}

/// A bound in frames; -1 is none.
fn frame_bound(text: &str, key: &str) -> Result<Option<i64>, OverrideError> {
    if is_null(text) {
        return Ok(None);
    }
    match text.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(frame) if frame >= 0 => Ok(Some(frame)),
        _ => Err(invalid(key, text, "give a whole number from 0 on, or -1 for the video's own bound")),
    }
}

fn set_frames(start: Option<i64>, end: Option<i64>, line: &mut CommandLine) {
    for (key, bound) in [("video.start_frame", start), ("video.end_frame", end)] {
        line.set(key, Value::Integer(bound.unwrap_or(-1)));
    }
}

/// `phalp.start_frame` and `phalp.end_frame`, a Python slice of the selected frames.
#[derive(Debug, Clone, Copy)]
struct Slice {
    start: i64,
    end: i64,
}

impl Slice {
    /// The slice; `None` if `phalp.start_frame` is -1, and then `phalp.end_frame` is not used.
    fn parse(values: &Values, preset: Option<Preset>) -> Result<Option<Slice>, OverrideError> {
        let read = |key: &'static str, default: &'static str| {
            let text = values.get(key, preset).unwrap_or(default);
            let wrong = || invalid(key, text, "give a whole number");
            text.parse::<i64>().map_err(|_| wrong())
        };
        let (start, end) = (read("phalp.start_frame", "-1")?, read("phalp.end_frame", "10")?);
        if start == -1 {
            return Ok(None);
        }
        if start < 0 || end < 0 {
            let (key, value) = if start < 0 { ("start", start) } else { ("end", end) };
            let message = "a negative number counts from the end of the range, which is not known yet; count from its start";
            return Err(invalid(&format!("phalp.{key}_frame"), &value.to_string(), message));
        }
        if start >= end {
            let message = format!(
                "phalp.end_frame is {end}, so that no frame is selected; give a greater phalp.end_frame"
            );
            return Err(invalid("phalp.start_frame", &start.to_string(), &message));
        }
        Ok(Some(Slice { start, end }))
    }

    fn apply(
        self,
        start: Option<i64>,
        end: Option<i64>,
        line: &mut CommandLine,
    ) -> Result<(), OverrideError> {
        let first = start.unwrap_or(0);
        let sliced = (first + self.start, first.saturating_add(self.end).min(end.unwrap_or(i64::MAX)));
        if sliced.0 >= sliced.1 {
            let message = "the range ends before it, so that no frame is selected; give a smaller one";
            return Err(invalid("phalp.start_frame", &self.start.to_string(), message));
        }
        line.note(format!(
            "phalp.start_frame={} and phalp.end_frame={} became video.start_frame={} and video.end_frame={}",
            self.start, self.end, sliced.0, sliced.1
        ));
        set_frames(Some(sliced.0), Some(sliced.1), line);
        Ok(())
    }

    fn beside_times(self) -> OverrideError {
        let message = "it selects from frames that times select already; give video.start_time and video.end_time alone";
        invalid("phalp.start_frame", &self.start.to_string(), message)
    }
}
