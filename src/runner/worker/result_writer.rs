//! Writes the results of a run: rows go to row logs as they come, or are accumulated until the end.
//!
//! The tracker decides track ids some frames late, so the people of a frame are held here until its tracks are final.
//! By default a thread writes, behind a short queue, while the next frame is processed.

use crate::experiment;
use crate::runner::RunnerError;
use crate::runner::drawing::overlay::{OverlayFrame, OverlaySink};
use posebook_core::frame::{Frame, FrameSize};
use posebook_core::memory::heap;
use posebook_core::person::{Detection, Person, pixel_from_square};
use posebook_notebook::tables::{FrameRow, PersonRow, RowLog};
use posebook_track::phalp::{FrameTrack, FrameTracks};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

/// Frames that may wait for the writing thread. Few, because they are on the heap; writing is the fastest stage.
const QUEUE_FRAMES: usize = 2;

/// A frame that has passed all stages.
pub struct ProcessedFrame {
    /// The frame's row, without the times of writing.
    pub row: FrameRow,
    /// Size of the frame.
    pub size: FrameSize,
    /// The people with a body.
    pub persons: Vec<Person>,
    /// Their appearance embeddings; empty without `appearance.results`.
    pub embeddings: Vec<Option<Arc<[f32]>>>,
    /// Detections that the body network rejected.
    pub without_body: Vec<Detection>,
    /// The frames whose tracks became final with this one.
    pub tracks: Vec<FrameTracks>,
    /// The frame's pixels, if an overlay is drawn.
    pub image: Option<Frame>,
}

/// Totals over a run, known when all rows are written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WriteTotals {
    /// Time spent writing.
    pub secs: f64,
    /// Heap bytes of rows accumulated until the end.
    pub accumulated_bytes: u64,
    /// Why the overlay could not be drawn.
    pub overlay_error: Option<String>,
}

/// Writes the results of a run.
pub enum ResultWriter {
    /// Writes in the caller's thread.
    Inline(Box<RowWriter>),
    /// Writes in a background thread.
    Threaded {
        /// Queue of the thread, bounded to [`QUEUE_FRAMES`].
        send: SyncSender<ProcessedFrame>,
        /// Returns the writer, or the error that ended it.
        thread: JoinHandle<Result<RowWriter, RunnerError>>,
    },
}

impl ResultWriter {
    /// Creates the row logs in `folder`. Times in rows are relative to `opened`; `threaded` writes in a background
    /// thread. Frames go to `overlay` as well, if there is one.
    ///
    /// # Errors
    /// If the folder is not writable, or the thread cannot be started.
    pub fn create(
        folder: &Path,
        run_id: &str,
        results: experiment::ResultStorage,
        threaded: bool,
        opened: Instant,
        overlay: Option<OverlaySink>,
    ) -> Result<ResultWriter, RunnerError> {
        let mut writer = RowWriter {
            run_id: run_id.to_string(),
            opened,
            frames: RowLog::create(folder)?,
            people: RowLog::create(folder)?,
            accumulated: (results == experiment::ResultStorage::Accumulate).then(AccumulatedRows::default),
            pending: VecDeque::new(),
            totals: WriteTotals::default(),
            overlay,
        };
        if !threaded {
            return Ok(ResultWriter::Inline(Box::new(writer)));
        }
        let (send, receive) = sync_channel::<ProcessedFrame>(QUEUE_FRAMES);
        let work = move || {
            for frame in receive {
                writer.push(frame)?;
            }
            Ok(writer)
        };
        let thread = std::thread::Builder::new().name("results".into()).spawn(work);
        let thread = thread.map_err(|source| RunnerError::Thread { source })?;
        Ok(ResultWriter::Threaded { send, thread })
    }

    /// Takes the results of the next frame and returns the writer; blocks while the queue is full.
    ///
    /// # Errors
    /// If rows cannot be written.
    pub fn push(self, frame: ProcessedFrame) -> Result<ResultWriter, RunnerError> {
        match self {
            ResultWriter::Inline(mut writer) => {
                writer.push(frame)?;
                Ok(ResultWriter::Inline(writer))
            }
            ResultWriter::Threaded { send, thread } => {
                if send.send(frame).is_ok() {
                    return Ok(ResultWriter::Threaded { send, thread });
                }
                // the thread has ended, which it does on an error only
                Err(join(thread).err().unwrap_or(RunnerError::WriterDied))
            }
        }
    }

