//! What a run will take, said before it is made: frames, memory, disk and time of every video mode, and which
//! of them fit.
//!
//! What can be known exactly comes from the probe: frames, and how many must be decoded to get at them. The
//! rest is measured: every mode is rehearsed over a few frames by the very process that carries out runs
//! ([`rehearsal`]), pictures are written of frames all over the video, a stretch of it is decoded
//! ([`sample`]); what grows with the length is then added ([`extrapolate`]). Must not know the command line.

mod crowd;
mod extrapolate;
mod rehearsal;
mod sample;

use super::card::{self, Place};
use super::clips;
use super::execute::Options;
use super::progress::{Event, Listener};
use super::work::Work;
use super::{Project, RunnerError, TrackRequest, weights};
use crate::detect;
use crate::experiment::Settings;
use crate::memory::{disk, process};
use crate::video::{self, Mode, Probe, Store};
use crowd::Crowd;
use extrapolate::Whole;
use rehearsal::Stage;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// What a video will take.
#[derive(Debug, Clone, Serialize)]
pub struct Foresight {
    pub source: PathBuf,
    pub codec: String,
    pub width: usize,
    pub height: usize,
    pub fps: f64,
    /// Whether frames last differently long.
    pub fps_is_mean: bool,
    /// Frames that a run would give out.
    pub frames: usize,
    pub key_frames: usize,
    pub model: String,
    pub device: String,
    /// People in a frame, in the mean and at most.
    pub people_mean: f64,
    pub people_most: usize,
    /// Whether nobody knows who is there, so that the number is a guess.
    pub people_assumed: bool,
    pub budget: Budget,
    pub modes: Vec<Foreseen>,
    /// What a person should know about these numbers.
    pub notes: Vec<String>,
}

/// What there is to be had.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Budget {
    /// `limits.host_mib`, or what is free of the machine's memory.
    pub host_bytes: Option<u64>,
    /// Whether the host's part is the limit that was set.
    pub is_limit: bool,
    /// `limits.device_mib`, or the whole card; `None` without one.
    pub device_bytes: Option<u64>,
    pub disk_bytes: Option<u64>,
}

/// What one mode will take. Unknown is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Foreseen {
    pub mode: String,
    /// Frames that must be decoded to give out those that are asked for.
    pub frames_decoded: Option<u64>,
    /// Largest heap, as [`crate::tables::RunRow::heap_peak_bytes`].
    pub heap_bytes: Option<u64>,
    /// Largest resident set of the run's process.
    pub process_bytes: Option<u64>,
    /// Largest resident set of the decoder beside it.
    pub decoder_bytes: Option<u64>,
    /// Largest use of the card's pool by tensors.
    pub device_bytes: Option<u64>,
    /// Scratch files at their largest.
    pub disk_bytes: Option<u64>,
    /// Rough, and on a machine that has nothing else to do.
    pub secs: Option<f64>,
    pub fits: bool,
    /// What does not fit, or why nothing can be said.
    pub why_not: Option<String>,
}

/// Frames of a rehearsal: a few more than the tracker needs to know somebody.
const REHEARSED: usize = 8;

