//! The settings of a run: those of every stage, and those that concern several stages.

use super::error::{ExperimentError, SettingsError};
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The settings of one run, `[defaults]` of an experiment file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The dataset: a name in `datasets/`, with changed parameters.
    pub dataset: DatasetChoice,
    /// The model set: a name in `models/`.
    #[serde(default = "default_model")]
    pub model: String,
    /// Device of the networks: `auto`, `cpu` or `cuda:0`.
    #[serde(default = "default_device")]
    pub device: String,
    /// Seed of all random numbers.
    #[serde(default = "one")]
    pub seed: u64,
    /// Number of runs of every point, over which timings are averaged by their median.
    #[serde(default = "one")]
    pub repeats: u64,
    /// Decoding: mode, range, step.
    #[serde(default)]
    pub video: posebook_video::Settings,
    /// Detector of people.
    #[serde(default)]
    pub detect: posebook_models::detect::Settings,
    /// HMR2: batch size, precision.
    #[serde(default)]
    pub hmr2: posebook_models::hmr2::Settings,
    /// BlazePose, for model sets with it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub blazepose: posebook_models::blazepose::Settings,
    /// Fit of the body to BlazePose's landmarks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fit: posebook_models::fit::Settings,
    /// Smoothing of bodies along tracks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub smoothing: SmoothingSettings,
    /// PHALP's tracker.
    #[serde(default)]
    pub phalp: posebook_track::phalp::Settings,
    /// Encoder of people's textures, for the tracker's appearance cues.
    #[serde(default, skip_serializing_if = "is_default")]
    pub appearance: posebook_models::appearance::Settings,
    /// PHALP's learned pose predictor, for the tracker's pose cue.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pose_predictor: posebook_models::pose_predictor::Settings,
    /// Detection of shots, at whose starts the tracker is told of a cut.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shots: posebook_video::shots::Settings,
    /// What the overlay video shows, and its size and rate.
    #[serde(default, skip_serializing_if = "is_default")]
    pub render: posebook_synth::render::RenderSettings,
    /// Whether results are written frame by frame or at the end.
    #[serde(default)]
    pub results: ResultStorage,
    /// Limits of memory and time.
    #[serde(default)]
    pub limits: Limits,
}

/// Smoothing of bodies along their tracks by a One-Euro filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SmoothingSettings {
    /// Whether `people` has the columns `smooth_joints_m` and `smooth_translation_m` in addition to the raw ones. Errors are
    /// always computed from the raw bodies.
    pub results: bool,
    /// Whether overlays show smoothed bodies.
    pub overlay: bool,
    /// Parameters of the filter.
    pub filter: posebook_models::fit::smooth::Smoothing,
}

impl Default for SmoothingSettings {
    fn default() -> SmoothingSettings {
        SmoothingSettings {
            results: false,
            overlay: true,
            filter: posebook_models::fit::smooth::Smoothing::default(),
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// When results are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultStorage {
    /// The results of a frame are written as soon as they are final, and then dropped from memory.
    #[default]
    Stream,
    /// All results are held in memory and written at the end, as in PHALP's `final_visuals_dic`. They are lost if the run
    /// dies.
    Accumulate,
}

impl ResultStorage {
    /// The name in settings and tables.
    pub fn name(self) -> &'static str {
        match self {
            ResultStorage::Stream => "stream",
            ResultStorage::Accumulate => "accumulate",
        }
    }
}

fn default_model() -> String {
    "tiny".to_string()
}

fn default_device() -> String {
    "auto".to_string()
}

fn one() -> u64 {
    1
}

impl Settings {
    /// Parses and validates a table of settings.
    ///
    /// # Errors
    /// If a key is unknown, or a value is of the wrong type or out of range.
    pub fn from_table(table: toml::Table) -> Result<Settings, ExperimentError> {
        let settings: Settings = toml::Value::Table(table)
            .try_into()
            .map_err(|error: toml::de::Error| SettingsError::Toml(Box::new(error)))?;
        settings.validate()?;
        Ok(settings)
    }

    /// The same settings with all defaults filled in.
    ///
    /// # Errors
    /// If the settings of the video contradict each other.
    pub fn with_defaults(&self) -> Result<Settings, SettingsError> {
        Ok(Settings { video: self.video.with_defaults()?, ..self.clone() })
    }

    /// Checks ranges and combinations of values.
    fn validate(&self) -> Result<(), SettingsError> {
        if self.repeats == 0 {
            return Err(SettingsError::NoRepeats);
        }
        let device = posebook_models::device::parse(&self.device)?;
        // `auto` may resolve to a GPU; where it does not, runs with a limit of GPU memory are skipped
        let may_be_gpu = !matches!(device, Some(posebook_models::device::DeviceChoice::Cpu));
        self.video.with_defaults()?;
        self.detect.check()?;
        self.hmr2.validate()?;
        self.detect.nanodet.check()?;
        self.blazepose.check()?;
        self.fit.check()?;
        self.smoothing.filter.check()?;
        self.phalp.check()?;
        self.render.check()?;
        for (name, limit) in [("host_mib", self.limits.host_mib), ("device_mib", self.limits.device_mib)] {
            if limit == Some(0) {
                return Err(SettingsError::ZeroLimit { name });
            }
        }
        if self.limits.device_mib.is_some() && !may_be_gpu {
            return Err(SettingsError::DeviceLimitOnCpu { device: self.device.clone() });
        }
        if self.limits.wall_secs.is_some_and(|secs| !(secs > 0.0 && secs.is_finite())) {
            return Err(SettingsError::WallSecs);
        }
        Ok(())
    }
}

/// Limits of one run. A run that exceeds one is killed and recorded as failed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Limit of the process' heap and resident set, MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_mib: Option<u64>,
    /// Limit of GPU memory including the context, MiB. The remaining memory is reserved before the run starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_mib: Option<u64>,
    /// Limit of wall time in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_secs: Option<f64>,
}

/// A dataset by name, written `dataset = "walkers"`, or with changed parameters:
/// `dataset = { name = "walkers", frames = 60 }`.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetChoice {
    /// Name in `datasets/`.
    pub name: String,
    /// Changed parameters; the dataset validates them.
    pub changes: toml::Table,
}

impl Serialize for DatasetChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.changes.is_empty() {
            return serializer.serialize_str(&self.name);
        }
        let mut map = serializer.serialize_map(Some(self.changes.len() + 1))?;
        map.serialize_entry("name", &self.name)?;
        for (key, value) in &self.changes {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for DatasetChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DatasetChoice, D::Error> {
        struct NameOrTable;
        impl<'de> Visitor<'de> for NameOrTable {
            type Value = DatasetChoice;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter
                    .write_str("the name of a dataset, or a table with its `name` and changed parameters")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<DatasetChoice, E> {
                Ok(DatasetChoice { name: name.to_string(), changes: toml::Table::new() })
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<DatasetChoice, M::Error> {
                let mut name = None;
                let mut changes = toml::Table::new();
                while let Some(key) = map.next_key::<String>()? {
                    if key == "name" {
                        name = Some(map.next_value()?);
                    } else {
                        changes.insert(key, map.next_value()?);
                    }
                }
                let name = name.ok_or_else(|| de::Error::missing_field("name"))?;
                Ok(DatasetChoice { name, changes })
            }
        }
        deserializer.deserialize_any(NameOrTable)
    }
}