    /// Writes the remaining rows, with the tracks that became final at the end of the video.
    ///
    /// # Errors
    /// If rows cannot be written.
    pub fn finish(self, tracks: Vec<FrameTracks>) -> Result<WriteTotals, RunnerError> {
        let mut writer = match self {
            ResultWriter::Inline(writer) => *writer,
            ResultWriter::Threaded { send, thread } => {
                drop(send);
                join(thread)?
            }
        };
        writer.finish(tracks)?;
        Ok(writer.totals)
    }
}

fn join(thread: JoinHandle<Result<RowWriter, RunnerError>>) -> Result<RowWriter, RunnerError> {
    thread.join().unwrap_or(Err(RunnerError::WriterDied))
}

/// A frame whose tracks are not final yet.
struct PendingFrame {
    frame: u64,
    time_secs: f64,
    size: FrameSize,
    persons: Vec<Person>,
    embeddings: Vec<Option<Arc<[f32]>>>,
    without_body: Vec<Detection>,
    image: Option<Frame>,
    starts_shot: bool,
}

/// Rows accumulated until the end of the run.
#[derive(Default)]
struct AccumulatedRows {
    frames: Vec<FrameRow>,
    people: Vec<PersonRow>,
}

/// Turns frames into rows and writes or accumulates them.
pub struct RowWriter {
    run_id: String,
    opened: Instant,
    frames: RowLog<FrameRow>,
    people: RowLog<PersonRow>,
    accumulated: Option<AccumulatedRows>,
    pending: VecDeque<PendingFrame>,
    totals: WriteTotals,
    overlay: Option<OverlaySink>,
}

impl RowWriter {
    fn push(&mut self, frame: ProcessedFrame) -> Result<(), RunnerError> {
        let started = Instant::now();
        let ProcessedFrame { mut row, size, persons, embeddings, without_body, tracks, image } = frame;
        let (frame, time_secs) = (row.frame, row.time_secs);
        let starts_shot = row.shot == Some(true);
        let pending =
            PendingFrame { frame, time_secs, size, persons, embeddings, without_body, image, starts_shot };
        self.pending.push_back(pending);
        self.write_final(tracks)?;
        row.write_secs = started.elapsed().as_secs_f64();
        row.write_from_secs = (started - self.opened).as_secs_f64();
        row.write_to_secs = self.opened.elapsed().as_secs_f64();
        match &mut self.accumulated {
            None => {
                self.frames.append(&row)?;
                self.frames.flush()?;
            }
            Some(rows) => self.totals.accumulated_bytes += heap_added_by(|| rows.frames.push(row)),
        }
        self.totals.secs += started.elapsed().as_secs_f64();
        Ok(())
    }

    /// Writes the people of the frames whose tracks became final.
    fn write_final(&mut self, tracks: Vec<FrameTracks>) -> Result<(), RunnerError> {
        for FrameTracks { frame_index, tracks } in tracks {
            let frame = frame_index as u64;
            while self.pending.front().is_some_and(|pending| pending.frame <= frame) {
                let Some(mut pending) = self.pending.pop_front() else { break };
                let tracks = if pending.frame == frame { tracks.as_slice() } else { &[] };
                self.write_people(&pending, tracks)?;
                if let (Some(overlay), Some(frame)) = (&self.overlay, pending.image.take()) {
                    let people = people_rows(&self.run_id, &pending, tracks);
                    overlay.push(OverlayFrame { frame, people, starts_shot: pending.starts_shot });
                }
            }
        }
        Ok(self.people.flush()?)
    }

    fn write_people(&mut self, frame: &PendingFrame, tracks: &[FrameTrack]) -> Result<(), RunnerError> {
        for (index, person) in frame.persons.iter().enumerate() {
            self.write_person(|run_id| person_row(run_id, frame, index, person, tracks))?;
        }
        for (index, detection) in frame.without_body.iter().enumerate() {
            let index = frame.persons.len() + index;
            self.write_person(|run_id| detection_row(run_id, frame, index, detection))?;
        }
        Ok(())
    }

