//! Draws the overlay video of a run: bodies, skeletons, boxes and track ids over the frames, with the video's sound. The
//! settings `render` change what is drawn, its colors, its size and its rate ([`Painter`]).
//!
//! [`OverlaySink`] draws while the run goes on, from the frames that the run has decoded: a thread of its own smooths,
//! draws and encodes behind a queue of [`QUEUE_FRAMES`] frames. A frame reaches it when its track ids are final, at most
//! `phalp.n_init - 1` frames late, so that the copies in flight are bounded by that delay, the batch and the queues.
//! [`draw_again`] decodes the video a second time; it is used if the sink failed.

use super::painter::Painter;
use crate::experiment;
use crate::runner::RunnerError;
use crate::runner::scoring::smoothing;
use posebook_core::frame::Frame;
use posebook_models::body::Body;
use posebook_models::recovery::ModelSet;
use posebook_notebook::tables::{FrameRow, PersonRow, RunRow, files};
use posebook_synth::render::RenderSettings;
use posebook_video as video;
use posebook_video::{
    Access, AudioSegment, Encoder, EncoderSettings, FrameGeometry, FrameSource, Mode, Probe, Selection,
    Timeline, VideoErrorKind,
};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// File name of the overlay.
pub const FILE_NAME: &str = "overlay.mp4";
/// Frames that may wait to be drawn.
const QUEUE_FRAMES: usize = 2;

/// A frame to be drawn: its pixels on the host and the people in it, with final track ids.
pub struct OverlayFrame {
    /// The frame.
    pub frame: Frame,
    /// Its rows.
    pub people: Vec<PersonRow>,
    /// Whether a shot starts with it.
    pub starts_shot: bool,
}

/// Draws and encodes the overlay in a background thread.
pub struct OverlaySink {
    send: SyncSender<OverlayFrame>,
    thread: JoinHandle<Result<(), RunnerError>>,
}

impl OverlaySink {
    /// Starts the overlay of the frames that `source` will give, to be written to `path`.
    ///
    /// # Errors
    /// If the thread cannot be started. Errors of drawing and encoding come from [`OverlaySink::finish`].
    pub fn start(
        path: &Path,
        source: &FrameSource,
        settings: &experiment::Settings,
        model: &Path,
    ) -> Result<OverlaySink, RunnerError> {
        let selection = Selection { range: source.range(), every: settings.video.every() };
        let (path, model, probe) = (path.to_path_buf(), model.to_path_buf(), source.probe().clone());
        let settings = settings.clone();
        let (send, receive) = sync_channel::<OverlayFrame>(QUEUE_FRAMES);
        let draw = move || {
            let body = ModelSet::load(&model)?.load_body()?;
            let mut writer = OverlayWriter::create(&path, &probe, &selection, true, &body, &settings)?;
            receive.into_iter().try_for_each(|frame| writer.write(frame))?;
            writer.finish()
        };
        let thread = std::thread::Builder::new().name("overlay".into()).spawn(draw);
        let thread = thread.map_err(|source| RunnerError::Thread { source })?;
        Ok(OverlaySink { send, thread })
    }

    /// Queues a frame; blocks while the queue is full. A frame for a thread that has failed is dropped.
    pub fn push(&self, frame: OverlayFrame) {
        // the error comes from `finish`
        let _ = self.send.send(frame);
    }

    /// Waits until the overlay is written.
    ///
    /// # Errors
    /// If drawing or encoding failed; then there is no overlay.
    pub fn finish(self) -> Result<(), RunnerError> {
        drop(self.send);
        self.thread.join().unwrap_or(Err(RunnerError::WriterDied))
    }
}

/// Draws people over frames and encodes the result.
struct OverlayWriter<'a> {
    encoder: Encoder,
    painter: Painter<'a>,
    smoother: Option<smoothing::TrackSmoother<'a>>,
}

