//! `posebook experiment`: run, list, show.

use crate::experiment::{Experiment, ExperimentSize, Override};
use crate::runner::interrupt;
use crate::runner::progress::stderr_listener;
use crate::runner::{self, ExecuteOptions, ExperimentResult, Plan, Project, SizeEstimator};
use anyhow::{Context, Result, bail};
use posebook_notebook::report::RenderedReport;
use std::path::Path;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Run an experiment and write its report
    ///
    /// Runs that already succeeded are reused. The exit status is 1 if a claim has an unexpected verdict, and 130
    /// after Ctrl-C.
    Run(Run),
    /// List the experiments with their question, number of runs and estimated time
    List,
    /// Show an experiment as TOML with all defaults filled in
    Show(Show),
}

#[derive(clap::Args)]
struct Run {
    /// A name in `experiments/`, or the path of a TOML file
    name: String,
    /// Changed settings: seed=2, dataset.frames=60, video.mode=extract-png, sweep.dataset.frames=[60,120]
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Run the smaller version of the experiment, as described in the table [quick] of its file
    #[arg(long)]
    quick: bool,
    /// Only list the runs and whether they are already done
    #[arg(long)]
    dry_run: bool,
    /// Repeat all runs, also those that already succeeded
    #[arg(long)]
    fresh: bool,
}

#[derive(clap::Args)]
struct Show {
    /// A name in `experiments/`, or the path of a TOML file
    name: String,
    /// Changed settings, as in `experiment run`
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Show the smaller version of `experiment run --quick`
    #[arg(long)]
    quick: bool,
}

pub fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Run(args) => run_one(&args),
        Command::List => list(),
        Command::Show(args) => {
            let (_, experiment) = load(&args.name, size(args.quick), &args.overrides)?;
            print!("{}", experiment.to_toml()?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Loads the project of the current folder and one of its experiments. Prints notes on translated overrides.
pub(super) fn load(name: &str, size: ExperimentSize, overrides: &[String]) -> Result<(Project, Experiment)> {
    let project = project()?;
    let path = project.experiment(name);
    if !path.is_file() {
        let known: Vec<String> = project.experiments()?.iter().map(|path| stem(path)).collect();
        let nearest = known
            .iter()
            .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
        let hint = nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default();
        bail!("no experiment `{name}` at {}{hint} (known: {})", path.display(), known.join(", "));
    }
    let overrides = Override::parse_all(overrides)?;
    for note in overrides.iter().filter_map(|given| given.translation.as_ref()) {
        eprintln!("note: {note}");
    }
    Ok((project, Experiment::load_sized(size, &path, &overrides)?))
}

fn size(quick: bool) -> ExperimentSize {
    if quick { ExperimentSize::Quick } else { ExperimentSize::Full }
}

/// The project that contains the current folder.
pub(super) fn project() -> Result<Project> {
    let here = std::env::current_dir().context("cannot determine the current folder")?;
    Ok(Project::find(&here)?)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn list() -> Result<ExitCode> {
    let project = project()?;
    let mut estimator = SizeEstimator::new(&project, &ExecuteOptions::this_program()?.program)?;
    for path in project.experiments()? {
        let experiment = Experiment::load(&path, &[])?;
        let whole = estimator.estimate(&experiment)?;
        let quick = match experiment.has_quick() {
            true => {
                let quick = Experiment::load_sized(ExperimentSize::Quick, &path, &[])?;
                format!("; --quick: {}", estimator.estimate(&quick)?)
            }
            false => String::new(),
        };
        println!("{:<20} {whole}{quick}", experiment.name);
        println!("    {}", experiment.question);
    }
    Ok(ExitCode::SUCCESS)
}

fn run_one(args: &Run) -> Result<ExitCode> {
    let (project, experiment) = load(&args.name, size(args.quick), &args.overrides)?;
    let options = ExecuteOptions { fresh: args.fresh, ..ExecuteOptions::this_program()? };
    let mut listener = stderr_listener();
    if args.dry_run {
        let plan = runner::plan(&project, &experiment, &options.program, false, listener.as_mut())?;
        print_plan(&plan, args.fresh);
        return Ok(ExitCode::SUCCESS);
    }
    let interrupt = interrupt::install();
    let finished = runner::execute(&project, &experiment, &options, interrupt, listener.as_mut())?;
    drop(listener);
    let arguments = if args.quick { format!("{} --quick", args.name) } else { args.name.clone() };
    Ok(print_summary(&finished, &arguments))
}

fn print_plan(plan: &Plan, fresh: bool) {
    for (index, run) in plan.runs.iter().enumerate() {
        println!("{:>4}  {}: {}", index + 1, run.label, run.status);
    }
    for search in &plan.searches {
        println!("      {search}");
    }
    for left_out in &plan.skipped {
        println!("      left out: {left_out}");
    }
    let left = plan.time_left(fresh).describe_left();
    let at_most = if plan.searches.is_empty() { "" } else { "at most " };
    println!("{at_most}{} runs, {} done; {left}", plan.max_runs(), plan.done_count());
}

/// Prints the outcome to standard output and returns the exit status.
fn print_summary(finished: &ExperimentResult, name: &str) -> ExitCode {
    let runs = finished.rows.len();
    let Some(page) = &finished.page else {
        println!("interrupted after {runs} of {} runs; finished runs are stored.", finished.planned);
        println!("continue with: ./just experiment {name}");
        return ExitCode::from(130);
    };
    println!("{runs} runs ({} reused), {} failed", finished.reused, finished.failed());
    print_verdicts(page);
    println!("page:   {}", finished.folder.join("report.html").display());
    println!("tables: {}", finished.folder.display());
    if page.is_as_expected() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a summary of the claims to standard output, and unexpected verdicts and errors to standard error.
pub(super) fn print_verdicts(page: &RenderedReport) {
    println!("{}", page.claims_summary());
    for judged in page.unexpected() {
        let number = judged.number.map_or("no number".to_string(), |number| number.to_string());
        let (statement, word) = (&judged.claim.statement, judged.verdict_name());
        eprintln!(
            "unexpected: \"{statement}\": {word} ({number}, expected {})",
            judged.claim.holds.describe()
        );
    }
    for problem in &page.problems {
        eprintln!("problem: {problem}");
    }
}
