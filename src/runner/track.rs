//! One video of the user's own, outside any experiment: people as a table, an overlay, a summary.
//!
//! It is carried out by the same process as a run of an experiment, so that what holds there holds here.

use super::accuracy::Truth;
use super::card::Place;
use super::clips::{self, Clip, Ready};
use super::death::Outcome;
use super::execute::Options;
use super::planner::{Planner, mode_of};
use super::progress::{Event, Listener};
use super::work::Work;
use super::{
    Project, RunnerError, card, carry, defaults, detections, drawing, finish, folder, smoothing, weights,
};
use crate::body::Body;
use crate::dataset::{Dataset, TruthFile};
use crate::detect;
use crate::experiment::{Override, Settings};
use crate::motchallenge::Benchmark;
use crate::recovery::ModelSet;
use crate::render::overlay::Overlay;
use crate::sources;
use crate::tables::{PersonRow, RunRow, files};
use crate::video::{
    self, Access, Encoder, EncoderSettings, Fault, Mode, Probe, Selection, Shape, Sound, Timeline,
};
use candle_core::Device;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use toml::{Table, Value};

/// How often a person hears how far a fetch has come.
const FETCH_TOLD_EVERY: Duration = Duration::from_secs(3);

/// What is to be tracked, and how.
#[derive(Debug, Clone)]
pub struct TrackRequest {
    /// A video's file, a folder of pictures, or an address on the web.
    pub source: PathBuf,
    /// Frames a second of a folder of pictures.
    pub fps: Option<f64>,
    /// Boxes in MOTChallenge text to start from.
    pub boxes: Option<PathBuf>,
    /// Boxes and identities in MOTChallenge text to score against.
    pub truth: Option<PathBuf>,
    /// Whose rules truth and boxes are read by; `None` where their paths or columns have to say.
    pub benchmark: Option<Benchmark>,
    /// Where the results go; `None` puts them below `reports/track`.
    pub out: Option<PathBuf>,
    pub settings: Settings,
    /// What the settings leave open: [`TrackRequest::with_choices`] decides it.
    pub open: Open,
    /// What foreign spellings became, for the person who wrote them.
    pub notes: Vec<String>,
}

/// Which choices a person left to the program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Open {
    /// `model` was not given.
    pub model: bool,
    /// `detect.model` was not given.
    pub detector: bool,
}

impl TrackRequest {
    /// Reads the command line's `[SOURCE] key=value...`. PHALP's `video.source=` is the source, too;
    /// `boxes=`, `truth=` and `out=` are paths, `benchmark=` says whose rules these are read by, `fps=` is for
    /// folders of pictures, everything else is a setting.
    ///
    /// # Errors
    /// If there is no source or two, or a setting is wrong.
    pub fn parse(source: Option<&Path>, given: &[Override]) -> Result<TrackRequest, RunnerError> {
        let mut paths: BTreeMap<&str, PathBuf> = BTreeMap::new();
        let mut table = Table::from_iter([("dataset".to_string(), Value::String("one video".into()))]);
        let mut notes = Vec::new();
        let (mut fps, mut benchmark) = (None, None);
        for Override { key, value, became } in given {
            notes.extend(became.clone());
            match key.as_str() {
                "video.source" | "boxes" | "truth" | "out" => {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
                    paths.insert(key, PathBuf::from(text));
                }
                "benchmark" => {
                    let name = value.as_str().map_or_else(|| value.to_string(), str::to_string);
                    let wrong =
                        |problem: String| RunnerError::NoVideo(format!("benchmark={name}: {problem}"));
                    benchmark = Some(name.parse().map_err(wrong)?);
                }
                "fps" | "video.fps" => {
                    let number = value.as_float().or(value.as_integer().map(|whole| whole as f64));
                    let wrong =
                        || RunnerError::NoVideo(format!("fps={value}: give a number of frames a second"));
                    fps = Some(number.ok_or_else(wrong)?);
                }
                _ => crate::experiment::overrides::set(&mut table, key, value.clone()),
            }
        }
        let named = paths.remove("video.source");
        if let Some(path) = &named {
            notes.push(format!("video.source={} became the video to track", path.display()));
        }
        let source = match (source, named) {
            (Some(_), Some(_)) => {
                return Err(RunnerError::NoVideo("two videos are given; leave `video.source` out".into()));
            }
            (None, None) => {
                return Err(RunnerError::NoVideo("no video is given; `posebook track my.mp4`".into()));
            }
            (Some(path), None) => path.to_path_buf(),
            (None, Some(path)) => path,
        };
        let open = Open {
            model: !table.contains_key("model"),
            detector: table.get("detect").and_then(|detect| detect.get("model")).is_none(),
        };
        let settings = Settings::from_table(table)?;
        let mut take = |key: &str| paths.remove(key);
        Ok(TrackRequest {
            source,
            fps,
            boxes: take("boxes"),
            truth: take("truth"),
            benchmark,
            out: take("out"),
            settings,
            open,
            notes,
        })
    }
}

