//! `[search]`: a number of whose values the largest is wanted with which a run still ends well.
//!
//! ```toml
//! [search]
//! "video.loops" = { from = 1, to = 512, within = 0.1 }
//! "dataset.width" = { from = 320, to = 7680, step = 16, with = { "dataset.height" = 0.5625 } }
//! ```
//!
//! Each line is a search of its own, made for every point of the sweep; lists of the sweep that name what
//! the search moves are left out of it. Must not know how a value is tried.

use super::error::explain;
use super::overrides;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// How near the largest value that works and the smallest that does not must come, as a share.
const WITHIN: f64 = 0.1;
/// The nearest that can be asked for: nearer than that is noise.
const NEAREST: f64 = 0.001;

/// One number that is searched. Serialised as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// The key with dots, such as `video.loops`.
    pub key: String,
    /// The smallest value that is tried; above 0.
    pub from: f64,
    /// The largest.
    pub to: f64,
    /// The search has ended when the smallest value that fails is at most this share above the largest
    /// that works.
    pub within: f64,
    /// Values are multiples of this; `None` for numbers that need not be whole.
    pub step: Option<f64>,
    /// Other keys that are set to this share of the value, as multiples of the step.
    pub with: Vec<(String, f64)>,
}

/// A search as written, its key aside.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    from: Value,
    to: Value,
    #[serde(default = "within")]
    within: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<u32>,
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    with: Table,
}

fn within() -> f64 {
    WITHIN
}

impl Search {
    /// Reads what stands behind `key`.
    ///
    /// # Errors
    /// In words, if a key is unknown or the numbers make no search.
    pub(super) fn read(key: &str, written: &Value) -> Result<Search, String> {
        let Written { from, to, within, step, with } =
            written.clone().try_into().map_err(|error: toml::de::Error| explain(&error))?;
        let whole = from.is_integer() && to.is_integer();
        let (from, to) = (number("from", &from)?, number("to", &to)?);
        if !(from > 0.0 && to > from && to.is_finite()) {
            return Err(format!("`from` must be above 0 and `to` above it, and they are {from} and {to}"));
        }
        if !(NEAREST..=1.0).contains(&within) {
            return Err(format!("`within` is a share from {NEAREST} to 1, and it is {within}"));
        }
        let step = match (whole, step) {
            (true, step) => Some(f64::from(step.unwrap_or(1))),
            (false, None) => None,
            (false, Some(_)) => return Err("`step` is for whole numbers".into()),
        };
        if let Some(step) = step.filter(|step| *step < 1.0 || from % step != 0.0 || to % step != 0.0) {
            return Err(format!("`from` and `to` must be multiples of `step`, which is {step}"));
        }
        let share = |(key, share): (&String, &Value)| Ok((key.clone(), number(key, share)?));
        let with = with.iter().map(share).collect::<Result<_, String>>()?;
        Ok(Search { key: key.to_string(), from, to, within, step, with })
    }

    /// As it is written.
    pub(super) fn write(&self) -> Value {
        let number = |value: f64| self.value(value);
        let step = self.step.filter(|step| *step != 1.0).map(|step| step as u32);
        let with = self.with.iter().map(|(key, share)| (key.clone(), Value::Float(*share))).collect();
        let written =
            Written { from: number(self.from), to: number(self.to), within: self.within, step, with };
        Value::try_from(written).unwrap_or_else(|_| Value::Table(Table::new()))
    }

    /// What a value sets: its own key, and those that move with it.
    pub fn settings(&self, value: f64) -> Vec<(String, Value)> {
        let mut set = vec![(self.key.clone(), self.value(value))];
        for (key, share) in &self.with {
            let there = match self.step {
                Some(step) => (value * share / step).round().max(1.0) * step,
                None => value * share,
            };
            set.push((key.clone(), self.value(there)));
        }
        set
    }

    /// Whether the search moves what `key` sets, or a part of it.
    pub(super) fn moves(&self, key: &str) -> bool {
        let with = self.with.iter().map(|(key, _)| key);
        std::iter::once(&self.key).chain(with).any(|ours| overrides::related(ours, key))
    }

    fn value(&self, number: f64) -> Value {
        if self.step.is_some() { Value::Integer(number as i64) } else { Value::Float(number) }
    }
}

fn number(name: &str, value: &Value) -> Result<f64, String> {
    let number = value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64));
    number.ok_or_else(|| format!("`{name}` must be a number, and it is {value}"))
}
