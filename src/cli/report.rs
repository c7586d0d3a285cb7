//! `posebook report`: renders the newest report of an experiment again from its tables, or summarizes a `.pkl` of PHALP.

use super::experiment::{print_verdicts, project};
use crate::experiment::Experiment;
use crate::runner::export::{PklOrTables, Results, summarize};
use anyhow::{Context, Result, ensure};
use posebook_export::pkl::is_pkl;
use posebook_notebook::report::{self, Notebook};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    /// An experiment's name, or the folder of one of its reports; or a .pkl of PHALP, whose tracks are listed
    name: String,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let given = PathBuf::from(&args.name);
    if is_pkl(&given) {
        let results = Results::open(&given, &PklOrTables::default())?;
        results.notes().iter().for_each(|note| eprintln!("note: {note}"));
        print!("{}", summarize(&results)?);
        return Ok(ExitCode::SUCCESS);
    }
    let folder = if given.join("experiment.toml").is_file() {
        given
    } else {
        project()?.reports(&args.name).join("latest")
    };
    let toml = folder.join("experiment.toml");
    ensure!(
        toml.is_file(),
        "no report in {}; write one with: ./just experiment {}",
        folder.display(),
        args.name
    );
    let mut experiment = Experiment::load(&toml, &[])?;
    // the file is always called experiment.toml; the parent folder has the experiment's name
    let absolute = folder.canonicalize().with_context(|| format!("cannot read {}", folder.display()))?;
    if let Some(name) = absolute.parent().and_then(|parent| parent.file_name()) {
        experiment.name = name.to_string_lossy().into_owned();
    }
    let page = report::write(&Notebook::from(&experiment), &folder)?;
    print_verdicts(&page);
    println!("page: {}", folder.join("report.html").display());
    Ok(if page.is_as_expected() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
