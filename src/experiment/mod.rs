//! Experiments: TOML as a person writes it, to a checked [`Experiment`].
//!
//! [`file`] reads the notebook, [`written`] its cells, [`search`] what is to be found by trying; [`settings`] nests what every stage can be told, [`overrides`] takes
//! `key=value` from the command line, Hydra's way, PHALP's spellings included.
//!
//! Must not know how anything runs.

pub mod cell;
mod error;
mod file;
pub mod overrides;
mod search;
pub mod settings;
mod source;
mod written;

#[cfg(test)]
mod tests;

pub use cell::{Cell, Claim, Figure, FigureKind, FigureSpec, Holds, Needs, Table, Verdict};
pub use error::ExperimentError;
pub(crate) use error::explain;
pub use overrides::Override;
pub use search::Search;
pub use settings::{DatasetChoice, Limits, Results, Settings, Smoothing};

use std::path::Path;

/// A checked experiment: a question, what to run, and the cells of its notebook.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// The name of its file.
    pub name: String,
    pub question: String,
    /// Whether this is the smaller experiment that `--quick` makes of it.
    pub is_quick: bool,
    /// What could not be run where a report was made; nothing in a file that a person wrote.
    pub left_out: Vec<String>,
    /// What every run is told, where the sweep says nothing else.
    pub defaults: Settings,
    /// The lists whose product is run, in the file's order.
    pub sweep: Vec<Axis>,
    /// What is searched at every point of the sweep; without any, every point is run as it is.
    pub searches: Vec<Search>,
    pub cells: Vec<Cell>,
    /// What `--quick` would change; `None` where it has been changed, or there is no smaller experiment.
    quick: Option<toml::Table>,
    defaults_table: toml::Table,
}

/// Which of an experiment's two sizes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Size {
    #[default]
    Whole,
    /// With what `[quick]` changes.
    Quick,
}

/// One list of the sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The key with dots, such as `video.mode`.
    pub key: String,
    pub values: Vec<toml::Value>,
}

/// One point of the sweep.
#[derive(Debug, Clone)]
pub struct Point {
    pub settings: Settings,
    /// What the sweep set here: key and value, in the sweep's order.
    pub varied: Vec<(String, toml::Value)>,
}

impl Experiment {
    /// Drops what `--quick` would change, which has no part in what the whole experiment runs.
    pub fn drop_quick(&mut self) {
        self.quick = None;
    }

    /// Reads the experiment in the file at `path`, with `overrides` laid over its defaults and sweep.
    ///
    /// # Errors
    /// If the file cannot be read or is wrong anywhere: keys, types, cells, queries.
    pub fn load(path: &Path, overrides: &[Override]) -> Result<Experiment, ExperimentError> {
        Experiment::load_in(Size::Whole, path, overrides)
    }

    /// The same in the size that is asked for; what `[quick]` changes lies below the `overrides`.
    ///
    /// # Errors
    /// As [`Experiment::load`], and if there is no smaller experiment.
    pub fn load_in(size: Size, path: &Path, overrides: &[Override]) -> Result<Experiment, ExperimentError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ExperimentError::Unreadable { path: path.to_path_buf(), source })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Experiment::parse(&name, path, &text, size, overrides)
    }

    /// Reads an experiment from `text`; `path` is where messages say that it stands.
    ///
    /// # Errors
    /// As [`Experiment::load`].
    pub fn parse(
        name: &str,
        path: &Path,
        text: &str,
        size: Size,
        overrides: &[Override],
    ) -> Result<Experiment, ExperimentError> {
        file::parse(name, path, text, size, overrides)
    }

    /// Whether `--quick` would make a smaller experiment of it.
    pub fn has_quick(&self) -> bool {
        self.quick.is_some()
    }

    /// The points of the sweep: the product of its lists, the last list fastest. One point without a sweep.
    ///
    /// # Errors
    /// If a combination is wrong although each value alone is right.
    pub fn points(&self) -> Result<Vec<Point>, ExperimentError> {
        self.product(|_| true)
    }

    /// The points at each of which `search` is made: the sweep without the lists that it moves itself.
    ///
    /// # Errors
    /// As [`Experiment::points`].
    pub fn points_of(&self, search: &Search) -> Result<Vec<Point>, ExperimentError> {
        self.product(|key| !search.moves(key))
    }

    /// `point` with `search` at `value`.
    ///
    /// # Errors
    /// If the value cannot be set.
    pub fn point_at(&self, search: &Search, point: &Point, value: f64) -> Result<Point, ExperimentError> {
        self.point(point.varied.iter().cloned().chain(search.settings(value)).collect())
    }

    fn product(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Point>, ExperimentError> {
        let mut combinations = vec![Vec::new()];
        for axis in self.sweep.iter().filter(|axis| wanted(&axis.key)) {
            combinations = combinations
                .into_iter()
                .flat_map(|so_far: Vec<(String, toml::Value)>| {
                    axis.values.iter().map(move |value| {
                        let mut longer = so_far.clone();
                        longer.push((axis.key.clone(), value.clone()));
                        longer
                    })
                })
                .collect();
        }
        combinations.into_iter().map(|varied| self.point(varied)).collect()
    }

    fn point(&self, varied: Vec<(String, toml::Value)>) -> Result<Point, ExperimentError> {
        let mut table = self.defaults_table.clone();
        // a whole (`dataset`) is set before its parts (`dataset.frames`), wherever its list stands
        let mut in_order: Vec<_> = varied.iter().collect();
        in_order.sort_by_key(|(key, _)| key.matches('.').count());
        for (key, value) in in_order {
            overrides::set(&mut table, key, value.clone());
        }
        let place =
            || varied.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ");
        let settings = Settings::from_table(table).map_err(|error| error.at_place(&place()))?;
        Ok(Point { settings, varied })
    }

    /// The experiment as TOML with every default spelled out: reading it again gives the same runs.
    pub fn to_toml(&self) -> String {
        file::to_toml(self)
    }
}
