//! All that a run can be told. Each stage owns its part; this nests them and adds what joins them.

use super::ExperimentError;
use super::error::explain;
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The settings of one run, `[defaults]` of an experiment file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which clips: a name in `datasets/`, and what to change about it.
    pub dataset: DatasetChoice,
    /// Which network: a name in `models/`.
    #[serde(default = "default_model")]
    pub model: String,
    /// Where the network runs: `auto`, `cpu` or `cuda:0`.
    #[serde(default = "default_device")]
    pub device: String,
    /// Where all randomness comes from.
    #[serde(default = "one")]
    pub seed: u64,
    /// How often every point is run; medians tame the noise of timing.
    #[serde(default = "one")]
    pub repeats: u64,
    #[serde(default)]
    pub video: crate::video::Settings,
    #[serde(default)]
    pub detect: crate::detect::Settings,
    #[serde(default)]
    pub hmr2: crate::hmr2::Settings,
    /// BlazePose, where the model set holds it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub blazepose: crate::blazepose::Settings,
    /// The body's fit to BlazePose's landmarks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fit: crate::fit::Settings,
    /// Smoothing of bodies along tracks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub smoothing: Smoothing,
    #[serde(default)]
    pub phalp: crate::phalp::Settings,
    /// Whether results are written as they come, or kept to the end.
    #[serde(default)]
    pub results: Results,
    #[serde(default)]
    pub limits: Limits,
}

/// Where bodies are smoothed along their tracks (One-Euro filter), and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Smoothing {
    /// Whether `people` has the columns `smooth_joints_m` and `smooth_translation_m` beside the raw ones. Errors are
    /// always those of the raw bodies.
    pub results: bool,
    /// Whether overlays show smoothed bodies.
    pub overlay: bool,
    pub filter: crate::fit::smooth::Smoothing,
}

impl Default for Smoothing {
    fn default() -> Smoothing {
        Smoothing { results: false, overlay: true, filter: crate::fit::smooth::Smoothing::default() }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What becomes of results while a run goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Results {
    /// Every frame's are written when they are final, and forgotten.
    #[default]
    Stream,
    /// All are kept in memory and written at the end, as PHALP does with `final_visuals_dic`: what a run
    /// that dies has found is lost.
    Accumulate,
}

impl Results {
    /// The word in settings and tables.
    pub fn name(self) -> &'static str {
        match self {
            Results::Stream => "stream",
            Results::Accumulate => "accumulate",
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
    /// Settings from a table.
    ///
    /// # Errors
    /// If a key is unknown or a value of the wrong type.
    pub fn from_table(table: toml::Table) -> Result<Settings, ExperimentError> {
        let settings: Settings =
            toml::Value::Table(table).try_into().map_err(|error: toml::de::Error| wrong(explain(&error)))?;
        settings.check().map_err(wrong)?;
        Ok(settings)
    }

    /// The same settings with every default written out.
    pub fn spelled_out(&self) -> Settings {
        // settings were checked when they were read, so that they can be spelled out
        let video = self.video.spelled_out().unwrap_or_else(|_| self.video.clone());
        Settings { video, ..self.clone() }
    }

    /// What serde cannot see.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.repeats == 0 {
            return Err("`repeats` is 0, so that nothing would run; 1 or more are needed".into());
        }
        let asked = crate::device::parse(&self.device).map_err(|error| error.to_string())?;
        // `auto` may turn out to be a card; where it does not, such a run is left out
        let card = !matches!(asked, Some(crate::device::Choice::Cpu));
        self.video.spelled_out().map_err(|fault| fault.to_string())?;
        self.detect.check().map_err(|error| error.to_string())?;
        self.hmr2.validate().map_err(|error| error.to_string())?;
        self.detect.nanodet.check().map_err(|error| error.to_string())?;
        self.blazepose.check().map_err(|error| error.to_string())?;
        self.fit.check().map_err(|error| error.to_string())?;
        self.smoothing.filter.check().map_err(|error| error.to_string())?;
        self.phalp.check().map_err(|error| error.to_string())?;
        for (name, limit) in [("host_mib", self.limits.host_mib), ("device_mib", self.limits.device_mib)] {
            if limit == Some(0) {
                return Err(format!(
                    "`limits.{name}` is 0, so that nothing could run; leave it out for no limit"
                ));
            }
        }
        if self.limits.device_mib.is_some() && !card {
            let device = &self.device;
            return Err(format!("`limits.device_mib` limits a graphics card, and the device is `{device}`"));
        }
        if self.limits.wall_secs.is_some_and(|secs| !(secs > 0.0 && secs.is_finite())) {
            return Err(
                "`limits.wall_secs` must be a number of seconds above 0; leave it out for no limit".into()
            );
        }
        Ok(())
    }
}

fn wrong(message: String) -> ExperimentError {
    ExperimentError::Wrong { place: "the settings".into(), message }
}

/// Budgets of one run. What goes beyond one is ended and becomes a failed row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// MiB of heap, and of resident set, that the run's process may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_mib: Option<u64>,
    /// MiB that it may hold on the graphics card, its context included: the rest is taken before it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_mib: Option<u64>,
    /// Seconds that it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_secs: Option<f64>,
}

/// A dataset by name, written `dataset = "walkers"`, or with some of its own parameters changed:
/// `dataset = { name = "walkers", frames = 60 }`.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetChoice {
    pub name: String,
    /// What is changed; the dataset itself says what it knows.
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
                formatter.write_str("the name of a dataset, or a table with its `name` and what to change")
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
