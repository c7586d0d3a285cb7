//! `posebook references`: the reports that git keeps, made again and compared.

use super::experiment::{load, project};
use crate::experiment::{Experiment, Size};
use crate::reference::{self, Comparison, answers, keep};
use crate::runner::progress::for_stderr;
use crate::runner::{self, Options, Project, interrupt};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    /// The experiments; all that have a reference if none is named
    names: Vec<String>,
    /// Put the new reports in the place of the references, and their numbers into the README
    #[arg(long)]
    renew: bool,
    /// Compare the newest reports that are there, and run nothing
    #[arg(long, conflicts_with = "fresh")]
    newest: bool,
    /// Make every run again, those included that ended well before
    #[arg(long)]
    fresh: bool,
    /// Only write the README's table from the references as they are
    #[arg(long, conflicts_with_all = ["names", "renew", "newest", "fresh"])]
    readme: bool,
}

/// A new report of an experiment beside its reference.
struct Made {
    name: String,
    report: PathBuf,
    /// Claims whose verdict is another than the experiment expects, and cells without an answer.
    complaints: Vec<String>,
    /// Whether a run was made with changes that are not committed.
    is_dirty: bool,
    /// `None` where there is no reference yet.
    comparison: Option<Comparison>,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let project = project()?;
    let reports = project.root.join("reports");
    if args.readme {
        write_readme(&project.root, &reports)?;
        return Ok(ExitCode::SUCCESS);
    }
    let names = if args.names.is_empty() { reference::names(&reports)? } else { args.names.clone() };
    eprintln!("references of {}", names.join(", "));
    let mut all = Vec::new();
    for name in &names {
        let report =
            if args.newest { Some(newest(&project, name)?) } else { make(&project, name, args.fresh)? };
        let Some(report) = report else {
            println!("interrupted; what is finished is kept, and the same command goes on from there");
            return Ok(ExitCode::from(130));
        };
        all.push(beside(&reports, name, report)?);
    }
    // once all runs are made: a changed reference is a changed file of the checkout, which runs tell
    all.iter().for_each(print);
    if args.renew {
        return renew(&project.root, &reports, &all);
    }
    Ok(verdict(&all))
}

/// Runs an experiment and gives its report's folder; `None` after Ctrl-C.
fn make(project: &Project, name: &str, fresh: bool) -> Result<Option<PathBuf>> {
    eprintln!("{name}:");
    let (_, experiment) = load(name, Size::Whole, &[])?;
    let options = Options { fresh, ..Options::this_program()? };
    let mut listener = for_stderr();
    let finished = runner::execute(project, &experiment, &options, interrupt::listen(), listener.as_mut())
        .with_context(|| format!("the experiment {name}"))?;
    let Some(page) = finished.page else { return Ok(None) };
    page.problems.iter().for_each(|problem| eprintln!("problem: {problem}"));
    Ok(Some(finished.folder))
}

/// The newest report of an experiment, if it is one of the whole experiment as its file has it now.
fn newest(project: &Project, name: &str) -> Result<PathBuf> {
    let report = project.reports(name).join("latest");
    let again = format!("make one with: ./just experiment {name}");
    ensure!(report.join("experiment.toml").is_file(), "no report in {}; {again}", report.display());
    let report = report.canonicalize().with_context(|| format!("cannot read {}", report.display()))?;
    let mut was = Experiment::load(&report.join("experiment.toml"), &[])?;
    let (_, mut is) = load(name, Size::Whole, &[])?;
    for experiment in [&mut was, &mut is] {
        experiment.name = name.to_string();
        experiment.left_out.clear();
        experiment.drop_quick();
    }
    ensure!(
        was.to_toml() == is.to_toml(),
        "{} is not of experiments/{name}.toml as it is now: a quick one, one with changed settings, or an older one; {again}",
        report.display()
    );
    Ok(report)
}

/// A report, compared with the experiment's reference.
fn beside(reports: &Path, name: &str, report: PathBuf) -> Result<Made> {
    let new = reference::Tables::read(&report)?;
    let unexpected = new.claims.iter().filter(|claim| !claim.as_expected);
    let complaint = |claim: &crate::tables::ClaimRow| {
        format!("\"{}\": {}, where `{}` was expected", claim.claim, claim.verdict, claim.expected)
    };
    let complaints = unexpected.map(complaint).collect();
    let folder = reference::folder(reports, name);
    let comparison = match folder.join("runs.csv").is_file() {
        true => Some(Comparison::of(&reference::Tables::read(&folder)?, &new)),
        false => None,
    };
    let is_dirty = new.runs.iter().any(|run| run.git_dirty == Some(true));
    Ok(Made { name: name.to_string(), report, complaints, is_dirty, comparison })
}

fn print(made: &Made) {
    match &made.comparison {
        Some(comparison) => print!("{}: {comparison}", made.name),
        None => println!("{}: no reference yet", made.name),
    }
    for complaint in &made.complaints {
        println!("  UNEXPECTED    {complaint}");
    }
    println!("  page          {}", made.report.join("report.md").display());
}

/// Whether all is as the references say, in words and as the exit status.
fn verdict(all: &[Made]) -> ExitCode {
    let is_same = |made: &&Made| {
        made.complaints.is_empty() && made.comparison.as_ref().is_some_and(Comparison::is_same)
    };
    let others: Vec<&str> = all.iter().filter(|made| !is_same(made)).map(|made| made.name.as_str()).collect();
    if others.is_empty() {
        println!("every reference says what the experiment says now");
        return ExitCode::SUCCESS;
    }
    println!("not what the reference says: {}", others.join(", "));
    println!(
        "if the new numbers are right, keep them with: ./just references --newest --renew {}",
        others.join(" ")
    );
    ExitCode::FAILURE
}

/// Puts the reports in the place of the references, but for those with a verdict that nobody expects.
fn renew(root: &Path, reports: &Path, all: &[Made]) -> Result<ExitCode> {
    let (good, bad): (Vec<&Made>, Vec<&Made>) = all.iter().partition(|made| made.complaints.is_empty());
    for made in good {
        let folder = reference::folder(reports, &made.name);
        keep::replace(&made.report, &folder)?;
        let dirty = if made.is_dirty { ", made with changes that are not committed" } else { "" };
        println!("renewed: {}{dirty}", folder.display());
    }
    write_readme(root, reports)?;
    for made in &bad {
        println!("not renewed: {}: its verdicts are not those that the experiment expects", made.name);
    }
    Ok(if bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write_readme(root: &Path, reports: &Path) -> Result<()> {
    let path = root.join("README.md");
    let readme = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let new = answers::within(&readme, &answers::table(reports)?)?;
    if new != readme {
        crate::files::write_whole(&path, new.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("written: {}", path.display());
    }
    Ok(())
}
