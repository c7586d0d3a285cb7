//! Parses valid and invalid experiment files.

use super::*;
use posebook_notebook::cell::{Requirement, Verdict};

const GOOD: &str = r#"question = "Does it?"

[defaults]
dataset = "walkers"
seed = 7
[defaults.video]
end_frame = 30

[sweep]
"video.mode" = [{ extract = { store = "png" } }, { stream = { access = "seek" } }]
"dataset.frames" = [60, 120]

[[cell]]
text = "Why."

[[cell]]
figure = { title = "Heap", kind = "line", x = "frames", y = "heap", by = "mode" }
sql = "select frames, mode, heap_peak_bytes as heap from runs"

[[cell]]
table = { title = "Runs" }
sql = "select mode, outcome from runs"

[[cell]]
claim = "It does"
source = "us"
sql = "select count(*) from runs"
holds = { above = 1, unit = "runs" }
expect = "refuted"
"#;

fn parse_in(size: ExperimentSize, text: &str, given: &[&str]) -> Result<Experiment, ExperimentError> {
    let path = Path::new("experiments/good.toml");
    Experiment::parse("good", path, text, size, &Override::parse_all(given).unwrap())
}

fn parse_with(text: &str, given: &[&str]) -> Result<Experiment, ExperimentError> {
    parse_in(ExperimentSize::Full, text, given)
}

#[test]
fn a_notebook_becomes_points_and_cells() {
    let experiment = parse_with(GOOD, &[]).unwrap();
    let points = experiment.points().unwrap();
    assert_eq!((points.len(), experiment.cells.len(), experiment.defaults.seed), (4, 4, 7));
    assert_eq!(points[1].settings.dataset.changes.get("frames"), Some(&toml::Value::Integer(120)));
    assert_eq!(points[1].varied[0].0, "video.mode");
    let Cell::Claim(claim) = &experiment.cells[3] else { panic!("the claim is the fourth cell") };
    assert_eq!(claim.expect, Verdict::Refuted);
}

#[test]
fn the_resolved_file_gives_the_same_runs_and_cells() {
    let experiment =
        parse_with(GOOD, &["seed=9", "dataset.people=2", "video.mode=stream-sequential"]).unwrap();
    let text = experiment.to_toml().unwrap();
    let again = parse_with(&text, &[]).unwrap();
    assert_eq!(again.cells, experiment.cells);
    let settings = |e: &Experiment| -> Vec<Settings> {
        e.points().unwrap().into_iter().map(|point| point.settings.with_defaults().unwrap()).collect()
    };
    assert_eq!(settings(&again), settings(&experiment));
    assert_eq!(settings(&again).len(), 2);
    assert!(text.contains("precision = \"f32\""), "{text}");
    assert_eq!(again.to_toml().unwrap(), text);
}

/// Each case: the replaced text, its replacement, and a part of the message.
#[test]
fn errors_name_the_file_and_the_line() {
    for (right, wrong, message) in [
        ("seed = 7", "sed = 7", "experiments/good.toml:5: unknown key `sed`; did you mean `seed`?"),
        ("seed = 7", "seed = \"x\"", "experiments/good.toml:5: invalid type: string \"x\", expected u64"),
        (
            "end_frame",
            "endframe",
            "experiments/good.toml:7: unknown key `endframe`; did you mean `end_frame`?",
        ),
        ("access = \"seek\"", "access = \"sek\"", "experiments/good.toml:10, `video.mode` = {"),
        ("[60, 120]", "60", "experiments/good.toml:11: `dataset.frames` in [sweep] must be a list"),
        ("video.mode", "video.mod", "unknown key `mod`; did you mean `mode`?"),
        ("kind = \"line\"", "kind = \"lien\"", "unknown value `lien`; did you mean `line`?"),
        (
            "by = \"mode\"",
            "by = \"modus\"",
            "good.toml:16: the figure's column `modus` is not among those of its query",
        ),
        ("select mode, outcome", "select mode, outcom", "good.toml:20: "),
        ("text = \"Why.\"", "text = \"Why.\"\nsql = \"select 1\"", "good.toml:13: `sql` belongs to a table"),
        ("above = 1, ", "", "good.toml:24: a claim needs bounds that could refute it"),
        ("question = \"Does it?\"", "question = \"\"", "good.toml:1: `question` is empty"),
        ("dataset = \"walkers\"", "", "good.toml:3: missing field `dataset`"),
        ("[defaults]", "[default]", "good.toml:3: unknown key `default`; did you mean `defaults`?"),
        ("seed = 7", "seed = ", "good.toml:5: "),
    ] {
        let text = GOOD.replace(right, wrong);
        assert_ne!(text, GOOD, "{right}");
        let error = parse_with(&text, &[]).unwrap_err().to_string();
        assert!(error.contains(message), "{wrong}\n  got: {error}\n  expected: {message}");
    }
}

