//! `posebook metrics mot`: tracking scores of a pair of MOTChallenge files.

use crate::runner::export::pkl_boxes_as_mot;
use anyhow::Result;
use posebook_export::pkl::is_pkl;
use posebook_track::metrics::TrackingScores;
use posebook_track::metrics::mot::{self, MotSequence};
use posebook_track::motchallenge::{Benchmark, BenchmarkChoice, ChoiceReason, MotError};
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Ground truth: lines of `frame,identity,left,top,width,height[,confidence[,class]]`, frames from 1
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// Tracks in the same format, or a .pkl of PHALP
    #[arg(long, value_name = "FILE")]
    tracks: PathBuf,
    /// Benchmark whose rules apply: mot15, mot16, mot17, mot20, dancetrack. By default detected from the path of the
    /// truth (MOT20-01/gt/gt.txt) or its columns, otherwise mot17; a note says which
    #[arg(long, value_name = "NAME")]
    benchmark: Option<Benchmark>,
    /// Print JSON, with unrounded numbers, instead of a table
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Scored {
    #[serde(flatten)]
    scores: TrackingScores,
    /// The benchmark whose rules were applied.
    benchmark: Benchmark,
    /// Why this benchmark was chosen.
    benchmark_because: ChoiceReason,
    /// Notes on the files and scores.
    notes: Vec<String>,
}

pub(super) fn run(args: Args) -> Result<()> {
    let (truth, tracks) = (MotSequence::read(&args.truth)?, read_tracks(&args.tracks)?);
    let choice = BenchmarkChoice::detect(args.benchmark, &truth.file);
    let mut notes: Vec<String> = [&truth, &tracks].iter().flat_map(|side| side.file.notes.clone()).collect();
    notes.extend(choice.note(&args.truth, "--benchmark"));
    notes.extend(benchmark_mismatch(choice, &truth, &tracks));
    notes.extend(check_length(&truth, &tracks)?);
    let scores = mot::evaluate(&truth, &tracks, choice.benchmark)?;
    notes.extend(warnings(&truth, &tracks, &scores));
    for note in &notes {
        eprintln!("note: {note}");
    }
    if args.json {
        let BenchmarkChoice { benchmark, reason: benchmark_because } = choice;
        let scored = Scored { scores, benchmark, benchmark_because, notes };
        println!("{}", serde_json::to_string_pretty(&scored)?);
    } else {
        print!("{}", table(&scores));
    }
    Ok(())
}

/// The tracks: MOTChallenge text, or the people of a `.pkl` of PHALP who were seen in their frame.
fn read_tracks(path: &Path) -> Result<MotSequence> {
    if is_pkl(path) {
        return Ok(mot::parse(&pkl_boxes_as_mot(path)?, path)?);
    }
    Ok(MotSequence::read(path)?)
}

/// A note if a path names another benchmark than the one whose rules are applied.
fn benchmark_mismatch(choice: BenchmarkChoice, truth: &MotSequence, tracks: &MotSequence) -> Option<String> {
    let other =
        |side: &MotSequence| Benchmark::from_path(&side.file.path).filter(|other| *other != choice.benchmark);
    let (path, other) = [truth, tracks].iter().find_map(|side| Some((&side.file.path, other(side)?)))?;
    Some(format!("the path {} names {other}, and the rules are {}'s", path.display(), choice.benchmark))
}

/// Checks for boxes beyond the end of the sequence: an error if `seqinfo.ini` gives its length, otherwise a note if the
/// truth ends earlier.
fn check_length(truth: &MotSequence, tracks: &MotSequence) -> Result<Option<String>, MotError> {
    if let Some((info, length)) = sequence_length(&truth.file.path) {
        for side in [truth, tracks] {
            if let Some(row) = side.file.rows.iter().find(|row| row.frame > length) {
                let problem = format!(
                    "frame {} is beyond the end of the sequence, which has {length} frames by {}",
                    row.frame,
                    info.display()
                );
                return Err(MotError::line(&side.file.path, row.line, problem));
            }
        }
    }
    let (end, last) = (truth.last_frame(), tracks.last_frame());
    let longer = end > 0 && last > end;
    Ok(longer.then(|| {
        let boxes = tracks.file.rows.iter().filter(|row| row.frame > end).count();
        format!(
            "{} has frames up to {last}, but the truth ends at frame {end}: {boxes} later boxes count as false positives",
            tracks.file.path.display()
        )
    }))
}

/// The number of frames in `seqinfo.ini`, for a truth in `SEQUENCE/gt/`.
fn sequence_length(truth: &Path) -> Option<(PathBuf, u64)> {
    let absolute = std::path::absolute(truth).ok()?;
    let info = absolute.parent()?.parent()?.join("seqinfo.ini");
    let text = std::fs::read_to_string(&info).ok()?;
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        key.trim().eq_ignore_ascii_case("seqLength").then(|| value.trim().to_string())
    })?;
    Some((info, value.parse().ok()?))
}

/// Warnings about files whose scores are not meaningful.
fn warnings(truth: &MotSequence, tracks: &MotSequence, scores: &TrackingScores) -> Vec<String> {
    let mut warnings = Vec::new();
    let (truth_path, tracks_path) = (truth.file.path.display(), tracks.file.path.display());
    if scores.truth_boxes == 0 {
        let rows = truth.file.rows.len();
        warnings.push(format!(
            "none of the {rows} rows of {truth_path} counts (rows with a confidence below 1 or a class other than 1 are \
             ignored): the scores are meaningless"
        ));
    }
    if tracks.file.rows.is_empty() {
        warnings.push(format!("{tracks_path} has no boxes"));
    }
    for side in [truth, tracks] {
        if side.file.is_normalized() {
            let path = side.file.path.display();
            warnings.push(format!(
                "all boxes of {path} are between 0 and 1: fractions of the image instead of pixels?"
            ));
        }
    }
    warnings
}

/// The scores as a table: ratios in percent, and counts.
fn table(scores: &TrackingScores) -> String {
    let percent = |value: f64| format!("{:.2}", value * 100.0);
    let rows = [
        ("HOTA", percent(scores.hota), "% higher order tracking accuracy, mean of 19 overlaps"),
        ("DetA", percent(scores.deta), "% detection"),
        ("AssA", percent(scores.assa), "% association"),
        ("LocA", percent(scores.loca), "% localization"),
        ("MOTA", percent(scores.mota), "% CLEAR: 1 - (missed + false + switches) / truth"),
        ("MOTP", percent(scores.motp), "% CLEAR: mean overlap of matches"),
        ("IDF1", percent(scores.idf1), "% identity F1"),
        ("IDP", percent(scores.idp), "% identity precision"),
        ("IDR", percent(scores.idr), "% identity recall"),
        ("TP", scores.tp.to_string(), "boxes matched"),
        ("FP", scores.fp.to_string(), "false positive boxes"),
        ("FN", scores.fn_.to_string(), "boxes missed"),
        ("IDSW", scores.idsw.to_string(), "identity switches"),
        ("Frag", scores.frag.to_string(), "fragments"),
        ("MT", scores.mt.to_string(), "mostly tracked"),
        ("PT", scores.pt.to_string(), "partly tracked"),
        ("ML", scores.ml.to_string(), "mostly lost"),
    ];
    rows.iter().map(|(name, value, meaning)| format!("{name:<5} {value:>8}  {meaning}\n")).collect()
}
