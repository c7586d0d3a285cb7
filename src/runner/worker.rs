//! The process of one run: the stages joined, rows appended as they come.
//!
//! What it holds does not grow with the length of the video beyond what the video mode itself keeps:
//! truth is read frame by frame, persons wait a few frames for their identity, rows go to spools.

use super::RunnerError;
use super::card::Site;
use super::death::Outcome;
use super::order::{self, Account, Facts, Order};
use super::stages::{Seen, Stages};
use super::store::write_json;
use crate::memory::{heap, live::Publisher, process};
use crate::person::{Person, pixel_from_square};
use crate::phalp::{FrameIdentities, Identity};
use crate::tables::{FrameRow, PersonRow, Spool};
use crate::video::{self, FrameSource};
use std::collections::VecDeque;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// What the hidden subcommand `worker FOLDER` does: carries out the order in `folder` and leaves an
/// account of it there.
pub fn main(folder: &Path) -> ExitCode {
    die_with_parent();
    let mut facts = Facts::default();
    let result = carry_out(folder, &mut facts);
    facts.heap_peak_bytes = facts.heap_base_bytes.map(|_| heap::peak_bytes());
    facts.process_peak_bytes = process::own_resident().map(|(_, peak)| peak);
    facts.disk_written_bytes = process::own_written_bytes();
    let (outcome, error) = match &result {
        Ok(()) => (Outcome::Ok, None),
        Err(error) if error.is_out_of_memory() => (Outcome::OutOfMemory, Some(error.to_string())),
        Err(error) => (Outcome::Error, Some(error.to_string())),
    };
    let account = Account { outcome, error, facts };
    match write_json(&order::account_in(folder), &account) {
        Ok(()) if outcome == Outcome::Ok => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A run whose watcher is gone measures nothing any more.
fn die_with_parent() {
    #[cfg(target_os = "linux")]
    {
        // where the kernel refuses, the run merely lives on to its end
        let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    }
}

fn carry_out(folder: &Path, facts: &mut Facts) -> Result<(), RunnerError> {
    let order = read_order(folder)?;
    if let Some(mib) = order.settings.limits.host_mib {
        heap::set_limit_bytes(mib * 1024 * 1024);
    }
    let live = order::live_in(folder);
    let publisher = Publisher::start(&live).map_err(RunnerError::file(&live))?;

    let started = Instant::now();
    let site = Site::open(&order, &publisher, facts)?;
    facts.remarks = Some(site.remarks().join("\n")).filter(|remarks| !remarks.is_empty());
    let worked = work(folder, order, &site, &publisher, facts, started);
    site.account(facts);
    worked.map_err(|error| site.explain(error))
}

/// The run on its device, which was being opened when it `started`.
fn work(
    folder: &Path,
    order: Order,
    site: &Site,
    publisher: &Publisher,
    facts: &mut Facts,
    started: Instant,
) -> Result<(), RunnerError> {
    let stages = Stages::load(&order, site.device())?;
    let spools = Spools::create(folder)?;
    site.models_are_loaded(facts);
    facts.setup_secs = Some(started.elapsed().as_secs_f64());
    facts.heap_setup_peak_bytes = counted(heap::reset_peak());
    facts.heap_base_bytes = counted(heap::current_bytes());

    let started = Instant::now();
    let mut source = video::open(&order.video, &order.settings.video, &order.scratch, stages.device())?;
    facts.first_frame = Some(source.range().start as u64);
    facts.frames = Some(source.frames() as u64);
    source.prepare()?;
    facts.open_secs = Some(started.elapsed().as_secs_f64());
    facts.disk_peak_bytes = Some(source.disk_peak_bytes());
    publisher.disk_bytes(source.disk_bytes());

    let together = order.settings.hmr2.frames;
    let (gathered, waiting) = (Vec::with_capacity(together), VecDeque::new());
    let mut joined = Joined { run_id: order.run_id, stages, spools, together, gathered, waiting, facts };
    while joined.frame(source.as_mut(), publisher)? {}
    joined.finish()?;
    facts.disk_peak_bytes = Some(source.disk_peak_bytes());
    let complaints = Some(source.complaints()).filter(|complaints| !complaints.is_empty());
    facts.remarks = facts.remarks.take().into_iter().chain(complaints).reduce(|a, b| format!("{a}\n{b}"));
    Ok(())
}

fn counted(bytes: u64) -> Option<u64> {
    heap::is_counting().then_some(bytes)
}

fn read_order(folder: &Path) -> Result<Order, RunnerError> {
    let path = order::order_in(folder);
    let bytes = std::fs::read(&path).map_err(RunnerError::file(&path))?;
    serde_json::from_slice(&bytes).map_err(|error| RunnerError::Order { path, message: error.to_string() })
}

struct Spools {
    frames: Spool<FrameRow>,
    people: Spool<PersonRow>,
}

impl Spools {
    fn create(folder: &Path) -> Result<Spools, RunnerError> {
        Ok(Spools { frames: Spool::create(folder)?, people: Spool::create(folder)? })
    }
}

/// A frame whose identities are not final yet.
struct Waiting {
    frame_index: usize,
    time_secs: f64,
    width: usize,
    height: usize,
    persons: Vec<Person>,
}

/// A frame whose people go through the network with those of its neighbours.
struct Gathered {
    seen: Seen,
    time_secs: f64,
    decode_secs: f64,
    arrived: Instant,
}

/// The stages at work.
struct Joined<'f> {
    run_id: String,
    stages: Stages,
    spools: Spools,
    /// Frames that go through the network together.
    together: usize,
    gathered: Vec<Gathered>,
    waiting: VecDeque<Waiting>,
    facts: &'f mut Facts,
}

impl Joined<'_> {
    /// Takes one frame in, and all that are gathered through the stages when there are enough; false when
    /// there are no more.
    fn frame(&mut self, source: &mut dyn FrameSource, publisher: &Publisher) -> Result<bool, RunnerError> {
        let started = Instant::now();
        let Some(frame) = source.next_frame()? else {
            self.work_off()?;
            return Ok(false);
        };
        let arrived = Instant::now();
        publisher.frame(frame.index as u64);
        let seen = self.stages.see(&frame)?;
        let decode_secs = (arrived - started).as_secs_f64();
        self.gathered.push(Gathered { seen, time_secs: frame.time_secs, decode_secs, arrived });
        drop(frame);
        if self.gathered.len() >= self.together {
            self.work_off()?;
        }
        publisher.disk_bytes(source.disk_bytes());
        Ok(true)
    }

    /// Takes the gathered frames through network and tracker, and writes their rows.
    fn work_off(&mut self) -> Result<(), RunnerError> {
        let mut sights = Vec::with_capacity(self.gathered.len());
        let mut notes = Vec::with_capacity(self.gathered.len());
        for Gathered { seen, time_secs, decode_secs, arrived } in self.gathered.drain(..) {
            notes.push((seen.detect_secs, seen.crop_secs, time_secs, decode_secs, arrived));
            sights.push(seen.sight);
        }
        let started = Instant::now();
        let everybody = self.stages.recover(&sights)?;
        let network_secs = started.elapsed().as_secs_f64();
        let all_people = everybody.iter().map(Vec::len).sum::<usize>().max(1) as f64;
        for ((sight, persons), note) in sights.iter().zip(everybody).zip(notes) {
            let (detect_secs, crop_secs, time_secs, decode_secs, arrived) = note;
            let started = Instant::now();
            let identities = self.stages.follow(sight, &persons)?;
            let track_secs = started.elapsed().as_secs_f64();
            let latency_secs = arrived.elapsed().as_secs_f64();
            let people = persons.len() as u64;
            let (frame_index, width, height) = (sight.frame_index, sight.frame_width, sight.frame_height);
            self.waiting.push_back(Waiting { frame_index, time_secs, width, height, persons });

            let started = Instant::now();
            self.write_people(identities)?;
            let row = FrameRow {
                run_id: self.run_id.clone(),
                frame: frame_index as u64,
                time_secs,
                decode_secs,
                detect_secs,
                // of the network's time each frame bears what its people are of all
                recover_secs: crop_secs + network_secs * people as f64 / all_people,
                track_secs,
                write_secs: started.elapsed().as_secs_f64(),
                latency_secs,
                people,
                heap_bytes: counted(heap::current_bytes()),
                heap_peak_bytes: counted(heap::peak_bytes()),
            };
            self.spools.frames.append(&row)?;
            self.add_up(&row);
        }
        Ok(self.spools.frames.flush()?)
    }

    fn add_up(&mut self, row: &FrameRow) {
        let facts = &mut *self.facts;
        for (sum, secs) in [
            (&mut facts.decode_secs, row.decode_secs),
            (&mut facts.detect_secs, row.detect_secs),
            (&mut facts.recover_secs, row.recover_secs),
            (&mut facts.track_secs, row.track_secs),
            (&mut facts.write_secs, row.write_secs),
            (&mut facts.latency_secs, row.latency_secs),
        ] {
            *sum = Some(sum.unwrap_or(0.0) + secs);
        }
        facts.people = Some(facts.people.unwrap_or(0) + row.people);
    }

    /// Writes the people of frames whose identities became final.
    fn write_people(&mut self, identities: Vec<FrameIdentities>) -> Result<(), RunnerError> {
        for FrameIdentities { frame_index, identities } in identities {
            while self.waiting.front().is_some_and(|waiting| waiting.frame_index <= frame_index) {
                let Some(waiting) = self.waiting.pop_front() else { break };
                let none = Vec::new();
                let named = if waiting.frame_index == frame_index { &identities } else { &none };
                for (at, person) in waiting.persons.iter().enumerate() {
                    self.spools.people.append(&person_row(&self.run_id, &waiting, at, person, named))?;
                }
            }
        }
        Ok(self.spools.people.flush()?)
    }

    /// Lets the tracker decide what is still open.
    fn finish(mut self) -> Result<(), RunnerError> {
        let started = Instant::now();
        let identities = self.stages.finish();
        self.write_people(identities)?;
        *self.facts.write_secs.get_or_insert(0.0) += started.elapsed().as_secs_f64();
        Ok(())
    }
}