    /// Writes or accumulates the row that `make_row` makes for the run's id; the row's heap is counted if it is
    /// accumulated.
    fn write_person(&mut self, make_row: impl FnOnce(&str) -> PersonRow) -> Result<(), RunnerError> {
        match &mut self.accumulated {
            None => self.people.append(&make_row(&self.run_id))?,
            Some(rows) => {
                let run_id = &self.run_id;
                self.totals.accumulated_bytes += heap_added_by(|| rows.people.push(make_row(run_id)));
            }
        }
        Ok(())
    }

    fn finish(&mut self, tracks: Vec<FrameTracks>) -> Result<(), RunnerError> {
        let started = Instant::now();
        self.write_final(tracks)?;
        if let Some(rows) = self.accumulated.take() {
            rows.frames.iter().try_for_each(|row| self.frames.append(row))?;
            rows.people.iter().try_for_each(|row| self.people.append(row))?;
            self.frames.flush()?;
            self.people.flush()?;
        }
        self.totals.secs += started.elapsed().as_secs_f64();
        if let Some(overlay) = self.overlay.take() {
            // the run's results are complete without it
            self.totals.overlay_error = overlay.finish().err().map(|error| error.to_string());
        }
        Ok(())
    }
}

/// The rows of a frame's people.
fn people_rows(run_id: &str, frame: &PendingFrame, tracks: &[FrameTrack]) -> Vec<PersonRow> {
    let persons = frame.persons.iter().enumerate();
    let persons = persons.map(|(index, person)| person_row(run_id, frame, index, person, tracks));
    let rejected = frame.without_body.iter().enumerate();
    let rejected = rejected
        .map(|(index, detection)| detection_row(run_id, frame, frame.persons.len() + index, detection));
    persons.chain(rejected).collect()
}

/// Heap bytes that `work` allocates in this thread and does not free.
fn heap_added_by(work: impl FnOnce()) -> u64 {
    let before = heap::thread_balance_bytes();
    work();
    u64::try_from(heap::thread_balance_bytes() - before).unwrap_or(0)
}

fn person_row(
    run_id: &str,
    frame: &PendingFrame,
    index: usize,
    person: &Person,
    tracks: &[FrameTrack],
) -> PersonRow {
    let track = tracks.iter().find(|track| track.person_index == Some(index));
    let pixels = person
        .joints_in_square
        .iter()
        .map(|&point| pixel_from_square(point, frame.size.width, frame.size.height));
    let confidence = person.confidence.as_ref();
    let embedding = frame.embeddings.get(index).and_then(Option::as_ref);
    PersonRow {
        track: track.map(|track| u64::from(track.track_id)),
        betas: person.params.betas.to_vec(),
        global_orient: person.params.global_orient.iter().flatten().copied().collect(),
        body_pose: person.params.body_pose.iter().flatten().flatten().copied().collect(),
        crop_camera: person.crop_camera.to_vec(),
        translation_m: person.translation.to_vec(),
        joints_m: person.joints.iter().flatten().copied().collect(),
        joints_px: pixels.flatten().collect(),
        presence: confidence.map(|confidence| confidence.presence),
        joints_sd_mm: confidence.map_or_else(Vec::new, |confidence| confidence.joints_sd_mm.to_vec()),
        appearance: embedding.map_or_else(Vec::new, |embedding| embedding.to_vec()),
        mask_counts: person.mask.as_ref().map(|mask| mask.counts.clone()),
        ..detection_row(run_id, frame, index, &person.detection)
    }
}

