//! The error of an impossible detection setting.

/// An impossible setting.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// A number is out of range.
    #[error("detect.{name} is {value}; set it to {range}")]
    OutOfRange {
        /// Name of the setting below `detect`.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it has to be.
        range: &'static str,
    },
    /// The detector of frames without boxes is none.
    #[error("detect.fallback is {model}, which needs boxes itself; set it to nanodet, vitdet or regnety")]
    Fallback {
        /// Its value.
        model: &'static str,
    },
}
