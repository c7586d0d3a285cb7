//! Settings of a job: what the command line accepts as `key=value`, given as JSON.
//!
//! In: a [`JobRequest`]. Out: the request that `posebook track`, `posebook reconstruct` or `posebook experiment run` would make of
//! it, or a [`WrongSetting`] with the key and a message that names the nearest right key. The parsers are those of the command
//! line, so that both accept the same; PHALP's spellings are accepted for videos.
//!
//! A job may not name files or folders of the machine. Keys that do so are refused ([`text`]), and values that name model sets,
//! detectors and datasets have to be plain names ([`names`]).

mod names;
#[cfg(test)]
mod tests;
mod text;

use crate::experiment::phalp_settings::CommandLine;
use crate::experiment::{Experiment, ExperimentSize, Override, Settings};
use crate::runner::images::ReconstructRequest;
use crate::runner::{Project, TrackRequest};
use posebook_core::toml_error::nearest_match;
use posebook_serve::job::{JobKind, JobRequest};
use posebook_serve::problem::{Problem, StatusCode};
use serde_json::{Map, Value};
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Setting of an experiment that selects its smaller version, as `--quick` does.
const QUICK: &str = "quick";
/// Most settings of a job, as in [`JobRequest::validate`], for job files that another program writes.
const MAX_SETTINGS: usize = 1_000;
/// Most runs of an experiment: all are planned in memory, before the job is accepted and again in its process.
const MAX_RUNS: u64 = 2_000;
/// Most settings of an experiment among which the wrong one is looked for: each is tried, and an experiment takes 50 ms to check.
const MAX_TRIED: usize = 32;
/// Names of sources while only settings are checked: no such files exist.
const NO_VIDEO: &str = "video of the job.mp4";
const NO_IMAGE: &str = "image of the job.jpg";

/// A setting is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongSetting {
    /// The key; `None` if it is not one setting.
    pub key: Option<String>,
    /// Whether there is no such setting.
    pub is_unknown: bool,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl WrongSetting {
    fn at(key: &str, message: impl Into<String>) -> WrongSetting {
        WrongSetting { key: Some(key.into()), is_unknown: false, message: message.into() }
    }

    /// An error of one of the parsers, at a key that is not known yet.
    fn of(error: impl Display) -> WrongSetting {
        let message = error.to_string();
        let is_unknown = message.contains("there is no setting `") || message.contains("unknown key `");
        WrongSetting { key: None, is_unknown, message }
    }
}

impl From<WrongSetting> for Problem {
    fn from(wrong: WrongSetting) -> Problem {
        let name = if wrong.is_unknown { "unknown-setting" } else { "bad-setting" };
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, name, wrong.message);
        match wrong.key {
            // RFC 6901
            Some(key) => problem.at(format!("/settings/{}", key.replace('~', "~0").replace('/', "~1"))),
            None => problem.at("/settings"),
        }
    }
}

/// What a job is to do.
#[derive(Debug, Clone)]
pub enum Work {
    /// Tracks the people of one video.
    Track(Box<TrackRequest>),
    /// Reconstructs people in images.
    Reconstruct(Box<ReconstructRequest>),
    /// Runs an experiment.
    Experiment(Box<Experiment>),
}

/// What is parsed: the part of a request that settings depend on.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// What to do.
    pub kind: JobKind,
    /// Name of the experiment.
    pub experiment: Option<&'a str>,
    /// The settings.
    pub settings: &'a Map<String, Value>,
    /// Files of the sources.
    pub sources: &'a [PathBuf],
    /// File of the boxes.
    pub boxes: Option<&'a Path>,
    /// The device of all runs, where it is not left to the settings.
    pub device: Option<&'a str>,
}

