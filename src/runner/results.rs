//! Where the results of a run go: rows into spools as they come, or kept in memory to the end.
//!
//! Identities become final some frames after they were seen, so that the people of a frame wait for theirs
//! here. By default a thread of its own does the writing, behind a short queue, while the next frame is looked
//! at already. Must not know how people are found.

use super::RunnerError;
use crate::experiment;
use crate::memory::heap;
use crate::person::{Detection, Person, pixel_from_square};
use crate::phalp::{FrameIdentities, Identity};
use crate::tables::{FrameRow, PersonRow, Spool};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

/// Frames that may wait for the writing. Few: what waits is heap, and writing is the fastest of the stages.
const QUEUE: usize = 2;

/// What perception has made of a frame.
pub struct Perceived {
    /// All but what the writing takes.
    pub row: FrameRow,
    pub width: usize,
    pub height: usize,
    pub persons: Vec<Person>,
    /// Detections in which the network recognized no person.
    pub without_body: Vec<Detection>,
    /// The frames whose identities became final with this one.
    pub identities: Vec<FrameIdentities>,
}

/// What the writing has to tell at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Written {
    pub secs: f64,
    /// Heap in results kept to the end.
    pub kept_bytes: u64,
}

/// Takes results in.
pub enum Results {
    /// In the caller's own time.
    Here(Box<Book>),
    /// In a thread of its own.
    Beside { send: SyncSender<Perceived>, thread: JoinHandle<Result<Book, RunnerError>> },
}

impl Results {
    /// Starts the spools in `folder`. Times are told since `opened`; `beside` writes in a thread of its own.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn create(
        folder: &Path,
        run_id: &str,
        results: experiment::Results,
        beside: bool,
        opened: Instant,
    ) -> Result<Results, RunnerError> {
        let mut book = Book {
            run_id: run_id.to_string(),
            opened,
            frames: Spool::create(folder)?,
            people: Spool::create(folder)?,
            kept: (results == experiment::Results::Accumulate).then(Kept::default),
            waiting: VecDeque::new(),
            written: Written::default(),
        };
        if !beside {
            return Ok(Results::Here(Box::new(book)));
        }
        let (send, receive) = sync_channel::<Perceived>(QUEUE);
        let work = move || {
            for perceived in receive {
                book.enter(perceived)?;
            }
            Ok(book)
        };
        let thread = std::thread::Builder::new().name("results".into()).spawn(work);
        let thread = thread.map_err(|source| RunnerError::Start { program: "a thread".into(), source })?;
        Ok(Results::Beside { send, thread })
    }

    /// Takes in what came of the next frame; waits while the writing is `QUEUE` frames behind. Gives
    /// itself back, to be used for the next.
    ///
    /// # Errors
    /// If rows cannot be written.
    pub fn enter(self, perceived: Perceived) -> Result<Results, RunnerError> {
        match self {
            Results::Here(mut book) => {
                book.enter(perceived)?;
                Ok(Results::Here(book))
            }
            Results::Beside { send, thread } => {
                if send.send(perceived).is_ok() {
                    return Ok(Results::Beside { send, thread });
                }
                // the thread has hung up, so that it has an error to tell
                Err(joined(thread).err().unwrap_or(RunnerError::WriterDied))
            }
        }
    }

    /// Writes what is left, with the identities that the tracker decided at its end.
    ///
    /// # Errors
    /// If rows cannot be written.
    pub fn finish(self, identities: Vec<FrameIdentities>) -> Result<Written, RunnerError> {
        let mut book = match self {
            Results::Here(book) => *book,
            Results::Beside { send, thread } => {
                drop(send);
                joined(thread)?
            }
        };
        book.finish(identities)?;
        Ok(book.written)
    }
}

fn joined(thread: JoinHandle<Result<Book, RunnerError>>) -> Result<Book, RunnerError> {
    thread.join().unwrap_or(Err(RunnerError::WriterDied))
}

/// A frame whose identities are not final yet.
struct Waiting {
    frame: u64,
    time_secs: f64,
    width: usize,
    height: usize,
    persons: Vec<Person>,
    without_body: Vec<Detection>,
}

/// Rows kept to the end.
#[derive(Default)]
struct Kept {
    frames: Vec<FrameRow>,
    people: Vec<PersonRow>,
}

/// Rows on their way to the disk.
pub struct Book {
    run_id: String,
    opened: Instant,
    frames: Spool<FrameRow>,
    people: Spool<PersonRow>,
    kept: Option<Kept>,
    waiting: VecDeque<Waiting>,
    written: Written,
}

impl Book {
    fn enter(&mut self, perceived: Perceived) -> Result<(), RunnerError> {
        let started = Instant::now();
        let Perceived { mut row, width, height, persons, without_body, identities } = perceived;
        let (frame, time_secs) = (row.frame, row.time_secs);
        self.waiting.push_back(Waiting { frame, time_secs, width, height, persons, without_body });
        self.enter_final(identities)?;
        row.write_secs = started.elapsed().as_secs_f64();
        row.write_from_secs = (started - self.opened).as_secs_f64();
        row.write_to_secs = self.opened.elapsed().as_secs_f64();
        match &mut self.kept {
            None => {
                self.frames.append(&row)?;
                self.frames.flush()?;
            }
            Some(kept) => self.written.kept_bytes += held_by(|| kept.frames.push(row)),
        }
        self.written.secs += started.elapsed().as_secs_f64();
        Ok(())
    }

