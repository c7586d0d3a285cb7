//! The `walkers` kind as written in TOML, and the resolved description of each clip.
//!
//! Ground positions are `[right, away]` in meters from the point below the camera. Does not depend on rendering.

use super::Encoding;
use crate::motion::{Action, Area, Plan, Stage};
use crate::scenery::PlaceKind;
use serde::{Deserialize, Serialize};

/// A dataset of drawn scenes. Sweeps can change every value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalkersDataset {
    kind: Kind,
    /// Purpose of the clips, one line.
    pub about: String,
    /// Seed of everything random, one of [`super::BENCHMARK_SEEDS`].
    pub seed: u64,
    /// Frame width, pixels; even.
    pub width: usize,
    /// Frame height, pixels; even.
    pub height: usize,
    /// Frames of each clip.
    pub frames: usize,
    /// Frames per second.
    pub fps: f64,
    /// Number of people in every clip; if missing, each clip has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<usize>,
    /// People with a smaller visible share are omitted from the ground truth that runs are scored by (its table has
    /// them).
    #[serde(default = "least_visible")]
    pub least_visible: f32,
    /// Encoder settings.
    #[serde(default)]
    pub encoding: Encoding,
    /// Names of the selected clips; all if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    /// The scenes, one per clip.
    pub clip: Vec<Scene>,
    /// Whether the seed differs from the file's, so that scripted people are varied.
    #[serde(skip)]
    pub is_varied: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Walkers,
}

fn least_visible() -> f32 {
    0.15
}

/// The scene of one clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    /// The clip's name.
    pub name: String,
    /// Number of people; those beyond the list of `person` wander. If missing, those listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<usize>,
    /// Added to the dataset's seed, so that clips differ.
    #[serde(default)]
    pub seed: u64,
    /// Kind of scenery; random if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<PlaceKind>,
    /// The camera.
    #[serde(default)]
    pub camera: CameraSpec,
    /// Area in which people wander, from near left to far right.
    #[serde(default = "usual_area")]
    pub area: [[f64; 2]; 2],
    /// Scripted people.
    #[serde(default)]
    pub person: Vec<PersonSpec>,
    /// Whose clothes people wear.
    #[serde(default, skip_serializing_if = "Outfit::is_own")]
    pub outfit: Outfit,
    /// Cuts to other poses of the camera, ordered by frame; people continue across a cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<Cut>,
}

fn usual_area() -> [[f64; 2]; 2] {
    [[-2.8, 4.4], [2.8, 8.5]]
}

/// Whose clothes (and skin and hair colors) the people of a scene have. Body shapes are always their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outfit {
    /// Everybody has their own.
    #[default]
    Own,
    /// Everybody has those of person 0.
    Same,
}

impl Outfit {
    fn is_own(&self) -> bool {
        *self == Outfit::Own
    }
}

/// A cut: from `frame` on, the camera has another pose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// First frame of the new shot, from 1.
    pub frame: usize,
    /// Ground position below the camera.
    #[serde(default)]
    pub from: [f64; 2],
    /// Direction of view: 0 straight ahead as the scene's first camera, 90 to its right.
    #[serde(default)]
    pub yaw_deg: f64,
    /// Height, tilt, field of view; a pan starts at the cut, and its angles are added to `yaw_deg`.
    #[serde(default)]
    pub camera: CameraSpec,
}

/// Pose and movement of the camera.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CameraSpec {
    /// Meters above the ground.
    pub height: f64,
    /// Downward tilt.
    pub tilt_deg: f64,
    /// Horizontal field of view.
    pub field_of_view_deg: f64,
    /// Panning; none if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pan: Option<Pan>,
}

impl Default for CameraSpec {
    fn default() -> CameraSpec {
        CameraSpec { height: 1.55, tilt_deg: 6.0, field_of_view_deg: 52.0, pan: None }
    }
}

