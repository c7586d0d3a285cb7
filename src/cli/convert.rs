//! `posebook convert`: a `.pkl` of PHALP to tables, and back.

use super::export::{InputArgs, summary};
use crate::runner::export::{ExportRequest, PklOrTables, Results, convert_to_tables, export};
use crate::runner::interrupt;
use crate::runner::progress::stderr_listener;
use anyhow::{Result, bail};
use posebook_export::Format;
use posebook_export::pkl::{KeyKind, is_pkl};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
#[command(after_help = "\
A .pkl becomes the tables people, frames and runs of a folder, which must not be there yet: `posebook export`, `posebook \
metrics` and SQL read them. Entries of lost tracks (tracked_time above 0) are left out: a row is a person who was seen.

Examples:
  posebook convert results/demo_gymnasts.pkl gymnasts/people.parquet
  posebook convert reports/track/my/latest demo_my.pkl")]
pub struct Args {
    /// A .pkl of PHALP or 4D-Humans; or a folder of results, or the people.parquet in it
    #[arg(value_name = "FROM")]
    from: PathBuf,
    /// For a .pkl a folder, or the people.parquet in it; for tables a .pkl
    #[arg(value_name = "TO")]
    to: PathBuf,
    /// Keys of the frames of a .pkl to write: path, pts or text
    #[arg(long, value_name = "KIND", default_value = "path")]
    keys: KeyKind,
    #[command(flatten)]
    input: InputArgs,
}

pub fn run(args: Args) -> Result<()> {
    let Args { from, to, keys, input } = args;
    let options = PklOrTables::from(input);
    let interrupt = interrupt::install();
    if is_pkl(&from) {
        let folder = folder_of_tables(&to)?;
        let mut listener = stderr_listener();
        let row = convert_to_tables(&from, folder, &options, interrupt, listener.as_mut())?;
        drop(listener);
        println!("{} frames of {} in {}", row.frames.unwrap_or(0), row.clip, folder.display());
        return Ok(());
    }
    if to.extension().is_none_or(|extension| extension != "pkl") {
        bail!("{} is no .pkl: tables are converted to a .pkl, and a .pkl to tables", to.display());
    }
    let results = Results::open(&from, &options)?;
    let request = ExportRequest { format: Format::Pkl, track: None, keys, model: None };
    let mut listener = stderr_listener();
    let exported = export(&results, &to, &request, interrupt, listener.as_mut())?;
    drop(listener);
    exported.notes.iter().for_each(|note| eprintln!("note: {note}"));
    print!("{}", summary(&exported));
    Ok(())
}

/// The folder for the tables: `to` itself, or the one of the `people.parquet` that it names.
fn folder_of_tables(to: &Path) -> Result<&Path> {
    match to.extension() {
        None => Ok(to),
        Some(extension) if extension == "parquet" => {
            if to.file_name().is_none_or(|name| name != "people.parquet") {
                bail!(
                    "the table of people is called people.parquet; give {} or a folder",
                    to.with_file_name("people.parquet").display()
                );
            }
            Ok(to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))
        }
        Some(_) if to.is_dir() => Ok(to),
        Some(_) => bail!(
            "a .pkl is converted to tables: give a folder, or people.parquet in it, not {}",
            to.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_go_into_a_folder() {
        assert_eq!(folder_of_tables(Path::new("a/people.parquet")).unwrap(), Path::new("a"));
        assert_eq!(folder_of_tables(Path::new("people.parquet")).unwrap(), Path::new("."));
        assert_eq!(folder_of_tables(Path::new("a/b")).unwrap(), Path::new("a/b"));
        assert!(
            folder_of_tables(Path::new("a/rows.parquet"))
                .unwrap_err()
                .to_string()
                .contains("a/people.parquet")
        );
        assert!(folder_of_tables(Path::new("a.csv")).is_err());
    }
}
