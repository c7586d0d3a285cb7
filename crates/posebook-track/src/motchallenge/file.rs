//! A MOTChallenge file: its rows, and properties of all of them.

use super::{DecodedText, MotError, MotRow};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Tolerance for the edges of boxes in normalized coordinates.
const NORMALIZED_TOLERANCE: f64 = 0.01;
/// Further columns are ignored.
const KNOWN_COLUMNS: usize = 10;

/// The rows of a file, in its order.
#[derive(Debug, Clone, PartialEq)]
pub struct MotFile {
    /// Path, for messages.
    pub path: PathBuf,
    /// The rows, in the file's order.
    pub rows: Vec<MotRow>,
    /// Notes for the user on how the file was read.
    pub notes: Vec<String>,
}

impl MotFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, is not text, or a line has fewer than six columns or an invalid value: the first such
    /// line.
    pub fn read(path: &Path) -> Result<MotFile, MotError> {
        MotFile::parse(DecodedText::read(path)?, path)
    }

    /// Parses `text`; `path` is for messages only.
    ///
    /// # Errors
    /// As [`MotFile::read`], except for reading.
    pub fn parse(text: DecodedText, path: &Path) -> Result<MotFile, MotError> {
        let row = |(line, content)| {
            MotRow::parse(line, content).map_err(|problem| MotError::line(path, line, problem))
        };
        let rows: Vec<MotRow> = text.lines().map(row).collect::<Result<_, _>>()?;
        let mut notes = text.notes;
        if let Some(row) = rows.iter().find(|row| row.columns > KNOWN_COLUMNS) {
            notes.push(format!(
                "{}, line {}: {} columns; those from the eleventh on are ignored",
                path.display(),
                row.line,
                row.columns
            ));
        }
        Ok(MotFile { path: path.to_path_buf(), rows, notes })
    }

    /// Checks that every row has an identity, and each identity occurs once per frame.
    ///
    /// # Errors
    /// The first line that violates this.
    pub fn check_identities(&self) -> Result<(), MotError> {
        let mut lines = HashMap::new();
        for &MotRow { line, frame, id, .. } in &self.rows {
            if id < 0 {
                let problem = format!(
                    "the identity is {id}, below 0 (unknown); ground truth and tracks need identities of 0 or more"
                );
                return Err(MotError::line(&self.path, line, problem));
            }
            if let Some(first) = lines.insert((frame, id), line) {
                return Err(MotError::DuplicateIdentity { path: self.path.clone(), line, first, frame, id });
            }
        }
        Ok(())
    }

    /// Whether all boxes are between 0 and 1: normalized coordinates where pixels are expected.
    pub fn is_normalized(&self) -> bool {
        let is_normalized = |from: f64, length: f64| {
            from >= -NORMALIZED_TOLERANCE && from + length <= 1.0 + NORMALIZED_TOLERANCE
        };
        let fits = |MotRow { bbox, .. }: &MotRow| {
            is_normalized(bbox.left, bbox.width) && is_normalized(bbox.top, bbox.height)
        };
        !self.rows.is_empty() && self.rows.iter().all(fits)
    }

    /// Whether the rows have the form of ground truth: each has a flag of 0 or 1 and a known column after it (not
    /// -1, and not 0 in all rows).
    pub fn has_flags(&self) -> bool {
        let is_flag = |row: &MotRow| matches!(row.confidence, Some(0.0 | 1.0));
        let is_known = |row: &MotRow| row.class.is_some_and(|class| class != -1.0);
        let has_class = |row: &MotRow| row.class.is_some_and(|class| class != 0.0);
        self.rows.iter().all(|row| is_flag(row) && is_known(row)) && self.rows.iter().any(has_class)
    }

    /// Whether the eighth column of any row has a value, a class or a world position.
    pub fn has_classes(&self) -> bool {
        self.rows.iter().any(|row| row.class.is_some_and(|class| class != -1.0))
    }

    /// Whether columns 8 to 10 are world positions, as in MOT15's ground truth: ten columns in all rows, and
    /// fractions in the class column.
    pub fn has_world_positions(&self) -> bool {
        let ten = self.rows.iter().all(|row| row.columns == KNOWN_COLUMNS);
        ten && self.rows.iter().any(|row| row.class.is_some_and(|class| class.fract() != 0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<MotFile, String> {
        let path = Path::new("gt.txt");
        DecodedText::decode(text.as_bytes(), path)
            .and_then(|text| MotFile::parse(text, path))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn errors_name_their_line() {
        let tail = "; a line is `frame,identity,left,top,width,height,...`";
        assert_eq!(
            file("1,1,0,0,5,5\r\r1,2,x,0,5,5").unwrap_err(),
            format!("gt.txt, line 3: the left edge `x` is not a number (a heading? remove the line){tail}")
        );
        let twice = file("1,4,0,0,5,5\n\n1,4,9,9,5,5").unwrap().check_identities().unwrap_err().to_string();
        assert_eq!(
            twice,
            "gt.txt, line 3: identity 4 occurs in frame 1 already, in line 1; give each identity once per frame"
        );
        let unknown = file("1,-1,0,0,5,5").unwrap().check_identities().unwrap_err().to_string();
        assert!(unknown.contains("line 1: the identity is -1, below 0"), "{unknown}");
    }

    #[test]
    fn properties_of_all_rows() {
        let wide = file("1,1,0,0,5,5,1,1,1,7,8\n").unwrap();
        assert_eq!(wide.notes, ["gt.txt, line 1: 11 columns; those from the eleventh on are ignored"]);
        assert!(file("1,1,0.1,0.2,0.5,0.5\n1,2,0.5,0,0.5,1").unwrap().is_normalized());
        assert!(!file("1,1,0.1,0.2,0.5,0.5\n1,2,0.5,0,2,1").unwrap().is_normalized());
        assert!(!file("").unwrap().is_normalized());
        assert!(file("1,1,0,0,9,9,1,-1.5,2,0\n1,2,0,0,9,9,1,3,2,0").unwrap().has_world_positions());
        assert!(!file("1,1,0,0,9,9,1,0.5,1").unwrap().has_world_positions());
        assert!(!file("1,1,0,0,9,9,1,-1,-1,-1").unwrap().has_classes());
        assert!(file("1,1,0,0,9,9,0,3,1").unwrap().has_flags());
        assert!(!file("1,1,0,0,9,9,0.5,3,1").unwrap().has_flags());
        assert!(!file("1,1,0,0,9,9,1,0,-1").unwrap().has_flags());
    }
}