impl<'a> OverlayWriter<'a> {
    /// Starts the overlay of the selected frames; `sound` is whether it gets the video's sound, if it has the video's rate.
    fn create(
        path: &Path,
        probe: &Probe,
        selection: &Selection,
        sound: bool,
        body: &'a Body,
        settings: &'a experiment::Settings,
    ) -> Result<OverlayWriter<'a>, RunnerError> {
        let (timeline, pace) = timeline(probe, selection, &settings.render);
        let audio = (sound && pace == Pace::Source).then(|| AudioSegment::for_selection(probe, selection));
        let source = FrameGeometry::from_probe(probe);
        let (width, height) = Painter::image_size(&settings.render, source.width, source.height);
        let geometry = FrameGeometry { width, height, ..source };
        let audio = audio.flatten();
        let encoder = Encoder::create(path, geometry, &timeline, EncoderSettings::default(), audio.as_ref())?;
        let smoothing = &settings.smoothing;
        let smoother = smoothing.overlay.then(|| smoothing::TrackSmoother::new(&smoothing.filter, body));
        let painter = Painter::new(settings, body, (source.width, source.height));
        Ok(OverlayWriter { encoder, painter, smoother })
    }

    /// Draws and encodes the next frame.
    fn write(&mut self, frame: OverlayFrame) -> Result<(), RunnerError> {
        let OverlayFrame { frame, mut people, starts_shot } = frame;
        if let Some(smoother) = &mut self.smoother {
            people.iter_mut().for_each(|row| smoother.replace(row, frame.width, frame.height));
        }
        let image = self.painter.paint(&frame, &people, starts_shot)?;
        Ok(self.encoder.write_rgb(&image.rgb)?)
    }

    fn finish(self) -> Result<(), RunnerError> {
        Ok(self.encoder.finish()?)
    }
}

/// How fast an overlay runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// As the video.
    Source,
    /// At the rate of `render.fps`, faster or slower than the video.
    Other,
}

/// Greatest difference between a frame's time in the video and at a constant rate at which sound and picture belong together.
const SYNC_SECS: f64 = 0.04;

/// The times at which an overlay's frames are displayed: the video's, or those of `render.fps`. Where both are the same, the
/// pace is the source's.
fn timeline(probe: &Probe, selection: &Selection, settings: &RenderSettings) -> (Timeline, Pace) {
    let source = Timeline::from_selection(probe, selection);
    let Some(fps) = settings.fps else { return (source, Pace::Source) };
    let constant = Timeline::constant(fps, source.frames());
    let clock = 1000;
    let (times, given) = (constant.ticks(clock), source.ticks(clock));
    let tolerance = (SYNC_SECS * f64::from(clock)) as i64;
    let is_same = times.iter().zip(&given).all(|(a, b)| (a - b).abs() <= tolerance);
    (constant, if is_same { Pace::Source } else { Pace::Other })
}

/// What the user should know about the overlay of a run: that its bodies are smoothed, that it has no sound.
///
/// # Errors
/// If the run's range does not fit the video.
pub fn notes(
    probe: &Probe,
    row: &RunRow,
    settings: &experiment::Settings,
) -> Result<Vec<String>, RunnerError> {
    let mut notes = Vec::new();
    if settings.smoothing.overlay {
        notes.push(
            "the overlay's bodies are smoothed along their tracks (smoothing.overlay); people.parquet has them \
             unsmoothed"
                .into(),
        );
    }
    let video = sequential_settings(row, &settings.video);
    let probe = probe.clone().looped(video.loops());
    let selection = video::select_frames(&video, &probe)?;
    match (timeline(&probe, &selection, &settings.render), settings.render.fps) {
        ((timeline, Pace::Other), Some(fps)) => notes.push(format!(
            "the overlay lasts {:.3} s at {fps} frames/s (render.fps), other than the video, and has no sound",
            timeline.duration_secs()
        )),
        _ => notes.extend(AudioSegment::missing_audio_note(&probe, &selection)),
    }
    Ok(notes)
}

