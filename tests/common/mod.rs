//! Runs the built program in a temporary project.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A row of a CSV file: column name to text; null is empty.
pub type Row = BTreeMap<String, String>;

/// A temporary project with this repository's datasets and models.
pub struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    /// A project with one experiment.
    pub fn with_experiment(name: &str, toml: &str) -> Project {
        let folder = tempfile::tempdir().unwrap();
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        for shared in ["datasets", "models"] {
            std::os::unix::fs::symlink(here.join(shared), folder.path().join(shared)).unwrap();
        }
        std::fs::create_dir(folder.path().join("experiments")).unwrap();
        std::fs::write(folder.path().join(format!("experiments/{name}.toml")), toml).unwrap();
        Project { folder }
    }

    /// A path inside the project.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    /// A command that starts the program in the project.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_posebook"));
        command.current_dir(self.folder.path()).args(arguments);
        command
    }

    /// Runs the program to its end.
    pub fn posebook(&self, arguments: &[&str]) -> ProgramOutput {
        ProgramOutput(self.command(arguments).output().unwrap())
    }

    /// The newest report's table of runs.
    #[allow(dead_code, reason = "each test program uses what it needs of this module")]
    pub fn runs(&self, experiment: &str) -> Vec<Row> {
        rows(&self.path(&format!("reports/{experiment}/latest/runs.csv")))
    }
}

/// Exit status and output of the program.
pub struct ProgramOutput(pub Output);

impl ProgramOutput {
    /// Asserts that the program succeeded.
    #[allow(dead_code, reason = "each test program uses what it needs of this module")]
    pub fn succeeds(self) -> ProgramOutput {
        assert!(self.0.status.success(), "{}\n{}", self.errors(), String::from_utf8_lossy(&self.0.stdout));
        self
    }

    /// Standard error.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }
}

/// The rows of a CSV file.
pub fn rows(path: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut records = records(&text).into_iter();
    let header = records.next().unwrap_or_default();
    records.map(|record| header.iter().cloned().zip(record).collect()).collect()
}

/// Parses CSV (RFC 4180): quoted fields may contain commas, newlines and doubled quotes.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut all, mut record, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => field.extend(characters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                record.push(std::mem::take(&mut field));
                all.push(std::mem::take(&mut record));
            }
            _ => field.push(character),
        }
    }
    all
}

/// The value of a column as a number.
#[allow(dead_code, reason = "each test program uses what it needs of this module")]
pub fn number(row: &Row, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("`{column}` is `{}`", row[column]))
}