/// Panning to and fro.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pan {
    /// Initial angle, to the right of straight ahead.
    pub from_deg: f64,
    /// Final angle.
    pub to_deg: f64,
    /// Seconds from one end to the other.
    pub secs: f64,
}

/// A scripted person; wanders after the script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonSpec {
    /// Start of the first stage; negative for a person already moving when the clip starts.
    #[serde(default)]
    pub starts_secs: f64,
    /// Start position.
    pub from: [f64; 2],
    /// Initial heading: 0 towards the camera, 90 to the image's right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facing_deg: Option<f64>,
    /// The script.
    pub stages: Vec<StageSpec>,
}

/// Either `go` with `speed`, or `stay_secs`; `doing` is optional in both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageSpec {
    /// Positions to move through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub go: Option<Vec<[f64; 2]>>,
    /// Meters per second; from 2.2 on people run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
    /// Seconds to stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stay_secs: Option<f64>,
    /// Gesture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doing: Option<Action>,
}

/// Everything that one clip is made from; serialized, it is part of the cache key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WalkersClip {
    /// Seed of the dataset plus that of the scene.
    pub seed: u64,
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Number of frames.
    pub frames: usize,
    /// Frames per second.
    pub fps: f64,
    /// Number of people.
    pub people: usize,
    /// See [`WalkersDataset::least_visible`].
    pub least_visible: f32,
    /// Encoder settings.
    pub encoding: Encoding,
    /// The scene.
    pub scene: Scene,
    /// Whether scripted people are varied by the seed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_varied: bool,
}

/// World `[x, z]` of a ground position `[right, away]`.
pub fn world(position: [f64; 2]) -> [f64; 2] {
    [position[0], -position[1]]
}

impl WalkersDataset {
    /// The selected clips.
    ///
    /// # Errors
    /// Names the value that is out of range, the name that two clips have, or the selected name that no clip has.
    pub fn clips(&self) -> Result<Vec<WalkersClip>, String> {
        self.check()?;
        let is_selected = |scene: &&Scene| self.only.as_ref().is_none_or(|only| only.contains(&scene.name));
        self.clip.iter().filter(is_selected).map(|scene| self.clip(scene)).collect()
    }

    fn clip(&self, scene: &Scene) -> Result<WalkersClip, String> {
        scene.check().map_err(|problem| format!("clip `{}`: {problem}", scene.name))?;
        let people = self.people.or(scene.people).unwrap_or(scene.person.len());
        if people > 64 {
            return Err(format!("clip `{}`: people = {people}, but a scene has 64 at most", scene.name));
        }
        Ok(WalkersClip {
            // both are far below half of u64's range
            seed: self.seed.saturating_add(scene.seed),
            width: self.width,
            height: self.height,
            frames: self.frames,
            fps: self.fps,
            people,
            least_visible: self.least_visible,
            encoding: self.encoding.clone(),
            scene: scene.clone(),
            is_varied: self.is_varied,
        })
    }

    fn check(&self) -> Result<(), String> {
        for (name, side) in [("width", self.width), ("height", self.height)] {
            if !(16..=8192).contains(&side) || side % 2 != 0 {
                return Err(format!(
                    "{name} = {side} must be even (H.264 subsamples colors by two) and 16 to 8192"
                ));
            }
        }
        if self.frames == 0 {
            return Err("frames = 0, but a clip needs at least one frame".into());
        }
        if !(1.0..=240.0).contains(&self.fps) {
            return Err(format!("fps = {} must be 1 to 240", self.fps));
        }
        if !super::BENCHMARK_SEEDS.contains(&self.seed) {
            let first = super::BENCHMARK_SEEDS.start;
            return Err(format!(
                "seed = {} must be {first} or more: those below are for training",
                self.seed
            ));
        }
        if !(0.0..=1.0).contains(&self.least_visible) {
            return Err(format!("least_visible = {} must be 0 to 1", self.least_visible));
        }
        if self.encoding.gop == 0 || self.encoding.b_frames > 16 || self.encoding.crf > 51 {
            return Err("encoding: gop must be 1 or more, b_frames 16 at most, crf 51 at most".into());
        }
        for name in self.only.iter().flatten() {
            if !self.clip.iter().any(|scene| scene.name == *name) {
                let names: Vec<&str> = self.clip.iter().map(|scene| scene.name.as_str()).collect();
                return Err(format!("only: there is no clip `{name}`; the clips are {}", names.join(", ")));
            }
        }
        let duplicate =
            self.clip.iter().enumerate().find(|(i, s)| self.clip[..*i].iter().any(|o| o.name == s.name));
        duplicate.map_or(Ok(()), |(_, scene)| Err(format!("two clips are called `{}`", scene.name)))
    }
}

