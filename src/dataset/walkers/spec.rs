//! The `walkers` kind as it is written in TOML, and what follows from it for each clip.
//!
//! Places on the ground are `[right, away]` in metres from the camera's foot. Must not know how a
//! scene is drawn.

use super::super::motion::{Action, Area, Plan, Stage};
use super::super::scenery::Place;
use serde::{Deserialize, Serialize};

/// A dataset of drawn scenes. Every number can be changed by a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Walkers {
    kind: Kind,
    /// What the clips are for, one line.
    pub about: String,
    /// Everything random follows from it; see [`super::BENCHMARK_SEEDS`] for what training may use.
    pub seed: u64,
    pub width: usize,
    pub height: usize,
    pub frames: usize,
    pub fps: f64,
    /// How many people are in every clip; without it each clip has its own number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<usize>,
    /// People of whom less than this share is seen are left out of the truth that runs are scored by
    /// (they stay in its table).
    #[serde(default = "least_visible")]
    pub least_visible: f32,
    #[serde(default)]
    pub encoding: Encoding,
    /// The names of the clips that are wanted; without it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    pub clip: Vec<Scene>,
    /// Whether the seed was changed to another than the file's own, so that parts are played otherwise.
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

/// How the pictures become H.264.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Encoding {
    /// Frames from one key frame to the next.
    pub gop: u32,
    pub b_frames: u32,
    /// x264's constant quality, 0 (lossless) to 51; without effect where a bit rate is given.
    pub crf: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bit_rate_kbps: Option<u32>,
}

impl Default for Encoding {
    fn default() -> Encoding {
        Encoding { gop: 48, b_frames: 3, crf: 0, bit_rate_kbps: None }
    }
}

/// One clip's scene.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    pub name: String,
    /// How many people there are; those beyond the list of `person` wander. Without it: those listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<usize>,
    /// Added to the dataset's seed, so that clips differ.
    #[serde(default)]
    pub seed: u64,
    /// Drawn where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    #[serde(default)]
    pub camera: CameraSpec,
    /// Where people wander, from near left to far right.
    #[serde(default = "usual_area")]
    pub area: [[f64; 2]; 2],
    #[serde(default)]
    pub person: Vec<PersonSpec>,
}

fn usual_area() -> [[f64; 2]; 2] {
    [[-2.8, 4.4], [2.8, 8.5]]
}

/// Where the camera stands and how it turns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CameraSpec {
    /// Metres above the ground.
    pub height: f64,
    /// Downwards.
    pub tilt_deg: f64,
    /// Across the picture's width.
    pub field_of_view_deg: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pan: Option<Pan>,
}

impl Default for CameraSpec {
    fn default() -> CameraSpec {
        CameraSpec { height: 1.55, tilt_deg: 6.0, field_of_view_deg: 52.0, pan: None }
    }
}

/// A turn to and fro.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pan {
    /// To the right of straight ahead.
    pub from_deg: f64,
    pub to_deg: f64,
    /// Seconds from one to the other.
    pub secs: f64,
}

/// Someone with a part to play; afterwards he or she wanders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonSpec {
    /// When the first stage begins; negative for who is on the way already.
    #[serde(default)]
    pub starts_secs: f64,
    pub from: [f64; 2],
    /// Where the person looks first: 0 towards the camera, 90 to the picture's right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facing_deg: Option<f64>,
    pub stages: Vec<StageSpec>,
}

/// Either `go` with `speed`, or `stay_secs`; both with or without `doing`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub go: Option<Vec<[f64; 2]>>,
    /// Metres a second; from 2.2 on people run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stay_secs: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doing: Option<Action>,
}

/// All that one clip is made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WalkersClip {
    pub seed: u64,
    pub width: usize,
    pub height: usize,
    pub frames: usize,
    pub fps: f64,
    pub people: usize,
    pub least_visible: f32,
    pub encoding: Encoding,
    pub scene: Scene,
    /// Whether those with a part play it otherwise than it is written, by the seed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_varied: bool,
}

/// World `[x, z]` of a place `[right, away]`.
pub fn world(place: [f64; 2]) -> [f64; 2] {
    [place[0], -place[1]]
}

impl Walkers {
    /// The clips that are wanted, or what is wrong with the numbers.
    pub fn clips(&self) -> Result<Vec<WalkersClip>, String> {
        self.check()?;
        let wanted = |scene: &&Scene| self.only.as_ref().is_none_or(|only| only.contains(&scene.name));
        self.clip.iter().filter(wanted).map(|scene| self.clip(scene)).collect()
    }

    fn clip(&self, scene: &Scene) -> Result<WalkersClip, String> {
        scene.check().map_err(|wrong| format!("clip `{}`: {wrong}", scene.name))?;
        let people = self.people.or(scene.people).unwrap_or(scene.person.len());
        if people > 64 {
            return Err(format!("clip `{}`: people = {people}, but a scene holds 64 at most", scene.name));
        }
        Ok(WalkersClip {
            // both are far below half of what a u64 holds
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
                    "{name} = {side} must be even (H.264 halves the colours) and 16 to 8192"
                ));
            }
        }
        if self.frames == 0 {
            return Err("frames = 0, but a clip has one frame at least".into());
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
                return Err(format!("only: there is no clip `{name}`; there are {}", names.join(", ")));
            }
        }
        let twice =
            self.clip.iter().enumerate().find(|(i, s)| self.clip[..*i].iter().any(|o| o.name == s.name));
        twice.map_or(Ok(()), |(_, scene)| Err(format!("two clips are called `{}`", scene.name)))
    }
}

impl Scene {
    fn check(&self) -> Result<(), String> {
        if self.name.is_empty()
            || !self.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        {
            return Err("a name is made of letters, digits, - and _".into());
        }
        let camera = &self.camera;
        if !(5.0..=150.0).contains(&camera.field_of_view_deg) || !(0.1..=50.0).contains(&camera.height) {
            return Err("camera: field_of_view_deg must be 5 to 150, height 0.1 to 50".into());
        }
        if camera.tilt_deg.abs() > 80.0 || camera.pan.as_ref().is_some_and(|pan| pan.secs <= 0.0) {
            return Err("camera: tilt_deg must be -80 to 80, pan.secs above 0".into());
        }
        if (0..2).any(|i| self.area[0][i] >= self.area[1][i]) {
            return Err("area: the first corner must be left of and nearer than the second".into());
        }
        for (number, person) in self.person.iter().enumerate() {
            for stage in &person.stages {
                stage.stage().map_err(|wrong| format!("person {number}: {wrong}"))?;
            }
        }
        Ok(())
    }

    /// The area in world axes.
    pub fn wander_area(&self) -> Area {
        let [near, far] = self.area;
        Area { low: [near[0], -far[1]], high: [far[0], -near[1]] }
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
    /// The scripted part of the plan, world axes.
    pub fn plan(&self) -> Plan {
        let stages = self.stages.iter().filter_map(|stage| stage.stage().ok()).collect();
        let facing = self.facing_deg.map(f64::to_radians);
        Plan { starts_secs: self.starts_secs, from: world(self.from), facing, stages }
    }
}
