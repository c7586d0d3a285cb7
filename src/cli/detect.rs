//! `posebook detect`: finds the people in one video and writes their boxes, scores and masks.

use super::experiment::project;
use super::track::split;
use crate::experiment::phalp_settings::CommandLine;
use crate::runner::detections::{DetectEnd, DetectRequest, Format, detect_people};
use crate::runner::interrupt;
use crate::runner::progress::stderr_listener;
use anyhow::{Result, bail};
use std::path::PathBuf;

#[derive(clap::Args)]
#[command(after_help = "\
FILE has COCO's results: one record per person with image_id (the frame's number in the video, from 0), bbox (left, top, width, \
height), score and segmentation (run lengths). FILE.about.json beside it says which video, detector and settings. Both are \
written at the end; what is done until then is in FILE.part, from which the same command goes on.

Examples:
  posebook detect my.mp4 detect.model=vitdet
  posebook detect my.mp4 detect.model=regnety video.every=5 --out people.json
  posebook track my.mp4 boxes=my.detections.json")]
pub struct Args {
    /// The video as in `posebook track`, then settings: detect.model=nanodet|vitdet|regnety, detect.weights=NAME,
    /// detect.budget_mib=N, device=..., video.start_frame=N, video.every=N, fps=N for images, preset=phalp
    #[arg(value_name = "SOURCE | KEY=VALUE", required = true)]
    given: Vec<String>,
    /// The file to write; by default VIDEO.detections.json here
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The format: coco (COCO's results) or mot (MOTChallenge text, without masks)
    #[arg(long = "as", value_name = "FORMAT", default_value = "coco")]
    format: FormatName,
}

/// Names of formats.
#[derive(Clone, Copy, clap::ValueEnum)]
enum FormatName {
    /// COCO's results
    Coco,
    /// MOTChallenge text
    Mot,
}

pub fn run(args: Args) -> Result<()> {
    let (source, settings) = split(&args.given);
    let line = CommandLine::parse(source.as_deref(), settings)?;
    let format = match args.format {
        FormatName::Coco => Format::Coco,
        FormatName::Mot => Format::Mot,
    };
    let request = DetectRequest::parse(source.as_deref(), &line, args.out, format)?;
    for note in &request.track.notes {
        eprintln!("note: {note}");
    }
    let mut listener = stderr_listener();
    let outcome = detect_people(&project()?, &request, interrupt::install(), listener.as_mut())?;
    drop(listener);
    let out = outcome.out.display();
    match outcome.end {
        DetectEnd::Finished { frames, people } => println!("{people} people in {frames} frames: {out}"),
        DetectEnd::WasFinished => println!("{out} is finished already: nothing to do"),
        DetectEnd::Interrupted { part, done, frames } => bail!(
            "interrupted: {done} of {frames} frames are kept in {}; the same command goes on from there",
            part.display()
        ),
    }
    Ok(())
}
