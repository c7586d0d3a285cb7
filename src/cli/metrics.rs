//! `posebook metrics`: scores from files, without an experiment.

use crate::metrics::TrackingScores;
use crate::metrics::mot::{self, Boxes};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// HOTA, CLEAR and identity scores of one pair of MOTChallenge files, as TrackEval gives them
    Mot(Mot),
}

#[derive(clap::Args)]
struct Mot {
    /// The truth: lines of `frame,identity,left,top,width,height[,confidence[,class]]`, frames from 1
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// The tracks, in the same form
    #[arg(long, value_name = "FILE")]
    tracks: PathBuf,
    /// Print JSON, with unrounded numbers, instead of a table
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    let Command::Mot(args) = args.command;
    let scores = mot::evaluate(&read(&args.truth)?, &read(&args.tracks)?);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&scores)?);
    } else {
        print!("{}", table(&scores));
    }
    Ok(())
}

fn read(path: &Path) -> Result<Boxes> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(mot::parse(&text, path)?)
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
