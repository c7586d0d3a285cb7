//! The error of a detection setting out of range.

/// A setting out of range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("detect.{name} is {value}; set it to {range}")]
pub struct SettingsError {
    pub(super) name: &'static str,
    pub(super) value: f64,
    pub(super) range: &'static str,
}