/// Draws the overlay of a finished run into `folder`, from a second decode of the video and the folder's table of people.
/// Returns a note if sound that ffmpeg cannot read is left out.
///
/// # Errors
/// If the video or the table cannot be read, or the overlay cannot be written.
pub fn draw_again(
    folder: &Path,
    probe: &Probe,
    row: &RunRow,
    settings: &experiment::Settings,
    body: &Body,
) -> Result<Option<String>, RunnerError> {
    let video = sequential_settings(row, &settings.video);
    let probe = probe.clone().looped(video.loops());
    let selection = video::select_frames(&video, &probe)?;
    let is_paced = timeline(&probe, &selection, &settings.render).1 == Pace::Source;
    let has_sound = is_paced && AudioSegment::for_selection(&probe, &selection).is_some();
    let draw = |sound: bool| draw_frames(folder, &probe, &video, sound, body, settings);
    match draw(true) {
        Err(RunnerError::Video(error))
            if has_sound && matches!(error.kind, VideoErrorKind::FfmpegFailed { .. }) =>
        {
            // sound that ffmpeg cannot read must not prevent the overlay; a full disk fails again
            draw(false)?;
            Ok(Some(format!("the overlay has no sound: {}", error.kind)))
        }
        result => result.map(|()| None),
    }
}

/// Settings that read the frames of a finished run in sequence.
fn sequential_settings(row: &RunRow, settings: &video::Settings) -> video::Settings {
    let first = row.first_frame.unwrap_or(0) as i64;
    let frames = row.frames.unwrap_or(0) as i64;
    video::Settings {
        mode: Some(Mode::stream(Access::Sequential)),
        start_frame: Some(first),
        end_frame: Some(first + (frames - 1).max(0) * settings.every() as i64 + 1),
        every: settings.every,
        loops: settings.loops,
        hwaccel: settings.hwaccel.clone(),
        ..video::Settings::default()
    }
}

/// Draws over the frames that `video` selects and encodes them, with the video's sound if `sound` is true.
fn draw_frames(
    folder: &Path,
    probe: &Probe,
    video: &video::Settings,
    sound: bool,
    body: &Body,
    settings: &experiment::Settings,
) -> Result<(), RunnerError> {
    let mut source = video::open_probed(probe.clone(), video, folder, None)?;
    let selection = Selection { range: source.range(), every: video.every() };
    let path = folder.join(FILE_NAME);
    let mut writer = OverlayWriter::create(&path, source.probe(), &selection, sound, body, settings)?;
    let mut people = files::read_rows::<PersonRow>(folder)?.peekable();
    let shots = if settings.shots.detect { shot_frames(folder)? } else { BTreeSet::new() };
    while let Some(frame) = source.next_frame()? {
        let mut in_frame = Vec::new();
        while let Some(person) =
            people.next_if(|row| row.as_ref().map_or(true, |row| row.frame <= frame.index as u64))
        {
            in_frame.push(person?);
        }
        let starts_shot = shots.contains(&(frame.index as u64));
        writer.write(OverlayFrame { frame, people: in_frame, starts_shot })?;
    }
    writer.finish()
}

/// The frames with which shots start, from the folder's table of frames.
fn shot_frames(folder: &Path) -> Result<BTreeSet<u64>, RunnerError> {
    let mut shots = BTreeSet::new();
    for row in files::read_rows::<FrameRow>(folder)? {
        let row = row?;
        if row.shot == Some(true) {
            shots.insert(row.frame);
        }
    }
    Ok(shots)
}

/// Moves the overlay of a run's folder to `folder`, also across file systems; false if there is none.
///
/// # Errors
/// If it cannot be copied.
pub fn move_to(folder: &Path, run_folder: &Path) -> Result<bool, RunnerError> {
    let (from, to): (PathBuf, PathBuf) = (run_folder.join(FILE_NAME), folder.join(FILE_NAME));
    if !from.exists() {
        return Ok(false);
    }
    if std::fs::rename(&from, &to).is_err() {
        std::fs::copy(&from, &to).map_err(RunnerError::file(&to))?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
