//! `posebook reconstruct`: the people of single pictures.

use super::experiment::project;
use crate::experiment::Override;
use crate::runner::interrupt;
use crate::runner::picture::{Done, Failed, Origin, PictureRequest, Reconstructed, Told, reconstruct};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
#[command(after_help = "\
Boxes are left,top,width,height in pixels of the picture as it is seen upright. They are given on the command \
line for one picture, in one file of MOTChallenge text for several (frame n is the n-th picture), or in \
PICTURE.boxes.txt beside each picture. Without any NanoDet finds the people; with detect.model=given the whole \
picture is taken as one person's box.

Results go into a new folder below reports/reconstruct or OUT: for every picture NAME_all.png, for every person \
NAME_0.png (crop, body over it, body from the side), NAME_0.obj and NAME_0.npz, and people.parquet for all.

Examples:
  posebook reconstruct team.jpg 'boxes=22,193,170,310;180,182,150,322'
  posebook reconstruct photos/ boxes=boxes.txt model=hmr2 hmr2.batch=4 out=results")]
pub struct Args {
    /// Pictures (JPEG, PNG) and folders of pictures, then settings: boxes=FILE or boxes=L,T,W,H;..., out=FOLDER,
    /// model=NAME, device=auto|cpu|cuda:0, hmr2.batch=N, hmr2.precision=f32|bf16|f16
    #[arg(value_name = "IMAGE | KEY=VALUE", required = true)]
    given: Vec<String>,
    /// Print one JSON object with what was done
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    let (images, settings): (Vec<String>, Vec<String>) =
        args.given.into_iter().partition(|given| !given.contains('=') || Path::new(given).exists());
    let images: Vec<PathBuf> = images.into_iter().map(PathBuf::from).collect();
    let request = PictureRequest::parse(&images, &Override::parse_all(&settings)?)?;
    for note in &request.notes {
        eprintln!("note: {note}");
    }
    let interrupt = interrupt::listen();
    let mut tell = |told: Told| match told {
        Told::Done { number, of, done } => {
            eprintln!("[{number}/{of}] {}", done_in_words(done));
            done.notes.iter().for_each(|note| eprintln!("note: {note}"));
        }
        Told::Note(text) => eprintln!("note: {text}"),
        Told::Failed { number, of, failed } => eprintln!("[{number}/{of}] {}", failed_in_words(failed)),
    };
    let outcome = reconstruct(&project()?, &request, interrupt, &mut tell)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        print!("{}", summary(&outcome));
    }
    end(&outcome)
}

fn done_in_words(done: &Done) -> String {
    let path = done.picture.display();
    let people = if done.people == 0 { "nobody".into() } else { counted(done.people, "person", "people") };
    let by = match &done.boxes {
        Origin::Setting => String::new(),
        Origin::Beside(file) => format!(" by {}", file.display()),
        Origin::Detector => " found by NanoDet".to_string(),
        Origin::WholePicture => {
            "; no boxes are given, so the whole picture is taken as one person's box (boxes=left,top,width,height)"
                .to_string()
        }
    };
    format!("{path}: {people}{by}")
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn failed_in_words(failed: &Failed) -> String {
    format!("{}: {}", failed.picture.display(), failed.error)
}

fn summary(outcome: &Reconstructed) -> String {
    let people: usize = outcome.pictures.iter().map(|done| done.people).sum();
    let times = &outcome.times;
    format!(
        "{} in {}, by {} on {} ({}); results in {}\n\
         read {:.2} s, detection {:.2} s, crops {:.2} s, network {:.2} s, drawing {:.2} s, writing {:.2} s\n",
        counted(people, "person", "people"),
        counted(outcome.pictures.len(), "picture", "pictures"),
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

/// An error where not all was done, with a list of what is missing.
fn end(outcome: &Reconstructed) -> Result<()> {
    let Reconstructed { failed, not_begun, pictures, .. } = outcome;
    let all = pictures.len() + failed.len() + not_begun.len();
    let listed: String = failed.iter().map(|one| format!("\n  {}", failed_in_words(one))).collect();
    if !not_begun.is_empty() {
        bail!("interrupted: {} of {all} pictures were not begun{listed}", not_begun.len());
    }
    if !failed.is_empty() {
        bail!("{} of {all} pictures could not be done:{listed}", failed.len());
    }
    Ok(())
}
