//! `posebook plan`: estimates memory, disk and time of a run over a video.

use super::experiment::project;
use super::track::split;
use crate::experiment::phalp_settings::CommandLine;
use crate::runner::interrupt;
use crate::runner::progress::stderr_listener;
use crate::runner::{
    ExecuteOptions, ModeEstimate, ResourceEstimate, TrackRequest, estimate_resources, format_duration,
};
use anyhow::Result;
use posebook_video::FrameRate;

#[derive(clap::Args)]
#[command(after_help = "\
A trial run over a few frames is made in every mode and extrapolated to the length of the video. Estimates of memory \
and disk should be right within 15%; times are rough.

Examples:
  posebook plan my.mp4
  posebook plan my.mp4 boxes=boxes.txt limits.host_mib=2048
  posebook plan my.mp4 video.mode=extract-memory video.end_frame=300 --people 5")]
pub struct Args {
    /// The video, then settings as in `posebook track`: boxes=FILE, model=..., device=..., limits.host_mib=...
    #[arg(value_name = "SOURCE | KEY=VALUE", required = true)]
    given: Vec<String>,
    /// Number of people to assume in every frame if no boxes are given
    #[arg(long, value_name = "N", default_value_t = 2)]
    people: usize,
    /// Print one JSON object with unrounded bytes and seconds
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    let (source, settings) = split(&args.given);
    let request = TrackRequest::parse(source.as_deref(), &CommandLine::parse(source.as_deref(), settings)?)?;
    for note in &request.notes {
        eprintln!("note: {note}");
    }
    let mut listener = stderr_listener();
    let options = ExecuteOptions::this_program()?;
    let estimate = estimate_resources(
        &project()?,
        &request,
        args.people,
        &options,
        interrupt::install(),
        listener.as_mut(),
    )?;
    drop(listener);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&estimate)?);
    } else {
        print(&estimate);
    }
    Ok(())
}

fn print(estimate: &ResourceEstimate) {
    let ResourceEstimate { source, codec, width, height, frames, key_frames, .. } = estimate;
    let rate = FrameRate { fps: estimate.fps, is_mean: estimate.fps_is_mean };
    println!(
        "{}: {codec}, {width}x{height}, {rate}; {frames} frames to read, {key_frames} key frames",
        source.display()
    );
    let people = if estimate.people_assumed { "assumed" } else { "given" };
    println!(
        "model {}, device {}; {:.1} people per frame, {} at most ({people})",
        estimate.model, estimate.device, estimate.people_mean, estimate.people_most
    );
    println!("\nMiB of memory and disk:\n");
    let headings = ["mode", "decoded", "heap", "process", "decoder", "device", "disk", "time", "fits"];
    print_row(&headings.map(str::to_string));
    for mode in &estimate.modes {
        print_row(&cells(mode));
    }
    println!();
    let budget = &estimate.budget;
    let host = if budget.is_limit { "limits.host_mib" } else { "free memory" };
    println!(
        "available: {host} {}, disk {}, GPU {}",
        mib(budget.host_bytes),
        mib(budget.disk_bytes),
        mib(budget.device_bytes)
    );
    estimate.notes.iter().for_each(|note| println!("note: {note}"));
}

fn cells(mode: &ModeEstimate) -> [String; 9] {
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
        mode.secs.map_or_else(absent, format_duration),
        fits,
    ]
}

fn print_row(cells: &[String; 9]) {
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
