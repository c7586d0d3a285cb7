//! Errors of experiment files and settings, with their location and a hint how to fix them.

use std::path::{Path, PathBuf};

/// An error of an experiment and its location.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// The file cannot be read.
    #[error(
        "cannot read the experiment {path}: {source}; `posebook experiment list` shows the existing ones"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The underlying error.
        source: std::io::Error,
    },
    /// The text of the file, or a setting from the command line, is invalid.
    #[error("{location}: {message}")]
    Invalid {
        /// File and line, or argument.
        location: String,
        /// What is invalid.
        message: String,
    },
    /// Settings are invalid, at an unknown location.
    #[error("the settings: {0}")]
    Settings(#[from] SettingsError),
    /// The experiment cannot be serialized.
    #[error("cannot write the experiment as TOML: {0}; this is a bug of posebook")]
    Serialize(#[from] toml::ser::Error),
}

/// Why settings are invalid.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A key is unknown, or a value has the wrong type.
    #[error("{}", explain_toml_error(.0))]
    Toml(#[from] Box<toml::de::Error>),
    /// No repeats.
    #[error("`repeats` is 0, so that nothing would run; set it to 1 or more")]
    NoRepeats,
    /// The device is unknown.
    #[error(transparent)]
    Device(#[from] crate::device::DeviceError),
    /// A setting of the video is invalid.
    #[error(transparent)]
    Video(#[from] crate::video::VideoErrorKind),
    /// A setting of the detector is invalid.
    #[error(transparent)]
    Detect(#[from] crate::detect::SettingsError),
    /// A setting of HMR2 is invalid.
    #[error(transparent)]
    Hmr2(#[from] crate::hmr2::Hmr2Error),
    /// A setting of BlazePose is invalid.
    #[error(transparent)]
    BlazePose(#[from] crate::blazepose::BlazePoseError),
    /// A setting of the body's fit or of smoothing is invalid.
    #[error(transparent)]
    Fit(#[from] crate::fit::FitError),
    /// A setting of the tracker is invalid.
    #[error(transparent)]
    Phalp(#[from] crate::phalp::SettingsError),
    /// A limit of memory is 0.
    #[error("`limits.{name}` is 0, so that nothing could run; leave it out for no limit")]
    ZeroLimit {
        /// The name.
        name: &'static str,
    },
    /// A limit of GPU memory for a run on the CPU.
    #[error("`limits.device_mib` limits the memory of a GPU, but the device is `{device}`")]
    DeviceLimitOnCpu {
        /// The device.
        device: String,
    },
    /// The limit of time is not a positive number.
    #[error("`limits.wall_secs` must be a number of seconds above 0; leave it out for no limit")]
    WallSecs,
}

impl ExperimentError {
    /// An error in line `line` of the file at `path`.
    pub(crate) fn at_line(path: &Path, line: usize, message: impl Into<String>) -> ExperimentError {
        ExperimentError::Invalid { location: format!("{}:{line}", path.display()), message: message.into() }
    }

    /// The same error with another location. Errors of reading and serializing have none.
    pub(crate) fn with_location(self, location: &str) -> ExperimentError {
        let location = location.to_string();
        match self {
            ExperimentError::Invalid { message, .. } => ExperimentError::Invalid { location, message },
            ExperimentError::Settings(error) => {
                ExperimentError::Invalid { location, message: error.to_string() }
            }
            error @ (ExperimentError::Read { .. } | ExperimentError::Serialize(_)) => error,
        }
    }
}

/// The line, from 1, of the byte `position` of `text`.
pub(crate) fn line_number(text: &str, position: usize) -> usize {
    text.bytes().take(position).filter(|&byte| byte == b'\n').count() + 1
}

/// The message of a TOML error; for an unknown key or value with the most similar known one.
pub(crate) fn explain_toml_error(error: &toml::de::Error) -> String {
    let message = error.message();
    if let Some(message) = expected_integer_message(message) {
        return message;
    }
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (what, unknown) = match quoted.first() {
        Some(unknown) if message.starts_with("unknown field") => ("key", unknown),
        Some(unknown) if message.starts_with("unknown variant") => ("value", unknown),
        _ => return message.to_string(),
    };
    let known = &quoted[1..];
    if known.is_empty() {
        return format!("unknown {what} `{unknown}`: none is allowed here");
    }
    let all = known.join("`, `");
    match nearest_match(unknown, known) {
        Some(nearest) => format!("unknown {what} `{unknown}`; did you mean `{nearest}`? (known: `{all}`)"),
        None => format!("unknown {what} `{unknown}` (known: `{all}`)"),
    }
}

/// The message for a number with a decimal point where an integer is expected.
fn expected_integer_message(message: &str) -> Option<String> {
    let (given, expected) =
        message.strip_prefix("invalid type: floating point `")?.split_once("`, expected ")?;
    let integers = ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "usize", "isize"];
    if !integers.contains(&expected.split_whitespace().next()?) {
        return None;
    }
    let number: f64 = given.parse().ok()?;
    let hint = if number.fract() == 0.0 { format!("; write {number:.0}") } else { String::new() };
    Some(format!("{given} is not an integer{hint}"))
}

/// The one of `known` that is most similar to `unknown` by edit distance, then by length; `None` if none is similar.
pub(crate) fn nearest_match<'k>(unknown: &str, known: &[&'k str]) -> Option<&'k str> {
    let distance = |known: &str| strsim::damerau_levenshtein(unknown, known);
    let similar = known.iter().copied().filter(|known| distance(known) <= 1 + known.len() / 3);
    similar.min_by_key(|known| (distance(known), known.len().abs_diff(unknown.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_point_in_an_integer_is_reported() {
        #[derive(Debug, serde::Deserialize)]
        #[allow(dead_code, reason = "only deserialized")]
        struct Counts {
            frames: Option<i64>,
            every: Option<usize>,
        }
        let message = |text: &str| {
            let value: toml::Value = toml::Value::Table(text.parse().unwrap());
            explain_toml_error(&value.try_into::<Counts>().unwrap_err())
        };
        assert_eq!(message("frames = 2.0"), "2.0 is not an integer; write 2");
        assert_eq!(message("every = 2.5"), "2.5 is not an integer");
    }

    #[test]
    fn line_numbers_and_nearest_matches() {
        assert_eq!(line_number("a\nb\nc", 2), 2);
        assert_eq!(nearest_match("modle", &["seed", "model", "mode"]), Some("model"));
        assert_eq!(nearest_match("xyz", &["seed", "model"]), None);
    }
}