impl TrackRequest {
    /// The video as a dataset of one clip.
    pub(super) fn dataset(&self) -> Dataset {
        Dataset::of_video(&self.source, self.fps, self.truth.as_deref(), self.boxes.as_deref())
            .read_as(self.benchmark)
    }

    /// The request with what was left open decided, each said in a note: HMR2 where it is imported, else BlazePose;
    /// NanoDet where no boxes are given.
    pub(super) fn with_choices(&self, project: &Project, listener: &mut dyn Listener) -> TrackRequest {
        let mut request = self.clone();
        if self.open.model {
            let (model, why) = defaults::model_of_filmed(project);
            request.settings.model = model;
            why.iter().for_each(|why| listener.hear(Event::Note(why)));
        }
        let is_given = self.settings.detect.model == detect::Model::Given;
        if !self.has_boxes() && is_given && self.open.detector {
            request.settings.detect.model = detect::Model::Nanodet;
            listener
                .hear(Event::Note("detect.model=nanodet: no boxes are given, so NanoDet finds the people"));
        }
        request.open = Open::default();
        request
    }

    /// Whether anybody says where people are.
    fn has_boxes(&self) -> bool {
        self.boxes.is_some() || self.truth.is_some()
    }

    /// Refuses a request that finds people by given boxes and has none.
    fn check_boxes(&self) -> Result<(), RunnerError> {
        if self.has_boxes() || self.settings.detect.model != detect::Model::Given {
            return Ok(());
        }
        let message = "detect.model=given finds people by given boxes, and there are none: add boxes=FILE with lines of \
                       MOTChallenge text, `frame,identity,left,top,width,height` (identity -1 where unknown), or \
                       detect.model=nanodet";
        Err(RunnerError::NoVideo(message.to_string()))
    }