/// Foresees what a run of `request` takes in each mode, or in the one that it asks for. Without boxes
/// `people` are assumed to be in every frame.
///
/// # Errors
/// If the video, its boxes or the model set cannot be read, the device cannot be had, or Ctrl-C is pressed.
/// A mode that cannot be rehearsed says so.
pub fn foresee(
    project: &Project,
    request: &TrackRequest,
    people: usize,
    options: &Options,
    interrupt: &AtomicBool,
    listener: &mut dyn Listener,
) -> Result<Foresight, RunnerError> {
    let settings = &request.settings;
    let place = Place::of(settings);
    if let Some(refused) = place.refused {
        return Err(refused.into());
    }
    let request = &request.with_choices(project, listener).with_file(project, listener)?;
    let settings = &request.settings;
    weights::fetch_model(project, &settings.model, listener)?;
    let detector = match settings.detect.model {
        detect::Model::Given => None,
        detect::Model::Nanodet => Some(weights::fetch_detector(project, listener)?.path),
    };
    let probe = video::probe_at(&request.source, request.fps)?.looped(settings.video.loops());
    let range = video::selected(&settings.video, &probe)?.range;
    let work = Work::create(&project.work(), "plan")?;
    let frames = sample::frames(&probe, settings, &work.scratch())?;
    let every = sample::every(settings);
    let rehearsed = REHEARSED.max(settings.hmr2.frames).min(frames.min(range.len().div_ceil(every)));
    let crowd = match given_boxes(project, request, listener)? {
        Some(boxes) => Crowd::of_boxes(&boxes, range.clone(), rehearsed),
        None => Crowd::assumed(people, rehearsed, probe.width, probe.height),
    };
    let pace = sample::Pace::of(&probe, &range, &work.scratch())?;
    let stage = Stage {
        project,
        settings,
        place: &place,
        probe: &probe,
        first: range.start,
        every,
        crowd: &crowd,
        program: &options.program,
        detector: detector.as_deref(),
        interrupt,
    };
    let budget = Budget::of(settings, &place, &work);
    let whole = Whole { frames, range: range.clone(), probe: &probe, crowd: &crowd, pace };
    let mut modes = Vec::new();
    for mode in asked(settings) {
        listener.hear(Event::Then(mode.name()));
        modes.push(one_mode(&stage, &whole, mode, &budget, &work)?);
    }
    let notes = notes(&probe, &crowd, &place, rehearsed);
    let [mean, most] = [crowd.mean, crowd.most as f64];
    Ok(Foresight {
        source: request.source.clone(),
        codec: probe.codec.clone(),
        width: probe.width,
        height: probe.height,
        fps: probe.fps,
        fps_is_mean: probe.rate().is_mean,
        frames,
        key_frames: range.clone().filter(|&n| probe.is_key(n)).count(),
        model: settings.model.clone(),
        device: place.device.clone(),
        people_mean: mean,
        people_most: most as usize,
        people_assumed: crowd.assumed,
        budget,
        modes,
        notes,
    })
}

/// The mode that is asked for, or all there are.
fn asked(settings: &Settings) -> Vec<Mode> {
    match (settings.video.mode, settings.video.preset) {
        (None, None) => Mode::all().to_vec(),
        // settings were checked when they were read
        _ => settings.video.mode().into_iter().collect(),
    }
}

fn one_mode(
    stage: &Stage,
    whole: &Whole,
    mode: Mode,
    budget: &Budget,
    work: &Work,
) -> Result<Foreseen, RunnerError> {
    let settings = stage.settings_of(mode, None)?;
    let name = mode.name().to_string();
    let on_card = matches!(mode, Mode::Extract(video::Extract { store: Store::Device, .. }));
    if card::left_out(&settings, stage.place).is_some() || on_card && stage.place.card.is_none() {
        let why_not = Some("needs a graphics card".to_string());
        return Ok(Foreseen { mode: name, why_not, ..Foreseen::default() });
    }
    let rehearsal = stage.rehearse(mode, work)?;
    let pictures = sample::picture_bytes(whole.probe, &whole.range, mode, &work.scratch())?;
    let mut foreseen = match &rehearsal.problem {
        Some(problem) => Foreseen {
            why_not: Some(format!("its rehearsal failed: {problem}")),
            frames_decoded: Some(whole.frames_decoded(mode)),
            ..Foreseen::default()
        },
        None => whole.foreseen(mode, &rehearsal, pictures),
    };
    foreseen.mode = name;
    if foreseen.why_not.is_none() {
        foreseen.why_not = budget.lacks(&foreseen);
        foreseen.fits = foreseen.why_not.is_none();
    }
    Ok(foreseen)
}

