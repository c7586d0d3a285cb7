//! Exports the tracks of a `.pkl` of PHALP in another format.
//!
//! `cargo run --release -p posebook-export --example export_tracks [PKL FORMAT OUT]`; without arguments it exports a sample of
//! the repository in every format into a temporary folder. FORMAT is gltf, npz, bvh, csv, mot or pkl.

use posebook_export::pkl::{PklSettings, ReadLimits, read, video_name};
use posebook_export::{ExportError, Exported, Format, Options, VideoInfo};
use posebook_models::body::Body;
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => {
            let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/extract.pkl");
            let folder = std::env::temp_dir().join(format!("posebook-export-{}", std::process::id()));
            for format in Format::ALL {
                let out = match format {
                    // one file for each track
                    Format::Npz | Format::Bvh => folder.join("tracks/"),
                    _ => folder.join(format!("sample.{}", format.name())),
                };
                describe(format, &export(Path::new(sample), format, &out)?);
            }
            std::fs::remove_dir_all(&folder)?;
        }
        [pkl, format, out] => {
            let format: Format = format.parse()?;
            describe(format, &export(Path::new(pkl), format, Path::new(out))?);
        }
        _ => return Err("give PKL FORMAT OUT, or nothing".into()),
    }
    Ok(())
}

/// Passes the frames of a `.pkl` to a format's sink. The body's shape and skeleton are those of the built-in body.
fn export(pkl: &Path, format: Format, out: &Path) -> Result<Exported, ExportError> {
    let (name, fps) = (video_name(pkl), 25.0);
    let mut appearance = false;
    let notice = &mut |frame: posebook_export::pkl::PklFrame| {
        appearance |= frame.frame.people.iter().any(|person| person.embedding.is_some());
        Ok::<(), ExportError>(())
    };
    read(pkl, fps, ReadLimits::default(), notice)?;
    let options = Options {
        video: VideoInfo::new(&name, fps),
        body: Body::built_in(),
        track: None,
        pkl: PklSettings { appearance, ..PklSettings::new("outputs") },
    };
    let mut sink = format.open(out, options)?;
    read(pkl, fps, ReadLimits::default(), &mut |frame| sink.push(frame.frame))?;
    sink.finish()
}

fn describe(format: Format, exported: &Exported) {
    let Exported { files, frames, people, tracks, notes } = exported;
    println!("{}: {tracks} tracks, {people} people in {frames} frames, {} files", format.name(), files.len());
    notes.iter().for_each(|note| println!("  note: {note}"));
}
