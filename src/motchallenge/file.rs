//! A whole file: its rows, and what holds for all of them.

use super::{MotError, Row, Text};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// How far beyond 1 the edge of a box may lie that is written in shares of the picture.
const SHARE_SLACK: f64 = 0.01;
/// Columns from here on mean nothing.
const KNOWN_COLUMNS: usize = 10;

/// The rows of a file, in its order.
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    pub path: PathBuf,
    pub rows: Vec<Row>,
    /// What a person should know about how it was read.
    pub notes: Vec<String>,
}

impl File {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, is no text, or a line has fewer than six columns or one that is not the number it
    /// should be: the first such line.
    pub fn read(path: &Path) -> Result<File, MotError> {
        File::parse(Text::read(path)?, path)
    }

    /// The rows of `text`; `path` is for errors and notes alone.
    ///
    /// # Errors
    /// As [`File::read`], but for reading.
    pub fn parse(text: Text, path: &Path) -> Result<File, MotError> {
        let row = |(line, content)| {
            Row::parse(line, content).map_err(|problem| MotError::line(path, line, problem))
        };
        let rows: Vec<Row> = text.lines().map(row).collect::<Result<_, _>>()?;
        let mut notes = text.notes;
        if let Some(row) = rows.iter().find(|row| row.columns > KNOWN_COLUMNS) {
            notes.push(format!(
                "{}, line {}: {} columns; those from the eleventh on are not read",
                path.display(),
                row.line,
                row.columns
            ));
        }
        Ok(File { path: path.to_path_buf(), rows, notes })
    }

    /// Every row has an identity, and each identity is once in a frame.
    ///
    /// # Errors
    /// The first line for which that does not hold.
    pub fn check_identities(&self) -> Result<(), MotError> {
        let mut lines = HashMap::new();
        for &Row { line, frame, id, .. } in &self.rows {
            if id < 0 {
                let problem =
                    format!("the identity is {id}, below 0: unknown; an identity must be 0 or more here");
                return Err(MotError::line(&self.path, line, problem));
            }
            if let Some(first) = lines.insert((frame, id), line) {
                return Err(MotError::Twice { path: self.path.clone(), line, first, frame, id });
            }
        }
        Ok(())
    }

    /// Whether all boxes lie between 0 and 1: shares of the picture, where pixels belong.
    pub fn is_in_shares(&self) -> bool {
        let is_share = |from: f64, length: f64| from >= -SHARE_SLACK && from + length <= 1.0 + SHARE_SLACK;
        let fits = |row: &Row| is_share(row.left, row.width) && is_share(row.top, row.height);
        !self.rows.is_empty() && self.rows.iter().all(fits)
    }

    /// Whether the rows are those of a truth by their form: every one has a flag of 0 or 1 and a known column behind
    /// it (not -1, and not 0 in all of them).
    pub fn has_flags(&self) -> bool {
        let is_flag = |row: &Row| matches!(row.confidence, Some(0.0 | 1.0));
        let is_known = |row: &Row| row.class.is_some_and(|class| class != -1.0);
        let is_said = |row: &Row| row.class.is_some_and(|class| class != 0.0);
        self.rows.iter().all(|row| is_flag(row) && is_known(row)) && self.rows.iter().any(is_said)
    }

    /// Whether the eighth column of any row says something, be it a class or a place.
    pub fn has_classes(&self) -> bool {
        self.rows.iter().any(|row| row.class.is_some_and(|class| class != -1.0))
    }

    /// Whether columns 8 to 10 are places in the world, as MOT15's truth has them: ten columns everywhere, and
    /// fractions among what would be classes.
    pub fn has_places(&self) -> bool {
        let ten = self.rows.iter().all(|row| row.columns == KNOWN_COLUMNS);
        ten && self.rows.iter().any(|row| row.class.is_some_and(|class| class.fract() != 0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<File, String> {
        let path = Path::new("gt.txt");
        Text::decode(text.as_bytes(), path)
            .and_then(|text| File::parse(text, path))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn lines_are_named_in_errors() {
        let tail = "; a line is `frame,identity,left,top,width,height,...`";
        assert_eq!(
            file("1,1,0,0,5,5\r\r1,2,x,0,5,5").unwrap_err(),
            format!("gt.txt, line 3: the left edge `x` is not a number (a heading? remove the line){tail}")
        );
        let twice = file("1,4,0,0,5,5\n\n1,4,9,9,5,5").unwrap().check_identities().unwrap_err().to_string();
        assert_eq!(
            twice,
            "gt.txt, line 3: identity 4 was in frame 1 before, in line 1; an identity can be in one place only"
        );
        let unknown = file("1,-1,0,0,5,5").unwrap().check_identities().unwrap_err().to_string();
        assert!(unknown.contains("line 1: the identity is -1, below 0"), "{unknown}");
    }

    #[test]
    fn what_holds_for_all_rows() {
        let wide = file("1,1,0,0,5,5,1,1,1,7,8\n").unwrap();
        assert_eq!(wide.notes, ["gt.txt, line 1: 11 columns; those from the eleventh on are not read"]);
        assert!(file("1,1,0.1,0.2,0.5,0.5\n1,2,0.5,0,0.5,1").unwrap().is_in_shares());
        assert!(!file("1,1,0.1,0.2,0.5,0.5\n1,2,0.5,0,2,1").unwrap().is_in_shares());
        assert!(!file("").unwrap().is_in_shares());
        assert!(file("1,1,0,0,9,9,1,-1.5,2,0\n1,2,0,0,9,9,1,3,2,0").unwrap().has_places());
        assert!(!file("1,1,0,0,9,9,1,0.5,1").unwrap().has_places());
        assert!(!file("1,1,0,0,9,9,1,-1,-1,-1").unwrap().has_classes());
        assert!(file("1,1,0,0,9,9,0,3,1").unwrap().has_flags());
        assert!(!file("1,1,0,0,9,9,0.5,3,1").unwrap().has_flags());
        assert!(!file("1,1,0,0,9,9,1,0,-1").unwrap().has_flags());
    }
}
