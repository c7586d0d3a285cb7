//! The networks that a tracker calls, by the traits of [`posebook_core::appearance`].

use super::cues::{Cues, PoseCue, TextureCue};
use super::features::Pose;
use super::settings::SettingsError;
use posebook_core::appearance::{NetworkError, PoseHistory, PosePredictor, TextureEncoder};
use std::fmt;
use std::sync::Arc;

/// The networks of a tracker; those that its cues need have to be there.
#[derive(Clone, Default)]
pub struct Networks {
    /// Encodes textures, for `cues.texture = "uv"`.
    pub texture: Option<Arc<dyn TextureEncoder>>,
    /// Predicts poses, for `cues.pose = "predictor"`.
    pub pose: Option<Arc<dyn PosePredictor>>,
}

impl fmt::Debug for Networks {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let (texture, pose) = (self.texture.is_some(), self.pose.is_some());
        out.debug_struct("Networks").field("texture", &texture).field("pose", &pose).finish()
    }
}

impl Networks {
    /// Checks that the networks which `cues` need are there.
    ///
    /// # Errors
    /// If one is missing.
    pub(super) fn check(&self, cues: Cues) -> Result<(), SettingsError> {
        let missing = |cue, network, without| Err(SettingsError::MissingNetwork { cue, network, without });
        if cues.texture == TextureCue::Uv && self.texture.is_none() {
            return missing("texture", "a texture encoder", "off");
        }
        if cues.pose == PoseCue::Predictor && self.pose.is_none() {
            return missing("pose", "a pose predictor", "last");
        }
        Ok(())
    }
}

/// The predicted poses of `tracks`.
///
/// # Errors
/// If the network fails, or returns something else than one finite pose per track.
pub fn predict(predictor: &dyn PosePredictor, tracks: &[PoseHistory<'_>]) -> Result<Vec<Pose>, NetworkError> {
    let poses = predictor.predict(tracks)?;
    if poses.len() == tracks.len() && poses.iter().all(|pose| pose.iter().all(|value| value.is_finite())) {
        return Ok(poses.into_iter().map(|pose| Pose::from(*pose)).collect());
    }
    Err(NetworkError {
        message: format!(
            "the pose predictor returned something else than {} poses of finite numbers; check its weights",
            tracks.len()
        ),
        is_out_of_memory: false,
    })
}
