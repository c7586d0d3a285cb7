//! `posebook metrics pose`: scores a table of people against the ground truth of calibrated views.

use crate::runner::export::pkl_people_for_views;
use anyhow::{Context, Error, Result, bail};
use posebook_core::geometry::Vec3;
use posebook_export::pkl::is_pkl;
use posebook_notebook::tables::{ParquetColumns, TableError};
use posebook_track::metrics::views::{ViewPerson, ViewScores, ViewsTruth};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The columns of `people` that are read.
const COLUMNS: [&str; 4] = ["run_id", "frame", "joints_m", "joints_px"];

#[derive(clap::Args)]
pub(super) struct Args {
    /// Ground truth: a JSON file with calibrated cameras and points in meters of some frames
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// People: a people.parquet of `track` or an experiment, or a .pkl of PHALP
    #[arg(long, value_name = "FILE")]
    people: PathBuf,
    /// Name of their camera in the ground truth
    #[arg(long, value_name = "NAME")]
    view: String,
    /// The run to score, if the table has several
    #[arg(long, value_name = "RUN_ID")]
    run: Option<String>,
    /// Print JSON with unrounded numbers and the scores of each frame instead of a table
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Scored<'a> {
    view: &'a str,
    #[serde(flatten)]
    scores: &'a ViewScores,
}

pub(super) fn run(args: Args) -> Result<()> {
    let scores = score(&args)?;
    if scores.frames_outside > 0 {
        eprintln!(
            "note: {} frames of the truth are before the first or after the last frame with people and are not scored",
            scores.frames_outside
        );
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&Scored { view: &args.view, scores: &scores })?);
    } else {
        print!("{}", table(&scores));
    }
    Ok(())
}

fn score(args: &Args) -> Result<ViewScores> {
    let truth = ViewsTruth::read(&args.truth)?;
    let people = if is_pkl(&args.people) {
        pkl_people_for_views(&args.people)?
    } else {
        read_people(&args.people, args.run.as_deref())?
    };
    Ok(truth.score(&args.view, &people)?)
}

/// The people of one run of a table.
fn read_people(path: &Path, run: Option<&str>) -> Result<Vec<ViewPerson>> {
    let shown = path.display();
    let table = ParquetColumns::read(path, &COLUMNS).map_err(|error| explain(error, path))?;
    let runs = table.texts("run_id")?;
    let run = chosen_run(&runs, run, path)?;
    let frames = table.integers("frame")?;
    let mut people = Vec::new();
    for (row, (run_id, frame)) in runs.iter().zip(&frames).enumerate() {
        if run_id.as_deref() != run {
            continue;
        }
        let frame = frame.and_then(|frame| u64::try_from(frame).ok());
        let frame = frame.with_context(|| format!("row {row} of {shown} has no frame"))?;
        let invalid =
            |name: &str| format!("row {row} of {shown} has no valid list of numbers in column `{name}`");
        let joints_m: Vec<Vec3> = points(&table, "joints_m", row).with_context(|| invalid("joints_m"))?;
        // a detection without a body
        if joints_m.is_empty() {
            continue;
        }
        let joints_px = points(&table, "joints_px", row).with_context(|| invalid("joints_px"))?;
        people.push(ViewPerson { frame, joints_m, joints_px });
    }
    Ok(people)
}

/// Says of an error of the table that the file is to be a table of people.
fn explain(error: TableError, path: &Path) -> Error {
    let shown = path.display();
    match error {
        TableError::File { source, .. } => {
            Error::new(source).context(format!("cannot open the people {shown}"))
        }
        TableError::MissingColumns { .. } => {
            Error::msg(format!("{error}; give a people.parquet of this version"))
        }
        error => Error::new(error).context(format!("{shown} is not a table of people in Parquet format")),
    }
}

