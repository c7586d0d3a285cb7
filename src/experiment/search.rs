//! `[search]`: finds the largest value of a setting with which a run still succeeds.
//!
//! ```toml
//! [search]
//! "video.loops" = { from = 1, to = 512, within = 0.1 }
//! "dataset.width" = { from = 320, to = 7680, step = 16, with = { "dataset.height" = 0.5625 } }
//! ```
//!
//! Each line is a separate search, made at every point of the sweep. Lists of the sweep for settings that the search
//! varies are ignored in that search.

use super::overrides;
use posebook_core::toml_error::explain_toml_error;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// Default of [`Search::within`].
const DEFAULT_WITHIN: f64 = 0.1;
/// Smallest allowed [`Search::within`]: smaller differences are noise.
const SMALLEST_WITHIN: f64 = 0.001;

/// The search for the largest working value of one setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Dotted key of the setting, such as `video.loops`.
    pub key: String,
    /// Smallest tried value; above 0.
    pub from: f64,
    /// Largest tried value.
    pub to: f64,
    /// The search ends when the smallest failing value is at most this fraction above the largest working one.
    pub within: f64,
    /// Values are multiples of this; `None` for settings that are not integers.
    pub step: Option<f64>,
    /// Further keys that are set to the value times a factor, rounded to a multiple of the step.
    pub with: Vec<(String, f64)>,
}

/// A search as TOML, without its key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchToml {
    from: Value,
    to: Value,
    #[serde(default = "default_within")]
    within: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<u32>,
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    with: Table,
}

fn default_within() -> f64 {
    DEFAULT_WITHIN
}

impl Search {
    /// Parses the search of the setting `key`.
    ///
    /// # Errors
    /// The message, if a key is unknown or a number is invalid.
    pub(super) fn from_toml(key: &str, written: &Value) -> Result<Search, String> {
        let SearchToml { from, to, within, step, with } =
            written.clone().try_into().map_err(|error: toml::de::Error| explain_toml_error(&error))?;
        let whole = from.is_integer() && to.is_integer();
        let (from, to) = (number("from", &from)?, number("to", &to)?);
        if !(from > 0.0 && to > from && to.is_finite()) {
            return Err(format!("`from` must be above 0 and `to` above it, and they are {from} and {to}"));
        }
        if !(SMALLEST_WITHIN..=1.0).contains(&within) {
            return Err(format!("`within` must be from {SMALLEST_WITHIN} to 1, and it is {within}"));
        }
        let step = match (whole, step) {
            (true, step) => Some(f64::from(step.unwrap_or(1))),
            (false, None) => None,
            (false, Some(_)) => return Err("`step` requires integers".into()),
        };
        if let Some(step) = step.filter(|step| *step < 1.0 || from % step != 0.0 || to % step != 0.0) {
            return Err(format!("`from` and `to` must be multiples of `step`, which is {step}"));
        }
        let factor = |(key, factor): (&String, &Value)| Ok((key.clone(), number(key, factor)?));
        let with = with.iter().map(factor).collect::<Result<_, String>>()?;
        Ok(Search { key: key.to_string(), from, to, within, step, with })
    }

    /// The search as TOML.
    pub(super) fn to_toml(&self) -> Result<Value, toml::ser::Error> {
        let number = |value: f64| self.to_value(value);
        let step = self.step.filter(|step| *step != 1.0).map(|step| step as u32);
        let with = self.with.iter().map(|(key, factor)| (key.clone(), Value::Float(*factor))).collect();
        Value::try_from(SearchToml {
            from: number(self.from),
            to: number(self.to),
            within: self.within,
            step,
            with,
        })
    }

    /// The settings for `value`: that of the search's key, and those of the keys of [`Search::with`].
    pub fn assignments(&self, value: f64) -> Vec<(String, Value)> {
        let mut set = vec![(self.key.clone(), self.to_value(value))];
        for (key, factor) in &self.with {
            let scaled = match self.step {
                Some(step) => (value * factor / step).round().max(1.0) * step,
                None => value * factor,
            };
            set.push((key.clone(), self.to_value(scaled)));
        }
        set
    }

    /// Whether the search varies `key`, or a part of it.
    pub(super) fn affects(&self, key: &str) -> bool {
        let with = self.with.iter().map(|(key, _)| key);
        std::iter::once(&self.key).chain(with).any(|varied| overrides::overlaps(varied, key))
    }

    fn to_value(&self, number: f64) -> Value {
        if self.step.is_some() { Value::Integer(number as i64) } else { Value::Float(number) }
    }
}

fn number(name: &str, value: &Value) -> Result<f64, String> {
    let number = value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64));
    number.ok_or_else(|| format!("`{name}` must be a number, and it is {value}"))
}
