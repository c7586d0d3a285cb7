//! `posebook references`: reproduces the committed reports and compares them.

use super::experiment::{load, project};
use crate::experiment::{Experiment, ExperimentSize};
use crate::reference::answers::{self, Document};
use crate::reference::{self, Comparison, update};
use crate::runner::interrupt;
use crate::runner::progress::stderr_listener;
use crate::runner::{self, ExecuteOptions, Project};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    /// Experiments; without any, all with a reference
    names: Vec<String>,
    /// Replace the references by the new reports, and update the README's numbers
    #[arg(long)]
    renew: bool,
    /// Compare the newest existing reports, and run nothing
    #[arg(long, conflicts_with = "fresh")]
    newest: bool,
    /// Repeat all runs, also those that already succeeded
    #[arg(long)]
    fresh: bool,
    /// Only update the README's table from the present references
    #[arg(long, conflicts_with_all = ["names", "renew", "newest", "fresh"])]
    readme: bool,
}

/// A new report of an experiment, compared with its reference.
struct ComparedReport {
    name: String,
    folder: PathBuf,
    /// Claims with an unexpected verdict.
    unexpected: Vec<String>,
    /// Whether a run was made with uncommitted changes.
    is_dirty: bool,
    /// `None` if there is no reference yet.
    comparison: Option<Comparison>,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let project = project()?;
    let reports = project.root.join("reports");
    if args.readme {
        write_documents(&project.root, &reports)?;
        return Ok(ExitCode::SUCCESS);
    }
    let names = if args.names.is_empty() { reference::names(&reports)? } else { args.names.clone() };
    eprintln!("references of {}", names.join(", "));
    let mut all = Vec::new();
    for name in &names {
        let report = if args.newest {
            Some(latest_report(&project, name)?)
        } else {
            run_experiment(&project, name, args.fresh)?
        };
        let Some(report) = report else {
            println!("interrupted; finished runs are stored, and the same command continues from there");
            return Ok(ExitCode::from(130));
        };
        all.push(compare(&reports, name, report)?);
    }
    // after all runs: a changed reference would make the checkout dirty, which is recorded in runs
    all.iter().for_each(print);
    if args.renew {
        return renew(&project.root, &reports, &all);
    }
    Ok(verdict(&all))
}

/// Runs an experiment and returns its report's folder; `None` after Ctrl-C.
fn run_experiment(project: &Project, name: &str, fresh: bool) -> Result<Option<PathBuf>> {
    eprintln!("{name}:");
    let (_, experiment) = load(name, ExperimentSize::Full, &[])?;
    let options = ExecuteOptions { fresh, ..ExecuteOptions::this_program()? };
    let mut listener = stderr_listener();
    let finished = runner::execute(project, &experiment, &options, interrupt::install(), listener.as_mut())
        .with_context(|| format!("the experiment {name}"))?;
    let Some(page) = finished.page else { return Ok(None) };
    page.problems.iter().for_each(|problem| eprintln!("problem: {problem}"));
    Ok(Some(finished.folder))
}

/// The newest report of an experiment, which must be of the full experiment in its present file.
fn latest_report(project: &Project, name: &str) -> Result<PathBuf> {
    let report = project.reports(name).join("latest");
    let hint = format!("make one with: ./just experiment {name}");
    ensure!(report.join("experiment.toml").is_file(), "no report in {}; {hint}", report.display());
    let report = report.canonicalize().with_context(|| format!("cannot read {}", report.display()))?;
    let mut reported = Experiment::load(&report.join("experiment.toml"), &[])?;
    let (_, mut current) = load(name, ExperimentSize::Full, &[])?;
    for experiment in [&mut reported, &mut current] {
        experiment.name = name.to_string();
        experiment.left_out.clear();
        experiment.drop_quick();
    }
    ensure!(
        reported.to_toml()? == current.to_toml()?,
        "{} is not of the present experiments/{name}.toml: it is a quick one, has changed settings, or is older; {hint}",
        report.display()
    );
    Ok(report)
}

/// Compares a report with the experiment's reference.
fn compare(reports: &Path, name: &str, report: PathBuf) -> Result<ComparedReport> {
    let new = reference::ComparedTables::load(&report)?;
    let unexpected = new.claims.iter().filter(|claim| !claim.as_expected);
    let describe = |claim: &posebook_notebook::tables::ClaimRow| {
        format!("\"{}\": {}, expected {}", claim.claim, claim.verdict, claim.expected)
    };
    let unexpected = unexpected.map(describe).collect();
    let folder = reference::folder(reports, name);
    let comparison = match folder.join("runs.csv").is_file() {
        true => Some(Comparison::compare(&reference::ComparedTables::load(&folder)?, &new)),
        false => None,
    };
    let is_dirty = new.runs.iter().any(|run| run.git_dirty == Some(true));
    Ok(ComparedReport { name: name.to_string(), folder: report, unexpected, is_dirty, comparison })
}

fn print(report: &ComparedReport) {
    match &report.comparison {
        Some(comparison) => print!("{}: {comparison}", report.name),
        None => println!("{}: no reference yet", report.name),
    }
    for claim in &report.unexpected {
        println!("  UNEXPECTED    {claim}");
    }
    println!("  page          {}", report.folder.join("report.md").display());
}

/// Prints whether all reports agree with their references, and returns the exit status.
fn verdict(all: &[ComparedReport]) -> ExitCode {
    let is_same = |report: &&ComparedReport| {
        report.unexpected.is_empty() && report.comparison.as_ref().is_some_and(Comparison::is_same)
    };
    let different: Vec<&str> =
        all.iter().filter(|report| !is_same(report)).map(|report| report.name.as_str()).collect();
    if different.is_empty() {
        println!("all reports agree with their references");
        return ExitCode::SUCCESS;
    }
    println!("different from the reference: {}", different.join(", "));
    println!(
        "if the new numbers are right, make them the references with: ./just references --newest --renew {}",
        different.join(" ")
    );
    ExitCode::FAILURE
}

/// Replaces the references by the reports, except for reports with unexpected verdicts.
fn renew(root: &Path, reports: &Path, all: &[ComparedReport]) -> Result<ExitCode> {
    let (good, bad): (Vec<&ComparedReport>, Vec<&ComparedReport>) =
        all.iter().partition(|report| report.unexpected.is_empty());
    for report in good {
        let folder = reference::folder(reports, &report.name);
        update::replace_reference(&report.folder, &folder)?;
        let dirty = if report.is_dirty { ", made with uncommitted changes" } else { "" };
        println!("renewed: {}{dirty}", folder.display());
    }
    write_documents(root, reports)?;
    for report in &bad {
        println!("not renewed: {}: it has unexpected verdicts", report.name);
    }
    Ok(if bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Updates the tables of answers in the documents.
fn write_documents(root: &Path, reports: &Path) -> Result<()> {
    for document in Document::ALL {
        let path = root.join(document.path());
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let new = answers::replace_table(document, &text, &answers::table(reports, document)?)?;
        if new != text {
            posebook_core::files::write_atomically(&path, new.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
            println!("written: {}", path.display());
        }
    }
    Ok(())
}
