//! `posebook reconstruct`: reconstructs the bodies of the people in images.

use super::experiment::project;
use crate::experiment::Override;
use crate::runner::images::{
    BoxOrigin, FailedImage, ReconstructRequest, ReconstructedImage, ReconstructionEvent,
    ReconstructionSummary, reconstruct,
};
use crate::runner::interrupt;
use anyhow::{Result, bail};
use posebook_models::detect::Model;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
#[command(after_help = "\
Boxes are left,top,width,height in pixels of the upright image. They are given on the command line for one image, in \
one file of MOTChallenge text for several (frame n is the n-th image), or in IMAGE.boxes.txt next to each image. Without \
boxes NanoDet detects people, or an imported detector (detect.model=vitdet, regnety); with detect.model=given the whole \
image is the box of one person.

Results go into a new folder below reports/reconstruct or OUT: for every image NAME_all.png, for every \
person NAME_0.png (crop, overlay, side view), NAME_0.obj and NAME_0.npz, and people.parquet for all.

Examples:
  posebook reconstruct team.jpg 'boxes=22,193,170,310;180,182,150,322'
  posebook reconstruct photos/ boxes=boxes.txt model=hmr2 hmr2.batch=4 out=results")]
pub struct Args {
    /// Images (JPEG, PNG) and folders of images, then settings: boxes=FILE or boxes=L,T,W,H;..., out=FOLDER,
    /// model=NAME, device=auto|cpu|cuda:0, hmr2.batch=N, hmr2.precision=f32|bf16|f16
    #[arg(value_name = "IMAGE | KEY=VALUE", required = true)]
    given: Vec<String>,
    /// Print one JSON object with the results
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    let (images, settings): (Vec<String>, Vec<String>) =
        args.given.into_iter().partition(|given| !given.contains('=') || Path::new(given).exists());
    let images: Vec<PathBuf> = images.into_iter().map(PathBuf::from).collect();
    let request = ReconstructRequest::parse(&images, &Override::parse_all(&settings)?)?;
    for note in &request.notes {
        eprintln!("note: {note}");
    }
    let interrupt = interrupt::install();
    let mut on_event = |event: ReconstructionEvent| match event {
        ReconstructionEvent::Done { number, total, image } => {
            eprintln!("[{number}/{total}] {}", describe_done(image, request.detect.model));
            image.notes.iter().for_each(|note| eprintln!("note: {note}"));
        }
        ReconstructionEvent::Note(text) => eprintln!("note: {text}"),
        ReconstructionEvent::Failed { number, total, image } => {
            eprintln!("[{number}/{total}] {}", describe_failed(image));
        }
    };
    let outcome = reconstruct(&project()?, &request, interrupt, &mut on_event)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        print!("{}", summary(&outcome));
    }
    end(&outcome)
}

fn describe_done(done: &ReconstructedImage, detector: Model) -> String {
    let path = done.picture.display();
    let people = if done.people == 0 { "no people".into() } else { counted(done.people, "person", "people") };
    let origin = match &done.boxes {
        BoxOrigin::Setting => String::new(),
        BoxOrigin::PerImage(file) => format!(", boxes of {}", file.display()),
        BoxOrigin::Detector => format!(", detected by {}", detector.title()),
        BoxOrigin::WholeImage => {
            "; no boxes are given, so the whole image is the box of one person (boxes=left,top,width,height)"
                .to_string()
        }
    };
    format!("{path}: {people}{origin}")
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn describe_failed(failed: &FailedImage) -> String {
    format!("{}: {}", failed.picture.display(), failed.error)
}

fn summary(outcome: &ReconstructionSummary) -> String {
    let people: usize = outcome.pictures.iter().map(|done| done.people).sum();
    let times = &outcome.times;
    format!(
        "{} in {}; {} on {} ({}); results in {}\n\
         read {:.2} s, detection {:.2} s, crops {:.2} s, network {:.2} s, drawing {:.2} s, writing {:.2} s\n",
        counted(people, "person", "people"),
        counted(outcome.pictures.len(), "image", "images"),
        outcome.model,
        outcome.device,
        outcome.precision,
        outcome.folder.display(),
        times.read_secs,
        times.detect_secs,
        times.crop_secs,
        times.network_secs,
        times.draw_secs,
        times.write_secs,
    )
}

/// An error if images failed or were not processed, with a list of them.
fn end(outcome: &ReconstructionSummary) -> Result<()> {
    let ReconstructionSummary { failed, not_begun, pictures, .. } = outcome;
    let all = pictures.len() + failed.len() + not_begun.len();
    let listed: String = failed.iter().map(|one| format!("\n  {}", describe_failed(one))).collect();
    if !not_begun.is_empty() {
        bail!("interrupted: {} of {all} images were not processed{listed}", not_begun.len());
    }
    if !failed.is_empty() {
        bail!("{} of {all} images failed:{listed}", failed.len());
    }
    Ok(())
}
