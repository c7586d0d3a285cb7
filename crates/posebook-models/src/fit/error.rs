//! Errors of fitting a body.

/// An error of fitting a body.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FitError {
    /// The body's kinematic tree is not SMPL's.
    #[error(
        "the body's joint {joint} has the parent {found:?}, but SMPL's tree has {expected:?}; the fit needs a body \
         with SMPL's skeleton"
    )]
    Skeleton {
        /// Name of the joint.
        joint: &'static str,
        /// Parent of the joint in the body.
        found: Option<usize>,
        /// Parent of the joint in SMPL.
        expected: Option<usize>,
    },
    /// The body's rest pose is degenerate.
    #[error("{body_part} of the body in rest pose has no direction or length; the body file is damaged")]
    Rest {
        /// The degenerate part.
        body_part: &'static str,
    },
    /// A required landmark is missing.
    #[error(
        "the landmarks have no finite {space} coordinates of the {name}; shoulders and hips are required to fit a body"
    )]
    Missing {
        /// The missing landmark.
        name: &'static str,
        /// `world` or `image`.
        space: &'static str,
    },
    /// The landmarks do not determine a body.
    #[error("no body can be fitted: the landmarks are degenerate: {what}")]
    Degenerate {
        /// What is degenerate.
        what: &'static str,
    },
    /// A setting is out of range.
    #[error("fit.{name} is {value}; it has to be {allowed}")]
    InvalidSetting {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// The allowed range.
        allowed: &'static str,
    },
}