/// Parses the settings of a job.
///
/// # Errors
/// The first setting that is wrong.
pub fn parse(project: &Project, given: &Given) -> Result<Work, WrongSetting> {
    if given.settings.len() > MAX_SETTINGS {
        let message =
            format!("{} settings are given, and a job has {MAX_SETTINGS} at most", given.settings.len());
        return Err(WrongSetting { key: None, is_unknown: false, message });
    }
    let error = match parse_all(project, given) {
        Ok(work) => return Ok(work),
        Err(error) if error.key.is_some() => return Err(with_given_key(error, given.settings)),
        Err(error) => error,
    };
    if given.kind == JobKind::Experiment && given.settings.len() > MAX_TRIED {
        return Err(error);
    }
    // which of them is it: one that is wrong alone, or one without which the others are right
    let with = |settings: &Map<String, Value>| parse_all(project, &Given { settings, ..*given });
    for (key, value) in given.settings {
        let alone = Map::from_iter([(key.clone(), value.clone())]);
        if let Err(wrong) = with(&alone)
            && wrong.is_unknown == error.is_unknown
        {
            return Err(WrongSetting { key: Some(key.clone()), ..wrong });
        }
    }
    for key in given.settings.keys() {
        let mut others = given.settings.clone();
        others.shift_remove(key);
        if with(&others).is_ok() {
            return Err(WrongSetting { key: Some(key.clone()), ..error });
        }
    }
    Err(error)
}

/// The error at the key that the client gave: `model` may come from `sweep.model`, and `dataset.clip` from `dataset`.
fn with_given_key(error: WrongSetting, settings: &Map<String, Value>) -> WrongSetting {
    let Some(key) = error.key.as_deref().filter(|key| !settings.contains_key(*key)) else { return error };
    let is_part_of = |given: &String| {
        let given = given.trim_start_matches("sweep.");
        given == key || key.strip_prefix(given).is_some_and(|rest| rest.starts_with('.'))
    };
    WrongSetting { key: settings.keys().find(|given| is_part_of(given)).cloned(), ..error }
}

/// Parses all settings together. The key of an error of the command line's parsers is not known.
fn parse_all(project: &Project, given: &Given) -> Result<Work, WrongSetting> {
    let mut settings = given.settings.clone();
    let quick = match (given.kind, settings.shift_remove(QUICK)) {
        (JobKind::Experiment, Some(Value::Bool(quick))) => quick,
        (JobKind::Experiment, Some(other)) => {
            return Err(WrongSetting::at(QUICK, format!("`quick` is {other}; give true or false")));
        }
        (_, other) => {
            settings.extend(other.map(|value| (QUICK.to_string(), value)));
            false
        }
    };
    let arguments = text::arguments(given.kind, &settings)?;
    match given.kind {
        JobKind::Track => track(given, &arguments).map(|request| Work::Track(Box::new(request))),
        JobKind::Reconstruct => {
            let overrides = Override::parse_all(&arguments).map_err(WrongSetting::of)?;
            let no_image = [PathBuf::from(NO_IMAGE)];
            let images = if given.sources.is_empty() { &no_image } else { given.sources };
            let mut request = reconstruct(images, &overrides, given.boxes)?;
            if let Some(device) = given.device {
                request.device = device.to_string();
            }
            Ok(Work::Reconstruct(Box::new(request)))
        }
        JobKind::Experiment => {
            let mut overrides = Override::parse_all(&arguments).map_err(WrongSetting::of)?;
            overrides.extend(given.device.map(|device| Override {
                key: "device".into(),
                value: device.into(),
                translation: None,
            }));
            let size = if quick { ExperimentSize::Quick } else { ExperimentSize::Full };
            let name = given.experiment.unwrap_or_default();
            experiment(project, name, size, &overrides).map(|found| Work::Experiment(Box::new(found)))
        }
    }
}

fn track(given: &Given, arguments: &[String]) -> Result<TrackRequest, WrongSetting> {
    let source = given.sources.first().map_or(Path::new(NO_VIDEO), PathBuf::as_path);
    let mut line = CommandLine::parse(Some(source), arguments).map_err(WrongSetting::of)?;
    // a preset names PHALP's output folder
    line.overrides.retain(|given| given.key != "out");
    let mut request = TrackRequest::parse(Some(source), &line).map_err(WrongSetting::of)?;
    request.boxes = given.boxes.map(Path::to_path_buf);
    if let Some(device) = given.device {
        request.settings.device = device.to_string();
    }
    request.options.base_path = None;
    request.options.overwrite = true;
    names::check(&request.settings, &[])?;
    Ok(request)
}