/// The boxes that a run would be given, by frame; `None` where nobody gives any.
fn given_boxes(
    project: &Project,
    request: &TrackRequest,
    listener: &mut dyn Listener,
) -> Result<Option<Vec<Vec<crate::dataset::TruthPerson>>>, RunnerError> {
    if request.boxes.is_none() && request.truth.is_none() {
        return Ok(None);
    }
    let dataset = request.dataset();
    let [spec] = dataset.clips() else { return Err(RunnerError::NoVideo("one video is one clip".into())) };
    let mut progress = |done, of| listener.hear(Event::Clip { name: &spec.name, done, of });
    let clip = spec.make(&project.clips(), &mut progress)?;
    clip.notes.iter().for_each(|note| listener.hear(Event::Note(note)));
    let clip = clips::ready(clip);
    Ok(clip.given().map(|file| file.read_all()).transpose()?)
}

fn notes(probe: &Probe, crowd: &Crowd, place: &Place, rehearsed: usize) -> Vec<String> {
    let mut notes = probe.notes.clone();
    notes.push(format!(
        "every mode was rehearsed over {rehearsed} frames; what grows with the length was added"
    ));
    if crowd.assumed {
        let people = crowd.most;
        notes.push(format!(
            "nobody says who is in the video: {people} people in every frame are assumed (--people)"
        ));
    }
    if place.card.is_none() {
        notes.push("there is no graphics card: nothing is said of its memory".into());
    }
    notes
}

impl Budget {
    fn of(settings: &Settings, place: &Place, work: &Work) -> Budget {
        let bytes = |mib: u64| mib * 1024 * 1024;
        let limit = settings.limits.host_mib.map(bytes);
        let card = place.card.as_ref().map(|card| card.total_bytes);
        Budget {
            host_bytes: limit.or_else(process::available_bytes),
            is_limit: limit.is_some(),
            device_bytes: settings.limits.device_mib.map(bytes).or(card),
            disk_bytes: disk::free_bytes(&work.scratch()),
        }
    }

    /// What a mode wants more of than there is, in words.
    fn lacks(&self, foreseen: &Foreseen) -> Option<String> {
        let own = foreseen.heap_bytes.max(foreseen.process_bytes);
        // a limit is on the run's process; the machine's memory is shared with its decoder
        let beside = if self.is_limit { None } else { foreseen.decoder_bytes };
        let host = own.map(|own| own + beside.unwrap_or(0));
        let lacking = [
            ("host memory", host, self.host_bytes),
            ("device memory", foreseen.device_bytes, self.device_bytes),
            ("disk", foreseen.disk_bytes, self.disk_bytes),
        ];
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let words: Vec<String> = lacking
            .into_iter()
            .filter_map(|(what, wanted, there)| Some((what, wanted?, there?)))
            .filter(|(_, wanted, there)| wanted > there)
            .map(|(what, wanted, there)| format!("{what}: {} MiB of {}", mib(wanted), mib(there)))
            .collect();
        (!words.is_empty()).then(|| words.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_named() {
        let mib = |mib: u64| Some(mib << 20);
        let machine =
            Budget { host_bytes: mib(100), is_limit: false, device_bytes: None, disk_bytes: mib(50) };
        let limited = Budget { is_limit: true, ..machine.clone() };
        let taken = Foreseen {
            heap_bytes: mib(60),
            process_bytes: mib(80),
            decoder_bytes: mib(40),
            disk_bytes: mib(51),
            ..Foreseen::default()
        };
        let all = "host memory: 120 MiB of 100; disk: 51 MiB of 50";
        assert_eq!(machine.lacks(&taken).as_deref(), Some(all));
        assert_eq!(limited.lacks(&taken).as_deref(), Some("disk: 51 MiB of 50"));
        // nothing known is nothing lacking
        assert_eq!(machine.lacks(&Foreseen::default()), None);
    }
}