#[test]
fn errors_of_the_command_line_name_the_argument() {
    for (given, message) in [
        ("sede=3", "sede=3: unknown key `sede`; did you mean `seed`?"),
        ("seed=x", "seed=\"x\": invalid type: string \"x\", expected u64"),
        ("repeats=0", "repeats=0: `repeats` is 0"),
        ("device=tpu", "device=\"tpu\": unknown device `tpu`"),
        ("phalp.n_init=9", "phalp.n_init=9: phalp.n_init is 9; set it to 1 to 7"),
    ] {
        let error = parse_with(GOOD, &[given]).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

const QUICK: &str = "[quick]\nrepeats = 1\n\"dataset.frames\" = [6]\n\"video.end_frame\" = 5\n\n[[cell]]";

#[test]
fn quick_changes_are_applied_before_the_command_line() {
    let text = GOOD.replacen("[[cell]]", QUICK, 1).replace("seed = 7", "seed = 7\nrepeats = 3");
    let whole = parse_with(&text, &[]).unwrap();
    assert_eq!((whole.is_quick, whole.points().unwrap().len(), whole.defaults.repeats), (false, 4, 3));
    assert!(whole.has_quick() && whole.to_toml().unwrap().contains("[quick]"));

    let quick = parse_in(ExperimentSize::Quick, &text, &["video.end_frame=4"]).unwrap();
    assert_eq!((quick.is_quick, quick.points().unwrap().len(), quick.defaults.repeats), (true, 2, 1));
    assert_eq!(quick.defaults.video.end_frame, Some(4));
    assert_eq!(quick.sweep[1].values, [toml::Value::Integer(6)]);
    // the resolved file says that it is the quick version, and parsing it does not change it
    let resolved = quick.to_toml().unwrap();
    assert!(resolved.contains("is_quick = true") && !resolved.contains("[quick]"), "{resolved}");
    for size in [ExperimentSize::Full, ExperimentSize::Quick] {
        let again = parse_in(size, &resolved, &[]).unwrap();
        assert_eq!((again.is_quick, again.to_toml().unwrap()), (true, resolved.clone()));
    }
}

#[test]
fn errors_in_quick_are_found_without_the_option() {
    let none = parse_in(ExperimentSize::Quick, GOOD, &[]).unwrap_err().to_string();
    assert!(none.starts_with("experiments/good.toml: the experiment has no table [quick]"), "{none}");
    let text = GOOD.replacen("[[cell]]", QUICK, 1);
    for (right, wrong, message) in [
        ("repeats = 1", "repeat = 1", "good.toml:14, `repeat` = 1: unknown key `repeat`"),
        ("[6]", "[]", "good.toml:15: `dataset.frames` in [quick] is an empty list"),
        ("end_frame\" = 5", "end_frame\" = 'x'", "good.toml:16, `video.end_frame` = \"x\": invalid type"),
    ] {
        let wrong = text.replace(right, wrong);
        assert_ne!(wrong, text, "{right}");
        let error = parse_with(&wrong, &[]).unwrap_err().to_string();
        assert!(error.contains(message), "got: {error}\n  expected: {message}");
    }
}

#[test]
fn cells_can_have_a_requirement() {
    let text = GOOD.replace("expect = \"refuted\"", "expect = \"refuted\"\nneeds = \"cuda\"");
    let experiment = parse_with(&text, &[]).unwrap();
    assert_eq!(experiment.cells[3].requirement(), Some(Requirement::Cuda));
    assert_eq!(parse_with(&experiment.to_toml().unwrap(), &[]).unwrap().cells, experiment.cells);
    let wrong = GOOD.replace("text = \"Why.\"", "text = \"Why.\"\nneeds = \"cuda\"");
    let error = parse_with(&wrong, &[]).unwrap_err().to_string();
    assert!(error.contains("good.toml:13: `needs` belongs to a table"), "{error}");
}

const SEARCH: &str = "[search]\n\"dataset.width\" = { from = 320, to = 1280, step = 16, with = { \"dataset.height\" = 0.5625 } }\n\n[[cell]]";

#[test]
fn a_search_is_made_at_every_point_of_the_other_lists() {
    let text = GOOD.replacen("[[cell]]", SEARCH, 1);
    let text = text.replace(
        "\"dataset.frames\"",
        "\"dataset\" = [{ name = \"walkers\", width = 64 }]\n\"dataset.frames\"",
    );
    let experiment = parse_with(&text, &[]).unwrap();
    let [search] = experiment.searches.as_slice() else { panic!("one search") };
    assert_eq!((search.within, search.step), (0.1, Some(16.0)));
    // the list of datasets is ignored, because the search varies a part of them
    let points = experiment.points_for_search(search).unwrap();
    assert_eq!(points.len(), 4);
    let changes =
        experiment.point_with_search_value(search, &points[0], 640.0).unwrap().settings.dataset.changes;
    assert_eq!((changes["width"].as_integer(), changes["height"].as_integer()), (Some(640), Some(368)));
    assert_eq!(changes["frames"].as_integer(), Some(60));
    let again = parse_with(&experiment.to_toml().unwrap(), &[]).unwrap();
    assert_eq!(
        (&again.searches, again.to_toml().unwrap()),
        (&experiment.searches, experiment.to_toml().unwrap())
    );
    assert!(parse_with(&text, &["dataset.width=64"]).unwrap().searches.is_empty());
}

#[test]
fn errors_in_a_search_name_its_line() {
    let text = GOOD.replacen("[[cell]]", SEARCH, 1);
    for (right, wrong, message) in [
        ("step = 16", "stride = 16", "good.toml:14: `dataset.width`: unknown key `stride`"),
        ("from = 320", "from = 330", "good.toml:14: `dataset.width`: `from` and `to` must be multiples"),
        ("from = 320", "from = 2000", "`from` must be above 0 and `to` above it"),
        ("from = 320", "from = 320.0", "`step` requires integers"),
        ("step = 16", "within = 2.0", "`within` must be from 0.001 to 1"),
        ("from = 320", "from = 'a'", "`from` must be a number"),
        ("dataset.height", "video.hight", "good.toml:14, `dataset.width` = 320: unknown key `hight`"),
    ] {
        let error = parse_with(&text.replace(right, wrong), &[]).unwrap_err().to_string();
        assert!(error.contains(message), "got: {error}\n  expected: {message}");
    }
}

#[test]
fn lists_of_datasets_do_not_undo_lists_of_their_parts() {
    let list =
        "\"dataset\" = [{ name = \"walkers\", width = 64 }, { name = \"walkers\", width = 96 }]\n[[cell]]";
    let experiment = parse_with(&GOOD.replacen("[[cell]]", list, 1), &[]).unwrap();
    let points = experiment.points().unwrap();
    assert_eq!(points.len(), 8);
    assert!(points.iter().all(|point| point.settings.dataset.changes.len() == 2));
}
