//! Takes the frames of one video through the stages: decode, detect, recover, track, write.
//!
//! Decoding runs ahead in a thread of [`posebook_video`], writing follows in a thread of [`ResultWriter`]; detection,
//! recovery and tracking run here. Whether a shot starts with a frame is known some frames later ([`ShotMarks`]); the frame
//! waits for it between recovery and tracking. Every queue between them is bounded, so that memory does not grow with the length of
//! the video, except by what the video mode and `results = "accumulate"` hold by design.

use super::result_writer::{ProcessedFrame, ResultWriter};
use super::shots::ShotMarks;
use super::stages::{DetectedFrame, Stages};
use crate::runner::RunnerError;
use crate::runner::job::WorkerReport;
use crate::runner::project::detector::detach;
use posebook_core::frame::{Frame, FrameSize};
use posebook_core::memory::heap::{self, HeapInterval};
use posebook_core::memory::live::Publisher;
use posebook_models::recovery::{FramePeople, RecoveryError};
use posebook_notebook::tables::FrameRow;
use posebook_notebook::tables::metrics::{HostMemory, Timing, TrackingAccuracy};
use posebook_track::phalp::{FrameTrack, FrameTracks};
use posebook_video::FrameSource;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// `bytes` of heap if the program counts its heap, else `None`.
pub fn if_counted(bytes: u64) -> Option<u64> {
    heap::is_counting().then_some(bytes)
}

/// A frame that waits for the detector's pass over its batch.
struct UndetectedFrame {
    frame: Frame,
    /// Number in its file.
    file_frame: usize,
    timestamps: FrameTimestamps,
    image: Option<Frame>,
}

/// A frame whose crops wait for the forward pass of their batch.
struct BatchedFrame {
    detected: DetectedFrame,
    timestamps: FrameTimestamps,
    /// A copy of the frame, if an overlay is drawn.
    image: Option<Frame>,
}

/// A frame whose people are recovered, and which is not tracked yet.
struct RecoveredFrame {
    people: FramePeople,
    index: usize,
    size: FrameSize,
    timestamps: FrameTimestamps,
    detect_secs: f64,
    recover_secs: f64,
    network_started: Instant,
    network_ended: Instant,
    image: Option<Frame>,
}

/// Timestamps of one frame's processing steps.
#[derive(Debug, Clone, Copy)]
struct FrameTimestamps {
    /// Presentation time.
    time_secs: f64,
    /// Start and end of decoding; `None` for a preloaded frame.
    decoded: Option<(Instant, Instant)>,
    /// Time spent waiting for the frame.
    decode_secs: f64,
    /// When the frame came from its source.
    arrived: Instant,
}

/// The stages of one run, and the frames between them.
pub struct Pipeline<'r> {
    run_id: String,
    stages: Stages,
    shots: ShotMarks,
    /// Frames that wait for [`ShotMarks`], in order.
    recovered: VecDeque<RecoveredFrame>,
    /// `None` only while a frame is handed over.
    results: Option<ResultWriter>,
    /// Start of all relative times.
    opened: Instant,
    frames_per_batch: usize,
    /// Whether the result writer gets a copy of each frame.
    copies_frames: bool,
    undetected: Vec<UndetectedFrame>,
    batch: Vec<BatchedFrame>,
    /// Measures the heap from the first crop of a batch to the end of its forward pass.
    batch_heap: Option<HeapInterval>,
    tracker_bytes: i64,
    latency_sum_secs: f64,
    frames_done: u64,
    /// Number of the last frame in its file.
    last_file_frame: Option<usize>,
    report: &'r mut WorkerReport,
}