    /// The request with a path that can be read for its video: an address is fetched.
    pub(super) fn with_file(
        &self,
        project: &Project,
        listener: &mut dyn Listener,
    ) -> Result<TrackRequest, RunnerError> {
        let mut told = Instant::now();
        let mut tell = |bytes: u64| {
            if told.elapsed() >= FETCH_TOLD_EVERY {
                told = Instant::now();
                let source = self.source.display();
                let mib = bytes as f64 / (1024.0 * 1024.0);
                listener.hear(Event::Note(&format!("fetching {source}: {mib:.1} MiB so far")));
            }
        };
        let source = sources::file(&self.source, self.fps, &project.downloads(), &mut tell)?;
        Ok(TrackRequest { source, ..self.clone() })
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Tracked {
    /// Where people.parquet, overlay.mp4, summary.md and the rest lie.
    pub folder: PathBuf,
    pub row: RunRow,
    /// The summary's text.
    pub summary: String,
}

/// Tracks one video.
///
/// # Errors
/// If the video, its boxes or the model set cannot be read, the device cannot be had, or results cannot be written. If the
/// measured process itself fails, [`Tracked::row`] says so and there is no overlay. Ctrl-C is
/// [`RunnerError::Interrupted`].
pub fn track(
    project: &Project,
    request: &TrackRequest,
    options: &Options,
    interrupt: &AtomicBool,
    listener: &mut dyn Listener,
) -> Result<Tracked, RunnerError> {
    let place = Place::of(&request.settings);
    if let Some(why) = card::left_out(&request.settings, &place) {
        return Err(RunnerError::NothingToRun {
            left_out: format!("{} would {why}", mode_of(&request.settings)),
        });
    }
    if let Some(refused) = place.refused {
        return Err(refused.into());
    }
    if let Some(out) = &request.out {
        folder::check(out)?;
    }
    // what the person named, for the person
    let given = &request.source;
    let request = &request.with_choices(project, listener);
    request.check_boxes()?;
    let request = &request.with_file(project, listener)?;
    let (clip, probe) = import(project, request, listener)?;
    weights::fetch_model(project, &request.settings.model, listener)?;
    if request.settings.detect.model == detect::Model::Nanodet {
        weights::fetch_detector(project, listener)?;
    }
    let mut planner = Planner::new(project, &options.program)?;
    let planned = planner.planned(&request.settings, Clip::Ready(clip.clone()), 1);
    let Some(key) = &planned.key else { return Err(RunnerError::NoVideo(planned.status.to_string())) };
    let mut row = finish::row_before(&planned, &planner.source, &planner.machine);
    row.experiment = "track".to_string();

    let work = Work::create(&project.work(), &key.run_id())?;
    listener.hear(Event::Begin { number: 1, of: 1, label: &planned.label, left: planned.rough });
    let order = carry::order(project, &row.run_id, &planned, &clip, &work);
    let seen = carry::watched(&order, &work, &options.program, interrupt, listener)?;
    let seen = seen.ok_or(RunnerError::Interrupted)?;
    finish::add_seen(&mut row, seen);
    work.tidy();
    let body = ModelSet::load(&order.model)?.load_body()?;
    let truth = clip.truth.as_ref().map(TruthFile::read_all).transpose()?;
    let passed_over = clip.truth.as_ref().map(TruthFile::read_passed_over).transpose()?.unwrap_or_default();
    let same_ids = clip.boxes.is_none();
    let truth = truth.as_ref().map(|people| Truth { people, passed_over: &passed_over, same_ids });
    finish::tables(&work.folder, &mut row, &body, truth, clip.views.as_deref(), &request.settings.smoothing)?;
    listener.hear(Event::End { number: 1, of: 1, label: &planned.label, row: &row, again: false });

    let place = request.out.clone().unwrap_or_else(|| project.reports("track").join(folder_name(&clip.name)));
    let folder = folder::create(&place, &planner.source)?;
    folder::write_runs(&folder, std::slice::from_ref(&row))?;
    folder::join_tables(&folder, std::iter::once(work.folder.as_path()))?;
    detections::write(&folder)?;
    let mut notes = probe.notes.clone();
    if row.outcome == Outcome::Ok.name() {
        listener.hear(Event::Then("drawing the overlay"));
        let told = notes.len();
        overlay(&folder, &probe, &row, &request.settings, &body, &mut notes)?;
        notes[told..].iter().for_each(|note| listener.hear(Event::Note(note)));
    }
    let summary = summary(&folder, given, &row, &probe, &notes)?;
    folder::write_text(&folder, "summary.md", &summary)?;
    folder::link_latest(&folder)?;
    Ok(Tracked { folder, row, summary })
}

fn import(
    project: &Project,
    request: &TrackRequest,
    listener: &mut dyn Listener,
) -> Result<(Ready, Probe), RunnerError> {
    // the video's own faults are told best by the one who decodes it
    let probe = video::probe_at(&request.source, request.fps)?;
    probe.notes.iter().for_each(|note| listener.hear(Event::Note(note)));
    let dataset = request.dataset();
    let [spec] = dataset.clips() else { return Err(RunnerError::NoVideo("one video is one clip".into())) };
    let mut progress = |done, of| listener.hear(Event::Clip { name: &spec.name, done, of });
    let clip = spec.make(&project.clips(), &mut progress)?;
    clip.notes.iter().for_each(|note| listener.hear(Event::Note(note)));
    Ok((clips::ready(clip), probe))
}

/// A clip's name as the name of a folder: a video called `...mp4` is called `..` without its ending.
fn folder_name(clip: &str) -> &str {
    if matches!(clip, "" | "." | "..") { "video" } else { clip }
}

/// Draws what was found over every frame that was read. What a person should know of it joins `notes`.
fn overlay(
    folder: &Path,
    probe: &Probe,
    row: &RunRow,
    of_run: &Settings,
    body: &Body,
    notes: &mut Vec<String>,
) -> Result<(), RunnerError> {
    let read = &of_run.video;
    if of_run.smoothing.overlay {
        notes.push("the overlay's bodies are smoothed along their tracks (smoothing.overlay); people.parquet has them as they were found".into());
    }
    let first = row.first_frame.unwrap_or(0) as i64;
    let frames = row.frames.unwrap_or(0) as i64;
    let settings = video::Settings {
        mode: Some(Mode::stream(Access::Sequential)),
        start_frame: Some(first),
        end_frame: Some(first + (frames - 1).max(0) * read.every() as i64 + 1),
        every: read.every,
        loops: read.loops,
        hwaccel: read.hwaccel.clone(),
        ..video::Settings::default()
    };
    let probe = probe.clone().looped(settings.loops());
    let smoothed = of_run.smoothing.overlay.then_some(&of_run.smoothing.filter);
    let draw = |sound: Option<&Sound>| drawn(folder, &probe, &settings, body, smoothed, sound);
    let selection = video::selected(&settings, &probe)?;
    notes.extend(Sound::left_out(&probe, &selection));
    let Some(sound) = Sound::of(&probe, &selection) else { return draw(None) };
    match draw(Some(&sound)) {
        Err(RunnerError::Video(error)) if matches!(error.fault, Fault::Ffmpeg { .. }) => {
            // sound that ffmpeg cannot read takes nothing from the pictures; a full disk fails again
            draw(None)?;
            notes.push(format!("the overlay has no sound: {}", error.fault));
            Ok(())
        }
        done => done,
    }
}

/// Draws over the frames that `settings` select, with `sound` beside them.
fn drawn(
    folder: &Path,
    probe: &Probe,
    settings: &video::Settings,
    body: &Body,
    smoothed: Option<&crate::fit::smooth::Smoothing>,
    sound: Option<&Sound>,
) -> Result<(), RunnerError> {
    let mut smoother = smoothed.map(|filter| smoothing::TrackSmoother::new(filter, body));
    let mut source = video::open_probed(probe.clone(), settings, folder, &Device::Cpu)?;
    let selection = Selection { range: source.range(), every: settings.every() };
    let timeline = Timeline::of(source.probe(), &selection);
    let (path, shape) = (folder.join("overlay.mp4"), Shape::of(source.probe()));
    let mut encoder = Encoder::create(&path, shape, &timeline, EncoderSettings::default(), sound)?;
    let mut people = files::rows::<PersonRow>(folder)?.peekable();
    let mut canvas = Overlay::new(usize::MAX);
    while let Some(frame) = source.next_frame()? {
        let mut here = Vec::new();
        while let Some(person) =
            people.next_if(|row| row.as_ref().map_or(true, |row| row.frame <= frame.index as u64))
        {
            here.push(person?);
        }
        if let Some(smoother) = &mut smoother {
            here.iter_mut().for_each(|row| smoother.replace(row, frame.width, frame.height));
        }
        drawing::draw(&mut canvas, &frame, &here, body);
        encoder.write_rgb(&canvas.picture().rgb)?;
    }
    Ok(encoder.finish()?)
}

/// When and how long a track was seen.
struct Span {
    first: u64,
    last: u64,
    frames: u64,
}

fn summary(
    folder: &Path,
    given: &Path,
    row: &RunRow,
    probe: &Probe,
    notes: &[String],
) -> Result<String, RunnerError> {
    let mut spans: BTreeMap<u64, Span> = BTreeMap::new();
    for person in files::rows::<PersonRow>(folder)? {
        let person = person?;
        let Some(track) = person.track else { continue };
        let span = spans.entry(track).or_insert(Span { first: person.frame, last: person.frame, frames: 0 });
        span.last = person.frame;
        span.frames += 1;
    }
    let mut lines = vec![format!("# {}", row.clip), String::new()];
    let mut say = |line: String| lines.push(line);
    let Probe { width, height, .. } = probe;
    say(format!("- video: {}, {width}x{height}, {}", given.display(), probe.rate()));
    notes.iter().for_each(|note| say(format!("- note: {note}")));
    say(format!("- {}, delivered by {}", frames_in_words(row), row.mode));
    say(format!(
        "- outcome: {}{}",
        row.outcome,
        row.error.as_ref().map_or(String::new(), |e| format!(" ({e})"))
    ));
    say(format!("- people: {} sightings, {} tracks", row.people.unwrap_or(0), spans.len()));
    for (what, bytes) in [
        ("heap", row.heap_peak_bytes),
        ("process", row.process_peak_bytes),
        ("decoder", row.decoder_peak_bytes),
        ("use of the graphics card's pool", row.device_peak_bytes),
        ("share of the graphics card", row.device_process_peak_bytes),
        ("scratch files", row.disk_peak_bytes),
    ] {
        if let Some(bytes) = bytes {
            say(format!("- largest {what}: {:.1} MiB", bytes as f64 / (1024.0 * 1024.0)));
        }
    }
    if let Some(secs) = row.wall_secs {
        say(format!("- {secs:.1} s in all"));
    }
    for (what, value) in [("HOTA", row.hota), ("IDF1", row.idf1), ("MOTA", row.mota)] {
        if let Some(value) = value {
            say(format!("- {what}: {value:.3}"));
        }
    }
    if !spans.is_empty() {
        say("\n| track | first frame | last frame | frames seen |\n|---:|---:|---:|---:|".to_string());
    }
    for (track, Span { first, last, frames }) in spans {
        say(format!("| {track} | {first} | {last} | {frames} |"));
    }
    Ok(lines.join("\n") + "\n")
}

/// Which frames were read, such as `frames 30 to 79 (the end excluded), one of every 2`.
fn frames_in_words(row: &RunRow) -> String {
    let (first, frames) = (row.first_frame.unwrap_or(0), row.frames.unwrap_or(0));
    let every = row.every.max(1);
    let end = first + frames.saturating_sub(1) * every + frames.min(1);
    let steps = if every > 1 { format!(", one of every {every}") } else { String::new() };
    format!("frames {first} to {end} (the end excluded){steps}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_left_out_are_told() {
        let words = |first_frame, frames, every| {
            frames_in_words(&RunRow { first_frame, frames, every, ..RunRow::default() })
        };
        assert_eq!(words(Some(30), Some(25), 2), "frames 30 to 79 (the end excluded), one of every 2");
        assert_eq!(words(Some(3), Some(4), 1), "frames 3 to 7 (the end excluded)");
        assert_eq!(words(None, Some(0), 5), "frames 0 to 0 (the end excluded), one of every 5");
    }
}
