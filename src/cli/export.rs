//! `posebook export`: writes tracked bodies in the formats of other programs.

use super::experiment::project;
use crate::runner::export::{ExportRequest, PklOrTables, Results, export};
use crate::runner::interrupt;
use crate::runner::progress::stderr_listener;
use anyhow::Result;
use posebook_export::pkl::KeyKind;
use posebook_export::{Exported, Format};
use std::path::PathBuf;

#[derive(clap::Args)]
#[command(after_help = "\
Formats: gltf (.glb: a mesh and a skeleton for each track, animated; Blender, Unity, Unreal, three.js), npz (SMPL parameters \
with AMASS's keys), bvh (skeleton), csv (joints), mot (boxes, MOTChallenge text), pkl (results/demo_VIDEO.pkl of PHALP and \
4D-Humans). npz and bvh hold one track: name it with --track, or give a folder as --out.

The body is the one of the run's model set. In Blender, set the scene's frame rate to the video's before importing.

Examples:
  posebook export reports/track/my/latest --as gltf --out people.glb
  posebook export reports/track/my/latest --as npz --track 2 --out person.npz
  posebook export demo_gymnasts.pkl --as bvh --out tracks/
  posebook export reports/track/my/latest --as pkl --keys pts --source my.mp4 --out demo_my.pkl")]
pub struct Args {
    /// Folder of results of `posebook track` or an experiment, or a .pkl of PHALP
    #[arg(value_name = "RESULT")]
    result: PathBuf,
    /// Format: gltf, npz, bvh, csv, mot or pkl
    #[arg(long = "as", value_name = "FORMAT")]
    format: Format,
    /// The file to write; for npz and bvh also a folder, with a file for each track
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Export this track only
    #[arg(long, value_name = "ID")]
    track: Option<u64>,
    /// Keys of the frames of a .pkl: path (OUT/_DEMO/VIDEO/img/000001.jpg), pts (path of the video and timestamp) or text
    /// (VIDEO_000001.jpg)
    #[arg(long, value_name = "KIND", default_value = "path")]
    keys: KeyKind,
    #[command(flatten)]
    input: InputArgs,
    /// Model set with the body, instead of the run's own
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
}

/// How results are read; shared with `posebook convert`.
#[derive(clap::Args)]
pub(super) struct InputArgs {
    /// The run, if the results have several
    #[arg(long, value_name = "RUN_ID")]
    run: Option<String>,
    /// The video, for the timestamps of --keys pts
    #[arg(long, value_name = "VIDEO")]
    source: Option<PathBuf>,
    /// Frames per second of a .pkl, which has none; 30 by default
    #[arg(long, value_name = "N", value_parser = frames_per_second)]
    fps: Option<f64>,
}

impl From<InputArgs> for PklOrTables {
    fn from(InputArgs { run, source, fps }: InputArgs) -> PklOrTables {
        PklOrTables { run, fps, source }
    }
}

/// A finite number above zero.
fn frames_per_second(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|fps| fps.is_finite() && *fps > 0.0);
    number.ok_or_else(|| format!("`{text}` is no number of frames per second, such as 29.97"))
}

pub fn run(args: Args) -> Result<()> {
    let Args { result, format, out, track, keys, input, model } = args;
    let results = Results::open(&result, &input.into())?;
    let model = model.map(|name| project().map(|project| project.model(&name))).transpose()?;
    let request = ExportRequest { format, track, keys, model };
    let interrupt = interrupt::install();
    let mut listener = stderr_listener();
    let exported = export(&results, &out, &request, interrupt, listener.as_mut())?;
    drop(listener);
    results.notes().iter().chain(&exported.notes).for_each(|note| eprintln!("note: {note}"));
    print!("{}", summary(&exported));
    Ok(())
}

/// What was written, one line for each file.
pub(super) fn summary(exported: &Exported) -> String {
    let Exported { files, frames, people, tracks, .. } = exported;
    let files: String = files.iter().map(|file| format!("{}\n", file.display())).collect();
    format!("{tracks} tracks, {people} people in {frames} frames\n{files}")
}
