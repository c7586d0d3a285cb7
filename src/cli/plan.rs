//! `posebook plan`: what a run over a video will take, before it is made.

use super::experiment::project;
use super::track::split;
use crate::experiment::Override;
use crate::runner::progress::{duration, for_stderr};
use crate::runner::{Foreseen, Foresight, Options, TrackRequest, foresee, interrupt};
use crate::video::Rate;
use anyhow::Result;

#[derive(clap::Args)]
#[command(after_help = "\
Every mode is rehearsed over a few frames, and what grows with the length is added. Memory and disk are meant to \
be right within 15%; times are rough.

Examples:
  posebook plan my.mp4
  posebook plan my.mp4 boxes=boxes.txt limits.host_mib=2048
  posebook plan my.mp4 video.mode=extract-memory video.end_frame=300 --people 5")]
pub struct Args {
    /// The video, then settings as in `posebook track`: boxes=FILE, model=..., device=..., limits.host_mib=...
    #[arg(value_name = "SOURCE | KEY=VALUE", required = true)]
    given: Vec<String>,
    /// How many people to assume in every frame where no boxes are given, for what grows with them
    #[arg(long, value_name = "N", default_value_t = 2)]
    people: usize,
    /// Print one JSON object, bytes and seconds unrounded
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    let (source, settings) = split(&args.given);
    let request = TrackRequest::parse(source.as_deref(), &Override::parse_all(settings)?)?;
    for note in &request.notes {
        eprintln!("note: {note}");
    }
    let mut listener = for_stderr();
    let options = Options::this_program()?;
    let foresight =
        foresee(&project()?, &request, args.people, &options, interrupt::listen(), listener.as_mut())?;
    drop(listener);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&foresight)?);
    } else {
        print(&foresight);
    }
    Ok(())
}

fn print(foresight: &Foresight) {
    let Foresight { source, codec, width, height, frames, key_frames, .. } = foresight;
    let rate = Rate { fps: foresight.fps, is_mean: foresight.fps_is_mean };
    println!(
        "{}: {codec}, {width}x{height}, {rate}; {frames} frames to give out, {key_frames} key frames",
        source.display()
    );
    let people = if foresight.people_assumed { "assumed" } else { "given" };
    println!(
        "model {}, device {}; {:.1} people a frame, {} at most ({people})",
        foresight.model, foresight.device, foresight.people_mean, foresight.people_most
    );
    println!("\nMiB of memory and disk:\n");
    let head = ["mode", "decoded", "heap", "process", "decoder", "device", "disk", "time", "fits"];
    line(&head.map(str::to_string));
    for mode in &foresight.modes {
        line(&cells(mode));
    }
    println!();
    let budget = &foresight.budget;
    let of = if budget.is_limit { "limits.host_mib" } else { "memory free here" };
    println!(
        "there is: {of} {}, disk {}, graphics card {}",
        mib(budget.host_bytes),
        mib(budget.disk_bytes),
        mib(budget.device_bytes)
    );
    foresight.notes.iter().for_each(|note| println!("note: {note}"));
}

fn cells(mode: &Foreseen) -> [String; 9] {
    let fits = match (&mode.why_not, mode.fits) {
        (None, true) => "yes".to_string(),
        (Some(why), _) => format!("no: {why}"),
        (None, false) => "unknown".to_string(),
    };
    [
        mode.mode.clone(),
        mode.frames_decoded.map_or_else(absent, |frames| frames.to_string()),
        mib(mode.heap_bytes),
        mib(mode.process_bytes),
        mib(mode.decoder_bytes),
        mib(mode.device_bytes),
        mib(mode.disk_bytes),
        mode.secs.map_or_else(absent, duration),
        fits,
    ]
}

fn line(cells: &[String; 9]) {
    let [mode, numbers @ .., fits] = cells;
    let numbers: Vec<String> = numbers.iter().map(|cell| format!("{cell:>9}")).collect();
    println!("{mode:<18}{}  {fits}", numbers.join(""));
}

fn mib(bytes: Option<u64>) -> String {
    bytes.map_or_else(absent, |bytes| format!("{:.1}", bytes as f64 / (1024.0 * 1024.0)))
}

fn absent() -> String {
    "–".to_string()
}
