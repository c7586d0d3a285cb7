//! The cues by which a track and a detected person are compared, and how each is predicted.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The cues that enter the cost, and how each is predicted. A cue that is off has distance zero.
///
/// The defaults are those of PHALP with `predict = L`. [`Cues::from_letters`] reads PHALP's letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cues {
    /// Predicted location.
    pub location: LocationCue,
    /// Predicted pose.
    pub pose: PoseCue,
    /// Appearance.
    pub texture: TextureCue,
}

/// How the location of a track's person is predicted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocationCue {
    /// Location is ignored.
    Off,
    /// The location of the last match.
    Last,
    /// Extrapolated by ridge regression over the track's history.
    #[default]
    Ridge,
}

/// How the body pose of a track's person is predicted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoseCue {
    /// Pose is ignored.
    Off,
    /// The pose of the last match, which is the reference's fallback without its pose transformer.
    #[default]
    Last,
    /// Predicted by a network from the track's history: the `pose` of [`Networks`](super::Networks).
    Predictor,
}

/// What the pose cue compares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoseDistance {
    /// The rotation matrices and shape coefficients of SMPL: 226 numbers.
    #[default]
    Smpl,
    /// The person's joints in 3D: 135 numbers, meters.
    Joints,
}

/// How the appearance of a track's person is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextureCue {
    /// Appearance is ignored.
    #[default]
    Off,
    /// The embeddings of the last match and of the person.
    Embedding,
    /// The track's texture map, mixed from all its matches, and the person's: both are encoded where both are visible, by
    /// the `texture` of [`Networks`](super::Networks).
    Uv,
}

/// Letters of PHALP's `phalp.predict` that mean nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("phalp.predict is \"{letters}\", but \"{unknown}\" is no cue; use the letters T or A, P and L")]
pub struct CueLettersError {
    /// The given letters.
    pub letters: String,
    /// The first that is unknown.
    pub unknown: char,
}

impl Cues {
    /// The cues of PHALP's `phalp.predict`: `T` compares texture maps, `A` embeddings (only where there is no `T`), `P`
    /// predicts the pose and `L` the location. Without `P` or `L` the last value is compared.
    ///
    /// # Errors
    /// If there is another letter, which the reference ignores.
    pub fn from_letters(letters: &str) -> Result<Cues, CueLettersError> {
        if let Some(unknown) = letters.chars().find(|letter| !"TAPL".contains(*letter)) {
            return Err(CueLettersError { letters: letters.into(), unknown });
        }
        let has = |letter: char| letters.contains(letter);
        Ok(Cues {
            location: if has('L') { LocationCue::Ridge } else { LocationCue::Last },
            pose: if has('P') { PoseCue::Predictor } else { PoseCue::Last },
            texture: match (has('T'), has('A')) {
                (true, _) => TextureCue::Uv,
                (false, true) => TextureCue::Embedding,
                (false, false) => TextureCue::Off,
            },
        })
    }

    /// PHALP's letters for these cues; `None` if it has none: PHALP always compares pose and location.
    pub fn letters(self) -> Option<String> {
        let texture = match self.texture {
            TextureCue::Off => "",
            TextureCue::Embedding => "A",
            TextureCue::Uv => "T",
        };
        let pose = match self.pose {
            PoseCue::Off => return None,
            PoseCue::Last => "",
            PoseCue::Predictor => "P",
        };
        let location = match self.location {
            LocationCue::Off => return None,
            LocationCue::Last => "",
            LocationCue::Ridge => "L",
        };
        Some([texture, pose, location].concat())
    }
}

/// The cues that are on, such as `location + pose + texture`; `none` if all are off. A cue that is predicted or compared
/// in another way than PHALP's `L` and `T` or a pose without `P` has a name of its own: `last location`, `predicted pose`,
/// `embedding`.
impl fmt::Display for Cues {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let location = match self.location {
            LocationCue::Off => None,
            LocationCue::Last => Some("last location"),
            LocationCue::Ridge => Some("location"),
        };
        let pose = match self.pose {
            PoseCue::Off => None,
            PoseCue::Last => Some("pose"),
            PoseCue::Predictor => Some("predicted pose"),
        };
        let texture = match self.texture {
            TextureCue::Off => None,
            TextureCue::Embedding => Some("embedding"),
            TextureCue::Uv => Some("texture"),
        };
        let names: Vec<&str> = [location, pose, texture].into_iter().flatten().collect();
        formatter.write_str(if names.is_empty() { "none" } else { "" })?;
        formatter.write_str(&names.join(" + "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cues_are_named_and_those_that_are_off_are_left_out() {
        let named = |location, pose, texture| Cues { location, pose, texture }.to_string();
        assert_eq!(Cues::default().to_string(), "location + pose");
        assert_eq!(named(LocationCue::Ridge, PoseCue::Last, TextureCue::Uv), "location + pose + texture");
        assert_eq!(
            named(LocationCue::Last, PoseCue::Predictor, TextureCue::Embedding),
            "last location + predicted pose + embedding"
        );
        assert_eq!(named(LocationCue::Off, PoseCue::Off, TextureCue::Uv), "texture");
        assert_eq!(named(LocationCue::Off, PoseCue::Off, TextureCue::Off), "none");
    }

    #[test]
    fn phalps_letters_and_back() {
        for letters in ["", "T", "A", "P", "L", "TP", "AL", "PL", "TPL", "APL"] {
            assert_eq!(Cues::from_letters(letters).unwrap().letters().as_deref(), Some(letters));
        }
        assert_eq!(Cues::from_letters("LPAT").unwrap().letters().as_deref(), Some("TPL"));
        assert_eq!(Cues::from_letters("L").unwrap(), Cues::default());
        let off = Cues { pose: PoseCue::Off, ..Cues::default() };
        assert_eq!(off.letters(), None);
        let error = Cues::from_letters("TPl").unwrap_err();
        assert!(error.to_string().contains("\"l\" is no cue"), "{error}");
    }
}
