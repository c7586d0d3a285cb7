//! Experiment files: TOML and `key=value` arguments in, validated [`Experiment`]s out.
//!
//! `file` parses the file, `search` its searches, and [`posebook_notebook::cell`] its cells; `settings` contains the
//! settings of all stages; [`overrides`] parses `key=value` arguments; [`phalp_settings`] translates PHALP's own settings.
//!
//! Does not depend on how runs are made.

mod error;
mod file;
pub mod overrides;
pub mod phalp_settings;
mod search;
mod settings;
mod source;

#[cfg(test)]
mod tests;

pub use error::{ExperimentError, SettingsError};
pub use overrides::{Override, OverrideError};
pub use search::Search;
pub use settings::{DatasetChoice, Limits, ResultStorage, Settings, SmoothingSettings};

use posebook_notebook::cell::Cell;
use posebook_notebook::report::Notebook;
use std::path::Path;

/// A validated experiment: a question, the runs that answer it, and the cells of its notebook.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// Stem of its file's name.
    pub name: String,
    /// The question that it answers.
    pub question: String,
    /// Whether this is the smaller experiment of `--quick`.
    pub is_quick: bool,
    /// Runs that could not be made on the machine of a report; empty in hand-written files.
    pub left_out: Vec<String>,
    /// Settings of all runs, unless the sweep changes them.
    pub defaults: Settings,
    /// Lists of values whose product gives the points, in the file's order.
    pub sweep: Vec<SweepAxis>,
    /// Searches made at every point of the sweep; without any, every point is one run.
    pub searches: Vec<Search>,
    /// Texts, tables, figures and claims of the report.
    pub cells: Vec<Cell>,
    /// The changes of `--quick`; `None` if they are applied or there are none.
    quick: Option<toml::Table>,
    defaults_table: toml::Table,
}

/// Size of an experiment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExperimentSize {
    /// As the file describes it.
    #[default]
    Full,
    /// With the changes of its table `[quick]`.
    Quick,
}

/// One list of values of the sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepAxis {
    /// Dotted key of the setting, such as `video.mode`.
    pub key: String,
    /// Its values.
    pub values: Vec<toml::Value>,
}

/// One point of the sweep.
#[derive(Debug, Clone)]
pub struct SweepPoint {
    /// All settings of the point.
    pub settings: Settings,
    /// Keys and values of the sweep at this point, in the sweep's order.
    pub varied: Vec<(String, toml::Value)>,
}

impl Experiment {
    /// Removes the changes of `--quick`, which do not affect the full experiment.
    pub fn drop_quick(&mut self) {
        self.quick = None;
    }

    /// Loads the full experiment in the file at `path`, with `overrides` applied to its defaults and sweep.
    ///
    /// # Errors
    /// If the file cannot be read, or a key, type, cell or query is invalid.
    pub fn load(path: &Path, overrides: &[Override]) -> Result<Experiment, ExperimentError> {
        Experiment::load_sized(ExperimentSize::Full, path, overrides)
    }

    /// Loads the experiment in the given size. `overrides` are applied after the changes of `[quick]`.
    ///
    /// # Errors
    /// As [`Experiment::load`], and if the file has no table `[quick]`.
    pub fn load_sized(
        size: ExperimentSize,
        path: &Path,
        overrides: &[Override],
    ) -> Result<Experiment, ExperimentError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ExperimentError::Read { path: path.to_path_buf(), source })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Experiment::parse(&name, path, &text, size, overrides)
    }

    /// Parses an experiment from `text`; `path` is used in messages.
    ///
    /// # Errors
    /// As [`Experiment::load`].
    pub fn parse(
        name: &str,
        path: &Path,
        text: &str,
        size: ExperimentSize,
        overrides: &[Override],
    ) -> Result<Experiment, ExperimentError> {
        file::parse(name, path, text, size, overrides)
    }

    /// Whether the experiment has a smaller version for `--quick`.
    pub fn has_quick(&self) -> bool {
        self.quick.is_some()
    }

    /// The points of the sweep: the product of its lists, the last list varying fastest. One point without a sweep.
    ///
    /// # Errors
    /// If a combination of valid values is invalid.
    pub fn points(&self) -> Result<Vec<SweepPoint>, ExperimentError> {
        self.product(|_| true)
    }

    /// The points at which `search` is made: the product of the lists that the search does not vary.
    ///
    /// # Errors
    /// As [`Experiment::points`].
    pub fn points_for_search(&self, search: &Search) -> Result<Vec<SweepPoint>, ExperimentError> {
        self.product(|key| !search.affects(key))
    }

    /// `point` with `search` at `value`.
    ///
    /// # Errors
    /// If the value cannot be set.
    pub fn point_with_search_value(
        &self,
        search: &Search,
        point: &SweepPoint,
        value: f64,
    ) -> Result<SweepPoint, ExperimentError> {
        self.point(point.varied.iter().cloned().chain(search.assignments(value)).collect())
    }

    fn product(&self, is_included: impl Fn(&str) -> bool) -> Result<Vec<SweepPoint>, ExperimentError> {
        let mut combinations = vec![Vec::new()];
        for axis in self.sweep.iter().filter(|axis| is_included(&axis.key)) {
            combinations = combinations
                .into_iter()
                .flat_map(|varied: Vec<(String, toml::Value)>| {
                    axis.values.iter().map(move |value| {
                        let mut varied = varied.clone();
                        varied.push((axis.key.clone(), value.clone()));
                        varied
                    })
                })
                .collect();
        }
        combinations.into_iter().map(|varied| self.point(varied)).collect()
    }

    fn point(&self, varied: Vec<(String, toml::Value)>) -> Result<SweepPoint, ExperimentError> {
        let mut table = self.defaults_table.clone();
        // a key (`dataset`) is set before its parts (`dataset.frames`), in any order of the lists
        let mut sorted: Vec<_> = varied.iter().collect();
        sorted.sort_by_key(|(key, _)| key.matches('.').count());
        for (key, value) in sorted {
            overrides::set(&mut table, key, value.clone());
        }
        let location =
            || varied.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ");
        let settings = Settings::from_table(table).map_err(|error| error.with_location(&location()))?;
        Ok(SweepPoint { settings, varied })
    }

    /// The experiment as TOML with all defaults filled in. Parsing it gives the same runs.
    ///
    /// # Errors
    /// If it cannot be serialized.
    pub fn to_toml(&self) -> Result<String, ExperimentError> {
        file::to_toml(self)
    }
}

impl<'a> From<&'a Experiment> for Notebook<'a> {
    fn from(experiment: &'a Experiment) -> Notebook<'a> {
        let Experiment { name, question, is_quick, left_out, cells, .. } = experiment;
        Notebook { name, question, is_quick: *is_quick, left_out, cells }
    }
}
