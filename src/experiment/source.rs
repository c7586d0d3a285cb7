//! Path and text of an experiment file: byte positions and keys in, errors with line numbers out.

use super::error::ExperimentError;
use posebook_core::toml_error::line_number;
use std::path::Path;

/// Path and text of the file.
pub(super) struct SourceText<'t> {
    pub path: &'t Path,
    pub text: &'t str,
}

impl SourceText<'_> {
    /// An error at the byte `position`.
    pub fn error_at(&self, position: usize, message: impl Into<String>) -> ExperimentError {
        let location = format!("{}:{}", self.path.display(), line_number(self.text, position));
        ExperimentError::Invalid { location, message: message.into() }
    }

    /// An error of `key` in the table `[section]`.
    pub fn error_in(&self, section: &str, key: &str, message: impl Into<String>) -> ExperimentError {
        ExperimentError::Invalid { location: self.location_of(section, key), message: message.into() }
    }

    /// Path and line of `key` in the table `[section]`; line 1 if the key is not in the file.
    pub fn location_of(&self, section: &str, key: &str) -> String {
        let document = toml::de::DeTable::parse(self.text).ok();
        let line = document.as_ref().and_then(|document| {
            let (_, table) = document.get_ref().iter().find(|(name, _)| name.get_ref() == section)?;
            let (key, _) = table.get_ref().as_table()?.iter().find(|(name, _)| name.get_ref() == key)?;
            Some(line_number(self.text, key.span().start))
        });
        format!("{}:{}", self.path.display(), line.unwrap_or(1))
    }
}
