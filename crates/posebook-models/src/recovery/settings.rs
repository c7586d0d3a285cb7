//! Settings of the recovery stage.

use crate::appearance;
use crate::blazepose;
use crate::fit;
use crate::hmr2;

/// Settings of all networks of the stage.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// Of HMR2.
    pub hmr2: &'a hmr2::Settings,
    /// Of BlazePose.
    pub blazepose: &'a blazepose::Settings,
    /// Of the fit of bodies to BlazePose's landmarks.
    pub fit: &'a fit::Settings,
    /// What the appearance of people is computed with; `None`: it is not computed.
    pub appearance: Option<&'a appearance::Sources>,
}