fn reconstruct(
    images: &[PathBuf],
    overrides: &[Override],
    boxes: Option<&Path>,
) -> Result<ReconstructRequest, WrongSetting> {
    let mut overrides = overrides.to_vec();
    if let Some(boxes) = boxes {
        let value = toml::Value::String(boxes.to_string_lossy().into_owned());
        overrides.push(Override { key: "boxes".into(), value, translation: None });
    }
    let request = ReconstructRequest::parse(images, &overrides).map_err(WrongSetting::of)?;
    names::check_plain("model", request.model.as_deref().unwrap_or_default())?;
    names::check_plain("detect.weights", request.detect.weights.as_deref().unwrap_or_default())?;
    Ok(request)
}

fn experiment(
    project: &Project,
    name: &str,
    size: ExperimentSize,
    overrides: &[Override],
) -> Result<Experiment, WrongSetting> {
    let path = project.experiment(name);
    let in_project = |error: crate::experiment::ExperimentError| {
        WrongSetting::of(error.to_string().replace(&format!("{}/", project.root.display()), ""))
    };
    let own = Experiment::load_sized(size, &path, &[]).map_err(in_project)?;
    // before all points are made
    check_runs(points_at_most(&own, overrides))?;
    let experiment = Experiment::load_sized(size, &path, overrides).map_err(in_project)?;
    let own: Vec<_> = own.points().map_err(in_project)?.into_iter().map(|point| point.settings).collect();
    let points = experiment.points().map_err(in_project)?;
    check_runs(points.iter().map(|point| runs_of(&point.settings)).fold(0, u64::saturating_add))?;
    for point in points {
        names::check(&point.settings, &own)?;
        names::check_dataset(project, &point.settings.dataset, &own)?;
    }
    Ok(experiment)
}

/// At least the number of points of `own` with `overrides`: lists that those remove are counted.
fn points_at_most(own: &Experiment, overrides: &[Override]) -> u64 {
    let given = |key: &str| overrides.iter().any(|given| given.key.strip_prefix("sweep.") == Some(key));
    let own = own.sweep.iter().filter(|axis| !given(&axis.key)).map(|axis| axis.values.len());
    let lists = overrides.iter().filter(|given| given.key.starts_with("sweep."));
    let lists = lists.filter_map(|given| given.value.as_array().map(Vec::len));
    own.chain(lists).fold(1, |points, values| points.saturating_mul(values as u64))
}

/// Runs of a point, as far as a request determines their number.
fn runs_of(settings: &Settings) -> u64 {
    let clips = settings.dataset.changes.get("clip").and_then(toml::Value::as_array).map_or(1, Vec::len);
    settings.repeats.saturating_mul(clips as u64)
}

fn check_runs(runs: u64) -> Result<(), WrongSetting> {
    if runs <= MAX_RUNS {
        return Ok(());
    }
    let message = format!(
        "the experiment would have {runs} runs, and one that is a job has {MAX_RUNS} at most; give shorter lists or fewer repeats"
    );
    Err(WrongSetting { key: None, is_unknown: false, message })
}

/// Checks a request without reading its sources.
///
/// # Errors
/// The part of it that is wrong.
pub fn check(project: &Project, request: &JobRequest) -> Result<(), Problem> {
    check_parts(project, request)?;
    let work = parse(project, &given(request, &[]))?;
    if let Some(model) = model_of(&work)
        && !project.model(model).is_file()
    {
        let known =
            stems(std::fs::read_dir(project.models()).into_iter().flatten().flatten().map(|e| e.path()));
        let message = format!("there is no model set `{model}`{}", suggestion(model, &known));
        return Err(WrongSetting::at("model", message).into());
    }
    Ok(())
}

fn model_of(work: &Work) -> Option<&str> {
    match work {
        Work::Track(request) if !request.open.model => Some(&request.settings.model),
        Work::Reconstruct(request) => request.model.as_deref(),
        Work::Track(_) | Work::Experiment(_) => None,
    }
}

/// The part of a request that settings depend on.
pub fn given<'a>(request: &'a JobRequest, sources: &'a [PathBuf]) -> Given<'a> {
    let JobRequest { kind, experiment, settings, .. } = request;
    Given { kind: *kind, experiment: experiment.as_deref(), settings, sources, boxes: None, device: None }
}

