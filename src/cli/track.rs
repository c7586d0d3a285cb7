//! `posebook track`: tracks the people in one video.

use super::experiment::project;
use crate::experiment::Override;
use crate::runner::interrupt;
use crate::runner::progress::stderr_listener;
use crate::runner::{self, ExecuteOptions, Outcome, TrackRequest};
use anyhow::{Result, bail};
use posebook_video::sources;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
#[command(after_help = "\
Without boxes NanoDet detects people. Bodies are recovered by HMR2 if it is imported, otherwise by BlazePose and a fit; \
both free networks are fetched once into $POSEBOOK_CACHE, $XDG_CACHE_HOME/posebook or ~/.cache/posebook.

Examples:
  posebook track my.mp4
  posebook track my.mp4 model=blazepose-heavy smoothing.results=true out=results
  posebook track my.mp4 boxes=boxes.txt video.mode=extract-jpeg video.end_frame=300
  posebook track video.source=my.mp4 video.extract_video=False")]
pub struct Args {
    /// The video (a file, a folder of images, or an http(s) address; YouTube through yt-dlp), then settings:
    /// model=blazepose, boxes=FILE (MOTChallenge text), truth=FILE, benchmark=mot20 (whose rules the files follow: mot15, mot16, mot17,
    /// mot20, dancetrack), out=FOLDER, fps=30 for images, and any setting of a run;
    /// PHALP's names (video.source=..., video.extract_video=False) are supported, too
    #[arg(value_name = "SOURCE | KEY=VALUE", required = true)]
    given: Vec<String>,
}

pub fn run(args: Args) -> Result<()> {
    let (source, settings) = split(&args.given);
    let request = TrackRequest::parse(source.as_deref(), &Override::parse_all(settings)?)?;
    for note in &request.notes {
        eprintln!("note: {note}");
    }
    let interrupt = interrupt::install();
    let mut listener = stderr_listener();
    let tracked =
        runner::track(&project()?, &request, &ExecuteOptions::this_program()?, interrupt, listener.as_mut())?;
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
            if !first.contains('=') || Path::new(first).exists() || sources::is_address(Path::new(first)) =>
        {
            (Some(PathBuf::from(first)), rest)
        }
        settings => (None, settings),
    }
}
