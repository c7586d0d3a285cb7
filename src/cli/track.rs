//! `posebook track`: tracks the people in one video.

use super::experiment::project;
use crate::experiment::phalp_settings::{self, CommandLine};
use crate::runner::interrupt;
use crate::runner::progress::stderr_listener;
use crate::runner::{self, ExecuteOptions, Outcome, TrackRequest};
use anyhow::{Result, bail};
use posebook_video::sources;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
#[command(after_help = "\
Without boxes NanoDet detects people, or an imported detector (detect.model=vitdet, regnety; `posebook model import \
vitdet`). Bodies are recovered by HMR2 if it is imported, otherwise by BlazePose and a fit; \
both free networks are fetched once into $POSEBOOK_CACHE, $XDG_CACHE_HOME/posebook or ~/.cache/posebook.

Examples:
  posebook track my.mp4
  posebook track my.mp4 model=blazepose-heavy smoothing.results=true out=results
  posebook track my.mp4 detect.model=vitdet detect.budget_mib=512
  posebook track my.mp4 boxes=boxes.txt video.mode=extract-jpeg video.end_frame=300
  posebook track preset=4dhumans video.source=my.mp4 phalp.predict=TL video.output_dir=results")]
pub struct Args {
    /// The video (a file, a folder of images, or an http(s) address; YouTube through yt-dlp), then settings:
    /// model=blazepose, boxes=FILE (MOTChallenge text, or what `posebook detect` writes), truth=FILE, benchmark=mot20 (whose rules the files follow: mot15, mot16, mot17,
    /// mot20, dancetrack), out=FOLDER, fps=30 for images, and any setting of a run;
    /// every setting of PHALP in its spelling (docs/PHALP_SETTINGS.md), and preset=phalp or preset=4dhumans for its defaults
    #[arg(value_name = "SOURCE | KEY=VALUE", required_unless_present_any = ["cfg", "info", "multirun"])]
    given: Vec<String>,
    /// Print the configuration in PHALP's keys as YAML, and do nothing else
    #[arg(long, value_name = "WHAT")]
    cfg: Option<ConfigPart>,
    /// List PHALP's settings and what happens with each, and do nothing else
    #[arg(long)]
    info: bool,
    /// Hydra's sweeps are not supported; a sweep is an experiment
    #[arg(short, long, hide = true)]
    multirun: bool,
}

/// What Hydra's `--cfg` prints.
#[derive(Clone, Copy, clap::ValueEnum)]
enum ConfigPart {
    /// The configuration of the run
    Job,
}

pub fn run(args: Args) -> Result<()> {
    if args.multirun {
        bail!(
            "`--multirun` is not supported: several values of a setting are an experiment; write its lists under [sweep] in \
             experiments/NAME.toml, and start `posebook experiment run NAME`"
        );
    }
    if args.info {
        print!("{}", phalp_settings::info());
        return Ok(());
    }
    let (source, settings) = split(&args.given);
    let line = CommandLine::parse(source.as_deref(), settings)?;
    if let Some(ConfigPart::Job) = args.cfg {
        print!("{}", line.to_yaml());
        return Ok(());
    }
    let request = TrackRequest::parse(source.as_deref(), &line)?;
    for note in &request.notes {
        eprintln!("note: {note}");
    }
    let project = project()?;
    if let Some(path) = request.finished_result(&project) {
        println!("{} exists, and overwrite=False: nothing to do", path.display());
        return Ok(());
    }
    let interrupt = interrupt::install();
    let mut listener = stderr_listener();
    let tracked =
        runner::track(&project, &request, &ExecuteOptions::this_program()?, interrupt, listener.as_mut())?;
    drop(listener);
    if tracked.row.outcome != Outcome::Ok {
        let error = tracked.row.error.as_deref().unwrap_or("no error message");
        bail!("{}: {error} (finished results are in {})", tracked.row.outcome, tracked.folder.display());
    }
    print!("{}", tracked.summary);
    Ok(())
}

/// Splits the arguments into the video, if the first one is a video, and settings. A first argument with `=` is a video if
/// such a file exists or it is an address.
pub(super) fn split(given: &[String]) -> (Option<PathBuf>, &[String]) {
    match given {
        [first, rest @ ..]
            if !(first.contains('=') || is_reset(first))
                || Path::new(first).exists()
                || sources::is_address(Path::new(first)) =>
        {
            (Some(PathBuf::from(first)), rest)
        }
        settings => (None, settings),
    }
}

/// Whether an argument is Hydra's `~key`.
fn is_reset(argument: &str) -> bool {
    argument.starts_with('~') && !argument.contains('/') && !Path::new(argument).exists()
}
