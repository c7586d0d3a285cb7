//! `posebook experiment`: run, list, show.

use crate::experiment::{Experiment, Override, Size};
use crate::report::Page;
use crate::runner::progress::for_stderr;
use crate::runner::{self, Estimator, Finished, Options, Plan, Project, interrupt};
use anyhow::{Context, Result, bail};
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
    /// Runs that ended well before are found again and not made twice. The exit status is 1 if a claim's
    /// verdict is another than the experiment expects, and 130 after Ctrl-C.
    Run(Run),
    /// List the experiments: question, number of runs, rough time
    List,
    /// Show an experiment as it would run, every default spelled out, as TOML
    Show(Show),
}

#[derive(clap::Args)]
struct Run {
    /// A name in `experiments/`, or the path of a TOML file
    name: String,
    /// What to change: seed=2, dataset.frames=60, video.mode=extract-png, sweep.dataset.frames=[60,120]
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Make the smaller experiment that the table [quick] of its file describes
    #[arg(long)]
    quick: bool,
    /// List the runs, which of them are done and why the others are not, and stop there
    #[arg(long)]
    dry_run: bool,
    /// Make every run again, those included that ended well before
    #[arg(long)]
    fresh: bool,
}

#[derive(clap::Args)]
struct Show {
    /// A name in `experiments/`, or the path of a TOML file
    name: String,
    /// What to change, as in `experiment run`
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Show the smaller experiment that `experiment run --quick` makes
    #[arg(long)]
    quick: bool,
}

pub fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Run(args) => run_one(&args),
        Command::List => list(),
        Command::Show(args) => {
            let (_, experiment) = load(&args.name, size(args.quick), &args.overrides)?;
            print!("{}", experiment.to_toml());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The project here and one of its experiments, with what was changed said aloud.
pub(super) fn load(name: &str, size: Size, overrides: &[String]) -> Result<(Project, Experiment)> {
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
    for became in overrides.iter().filter_map(|given| given.became.as_ref()) {
        eprintln!("note: {became}");
    }
    Ok((project, Experiment::load_in(size, &path, &overrides)?))
}

fn size(quick: bool) -> Size {
    if quick { Size::Quick } else { Size::Whole }
}

/// The project that the current folder lies in.
pub(super) fn project() -> Result<Project> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    Ok(Project::find(&here)?)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn list() -> Result<ExitCode> {
    let project = project()?;
    let mut estimator = Estimator::new(&project, &Options::this_program()?.program)?;
    for path in project.experiments()? {
        let experiment = Experiment::load(&path, &[])?;
        let whole = estimator.rough(&experiment)?;
        let quick = match experiment.has_quick() {
            true => {
                let quick = Experiment::load_in(Size::Quick, &path, &[])?;
                format!("; --quick: {}", estimator.rough(&quick)?)
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
    let options = Options { fresh: args.fresh, ..Options::this_program()? };
    let mut listener = for_stderr();
    if args.dry_run {
        let plan = runner::plan(&project, &experiment, &options.program, false, listener.as_mut())?;
        print_plan(&plan, args.fresh);
        return Ok(ExitCode::SUCCESS);
    }
    let interrupt = interrupt::listen();
    let finished = runner::execute(&project, &experiment, &options, interrupt, listener.as_mut())?;
    drop(listener);
    let again = if args.quick { format!("{} --quick", args.name) } else { args.name.clone() };
    Ok(summarise(&finished, &again))
}

fn print_plan(plan: &Plan, fresh: bool) {
    for (at, run) in plan.runs.iter().enumerate() {
        println!("{:>4}  {}: {}", at + 1, run.label, run.status);
    }
    for sought in &plan.searches {
        println!("      {sought}");
    }
    for left_out in &plan.left_out {
        println!("      left out: {left_out}");
    }
    let left = plan.rough_left(fresh).left_in_words();
    let at_most = if plan.searches.is_empty() { "" } else { "at most " };
    println!("{at_most}{} runs, {} done; {left}", plan.runs_at_most(), plan.done());
}

/// What came of it, on standard output; the exit status says whether it was as expected.
fn summarise(finished: &Finished, name: &str) -> ExitCode {
    let runs = finished.rows.len();
    let Some(page) = &finished.page else {
        println!("interrupted after {runs} of {} runs; what is finished is kept.", finished.planned);
        println!("go on with: ./just experiment {name}");
        return ExitCode::from(130);
    };
    println!("{runs} runs ({} found as done before), {} failed", finished.again, finished.failed());
    verdicts(page);
    println!("page:   {}", finished.folder.join("report.html").display());
    println!("tables: {}", finished.folder.display());
    if page.is_as_expected() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The claims in short; what came out otherwise than expected on standard error.
pub(super) fn verdicts(page: &Page) {
    println!("{}", page.in_short());
    for judged in page.unexpected() {
        let number = judged.number.map_or("no number".to_string(), |number| number.to_string());
        let (statement, word) = (&judged.claim.statement, judged.verdict_word());
        eprintln!("unexpected: \"{statement}\": {word} ({number}, wanted {})", judged.claim.holds.in_words());
    }
    for problem in &page.problems {
        eprintln!("problem: {problem}");
    }
}
