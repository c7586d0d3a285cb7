//! Reproduces a few points of each reference report and compares their numbers.
//!
//! `./just references` reproduces all points; these take a few minutes.

mod common;

use common::Project;
use posebook::reference::{self, ComparedTables, Comparison};
use std::path::{Path, PathBuf};

/// For every experiment the settings that reduce it to its fastest points.
const POINTS: &[(&str, &[&str])] = &[
    ("quickstart", &[]),
    (
        "memory-vs-length",
        &[
            "sweep.dataset=[{ name = \"walkers\", only = [\"crowd\"], people = 2, width = 320, height = 180 }]",
            "dataset.frames=60",
        ],
    ),
    (
        "memory-vs-size",
        &[
            "sweep.dataset=[{ name = \"walkers\", only = [\"crowd\"], people = 8, width = 320, height = 180 }]",
            "dataset.frames=30",
        ],
    ),
    (
        "published-claims",
        &[
            "dataset={ name = \"walkers\", only = [\"crowd\"], people = 2, width = 320, height = 180, frames = 60 }",
        ],
    ),
    (
        "accuracy-vs-mode",
        &[
            "dataset.seed=20240",
            "sweep.video.mode=[{ stream = { access = \"sequential\" } }, { extract = { store = \"jpeg\", quality = 95 } }]",
        ],
    ),
    ("speed-vs-mode", &["dataset.frames=30", "repeats=1"]),
    ("precision", &["model=tiny", "dataset.seed=20240"]),
    ("long-video", &["video.loops=30", "results=stream"]),
    ("filmed", &["model=blazepose-lite", "dataset={ name = \"pose2sim\", only = [\"cam04\"] }"]),
    ("frames-together", &["sweep.hmr2.frames=[1,4]", "repeats=1"]),
    (
        "cues",
        &[
            "dataset={ name = \"cues\", only = [\"crossing\", \"cut\"] }",
            "sweep.dataset.seed=[31000]",
            "sweep.phalp.cues=[{ location = \"ridge\", pose = \"last\", texture = \"uv\" }]",
        ],
    ),
    (
        "missed-people",
        &[
            "sweep.dataset=[{ name = \"walkers\", only = [\"crossing\"], frames = 90, width = 320, height = 180 }]",
            "sweep.detect=[{}, { misses = 0.2, miss_frames = 4 }]",
        ],
    ),
    (
        "detectors",
        &[
            "sweep.dataset=[{ name = \"walkers\", only = [\"crowd\"], frames = 60, width = 1280, height = 720 }]",
            "sweep.detect=[{ model = \"nanodet\" }]",
        ],
    ),
];

/// All its runs are of searches, whose values depend on the machine's libraries. `tests/questions.rs` checks its verdicts.
const EXCLUDED: &str = "video-size-limit";

fn reports() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reports")
}

#[test]
fn every_reference_has_points_to_reproduce() {
    let names = reference::names(&reports()).unwrap();
    assert!(names.len() > 5, "{names:?}");
    for name in names.iter().filter(|name| *name != EXCLUDED) {
        assert!(POINTS.iter().any(|(known, _)| known == name), "no points of {name}");
    }
}

/// The differences between a few points of an experiment and its reference.
fn differences(name: &str, settings: &[&str]) -> Option<String> {
    let toml = format!("{}/experiments/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let project = Project::with_experiment(name, &std::fs::read_to_string(toml).unwrap());
    // the exit status is a failure, because some claims need all runs
    let output = project.posebook(&[&["experiment", "run", name], settings].concat());
    let report = project.path(&format!("reports/{name}/latest"));
    assert!(report.is_dir(), "{name}: {}", output.errors());
    let reference = ComparedTables::load(&reference::folder(&reports(), name)).unwrap();
    let comparison = Comparison::compare_runs(&reference, &ComparedTables::load(&report).unwrap());
    let is_same = comparison.columns.is_empty() && comparison.only_new.is_empty() && comparison.pairs > 0;
    // the reference has more points by design
    let comparison = Comparison { only_reference: Vec::new(), ..comparison };
    println!("{name}: {comparison}");
    (!is_same).then(|| format!("{name}: {comparison}"))
}

#[test]
#[ignore = "takes minutes: runs of every experiment"]
fn points_of_the_references_give_the_same_numbers() {
    let changed: Vec<String> =
        POINTS.iter().filter_map(|(name, settings)| differences(name, settings)).collect();
    assert!(
        changed.is_empty(),
        "numbers changed; if they are right, renew the references with `./just references --renew`\n{}",
        changed.join("\n")
    );
}