/// The row of a detection: its box, without a body.
fn detection_row(run_id: &str, frame: &PendingFrame, index: usize, detection: &Detection) -> PersonRow {
    let bbox = detection.bbox;
    PersonRow {
        run_id: run_id.to_string(),
        frame: frame.frame,
        time_secs: frame.time_secs,
        person: index as u64,
        truth_id: detection.input_id.map(u64::from),
        x1_px: bbox.x1,
        y1_px: bbox.y1,
        x2_px: bbox.x2,
        y2_px: bbox.y2,
        score: detection.score,
        mask_counts: detection.mask.as_ref().map(|mask| mask.counts.clone()),
        ..PersonRow::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_notebook::tables::read_row_log;

    fn processed(frame: u64, final_frames: &[usize]) -> ProcessedFrame {
        let tracks = final_frames.iter().map(|&frame_index| FrameTracks { frame_index, tracks: vec![] });
        ProcessedFrame {
            row: FrameRow { frame, ..FrameRow::default() },
            size: FrameSize::new(64, 48),
            persons: Vec::new(),
            embeddings: Vec::new(),
            without_body: Vec::new(),
            tracks: tracks.collect(),
            image: None,
        }
    }

    #[test]
    fn masks_are_written_of_people_and_of_detections_without_a_body() {
        use posebook_core::geometry::IDENTITY;
        use posebook_core::person::{BBox, FrameMask, SmplParams};
        let mask = |counts: &str| Some(FrameMask { width: 64, height: 48, counts: counts.into() });
        let detection = |mask| {
            let bbox = BBox { x1: 1.0, y1: 2.0, x2: 30.0, y2: 40.0 };
            Detection { bbox, score: 0.5, input_id: None, mask }
        };
        let person = |mask| Person {
            detection: detection(None),
            params: SmplParams { betas: [0.0; 10], global_orient: IDENTITY, body_pose: [IDENTITY; 23] },
            crop_camera: [0.9, 0.0, 0.0],
            translation: [0.0; 3],
            joints: Vec::new(),
            joints_in_square: Vec::new(),
            confidence: None,
            mask,
            appearance: None,
        };
        for mode in [experiment::ResultStorage::Stream, experiment::ResultStorage::Accumulate] {
            let folder = tempfile::tempdir().unwrap();
            let frame = ProcessedFrame {
                persons: vec![person(mask("0P1")), person(None)],
                without_body: vec![detection(mask("23")), detection(None)],
                ..processed(0, &[0])
            };
            let writer = ResultWriter::create(folder.path(), "r", mode, false, Instant::now(), None).unwrap();
            writer.push(frame).unwrap().finish(Vec::new()).unwrap();
            let rows = read_row_log::<PersonRow>(folder.path()).unwrap();
            let masks: Vec<Option<String>> = rows.map(|row| row.unwrap().mask_counts).collect();
            assert_eq!(masks, [Some("0P1".to_string()), None, Some("23".to_string()), None]);
        }
    }

    fn frames_in(folder: &Path) -> Vec<u64> {
        read_row_log::<FrameRow>(folder).unwrap().map(|row| row.unwrap().frame).collect()
    }

    #[test]
    fn rows_are_written_in_order_in_every_mode() {
        for threaded in [false, true] {
            for mode in [experiment::ResultStorage::Stream, experiment::ResultStorage::Accumulate] {
                let folder = tempfile::tempdir().unwrap();
                let mut results =
                    ResultWriter::create(folder.path(), "r", mode, threaded, Instant::now(), None).unwrap();
                for frame in 0..20 {
                    results = results.push(processed(frame, &[frame as usize])).unwrap();
                }
                if mode == experiment::ResultStorage::Accumulate {
                    // a run that crashed here would have no rows
                    assert!(frames_in(folder.path()).is_empty());
                }
                results.finish(Vec::new()).unwrap();
                assert_eq!(frames_in(folder.path()), (0..20).collect::<Vec<u64>>(), "{threaded} {mode:?}");
            }
        }
    }

    // /dev/full exists on Linux only
    #[cfg(target_os = "linux")]
    #[test]
    fn a_write_error_is_returned_while_the_run_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", RowLog::<FrameRow>::path(folder.path())).unwrap();
        let mode = experiment::ResultStorage::Stream;
        let mut results = ResultWriter::create(folder.path(), "r", mode, true, Instant::now(), None).unwrap();
        let error = loop {
            match results.push(processed(0, &[])) {
                Ok(writer) => results = writer,
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("No space left"), "{error}");
    }
}
