//! What can be wrong with a fit.

/// A fit that could not be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FitError {
    #[error(
        "the body's joint {joint} has the parent {found:?}, but SMPL's tree has {expected:?}; the fit needs a body \
         with SMPL's skeleton"
    )]
    Skeleton { joint: &'static str, found: Option<usize>, expected: Option<usize> },
    #[error("{body_part} of the body in rest pose has no direction or length; the body file is damaged")]
    Rest { body_part: &'static str },
    #[error(
        "the landmarks have no finite {space} coordinates of the {name}; shoulders and hips are needed, so leave this \
         person without a body"
    )]
    Missing { name: &'static str, space: &'static str },
    #[error("the landmarks are degenerate: {what}; leave this person without a body")]
    Degenerate { what: &'static str },
    #[error("fit.{name} is {value}; it has to be {allowed}")]
    Setting { name: &'static str, value: f64, allowed: &'static str },
}