/// Checks that a request has what its kind needs, and nothing else.
fn check_parts(project: &Project, request: &JobRequest) -> Result<(), Problem> {
    let wrong = |pointer: &str, message: &str| {
        Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "malformed", message).at(pointer))
    };
    match (request.kind, request.source.len(), &request.experiment) {
        (JobKind::Track | JobKind::Reconstruct, _, Some(_)) => {
            return wrong(
                "/experiment",
                "only jobs of the kind `experiment` have an experiment; leave it out",
            );
        }
        (JobKind::Track, 1, _) => {}
        (JobKind::Track, 0, _) => return wrong("/source", "a job of the kind `track` needs a `source`"),
        (JobKind::Track, _, _) => {
            return wrong("/source", "a job of the kind `track` has one source; make a job for each video");
        }
        (JobKind::Reconstruct, 0, _) => {
            return wrong(
                "/source",
                "a job of the kind `reconstruct` needs a `source`: one image, or a list of images",
            );
        }
        (JobKind::Reconstruct, _, _) => {}
        (JobKind::Experiment, 0, Some(name)) => return check_experiment(project, request, name),
        (JobKind::Experiment, 0, None) => {
            return wrong(
                "/experiment",
                "a job of the kind `experiment` needs the name of one as `experiment`",
            );
        }
        (JobKind::Experiment, _, _) => {
            return wrong("/source", "an experiment has its own clips; leave the source out");
        }
    }
    Ok(())
}

fn check_experiment(project: &Project, request: &JobRequest, name: &str) -> Result<(), Problem> {
    if request.boxes.is_some() {
        let message = "an experiment has its own boxes; leave them out";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "malformed", message).at("/boxes"));
    }
    if names::is_plain(name) && project.experiment(name).is_file() {
        return Ok(());
    }
    let known = stems(project.experiments().unwrap_or_default().into_iter());
    let message = format!("there is no experiment `{name}`{}", suggestion(name, &known));
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-setting", message).at("/experiment"))
}

/// Names of the TOML files among `paths`, sorted.
fn stems(paths: impl Iterator<Item = PathBuf>) -> Vec<String> {
    let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let mut names: Vec<String> =
        paths.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    names
}

/// Text such as `; did you mean `tiny`? (known: ...)`.
fn suggestion(name: &str, known: &[String]) -> String {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let nearest = nearest_match(name, &known).map(|nearest| format!("; did you mean `{nearest}`?"));
    format!("{} (known: {})", nearest.unwrap_or_default(), known.join(", "))
}

/// All settings of a request as TOML, with defaults.
///
/// # Errors
/// As [`check`].
pub fn toml(project: &Project, request: &JobRequest) -> Result<String, Problem> {
    check_parts(project, request)?;
    let text = match parse(project, &given(request, &[]))? {
        Work::Experiment(experiment) => return experiment.to_toml().map_err(|e| WrongSetting::of(e).into()),
        Work::Track(request) => {
            let mut table = toml::Table::try_from(
                request.settings.with_defaults().map_err(|error| Problem::from(WrongSetting::of(error)))?,
            );
            if let Ok(table) = &mut table {
                // the source is the dataset; what was left open is chosen when the job starts
                table.remove("dataset");
                if request.open.model {
                    table.remove("model");
                }
            }
            table.and_then(|table| toml::to_string(&table))
        }
        Work::Reconstruct(request) => {
            let ReconstructRequest { model, device, hmr2, blazepose, fit, detect, .. } = *request;
            toml::to_string(&ImageSettings { model, device, hmr2, blazepose, fit, detect })
        }
    };
    text.map_err(|error| {
        let message = format!("the settings cannot be written as TOML: {error}; this is a bug of posebook");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    })
}

/// Settings of a reconstruction, as TOML has them.
#[derive(serde::Serialize)]
struct ImageSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    device: String,
    hmr2: posebook_models::hmr2::Settings,
    blazepose: posebook_models::blazepose::Settings,
    fit: posebook_models::fit::Settings,
    detect: crate::runner::images::DetectSettings,
}