impl Scene {
    fn check(&self) -> Result<(), String> {
        if self.name.is_empty()
            || !self.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        {
            return Err("a name consists of letters, digits, - and _".into());
        }
        self.camera.check()?;
        let mut first = 1;
        for cut in &self.cut {
            if cut.frame < first {
                return Err(format!("cut: frame = {} must be {first} or more, cuts are in order", cut.frame));
            }
            first = cut.frame + 1;
            let is_near = cut.from.iter().all(|position| (-1000.0..=1000.0).contains(position));
            if !is_near || !(-360.0..=360.0).contains(&cut.yaw_deg) {
                return Err(format!(
                    "cut at frame {}: from must be -1000 to 1000, yaw_deg -360 to 360",
                    cut.frame
                ));
            }
            cut.camera.check().map_err(|problem| format!("cut at frame {}: {problem}", cut.frame))?;
        }
        if (0..2).any(|i| self.area[0][i] >= self.area[1][i]) {
            return Err("area: the first corner must be left of and nearer than the second".into());
        }
        for (number, person) in self.person.iter().enumerate() {
            for stage in &person.stages {
                stage.stage().map_err(|problem| format!("person {number}: {problem}"))?;
            }
        }
        Ok(())
    }

    /// The wander area in world axes.
    pub fn wander_area(&self) -> Area {
        let [near, far] = self.area;
        Area { low: [near[0], -far[1]], high: [far[0], -near[1]] }
    }
}

impl CameraSpec {
    fn check(&self) -> Result<(), String> {
        if !(5.0..=150.0).contains(&self.field_of_view_deg) || !(0.1..=50.0).contains(&self.height) {
            return Err("camera: field_of_view_deg must be 5 to 150, height 0.1 to 50".into());
        }
        // written so that NaN is refused, too
        let is_possible = self.tilt_deg.abs() <= 80.0;
        if !is_possible || self.pan.as_ref().is_some_and(|pan| pan.secs <= 0.0) {
            return Err("camera: tilt_deg must be -80 to 80, pan.secs above 0".into());
        }
        Ok(())
    }
}

impl StageSpec {
    fn stage(&self) -> Result<Stage, String> {
        match (&self.go, self.stay_secs) {
            (Some(to), None) if !to.is_empty() => {
                let speed = self.speed.unwrap_or(1.3);
                if !(0.3..=6.0).contains(&speed) {
                    return Err(format!("speed = {speed} must be 0.3 to 6 m/s"));
                }
                Ok(Stage::Go { to: to.iter().copied().map(world).collect(), speed, doing: self.doing })
            }
            (None, Some(secs)) if self.speed.is_none() && (0.0..=3600.0).contains(&secs) => {
                Ok(Stage::Stay { secs, doing: self.doing })
            }
            _ => Err("a stage is either `go` (points) with `speed`, or `stay_secs`".into()),
        }
    }
}

impl PersonSpec {
    /// The scripted plan in world axes.
    pub fn plan(&self) -> Plan {
        let stages = self.stages.iter().filter_map(|stage| stage.stage().ok()).collect();
        let facing = self.facing_deg.map(f64::to_radians);
        Plan { starts_secs: self.starts_secs, from: world(self.from), facing, stages }
    }
}
