//! Draws the overlay video of a run: bodies, skeletons, boxes and track ids over the frames, with the video's sound.
//!
//! [`OverlaySink`] draws while the run goes on, from the frames that the run has decoded: a thread of its own smooths,
//! draws and encodes behind a queue of [`QUEUE_FRAMES`] frames. A frame reaches it when its track ids are final, at most
//! `phalp.n_init - 1` frames late, so that the copies in flight are bounded by that delay, the batch and the queues.
//! [`draw_again`] decodes the video a second time; it is used if the sink failed.

use super::people;
use crate::experiment;
use crate::runner::RunnerError;
use crate::runner::scoring::smoothing;
use posebook_core::frame::Frame;
use posebook_models::body::Body;
use posebook_models::fit::smooth::Smoothing;
use posebook_models::recovery::ModelSet;
use posebook_notebook::tables::{PersonRow, RunRow, files};
use posebook_synth::render::overlay::Overlay;
use posebook_video as video;
use posebook_video::{
    Access, AudioSegment, Encoder, EncoderSettings, FrameGeometry, FrameSource, Mode, Probe, Selection,
    Timeline, VideoErrorKind,
};
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
        let smoothing = settings.smoothing.overlay.then_some(settings.smoothing.filter);
        let (send, receive) = sync_channel::<OverlayFrame>(QUEUE_FRAMES);
        let draw = move || {
            let body = ModelSet::load(&model)?.load_body()?;
            let audio = AudioSegment::for_selection(&probe, &selection);
            let mut writer =
                OverlayWriter::create(&path, &probe, &selection, audio.as_ref(), &body, smoothing.as_ref())?;
            receive
                .into_iter()
                .try_for_each(|OverlayFrame { frame, people }| writer.write(&frame, people))?;
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
    overlay: Overlay,
    smoother: Option<smoothing::TrackSmoother<'a>>,
    body: &'a Body,
}

impl<'a> OverlayWriter<'a> {
    fn create(
        path: &Path,
        probe: &Probe,
        selection: &Selection,
        audio: Option<&AudioSegment>,
        body: &'a Body,
        smoothing: Option<&'a Smoothing>,
    ) -> Result<OverlayWriter<'a>, RunnerError> {
        let timeline = Timeline::from_selection(probe, selection);
        let geometry = FrameGeometry::from_probe(probe);
        let encoder = Encoder::create(path, geometry, &timeline, EncoderSettings::default(), audio)?;
        let smoother = smoothing.map(|filter| smoothing::TrackSmoother::new(filter, body));
        Ok(OverlayWriter { encoder, overlay: Overlay::new(usize::MAX), smoother, body })
    }

    /// Draws and encodes the next frame.
    fn write(&mut self, frame: &Frame, mut people: Vec<PersonRow>) -> Result<(), RunnerError> {
        if let Some(smoother) = &mut self.smoother {
            people.iter_mut().for_each(|row| smoother.replace(row, frame.width, frame.height));
        }
        people::draw(&mut self.overlay, frame, &people, self.body);
        Ok(self.encoder.write_rgb(&self.overlay.image().rgb)?)
    }

    fn finish(self) -> Result<(), RunnerError> {
        Ok(self.encoder.finish()?)
    }
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
    let settings = sequential_settings(row, &settings.video);
    let probe = probe.clone().looped(settings.loops());
    notes.extend(AudioSegment::missing_audio_note(&probe, &video::select_frames(&settings, &probe)?));
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
    let smoothing = settings.smoothing.overlay.then_some(&settings.smoothing.filter);
    let settings = sequential_settings(row, &settings.video);
    let probe = probe.clone().looped(settings.loops());
    let draw = |audio: Option<&AudioSegment>| draw_frames(folder, &probe, &settings, body, smoothing, audio);
    let selection = video::select_frames(&settings, &probe)?;
    let audio = AudioSegment::for_selection(&probe, &selection);
    match draw(audio.as_ref()) {
        Err(RunnerError::Video(error))
            if audio.is_some() && matches!(error.kind, VideoErrorKind::FfmpegFailed { .. }) =>
        {
            // sound that ffmpeg cannot read must not prevent the overlay; a full disk fails again
            draw(None)?;
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

/// Draws over the frames that `settings` select and encodes them, with `audio` if there is any.
fn draw_frames(
    folder: &Path,
    probe: &Probe,
    settings: &video::Settings,
    body: &Body,
    smoothing: Option<&Smoothing>,
    audio: Option<&AudioSegment>,
) -> Result<(), RunnerError> {
    let mut source = video::open_probed(probe.clone(), settings, folder, None)?;
    let selection = Selection { range: source.range(), every: settings.every() };
    let path = folder.join(FILE_NAME);
    let mut writer = OverlayWriter::create(&path, source.probe(), &selection, audio, body, smoothing)?;
    let mut people = files::read_rows::<PersonRow>(folder)?.peekable();
    while let Some(frame) = source.next_frame()? {
        let mut in_frame = Vec::new();
        while let Some(person) =
            people.next_if(|row| row.as_ref().map_or(true, |row| row.frame <= frame.index as u64))
        {
            in_frame.push(person?);
        }
        writer.write(&frame, in_frame)?;
    }
    writer.finish()
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