    /// The people of frames whose identities became final.
    fn enter_final(&mut self, identities: Vec<FrameIdentities>) -> Result<(), RunnerError> {
        for FrameIdentities { frame_index, identities } in identities {
            let frame = frame_index as u64;
            while self.waiting.front().is_some_and(|waiting| waiting.frame <= frame) {
                let Some(waiting) = self.waiting.pop_front() else { break };
                let none = Vec::new();
                let named = if waiting.frame == frame { &identities } else { &none };
                for (at, person) in waiting.persons.iter().enumerate() {
                    let row = || person_row(&self.run_id, &waiting, at, person, named);
                    match &mut self.kept {
                        None => self.people.append(&row())?,
                        Some(kept) => self.written.kept_bytes += held_by(|| kept.people.push(row())),
                    }
                }
                for (at, detection) in waiting.without_body.iter().enumerate() {
                    let at = waiting.persons.len() + at;
                    let row = || detection_row(&self.run_id, &waiting, at, detection);
                    match &mut self.kept {
                        None => self.people.append(&row())?,
                        Some(kept) => self.written.kept_bytes += held_by(|| kept.people.push(row())),
                    }
                }
            }
        }
        Ok(self.people.flush()?)
    }

    fn finish(&mut self, identities: Vec<FrameIdentities>) -> Result<(), RunnerError> {
        let started = Instant::now();
        self.enter_final(identities)?;
        if let Some(kept) = self.kept.take() {
            kept.frames.iter().try_for_each(|row| self.frames.append(row))?;
            kept.people.iter().try_for_each(|row| self.people.append(row))?;
            self.frames.flush()?;
            self.people.flush()?;
        }
        self.written.secs += started.elapsed().as_secs_f64();
        Ok(())
    }
}

/// How many bytes more this thread holds after `work`.
fn held_by(work: impl FnOnce()) -> u64 {
    let before = heap::here_bytes();
    work();
    u64::try_from(heap::here_bytes() - before).unwrap_or(0)
}

fn person_row(
    run_id: &str,
    frame: &Waiting,
    at: usize,
    person: &Person,
    identities: &[Identity],
) -> PersonRow {
    let identity = identities.iter().find(|identity| identity.person_index == Some(at));
    let pixels =
        person.joints_in_square.iter().map(|&point| pixel_from_square(point, frame.width, frame.height));
    let confidence = person.confidence.as_ref();
    PersonRow {
        track: identity.map(|identity| u64::from(identity.track_id)),
        betas: person.params.betas.to_vec(),
        global_orient: person.params.global_orient.iter().flatten().copied().collect(),
        body_pose: person.params.body_pose.iter().flatten().flatten().copied().collect(),
        crop_camera: person.crop_camera.to_vec(),
        translation_m: person.translation.to_vec(),
        joints_m: person.joints.iter().flatten().copied().collect(),
        joints_px: pixels.flatten().collect(),
        presence: confidence.map(|confidence| confidence.presence),
        joints_sd_mm: confidence.map_or_else(Vec::new, |confidence| confidence.joints_sd_mm.to_vec()),
        mask_counts: person.mask.as_ref().map(|mask| mask.counts.clone()),
        ..detection_row(run_id, frame, at, &person.detection)
    }
}

/// A row of a detection alone: where, and no body.
fn detection_row(run_id: &str, frame: &Waiting, at: usize, detection: &Detection) -> PersonRow {
    let bbox = detection.bbox;
    PersonRow {
        run_id: run_id.to_string(),
        frame: frame.frame,
        time_secs: frame.time_secs,
        person: at as u64,
        truth_id: detection.truth_id.map(u64::from),
        x1_px: bbox.x1,
        y1_px: bbox.y1,
        x2_px: bbox.x2,
        y2_px: bbox.y2,
        score: detection.score,
        ..PersonRow::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::read_spool;

    fn perceived(frame: u64, decided: &[usize]) -> Perceived {
        let identities =
            decided.iter().map(|&frame_index| FrameIdentities { frame_index, identities: vec![] });
        Perceived {
            row: FrameRow { frame, ..FrameRow::default() },
            width: 64,
            height: 48,
            persons: Vec::new(),
            without_body: Vec::new(),
            identities: identities.collect(),
        }
    }

    fn frames_in(folder: &Path) -> Vec<u64> {
        read_spool::<FrameRow>(folder).unwrap().map(|row| row.unwrap().frame).collect()
    }

    #[test]
    fn rows_come_in_order_whoever_writes_them_and_whenever() {
        for beside in [false, true] {
            for way in [experiment::Results::Stream, experiment::Results::Accumulate] {
                let folder = tempfile::tempdir().unwrap();
                let mut results = Results::create(folder.path(), "r", way, beside, Instant::now()).unwrap();
                for frame in 0..20 {
                    results = results.enter(perceived(frame, &[frame as usize])).unwrap();
                }
                if way == experiment::Results::Accumulate {
                    // a run that dies now has nothing to show
                    assert!(frames_in(folder.path()).is_empty());
                }
                results.finish(Vec::new()).unwrap();
                assert_eq!(frames_in(folder.path()), (0..20).collect::<Vec<u64>>(), "{beside} {way:?}");
            }
        }
    }

    #[test]
    fn a_row_that_cannot_be_written_is_told_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let full = std::path::Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        std::os::unix::fs::symlink(full, Spool::<FrameRow>::path_in(folder.path())).unwrap();
        let way = experiment::Results::Stream;
        let mut results = Results::create(folder.path(), "r", way, true, Instant::now()).unwrap();
        let told = loop {
            match results.enter(perceived(0, &[])) {
                Ok(again) => results = again,
                Err(error) => break error,
            }
        };
        assert!(told.to_string().contains("No space left"), "{told}");
    }
}