fn person_row(
    run_id: &str,
    frame: &Waiting,
    at: usize,
    person: &Person,
    identities: &[Identity],
) -> PersonRow {
    let identity = identities.iter().find(|identity| identity.person_index == Some(at));
    let bbox = person.detection.bbox;
    let pixels =
        person.joints_in_square.iter().map(|&point| pixel_from_square(point, frame.width, frame.height));
    PersonRow {
        run_id: run_id.to_string(),
        frame: frame.frame_index as u64,
        time_secs: frame.time_secs,
        person: at as u64,
        track: identity.map(|identity| u64::from(identity.track_id)),
        truth_id: person.detection.truth_id.map(u64::from),
        x1_px: bbox.x1,
        y1_px: bbox.y1,
        x2_px: bbox.x2,
        y2_px: bbox.y2,
        score: person.detection.score,
        betas: person.params.betas.to_vec(),
        global_orient: person.params.global_orient.iter().flatten().copied().collect(),
        body_pose: person.params.body_pose.iter().flatten().flatten().copied().collect(),
        crop_camera: person.crop_camera.to_vec(),
        translation_m: person.translation.to_vec(),
        joints_m: person.joints.iter().flatten().copied().collect(),
        joints_px: pixels.flatten().collect(),
        mpjpe_mm: None,
        pa_mpjpe_mm: None,
    }
}
