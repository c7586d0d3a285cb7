//! A `.pkl` of joblib becomes tables, and the tables become a `.pkl` with the same people.

use super::*;
use crate::runner::project::progress::NoProgress;
use posebook_export::pkl::{PklFrame, PklWriter, ReadLimits, read};
use posebook_export::{ExportError, FrameSink, VideoInfo};
use posebook_notebook::tables::{PersonRow, files};
use std::path::PathBuf;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/posebook-export/tests/data").join(name)
}

fn frames(path: &Path) -> Vec<PklFrame> {
    let mut frames = Vec::new();
    let take = &mut |frame| {
        frames.push(frame);
        Ok::<(), ExportError>(())
    };
    read(path, 30.0, ReadLimits::default(), take).unwrap();
    frames
}

fn request(format: Format) -> ExportRequest {
    ExportRequest { format, track: None, keys: KeyKind::Path, model: None }
}

#[test]
fn a_pkl_survives_the_way_through_tables() {
    let go = AtomicBool::new(false);
    for name in ["extract.pkl", "stream.pkl"] {
        let folder = tempfile::tempdir().unwrap();
        let tables = folder.path().join("tables");
        let options = PklOrTables::default();
        let row = convert_to_tables(&data(name), &tables, &options, &go, &mut NoProgress).unwrap();
        assert_eq!((row.width, row.height), (Some(320), Some(200)));
        let again = convert_to_tables(&data(name), &tables, &options, &go, &mut NoProgress).unwrap_err();
        assert!(again.to_string().contains("exists already"), "{again}");
        let people: Vec<PersonRow> = files::read_rows(&tables).unwrap().map(Result::unwrap).collect();
        assert_eq!(people.len(), if name == "extract.pkl" { 25 } else { 14 });
        let back = folder.path().join("demo_back.pkl");
        let results = Results::open(&tables.join("people.parquet"), &options).unwrap();
        export(&results, &back, &request(Format::Pkl), &go, &mut NoProgress).unwrap();
        let (before, after) = (frames(&data(name)), frames(&back));
        assert_eq!(before.len(), after.len());
        // the last frame of the second file has nobody, not even lost tracks
        let compared = if name == "extract.pkl" { 16 } else { 7 };
        for (before, after) in before.iter().zip(&after).take(compared) {
            let (before, after) = (&before.frame, &after.frame);
            assert_eq!(
                (before.number, before.shot, before.people.len()),
                (after.number, after.shot, after.people.len())
            );
            for (before, after) in before.people.iter().zip(&after.people) {
                assert_eq!(
                    (before.id, before.tracked_time, &before.params),
                    (after.id, after.tracked_time, &after.params)
                );
                assert_eq!((&before.mask, &before.embedding), (&after.mask, &after.embedding));
                assert_eq!((before.translation, &before.joints), (after.translation, &after.joints));
                let points =
                    before.joints_in_square.iter().flatten().zip(after.joints_in_square.iter().flatten());
                points.for_each(|(a, b)| assert!((a - b).abs() < 1e-6));
            }
        }
        for format in [Format::Gltf, Format::Csv, Format::Mot] {
            let out = folder.path().join(format.name());
            let exported = export(&results, &out, &request(format), &go, &mut NoProgress).unwrap();
            assert_eq!(exported.tracks, 2);
        }
    }
}

#[test]
fn a_detectors_mask_is_exported_with_its_person() {
    let frame = frames(&data("extract.pkl")).swap_remove(4).frame;
    let mut row = rows::rows_of("run", &frame).swap_remove(0);
    // a disc with a hole, as a network's mask may have
    let inside =
        |i: usize| (400..2500).contains(&((i % 320).abs_diff(130).pow(2) + (i / 320).abs_diff(110).pow(2)));
    let bits: Vec<u8> = (0..320 * 200).map(|i| u8::from(inside(i))).collect();
    let counts = posebook_models::hmr2::mask::rle_counts(&bits, 320, 200);
    row.mask_counts = Some(counts.clone());
    let person = rows::person_of(&row, frame.size).unwrap().unwrap();
    let mask = person.mask.clone().unwrap();
    assert_eq!((mask.width, mask.height, &mask.counts), (320, 200, &counts));
    // through a .pkl and back to a row
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo_clip.pkl");
    let video = VideoInfo::new("clip", 30.0);
    let mut sink = Box::new(PklWriter::create(&path, video, PklSettings::new("out")).unwrap());
    sink.push(ExportFrame { people: vec![person], ..frame }).unwrap();
    sink.finish().unwrap();
    let read = frames(&path).swap_remove(0).frame;
    assert_eq!(rows::rows_of("run", &read)[0].mask_counts, Some(counts.clone()));
    assert_eq!(posebook_models::hmr2::mask::mask_of_counts(&counts, 320, 200), Ok(bits));
}

#[test]
fn an_interrupted_export_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let results = Results::open(&data("extract.pkl"), &PklOrTables::default()).unwrap();
    let out = folder.path().join("people.glb");
    let stop = AtomicBool::new(true);
    let error = export(&results, &out, &request(Format::Gltf), &stop, &mut NoProgress).unwrap_err();
    assert!(matches!(error, RunnerError::Interrupted), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let none = Results::open(folder.path(), &PklOrTables::default()).err().unwrap().to_string();
    assert!(none.contains("runs.parquet"), "{none}");
}

#[test]
fn the_summary_lists_the_tracks() {
    let results = Results::open(&data("extract.pkl"), &PklOrTables::default()).unwrap();
    let text = summarize(&results).unwrap();
    assert!(text.contains("16 frames, 25 people on 2 tracks"), "{text}");
    assert!(text.contains("7 entries of lost tracks"), "{text}");
    assert_eq!(
        text.lines().last().unwrap().split_whitespace().take(5).collect::<Vec<_>>(),
        ["2", "0", "8", "9", "0"]
    );
}
