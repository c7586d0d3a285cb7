//! Chooses the settings of the detection that the user did not give, for `posebook track` and `posebook detect`.
//!
//! In: settings, sources of boxes, and the project with its imported detectors. Out: settings of a detection that can be
//! computed here, and a note for each choice.

use super::OpenChoices;
use crate::dataset::coco;
use crate::experiment::phalp_settings::Preset;
use crate::runner::project::defaults::DEMO_LEAST_SCORE;
use crate::runner::project::progress::{ProgressEvent, ProgressListener};
use crate::runner::project::weights;
use crate::runner::{Project, RunnerError};
use posebook_models::detect::{Model, ScoreSource, Settings};
use std::path::Path;

/// PHALP's threshold in its detectors.
const PHALP_SCORE: f64 = 0.5;

/// What the choice depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenDetection<'a> {
    /// Whose defaults were asked for.
    pub preset: Option<Preset>,
    /// Settings that were left open.
    pub open: OpenChoices,
    /// Whether `least_score` is the preset's, which is meant for ViTDet.
    pub least_score_by_preset: bool,
    /// The file `boxes=`.
    pub boxes: Option<&'a Path>,
    /// Whether there are boxes of any kind.
    pub has_boxes: bool,
    /// Whether the source is PHALP's .pkl of frames and boxes.
    pub is_pickle: bool,
}

/// Chooses the detection. The detector where there are no boxes: NanoDet, or under a preset ViTDet if it is imported. Thresholds of
/// published detectors: those of 4D-Humans' demo, or under a preset those of PHALP. Scores of boxes that a detector wrote: those of
/// the file.
///
/// # Errors
/// If the description of a file of detections cannot be read.
pub(super) fn choose(
    given: &Settings,
    of: &OpenDetection,
    project: &Project,
    listener: &mut dyn ProgressListener,
) -> Result<Settings, RunnerError> {
    let mut settings = given.clone();
    let mut note = |text: &str| listener.on_event(ProgressEvent::Note(text));
    let has_vitdet = weights::has_published(project, Model::Vitdet);
    if of.open.detector && settings.model == Model::Provided {
        if !of.has_boxes {
            settings.model = choose_network(of, has_vitdet, &mut note);
        } else if of.is_pickle && of.preset.is_some() {
            choose_for_pickle(&mut settings, of, project, &mut note);
        }
    }
    if let Some(path) = of.boxes.filter(|_| settings.model.needs_boxes()) {
        choose_scores(&mut settings, of, path, &mut note)?;
    }
    let detects_by = |settings: &Settings, wanted: fn(Model) -> bool| {
        settings.models().any(|model| !model.needs_boxes() && wanted(model))
    };
    let published = detects_by(&settings, |model| model.published().is_some());
    if of.preset.is_some() && of.open.score && published {
        settings.score = Some(PHALP_SCORE);
    }
    if of.preset.is_none() && of.open.least_score && published {
        keep_as_in_demo(&mut settings, &mut note);
    }
    let by_nanodet = detects_by(&settings, |model| model == Model::Nanodet);
    if by_nanodet && of.least_score_by_preset && settings.least_score > 0.0 {
        let least = std::mem::take(&mut settings.least_score);
        let score = settings.nanodet.score;
        note(&format!(
            "phalp.low_th_c={least} is meant for ViTDet: NanoDet's scores are lower, and its own threshold, \
             detect.nanodet.score={score}, is used"
        ));
    }
    if let Some(path) = of.boxes.filter(|_| !settings.model.needs_boxes()) {
        let (boxes, model) = (path.display(), settings.model.name());
        note(&format!("boxes={boxes} is not used: detect.model={model} finds the people"));
    }
    if of.is_pickle && of.boxes.is_none() && !settings.model.needs_boxes() {
        let model = settings.model.name();
        note(&format!("the boxes of the .pkl are not used: detect.model={model} finds the people"));
    }
    for key in settings.without_effect() {
        note(&format!("{key} has no effect with detect.model={}", settings.model.name()));
    }
    Ok(settings)
}

/// The detector where there are no boxes.
fn choose_network(of: &OpenDetection, has_vitdet: bool, note: &mut dyn FnMut(&str)) -> Model {
    match (of.preset.is_some(), has_vitdet) {
        (true, true) => {
            note("detect.model=vitdet: PHALP's detector is imported here");
            Model::Vitdet
        }
        (true, false) => {
            note(
                "detect.model=nanodet: PHALP's ViTDet is not imported here (`posebook model import vitdet --from-cache`), \
                 so NanoDet finds the people",
            );
            Model::Nanodet
        }
        (false, _) => {
            note("detect.model=nanodet: no boxes are given, so NanoDet finds the people");
            Model::Nanodet
        }
    }
}

/// PHALP computes masks of the boxes in a .pkl, and detects people in its frames without boxes.
fn choose_for_pickle(
    settings: &mut Settings,
    of: &OpenDetection,
    project: &Project,
    note: &mut dyn FnMut(&str),
) {
    if weights::has_published(project, Model::X101) {
        settings.model = Model::X101;
        note("detect.model=x101: masks of the given boxes, as in PHALP");
    } else {
        note(
            "the given boxes have no masks: PHALP's network for them is not imported here (`posebook model import x101 \
             --from-cache`)",
        );
    }
    if of.open.fallback && weights::has_published(project, Model::Vitdet) {
        settings.fallback = Some(Model::Vitdet);
        note("detect.fallback=vitdet: people are detected in frames without boxes, as in PHALP");
    }
}

/// Uses the scores of a file that a detector wrote, in either format, and the threshold of that detector.
fn choose_scores(
    settings: &mut Settings,
    of: &OpenDetection,
    path: &Path,
    note: &mut dyn FnMut(&str),
) -> Result<(), RunnerError> {
    if !of.open.scores {
        return Ok(());
    }
    let about = coco::DetectionsAbout::beside(path)?;
    if about.is_none() && !coco::is_results(path)? {
        return Ok(());
    }
    let detector = about.as_ref().map(|about| about.detector.as_str());
    settings.scores =
        if detector == Some(Model::Nanodet.name()) { ScoreSource::Nanodet } else { ScoreSource::File };
    let name = detector.unwrap_or("a detector");
    note(&format!("detect.scores: the boxes of {} have the scores of {name}", path.display()));
    let is_published = [Model::Vitdet, Model::Regnety].iter().any(|model| detector == Some(model.name()));
    if of.preset.is_none() && of.open.least_score && is_published {
        keep_as_in_demo(settings, note);
    }
    if settings.scores == ScoreSource::Nanodet && of.least_score_by_preset {
        let least = std::mem::take(&mut settings.least_score);
        note(&format!(
            "phalp.low_th_c={least} is meant for ViTDet: NanoDet's scores are lower, and all boxes of the file are used"
        ));
    }
    Ok(())
}

/// Removes people of lower scores as 4D-Humans' demo does, and says so unless it did before.
fn keep_as_in_demo(settings: &mut Settings, note: &mut dyn FnMut(&str)) {
    if settings.least_score != DEMO_LEAST_SCORE {
        settings.least_score = DEMO_LEAST_SCORE;
        note(&format!(
            "detect.least_score={DEMO_LEAST_SCORE}: people with greater scores are kept, as in 4D-Humans' demo"
        ));
    }
}
