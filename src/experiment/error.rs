//! Errors of experiment files and settings: where the error is, what is invalid, and what to write instead.

use std::path::PathBuf;

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
    #[error("{}", posebook_core::toml_error::explain_toml_error(.0))]
    Toml(#[from] Box<toml::de::Error>),
    /// No repeats.
    #[error("`repeats` is 0, so that nothing would run; set it to 1 or more")]
    NoRepeats,
    /// The device is unknown.
    #[error(transparent)]
    Device(#[from] posebook_models::device::DeviceError),
    /// A setting of the video is invalid.
    #[error(transparent)]
    Video(#[from] posebook_video::VideoErrorKind),
    /// A setting of the detector is invalid.
    #[error(transparent)]
    Detect(#[from] posebook_models::detect::SettingsError),
    /// A setting of HMR2 is invalid.
    #[error(transparent)]
    Hmr2(#[from] posebook_models::hmr2::Hmr2Error),
    /// A setting of BlazePose is invalid.
    #[error(transparent)]
    BlazePose(#[from] posebook_models::blazepose::BlazePoseError),
    /// A setting of the body's fit or of smoothing is invalid.
    #[error(transparent)]
    Fit(#[from] posebook_models::fit::FitError),
    /// A setting of the tracker is invalid.
    #[error(transparent)]
    Phalp(#[from] posebook_track::phalp::SettingsError),
    /// A setting of the overlay is invalid.
    #[error(transparent)]
    Render(#[from] posebook_synth::render::RenderError),
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
    /// The same error with another location. Errors of reading and serializing have none.
    pub(super) fn with_location(self, location: &str) -> ExperimentError {
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
