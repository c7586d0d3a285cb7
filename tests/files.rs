//! Every TOML that comes with the program loads, and means what its neighbours need.

use posebook::dataset::Dataset;
use posebook::experiment::{Cell, Experiment, Point, Size};
use posebook::recovery::{ModelSet, RecoveryError};
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
fn experiments() {
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

        let resolved = experiment.to_toml();
        let again = Experiment::parse(&experiment.name, &path, &resolved, Size::Whole, &[]).unwrap();
        assert_eq!(again.to_toml(), resolved);
        assert_eq!(again.points().unwrap().len(), points.len());
    }
}

/// More runs than this take minutes, so that a smaller experiment is wanted, and a word on how long they take.
const MANY_RUNS: usize = 20;

#[test]
fn large_experiments_have_a_quick_version_and_say_how_large_they_are() {
    for path in files("experiments") {
        let runs = |size| -> usize {
            let experiment = Experiment::load_in(size, &path, &[]).unwrap_or_else(|error| panic!("{error}"));
            // a search tries a few values at each of its points
            let tries = if experiment.searches.is_empty() { 1 } else { 6 };
            let each = experiment.points().unwrap();
            let clips = |point: &Point| {
                let choice = &point.settings.dataset;
                let path = root().join(format!("datasets/{}.toml", choice.name));
                Dataset::load(&path, &choice.changes).unwrap().clips().len()
            };
            each.iter().map(|point| clips(point) * point.settings.repeats as usize * tries).sum()
        };
        let whole = runs(Size::Whole);
        if whole <= MANY_RUNS {
            continue;
        }
        let name = path.display();
        let experiment = Experiment::load(&path, &[]).unwrap();
        assert!(experiment.has_quick(), "{name} makes {whole} runs: a table [quick] has to make it smaller");
        assert!(runs(Size::Quick) < whole, "{name}: its [quick] makes it no smaller");
        let says = |words: &str| {
            experiment.cells.iter().any(|cell| matches!(cell, Cell::Text(text) if text.contains(words)))
        };
        let wanted = "a text cell has to say `{runs}` and `{secs}`, which the report fills in";
        assert!(says("{runs}") && says("{secs}"), "{name} makes {whole} runs: {wanted}");
    }
}

#[test]
fn datasets() {
    for path in files("datasets") {
        let dataset = Dataset::load(&path, &toml::Table::new()).unwrap_or_else(|error| panic!("{error}"));
        assert!(!dataset.clips().is_empty());
    }
}

#[test]
fn model_sets() {
    for path in files("models") {
        let set = ModelSet::load(&path).unwrap_or_else(|error| panic!("{error}"));
        match set.verify() {
            // weights that anybody may fetch need not be here
            Ok(()) | Err(RecoveryError::NotFetched { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        set.load_body().unwrap();
    }
}
