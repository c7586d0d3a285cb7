//! The experiment file's name and text, so that a mistake can be told with its line.

use super::error::{ExperimentError, line_of};
use std::path::Path;

/// A file being read.
pub(super) struct Source<'t> {
    pub path: &'t Path,
    pub text: &'t str,
}

impl Source<'_> {
    /// Something wrong where byte `at` stands.
    pub fn wrong_at(&self, at: usize, message: impl Into<String>) -> ExperimentError {
        ExperimentError::in_line(self.path, line_of(self.text, at), message)
    }

    /// Something wrong with `key` in the table `[section]`.
    pub fn wrong_in(&self, section: &str, key: &str, message: impl Into<String>) -> ExperimentError {
        ExperimentError::Wrong { place: self.place_of(section, key), message: message.into() }
    }

    /// File and line of `key` in the table `[section]`; the file's first line if it came from elsewhere.
    pub fn place_of(&self, section: &str, key: &str) -> String {
        let document = toml::de::DeTable::parse(self.text).ok();
        let line = document.as_ref().and_then(|document| {
            let (_, table) = document.get_ref().iter().find(|(name, _)| name.get_ref() == section)?;
            let (key, _) = table.get_ref().as_table()?.iter().find(|(name, _)| name.get_ref() == key)?;
            Some(line_of(self.text, key.span().start))
        });
        format!("{}:{}", self.path.display(), line.unwrap_or(1))
    }
}
