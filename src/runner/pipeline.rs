//! The stages at work, frame by frame: taken from the decoder, looked at, recovered, followed, handed to the
//! results.
//!
//! Decoding runs ahead in a thread of the video room, writing behind in one of [`Results`]; what stands
//! between them is bounded, so that what a run holds does not grow with the length of its video beyond
//! what its video mode and `results = "accumulate"` keep. Must not know processes.

use super::RunnerError;
use super::order::Facts;
use super::results::{Perceived, Results};
use super::stages::{Detected, Stages};
use crate::memory::heap::{self, Stretch};
use crate::memory::live::Publisher;
use crate::phalp::{FrameIdentities, Identity};
use crate::recovery::FramePeople;
use crate::tables::FrameRow;
use crate::video::FrameSource;
use std::time::Instant;

/// What is told of heap, where it is counted.
pub fn counted(bytes: u64) -> Option<u64> {
    heap::is_counting().then_some(bytes)
}

/// A frame whose people go through the network with those of its neighbours.
struct Gathered {
    detected: Detected,
    note: Note,
}

/// When what happened to a frame.
#[derive(Debug, Clone, Copy)]
struct Note {
    time_secs: f64,
    decoded: Option<(Instant, Instant)>,
    /// Time spent waiting for it.
    decode_secs: f64,
    arrived: Instant,
}

/// The stages at work.
pub struct Pipeline<'f> {
    run_id: String,
    stages: Stages,
    results: Option<Results>,
    /// Since when times are told.
    opened: Instant,
    /// Frames that go through the network together.
    together: usize,
    gathered: Vec<Gathered>,
    /// The heap from the first crop of a batch on.
    stretch: Option<Stretch>,
    tracks_bytes: i64,
    /// The number in the file of the frame that was taken last.
    last_in_file: Option<usize>,
    facts: &'f mut Facts,
}

