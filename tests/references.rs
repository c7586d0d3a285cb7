//! The reports that git keeps are results: points of them are made again and give the same numbers.
//!
//! `./just references` makes all of them again; this is the quick form, of a few minutes.

mod common;

use common::Project;
use posebook::reference::{self, Comparison, Tables};
use std::path::{Path, PathBuf};

/// For every experiment the settings that leave its quickest points.
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
];

/// Every run of it is a try of a search that ends where this machine's libraries let it: its verdicts are held to
/// in `tests/questions.rs`.
const WITHOUT: &str = "video-size-limit";

fn reports() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reports")
}

#[test]
fn every_reference_has_points_that_are_made_again() {
    let names = reference::names(&reports()).unwrap();
    assert!(names.len() > 5, "{names:?}");
    for name in names.iter().filter(|name| *name != WITHOUT) {
        assert!(POINTS.iter().any(|(known, _)| known == name), "no points of {name}");
    }
}

/// What a few points of one experiment say that its reference does not.
fn differences(name: &str, settings: &[&str]) -> Option<String> {
    let toml = format!("{}/experiments/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let project = Project::with_experiment(name, &std::fs::read_to_string(toml).unwrap());
    // its exit status says that some claims cannot be judged by a part of the runs
    let said = project.posebook(&[&["experiment", "run", name], settings].concat());
    let report = project.path(&format!("reports/{name}/latest"));
    assert!(report.is_dir(), "{name}: {}", said.errors());
    let reference = Tables::read(&reference::folder(&reports(), name)).unwrap();
    let comparison = Comparison::of_runs(&reference, &Tables::read(&report).unwrap());
    let is_same = comparison.columns.is_empty() && comparison.only_new.is_empty() && comparison.pairs > 0;
    // that the reference has more points is what was asked for
    let comparison = Comparison { only_reference: Vec::new(), ..comparison };
    println!("{name}: {comparison}");
    (!is_same).then(|| format!("{name}: {comparison}"))
}

#[test]
#[ignore = "takes minutes: runs of every experiment"]
fn points_of_the_references_give_the_same_numbers() {
    let moved: Vec<String> =
        POINTS.iter().filter_map(|(name, settings)| differences(name, settings)).collect();
    assert!(
        moved.is_empty(),
        "numbers moved; if they are right, make the references again with `./just references --renew`\n{}",
        moved.join("\n")
    );
}
