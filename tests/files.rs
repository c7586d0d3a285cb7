//! All TOML files that come with the program are valid and consistent with each other.

use posebook::dataset::Dataset;
use posebook::experiment::{Experiment, ExperimentSize, SweepPoint};
use posebook_models::recovery::{DetectorSet, ModelSet, RecoveryError};
use posebook_notebook::cell::Cell;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    paths.sort();
    assert!(!paths.is_empty(), "no TOML in {folder}");
    paths
}

#[test]
fn all_experiments_are_valid() {
    for path in files("experiments") {
        let experiment = Experiment::load(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
        let points = experiment.points().unwrap();
        assert!(!points.is_empty());
        for point in &points {
            let choice = &point.settings.dataset;
            let dataset = root().join(format!("datasets/{}.toml", choice.name));
            let dataset = Dataset::load(&dataset, &choice.changes).unwrap_or_else(|error| panic!("{error}"));
            assert!(!dataset.clips().is_empty());
        }
        let claims = experiment.cells.iter().filter(|cell| matches!(cell, Cell::Claim(_)));
        assert!(claims.count() > 0, "{} claims nothing", experiment.name);

        let resolved = experiment.to_toml().unwrap();
        let again = Experiment::parse(&experiment.name, &path, &resolved, ExperimentSize::Full, &[]).unwrap();
        assert_eq!(again.to_toml().unwrap(), resolved);
        assert_eq!(again.points().unwrap().len(), points.len());
    }
}

/// More runs than this take minutes: such an experiment needs a quick version, and has to state its size.
const MANY_RUNS: usize = 20;

#[test]
fn large_experiments_have_a_quick_version_and_state_their_size() {
    for path in files("experiments") {
        let runs = |size| -> usize {
            let experiment =
                Experiment::load_sized(size, &path, &[]).unwrap_or_else(|error| panic!("{error}"));
            // a search runs several values at each of its points
            let runs_per_point = if experiment.searches.is_empty() { 1 } else { 6 };
            let each = experiment.points().unwrap();
            let clips = |point: &SweepPoint| {
                let choice = &point.settings.dataset;
                let path = root().join(format!("datasets/{}.toml", choice.name));
                Dataset::load(&path, &choice.changes).unwrap().clips().len()
            };
            each.iter().map(|point| clips(point) * point.settings.repeats as usize * runs_per_point).sum()
        };
        let full_runs = runs(ExperimentSize::Full);
        if full_runs <= MANY_RUNS {
            continue;
        }
        let name = path.display();
        let experiment = Experiment::load(&path, &[]).unwrap();
        assert!(
            experiment.has_quick(),
            "{name} makes {full_runs} runs: a table [quick] has to make it smaller"
        );
        assert!(runs(ExperimentSize::Quick) < full_runs, "{name}: its [quick] makes it no smaller");
        let mentions = |placeholder: &str| {
            experiment.cells.iter().any(|cell| matches!(cell, Cell::Text(text) if text.contains(placeholder)))
        };
        let required = "a text cell has to say `{runs}` and `{secs}`, which the report fills in";
        assert!(mentions("{runs}") && mentions("{secs}"), "{name} makes {full_runs} runs: {required}");
    }
}

#[test]
fn all_datasets_are_valid() {
    for path in files("datasets") {
        let dataset = Dataset::load(&path, &toml::Table::new()).unwrap_or_else(|error| panic!("{error}"));
        assert!(!dataset.clips().is_empty());
    }
}

#[test]
fn all_model_sets_are_valid() {
    for path in files("models") {
        if DetectorSet::is_text_of_set(&std::fs::read_to_string(&path).unwrap()) {
            DetectorSet::load(&path).and_then(|set| set.verify()).unwrap_or_else(|error| panic!("{error}"));
            continue;
        }
        let set = ModelSet::load(&path).unwrap_or_else(|error| panic!("{error}"));
        match set.verify() {
            // published weights need not be fetched
            Ok(()) | Err(RecoveryError::NotFetched { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        set.load_body().unwrap();
    }
}