impl<'f> Pipeline<'f> {
    /// Frames go through the network `together` at a time; times are told since `opened`.
    pub fn new(
        run_id: String,
        stages: Stages,
        results: Results,
        together: usize,
        opened: Instant,
        facts: &'f mut Facts,
    ) -> Pipeline<'f> {
        let (gathered, results) = (Vec::with_capacity(together), Some(results));
        Pipeline {
            run_id,
            stages,
            results,
            opened,
            together,
            gathered,
            stretch: None,
            tracks_bytes: 0,
            last_in_file: None,
            facts,
        }
    }

    /// Takes all frames of `source` through the stages.
    ///
    /// # Errors
    /// If a frame cannot be read, a stage fails, or rows cannot be written.
    pub fn run(mut self, source: &mut dyn FrameSource, publisher: &Publisher) -> Result<(), RunnerError> {
        while self.frame(source, publisher)? {}
        let identities = self.stages.finish();
        let Some(results) = self.results.take() else { return Err(RunnerError::WriterDied) };
        let written = results.finish(identities)?;
        self.facts.write_secs = Some(written.secs);
        self.facts.heap_results_bytes = counted(written.kept_bytes);
        Ok(())
    }

    /// Takes one frame in, and all that are gathered through the stages when there are enough; false when
    /// there are no more.
    fn frame(&mut self, source: &mut dyn FrameSource, publisher: &Publisher) -> Result<bool, RunnerError> {
        let started = Instant::now();
        let Some(frame) = source.next_frame()? else {
            self.work_off()?;
            return Ok(false);
        };
        let arrived = Instant::now();
        self.facts.first_frame_secs.get_or_insert((arrived - self.opened).as_secs_f64());
        publisher.frame(frame.index as u64);
        self.stretch.get_or_insert_with(Stretch::begin);
        let decode_secs = (arrived - started).as_secs_f64();
        let decoded = frame.decoded.map(|decoded| (decoded.began, decoded.ended));
        let note = Note { time_secs: frame.time_secs, decoded, decode_secs, arrived };
        let in_file = source.probe().file_frame(frame.index);
        if self.last_in_file.replace(in_file).is_some_and(|last| in_file <= last) {
            // a file that is read again: nobody of its last frame stands in its first
            self.stages.forget_previous_frame();
        }
        let detected = self.stages.detect(frame, in_file)?;
        self.gathered.push(Gathered { detected, note });
        if self.gathered.len() >= self.together {
            self.work_off()?;
        }
        publisher.disk_bytes(source.disk_bytes());
        Ok(true)
    }

    /// Takes the gathered frames through network and tracker, and hands them to the results.
    fn work_off(&mut self) -> Result<(), RunnerError> {
        let mut frames = Vec::with_capacity(self.gathered.len());
        let mut notes = Vec::with_capacity(self.gathered.len());
        for Gathered { detected: Detected { crops, detect_secs, crop_secs }, note } in self.gathered.drain(..)
        {
            let size = (crops.frame_width, crops.frame_height);
            notes.push((note, crops.frame_index, size, detect_secs, crop_secs));
            frames.push(crops);
        }
        let began = Instant::now();
        let everybody = self.stages.recover(frames)?;
        let done = Instant::now();
        if let Some(stretch) = self.stretch.take() {
            let largest = &mut self.facts.heap_activations_bytes;
            *largest = (*largest).max(counted(stretch.peak_bytes()));
        }
        let network_secs = (done - began).as_secs_f64();
        let all_people = everybody.iter().map(|frame| frame.persons.len()).sum::<usize>().max(1) as f64;
        for (people, (note, index, size, detect_secs, crop_secs)) in everybody.into_iter().zip(notes) {
            let FramePeople { persons, without_body } = people;
            let started = Instant::now();
            let before = heap::here_bytes();
            let identities = self.stages.track(index, size, &persons)?;
            self.tracks_bytes += heap::here_bytes() - before - bytes_of(&identities);
            let followed = Instant::now();
            let (with_body, people) = (persons.len(), (persons.len() + without_body.len()) as u64);
            let row = FrameRow {
                run_id: self.run_id.clone(),
                frame: index as u64,
                time_secs: note.time_secs,
                decode_secs: note.decode_secs,
                detect_secs,
                // of the network's time each frame bears what its people are of all
                recover_secs: crop_secs + network_secs * with_body as f64 / all_people,
                track_secs: (followed - started).as_secs_f64(),
                latency_secs: (followed - note.arrived).as_secs_f64(),
                decode_from_secs: note.decoded.map(|decoded| self.since(decoded.0)),
                decode_to_secs: note.decoded.map(|decoded| self.since(decoded.1)),
                taken_at_secs: self.since(note.arrived),
                network_from_secs: self.since(began),
                network_to_secs: self.since(done),
                followed_at_secs: self.since(followed),
                people,
                heap_bytes: counted(heap::current_bytes()),
                heap_peak_bytes: counted(heap::peak_bytes()),
                ..FrameRow::default()
            };
            self.add_up(&row);
            let (width, height) = size;
            let Some(results) = self.results.take() else { return Err(RunnerError::WriterDied) };
            self.results =
                Some(results.enter(Perceived { row, width, height, persons, without_body, identities })?);
        }
        Ok(())
    }

    /// Seconds since the video was opened; what was decoded before that was decoded at once.
    fn since(&self, moment: Instant) -> f64 {
        moment.saturating_duration_since(self.opened).as_secs_f64()
    }

    fn add_up(&mut self, row: &FrameRow) {
        let facts = &mut *self.facts;
        for (sum, secs) in [
            (&mut facts.decode_secs, row.decode_secs),
            (&mut facts.detect_secs, row.detect_secs),
            (&mut facts.recover_secs, row.recover_secs),
            (&mut facts.track_secs, row.track_secs),
            (&mut facts.latency_secs, row.latency_secs),
        ] {
            *sum = Some(sum.unwrap_or(0.0) + secs);
        }
        facts.people = Some(facts.people.unwrap_or(0) + row.people);
        let tracks = u64::try_from(self.tracks_bytes).unwrap_or(0);
        facts.heap_tracks_bytes = facts.heap_tracks_bytes.max(counted(tracks));
    }
}

/// Heap in identities, which the tracker gives away.
fn bytes_of(identities: &Vec<FrameIdentities>) -> i64 {
    let own = identities.capacity() * size_of::<FrameIdentities>();
    let inside: usize = identities.iter().map(|frame| frame.identities.capacity()).sum();
    (own + inside * size_of::<Identity>()) as i64
}
