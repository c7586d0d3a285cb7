//! Tracks boxes read from MOTChallenge text with PHALP's tracker, and scores the tracks against ground truth.
//!
//! `cargo run --release -p posebook-track --example track_mot [DETECTIONS TRUTH WIDTHxHEIGHT]`; without arguments it reads
//! a sample of the repository. Identities in DETECTIONS are ignored.

use posebook_core::frame::FrameSize;
use posebook_core::person::{BBox, LtwhBox};
use posebook_track::metrics::TrackingScores;
use posebook_track::metrics::mot::{self, MotSequence};
use posebook_track::motchallenge::{BenchmarkChoice, MotFile};
use posebook_track::phalp::{Cues, FrameTracks, PoseCue, Settings, Tracker};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [detections, truth, size] = match arguments.as_slice() {
        [] => sample(),
        [detections, truth, size] => [detections, truth, size].map(String::clone),
        _ => return Err("give DETECTIONS TRUTH WIDTHxHEIGHT, or nothing".into()),
    };
    let (width, height) = size.split_once('x').ok_or("give a frame's size as WIDTHxHEIGHT")?;
    let size = FrameSize::new(width.parse()?, height.parse()?);
    let scores = track_and_score(Path::new(&detections), Path::new(&truth), size)?;
    println!("{} boxes on {} tracks", scores.track_boxes, scores.track_ids);
    let TrackingScores { hota, deta, assa, idf1, mota, .. } = scores;
    for (name, share) in [("HOTA", hota), ("DetA", deta), ("AssA", assa), ("IDF1", idf1), ("MOTA", mota)] {
        println!("{name} {:6.2} %", 100.0 * share);
    }
    Ok(())
}

/// Detections of three people with gaps, the ground truth, and the size of the frames.
fn sample() -> [String; 3] {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens/phalp/a/mot");
    [format!("{folder}/swap_pred.txt"), format!("{folder}/swap_gt.txt"), "640x480".to_string()]
}

/// Tracks the boxes of the file `detections` and scores the tracks against the file `truth`.
pub fn track_and_score(
    detections: &Path,
    truth: &Path,
    size: FrameSize,
) -> Result<TrackingScores, Box<dyn Error>> {
    let truth = MotSequence::read(truth)?;
    let tracks = mot::parse(&track(&MotFile::read(detections)?, size)?, Path::new("tracks"))?;
    // the benchmark says which classes of the truth count
    let benchmark = BenchmarkChoice::detect(None, &truth.file).benchmark;
    Ok(mot::evaluate(&truth, &tracks, benchmark)?)
}

/// Tracks boxes by their locations. Returns the tracks as MOTChallenge text.
fn track(detections: &MotFile, size: FrameSize) -> Result<String, Box<dyn Error>> {
    let mut frames: BTreeMap<u64, Vec<BBox>> = BTreeMap::new();
    for row in &detections.rows {
        frames.entry(row.frame).or_default().push(row.bbox.to_bbox());
    }
    // nothing is known of poses
    let cues = Cues { pose: PoseCue::Off, ..Cues::default() };
    let mut tracker = Tracker::new(Settings { cues, ..Settings::default() })?;
    let mut text = String::new();
    let last = frames.last_key_value().map_or(0, |(frame, _)| *frame);
    // frames without boxes count, too: tracks are lost in them
    for frame in 1..=last {
        let boxes = frames.get(&frame).map_or(&[][..], Vec::as_slice);
        for tracks in tracker.update_boxes(usize::try_from(frame)?, size, boxes)? {
            write_tracks(&mut text, &tracks)?;
        }
    }
    // a track is final only a few frames later
    for tracks in tracker.finish() {
        write_tracks(&mut text, &tracks)?;
    }
    Ok(text)
}

/// Writes the boxes of a frame's tracks, a line each. Lost tracks have no box in the frame.
fn write_tracks(text: &mut String, of: &FrameTracks) -> Result<(), std::fmt::Error> {
    for track in of.tracks.iter().filter(|track| !track.is_lost()) {
        let LtwhBox { left, top, width, height } = track.bbox.into();
        writeln!(text, "{},{},{left},{top},{width},{height},1,-1,-1,-1", of.frame_index, track.track_id)?;
    }
    Ok(())
}
