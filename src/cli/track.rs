//! `posebook track`: one video outside any experiment.

use super::experiment::project;
use crate::experiment::Override;
use crate::runner::progress::for_stderr;
use crate::runner::{self, Options, Outcome, TrackRequest, interrupt};
use crate::sources;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
#[command(after_help = "\
Without boxes NanoDet finds the people. Bodies are recovered by HMR2 where it is imported, else by BlazePose and a fit; \
both free networks are fetched once, into $POSEBOOK_CACHE, $XDG_CACHE_HOME/posebook or ~/.cache/posebook.

Examples:
  posebook track my.mp4
  posebook track my.mp4 model=blazepose-heavy smoothing.results=true out=results
  posebook track my.mp4 boxes=boxes.txt video.mode=extract-jpeg video.end_frame=300
  posebook track video.source=my.mp4 video.extract_video=False")]
pub struct Args {
    /// The video (a file, a folder of pictures, or an http(s) address; YouTube through yt-dlp), then settings:
    /// model=blazepose, boxes=FILE (MOTChallenge text), truth=FILE, benchmark=mot20 (whose rules these follow: mot15, mot16, mot17,
    /// mot20, dancetrack), out=FOLDER, fps=30 for pictures, and any setting of a run;
    /// PHALP's spellings (video.source=..., video.extract_video=False) are understood
    #[arg(value_name = "SOURCE | KEY=VALUE", required = true)]
    given: Vec<String>,
}

pub fn run(args: Args) -> Result<()> {
    let (source, settings) = split(&args.given);
    let request = TrackRequest::parse(source.as_deref(), &Override::parse_all(settings)?)?;
    for note in &request.notes {
        eprintln!("note: {note}");
    }
    let interrupt = interrupt::listen();
    let mut listener = for_stderr();
    let tracked =
        runner::track(&project()?, &request, &Options::this_program()?, interrupt, listener.as_mut())?;
    drop(listener);
    if tracked.row.outcome != Outcome::Ok.name() {
        let error = tracked.row.error.as_deref().unwrap_or("no reason was told");
        bail!("{}: {error} (what was finished lies in {})", tracked.row.outcome, tracked.folder.display());
    }
    print!("{}", tracked.summary);
    Ok(())
}

/// The video, where one is named first, and the settings behind it. A file or folder whose name bears a `=`
/// is a video if it is there, and an address is one.
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