impl<'r> Pipeline<'r> {
    /// A pipeline that runs the network on `frames_per_batch` frames at a time and adds its metrics to `report`. Times
    /// are relative to `opened`.
    pub fn new(
        run_id: String,
        stages: Stages,
        shots: ShotMarks,
        results: ResultWriter,
        frames_per_batch: usize,
        opened: Instant,
        report: &'r mut WorkerReport,
    ) -> Pipeline<'r> {
        Pipeline {
            run_id,
            stages,
            shots,
            recovered: VecDeque::new(),
            results: Some(results),
            opened,
            frames_per_batch,
            copies_frames: false,
            undetected: Vec::new(),
            batch: Vec::with_capacity(frames_per_batch),
            batch_heap: None,
            tracker_bytes: 0,
            latency_sum_secs: 0.0,
            frames_done: 0,
            last_file_frame: None,
            report,
        }
    }

    /// The same pipeline, but it also passes a copy of each frame to the result writer.
    pub fn with_frame_copies(self) -> Pipeline<'r> {
        Pipeline { copies_frames: true, ..self }
    }

    /// Processes all frames of `source`.
    ///
    /// # Errors
    /// If a frame cannot be read, a stage fails, or rows cannot be written.
    pub fn run(mut self, source: &mut FrameSource, publisher: &Publisher) -> Result<(), RunnerError> {
        while self.read_frame(source, publisher)? {}
        self.detect_batch()?;
        self.process_batch()?;
        self.shots.finish();
        self.track_decided()?;
        let tracks = self.stages.finish();
        if let Some(remark) = self.stages.predictor_remark() {
            self.report.add_remark(&remark);
        }
        let Some(results) = self.results.take() else { return Err(RunnerError::WriterDied) };
        let totals = results.finish(tracks)?;
        self.report.metrics.timing.write_secs = Some(totals.secs);
        self.report.metrics.host.heap_results_bytes = if_counted(totals.accumulated_bytes);
        if let Some(error) = totals.overlay_error {
            self.report
                .add_remark(&format!("the overlay is drawn after the run, since this failed: {error}"));
        }
        Ok(())
    }

    /// Reads one frame; detects the people of a batch and processes one when it is full. False at the end of the video.
    fn read_frame(&mut self, source: &mut FrameSource, publisher: &Publisher) -> Result<bool, RunnerError> {
        let started = Instant::now();
        let Some(frame) = source.next_frame()? else { return Ok(false) };
        let arrived = Instant::now();
        let first_frame_secs = &mut self.report.metrics.timing.first_frame_secs;
        first_frame_secs.get_or_insert((arrived - self.opened).as_secs_f64());
        publisher.begin_frame(frame.index as u64);
        self.batch_heap.get_or_insert_with(HeapInterval::start);
        let timestamps = FrameTimestamps {
            time_secs: frame.time_secs,
            decoded: frame.decoded.map(|decoded| (decoded.started, decoded.ended)),
            decode_secs: (arrived - started).as_secs_f64(),
            arrived,
        };
        let file_frame = source.probe().file_frame(frame.index);
        if self.last_file_frame.replace(file_frame).is_some_and(|last| file_frame <= last) {
            // The file starts again (`video.loops`): boxes of its last frame are unrelated to its first.
            self.detect_batch()?;
            self.stages.reset_previous_frame();
        }
        self.shots.observe(&frame)?;
        let image = if self.copies_frames { Some(copy_to_host(&frame)?) } else { None };
        let frames_per_detection = self.stages.frames_per_detection();
        let frame = if frames_per_detection > 1 { detach(frame) } else { frame };
        self.undetected.push(UndetectedFrame { frame, file_frame, timestamps, image });
        if self.undetected.len() >= frames_per_detection {
            self.detect_batch()?;
        }
        publisher.set_disk_bytes(source.disk_bytes());
        Ok(true)
    }

    /// Detects the people of the frames that wait for it; processes a batch when it is full.
    fn detect_batch(&mut self) -> Result<(), RunnerError> {
        if self.undetected.is_empty() {
            return Ok(());
        }
        let (mut frames, mut contexts) = (Vec::new(), Vec::new());
        for UndetectedFrame { frame, file_frame, timestamps, image } in self.undetected.drain(..) {
            frames.push((frame, file_frame));
            contexts.push((timestamps, image));
        }
        let detected = self.stages.detect(frames)?;
        for (detected, (timestamps, image)) in detected.into_iter().zip(contexts) {
            self.batch.push(BatchedFrame { detected, timestamps, image });
            if self.batch.len() >= self.frames_per_batch {
                self.process_batch()?;
            }
        }
        Ok(())
    }

    /// Runs network and tracker on the batched frames and hands them to the result writer.
    fn process_batch(&mut self) -> Result<(), RunnerError> {
        let mut frames = Vec::with_capacity(self.batch.len());
        let mut contexts = Vec::with_capacity(self.batch.len());
        for BatchedFrame { detected, timestamps, image } in self.batch.drain(..) {
            let DetectedFrame { crops, detect_secs, crop_secs } = detected;
            let size = FrameSize::new(crops.frame_width, crops.frame_height);
            contexts.push((timestamps, crops.frame_index, size, detect_secs, crop_secs, image));
            frames.push(crops);
        }
        let network_started = Instant::now();
        let recovered = self.stages.recover(frames)?;
        let network_ended = Instant::now();
        if let Some(batch_heap) = self.batch_heap.take() {
            let peak = &mut self.report.metrics.host.heap_activations_bytes;
            *peak = (*peak).max(if_counted(batch_heap.peak_bytes()));
        }
        let network_secs = (network_ended - network_started).as_secs_f64();
        let batch_people = recovered.iter().map(|frame| frame.persons.len()).sum::<usize>().max(1) as f64;
        for (people, context) in recovered.into_iter().zip(contexts) {
            let (timestamps, index, size, detect_secs, crop_secs, image) = context;
            // the frame's share of the forward pass, by its number of people
            let recover_secs = crop_secs + network_secs * people.persons.len() as f64 / batch_people;
            self.recovered.push_back(RecoveredFrame {
                people,
                index,
                size,
                timestamps,
                detect_secs,
                recover_secs,
                network_started,
                network_ended,
                image,
            });
        }
        self.track_decided()
    }

    /// Tracks the recovered frames of which it is known whether a shot starts with them.
    fn track_decided(&mut self) -> Result<(), RunnerError> {
        while !self.recovered.is_empty() {
            let Some(shot) = self.shots.take() else { break };
            let Some(frame) = self.recovered.pop_front() else { break };
            self.track_frame(frame, shot)?;
        }
        Ok(())
    }

    /// Tracks one frame and hands it to the result writer. `shot` is whether a shot starts with it, if that is detected.
    fn track_frame(&mut self, frame: RecoveredFrame, shot: Option<bool>) -> Result<(), RunnerError> {
        let RecoveredFrame { people, index, size, timestamps, .. } = frame;
        let FramePeople { mut persons, without_body } = people;
        let track_started = Instant::now();
        let before_bytes = heap::thread_balance_bytes();
        if shot == Some(true) {
            self.stages.begin_shot();
        }
        let tracks = self.stages.track(index, size, &persons)?;
        self.tracker_bytes += heap::thread_balance_bytes() - before_bytes - tracks_bytes(&tracks);
        let track_ended = Instant::now();
        // the textures are dropped: only the tracker needs them
        let mut embeddings: Vec<Option<Arc<[f32]>>> = persons
            .iter_mut()
            .map(|person| person.appearance.take().map(|appearance| appearance.embedding))
            .collect();
        if !self.stages.writes_embeddings() {
            embeddings.clear();
        }
        let row = FrameRow {
            run_id: self.run_id.clone(),
            frame: index as u64,
            time_secs: timestamps.time_secs,
            decode_secs: timestamps.decode_secs,
            detect_secs: frame.detect_secs,
            recover_secs: frame.recover_secs,
            track_secs: (track_ended - track_started).as_secs_f64(),
            latency_secs: (track_ended - timestamps.arrived).as_secs_f64(),
            decode_from_secs: timestamps.decoded.map(|(start, _)| self.secs_since_open(start)),
            decode_to_secs: timestamps.decoded.map(|(_, end)| self.secs_since_open(end)),
            taken_at_secs: self.secs_since_open(timestamps.arrived),
            network_from_secs: self.secs_since_open(frame.network_started),
            network_to_secs: self.secs_since_open(frame.network_ended),
            followed_at_secs: self.secs_since_open(track_ended),
            people: (persons.len() + without_body.len()) as u64,
            shot,
            heap_bytes: if_counted(heap::current_bytes()),
            heap_peak_bytes: if_counted(heap::peak_bytes()),
            ..FrameRow::default()
        };
        self.add_to_metrics(&row);
        let Some(results) = self.results.take() else { return Err(RunnerError::WriterDied) };
        let image = frame.image;
        self.results = Some(results.push(ProcessedFrame {
            row,
            size,
            persons,
            embeddings,
            without_body,
            tracks,
            image,
        })?);
        Ok(())
    }

    /// Seconds from the opening of the video to `instant`; 0 for frames decoded while it was being opened.
    fn secs_since_open(&self, instant: Instant) -> f64 {
        instant.saturating_duration_since(self.opened).as_secs_f64()
    }

    fn add_to_metrics(&mut self, row: &FrameRow) {
        let metrics = &mut self.report.metrics;
        let Timing { decode_secs, detect_secs, recover_secs, track_secs, latency_secs, .. } =
            &mut metrics.timing;
        for (sum, secs) in [
            (decode_secs, row.decode_secs),
            (detect_secs, row.detect_secs),
            (recover_secs, row.recover_secs),
            (track_secs, row.track_secs),
        ] {
            *sum = Some(sum.unwrap_or(0.0) + secs);
        }
        self.latency_sum_secs += row.latency_secs;
        self.frames_done += 1;
        *latency_secs = Some(self.latency_sum_secs / self.frames_done as f64);
        let TrackingAccuracy { people, .. } = &mut metrics.tracking;
        *people = Some(people.unwrap_or(0) + row.people);
        let HostMemory { heap_tracks_bytes, .. } = &mut metrics.host;
        let state_bytes = match self.stages.appearance_state_bytes() {
            Some(bytes) => bytes,
            None => u64::try_from(self.tracker_bytes).unwrap_or(0),
        };
        *heap_tracks_bytes = (*heap_tracks_bytes).max(if_counted(state_bytes));
    }
}

/// A copy of the frame with its pixels on the host. The frame itself returns to its source's buffers once it is cropped.
fn copy_to_host(frame: &Frame) -> Result<Frame, RunnerError> {
    let rgb = frame.copy_rgb().map_err(|error| RecoveryError::from(candle_core::Error::wrap(error)))?;
    Ok(Frame::new(frame.index, frame.time_secs, frame.width, frame.height, rgb))
}

/// Heap bytes of the tracks that the tracker returned, which are no longer the tracker's.
fn tracks_bytes(tracks: &Vec<FrameTracks>) -> i64 {
    let outer = tracks.capacity() * size_of::<FrameTracks>();
    let inner: usize = tracks.iter().map(|frame| frame.tracks.capacity()).sum();
    (outer + inner * size_of::<FrameTrack>()) as i64
}
