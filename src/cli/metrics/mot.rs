//! `posebook metrics mot`: tracking scores of a pair of MOTChallenge files.

use crate::metrics::TrackingScores;
use crate::metrics::mot::{self, Boxes};
use crate::motchallenge::{Because, Benchmark, MotError, Taken};
use anyhow::Result;
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The truth: lines of `frame,identity,left,top,width,height[,confidence[,class]]`, frames from 1
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// The tracks, in the same form
    #[arg(long, value_name = "FILE")]
    tracks: PathBuf,
    /// Whose rules the files are read by: mot15, mot16, mot17, mot20, dancetrack. Without it the truth's path
    /// says (MOT20-01/gt/gt.txt), or its columns, or they are MOT17's; which is told
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
    /// Whose rules the files were read by.
    benchmark: Benchmark,
    /// Why theirs.
    benchmark_because: Because,
    /// What a person should know beside the numbers.
    notes: Vec<String>,
}

pub(super) fn run(args: Args) -> Result<()> {
    let (truth, tracks) = (Boxes::read(&args.truth)?, Boxes::read(&args.tracks)?);
    let taken = Taken::of(args.benchmark, &truth.file);
    let mut notes: Vec<String> = [&truth, &tracks].iter().flat_map(|side| side.file.notes.clone()).collect();
    notes.extend(taken.note(&args.truth, "--benchmark"));
    notes.extend(disagreement(taken, &truth, &tracks));
    notes.extend(beyond(&truth, &tracks)?);
    let scores = mot::evaluate(&truth, &tracks, taken.benchmark)?;
    notes.extend(doubts(&truth, &tracks, &scores));
    for note in &notes {
        eprintln!("note: {note}");
    }
    if args.json {
        let Taken { benchmark, because: benchmark_because } = taken;
        let scored = Scored { scores, benchmark, benchmark_because, notes };
        println!("{}", serde_json::to_string_pretty(&scored)?);
    } else {
        print!("{}", table(&scores));
    }
    Ok(())
}

/// Where a path names another benchmark than the one whose rules are used.
fn disagreement(taken: Taken, truth: &Boxes, tracks: &Boxes) -> Option<String> {
    let other = |side: &Boxes| Benchmark::of_path(&side.file.path).filter(|other| *other != taken.benchmark);
    let (path, other) = [truth, tracks].iter().find_map(|side| Some((&side.file.path, other(side)?)))?;
    Some(format!("the path {} names {other}, and the rules are {}'s", path.display(), taken.benchmark))
}

/// Boxes beyond the sequence's end: an error where `seqinfo.ini` beside the truth's folder says how long it is, a
/// note where the truth merely ends before.
fn beyond(truth: &Boxes, tracks: &Boxes) -> Result<Option<String>, MotError> {
    if let Some((info, length)) = sequence_length(&truth.file.path) {
        for side in [truth, tracks] {
            if let Some(row) = side.file.rows.iter().find(|row| row.frame > length) {
                let problem = format!(
                    "frame {} is beyond the sequence: it has {length} by {}",
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
            "{} goes on to frame {last}, and the truth ends at frame {end}: {boxes} boxes behind it count as false",
            tracks.file.path.display()
        )
    }))
}

/// The number of frames that `seqinfo.ini` says, for a truth in `SEQUENCE/gt/`.
fn sequence_length(truth: &Path) -> Option<(PathBuf, u64)> {
    let whole = std::path::absolute(truth).ok()?;
    let info = whole.parent()?.parent()?.join("seqinfo.ini");
    let text = std::fs::read_to_string(&info).ok()?;
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        key.trim().eq_ignore_ascii_case("seqLength").then(|| value.trim().to_string())
    })?;
    Some((info, value.parse().ok()?))
}

/// What makes the scores mean little.
fn doubts(truth: &Boxes, tracks: &Boxes, scores: &TrackingScores) -> Vec<String> {
    let mut doubts = Vec::new();
    let (truth_path, tracks_path) = (truth.file.path.display(), tracks.file.path.display());
    if scores.truth_boxes == 0 {
        let rows = truth.file.rows.len();
        doubts.push(format!(
            "no row of {truth_path} counts (of {rows}; a confidence below 1 is a flag of 0 there, and classes but 1 \
             are left out): the scores say nothing"
        ));
    }
    if tracks.file.rows.is_empty() {
        doubts.push(format!("{tracks_path} has no boxes"));
    }
    for side in [truth, tracks] {
        if side.file.is_in_shares() {
            let path = side.file.path.display();
            doubts
                .push(format!("all boxes of {path} lie between 0 and 1: shares of the picture, not pixels?"));
        }
    }
    doubts
}

/// The scores as a person reads them: shares in percent, counts as they are.
fn table(scores: &TrackingScores) -> String {
    let share = |value: f64| format!("{:.2}", value * 100.0);
    let rows = [
        ("HOTA", share(scores.hota), "% higher order tracking accuracy, mean of 19 overlaps"),
        ("DetA", share(scores.deta), "% detection"),
        ("AssA", share(scores.assa), "% association"),
        ("LocA", share(scores.loca), "% localisation"),
        ("MOTA", share(scores.mota), "% CLEAR: 1 - (missed + false + switches) / truth"),
        ("MOTP", share(scores.motp), "% CLEAR: mean overlap of matches"),
        ("IDF1", share(scores.idf1), "% identity F1"),
        ("IDP", share(scores.idp), "% identity precision"),
        ("IDR", share(scores.idr), "% identity recall"),
        ("TP", scores.tp.to_string(), "boxes matched"),
        ("FP", scores.fp.to_string(), "boxes too many"),
        ("FN", scores.fn_.to_string(), "boxes missed"),
        ("IDSW", scores.idsw.to_string(), "identity switches"),
        ("Frag", scores.frag.to_string(), "fragments"),
        ("MT", scores.mt.to_string(), "mostly tracked"),
        ("PT", scores.pt.to_string(), "partly tracked"),
        ("ML", scores.ml.to_string(), "mostly lost"),
    ];
    rows.iter().map(|(name, value, meaning)| format!("{name:<5} {value:>8}  {meaning}\n")).collect()
}