/// The run to score: the named one, or the only one.
fn chosen_run<'t>(runs: &'t [Option<String>], named: Option<&str>, path: &Path) -> Result<Option<&'t str>> {
    let present: BTreeSet<&str> = runs.iter().flatten().map(String::as_str).collect();
    let list = || present.iter().copied().collect::<Vec<_>>().join(", ");
    match named {
        Some(run) => match present.get(run) {
            Some(run) => Ok(Some(run)),
            None => bail!("the table {} has no run `{run}`; its runs are {}", path.display(), list()),
        },
        None if present.len() > 1 => {
            bail!("the table {} has several runs; name one of them with --run: {}", path.display(), list())
        }
        None => Ok(present.first().copied()),
    }
}

/// The points with `N` coordinates in the list of one row; `None` if it is not such a list.
fn points<const N: usize>(table: &ParquetColumns, column: &str, row: usize) -> Option<Vec<[f32; N]>> {
    let values = table.floats(column, row)?;
    let (points, rest) = values.as_chunks::<N>();
    rest.is_empty().then(|| points.to_vec())
}

/// The scores as a table.
fn table(scores: &ViewScores) -> String {
    let number = |value: Option<f64>| value.map_or("-".to_string(), |value| format!("{value:.1}"));
    let rows = [
        ("MPJPE", number(scores.mpjpe_mm), "mm, 12 joints relative to the mid-hip, camera axes"),
        (
            "PA-MPJPE",
            number(scores.pa_mpjpe_mm),
            "mm, after the best rotation, scale and shift of each frame",
        ),
        ("frames", scores.frames_scored.to_string(), "with a person near the truth in the image"),
        ("missed", scores.frames_missed.to_string(), "frames without a person near the truth"),
        ("outside", scores.frames_outside.to_string(), "frames of the truth before or after all people"),
        ("unknown", scores.frames_without_truth.to_string(), "frames whose truth lacks hips or most joints"),
    ];
    rows.iter().map(|(name, value, meaning)| format!("{name:<8} {value:>7}  {meaning}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::person::JOINTS;
    use posebook_notebook::tables::PersonRow;
    use posebook_notebook::tables::files::TableWriter;
    use posebook_track::metrics::views::SCORED_JOINTS;

    /// A truth with one camera at the origin and points 3 m in front of it.
    fn truth() -> String {
        let points: Vec<[f64; 3]> =
            (0..33).map(|index| [0.1 * f64::from(index % 5), 0.05 * f64::from(index), 3.0]).collect();
        let world = serde_json::to_string(&[&points, &points, &points]).unwrap();
        format!(
            r#"{{"unit": "m", "frames": [0, 2, 9], "points": "33", "world_m": {world}, "cameras": {{"cam01":
            {{"K": [[900, 0, 300], [0, 900, 200], [0, 0, 1]], "D": [0, 0, 0, 0],
            "R": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "t": [0, 0, 0]}}}}}}"#
        )
    }

    /// The person of the truth, with a depth error of `off_m` on one side of the body.
    fn person(run: &str, frame: u64, off_m: f32) -> PersonRow {
        let (mut joints_m, mut joints_px) = (vec![0.0; 3 * JOINTS], vec![0.0; 2 * (JOINTS + 1)]);
        for (index, &landmark) in posebook_core::landmarks::SCORED_LANDMARKS.iter().enumerate() {
            let joint = SCORED_JOINTS[index];
            let (x, y) = (0.1 * (landmark % 5) as f32, 0.05 * landmark as f32);
            let z = if index < 6 { off_m } else { 0.0 };
            joints_m[3 * joint..3 * joint + 3].copy_from_slice(&[x, y, z]);
            joints_px[2 * joint..2 * joint + 2].copy_from_slice(&[300.0 * x + 300.0, 300.0 * y + 200.0]);
        }
        PersonRow { run_id: run.into(), frame, joints_m, joints_px, ..PersonRow::default() }
    }

    struct Case {
        folder: tempfile::TempDir,
    }

    impl Case {
        fn new(people: &[PersonRow]) -> Case {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("truth.json"), truth()).unwrap();
            let mut writer = TableWriter::create(folder.path()).unwrap();
            people.iter().for_each(|person| writer.push(person.clone()).unwrap());
            writer.finish().unwrap();
            Case { folder }
        }

        fn args(&self, view: &str, run: Option<&str>) -> Args {
            let path = |name: &str| self.folder.path().join(name);
            let run = run.map(String::from);
            Args {
                truth: path("truth.json"),
                people: path("people.parquet"),
                view: view.into(),
                run,
                json: true,
            }
        }
    }

    #[test]
    fn a_table_is_scored() {
        let case = Case::new(&[person("a", 0, 0.0), person("a", 1, 9.0), person("a", 2, 0.08)]);
        let args = case.args("cam01", None);
        let scores = score(&args).unwrap();
        assert!(
            (scores.mpjpe_mm.unwrap() - 20.0).abs() < 1e-3,
            "half of 12 joints 80 mm off in one of two frames"
        );
        assert!(scores.pa_mpjpe_mm.unwrap() < 20.0);
        assert_eq!((scores.frames_scored, scores.frames_missed, scores.frames_outside), (2, 0, 1));
        let json = serde_json::to_value(Scored { view: "cam01", scores: &scores }).unwrap();
        for key in
            ["view", "mpjpe_mm", "pa_mpjpe_mm", "frames", "frames_missed", "frames_outside", "per_frame"]
        {
            assert!(json.get(key).is_some(), "{key} in {json}");
        }
        let text = table(&scores);
        assert!(text.contains("MPJPE") && text.contains("20.0"), "{text}");
        run(args).unwrap();
    }

    #[test]
    fn one_run_of_several_is_named() {
        let case = Case::new(&[person("a", 0, 0.0), person("b", 0, 0.08), person("b", 2, 0.08)]);
        let message = score(&case.args("cam01", None)).unwrap_err().to_string();
        assert!(message.contains("--run: a, b"), "{message}");
        let message = score(&case.args("cam01", Some("c"))).unwrap_err().to_string();
        assert!(message.contains("no run `c`"), "{message}");
        let scores = score(&case.args("cam01", Some("b"))).unwrap();
        assert!((scores.mpjpe_mm.unwrap() - 40.0).abs() < 1e-3);
    }

    #[test]
    fn wrong_files_and_views_get_clear_errors() {
        let case = Case::new(&[person("a", 0, 0.0)]);
        let message = score(&case.args("cam07", None)).unwrap_err().to_string();
        assert!(message.contains("`cam07`") && message.contains("cam01"), "{message}");
        let message = score(&Case::new(&[]).args("cam01", None)).unwrap_err().to_string();
        assert!(message.contains("no frame in common"), "{message}");
        let message = score(&Case::new(&[person("a", 70, 0.0)]).args("cam01", None)).unwrap_err().to_string();
        assert!(message.contains("70 to 70"), "{message}");
        let short = PersonRow { joints_m: vec![0.0; 7], ..person("a", 0, 0.0) };
        let message = score(&Case::new(&[short]).args("cam01", None)).unwrap_err().to_string();
        assert!(message.contains("`joints_m`"), "{message}");
        let few = PersonRow { joints_m: vec![0.0; 72], ..person("a", 0, 0.0) };
        let message = score(&Case::new(&[few]).args("cam01", None)).unwrap_err().to_string();
        assert!(message.contains("24 joints"), "{message}");

        let mut swapped = case.args("cam01", None);
        swapped.people = swapped.truth.clone();
        let message = format!("{:#}", score(&swapped).unwrap_err());
        assert!(message.contains("not a table of people"), "{message}");
        swapped.people = case.folder.path().join("none.parquet");
        assert!(score(&swapped).unwrap_err().to_string().contains("none.parquet"));
        // a table of something else
        let other = tempfile::tempdir().unwrap();
        TableWriter::<posebook_notebook::tables::FrameRow>::create(other.path()).unwrap().finish().unwrap();
        swapped.people = other.path().join("frames.parquet");
        let message = score(&swapped).unwrap_err().to_string();
        assert!(message.contains("joints_m, joints_px"), "{message}");
    }
}
