//! The process of one run: the stages joined, rows appended as they come.
//!
//! What it does with the frames is [`Pipeline`]'s; this is what stands around it: the order, the limits, the
//! device, the account.

use super::RunnerError;
use super::card::Site;
use super::death::Outcome;
use super::order::{self, Account, Facts, Order};
use super::pipeline::{Pipeline, counted};
use super::results::Results;
use super::stages::Stages;
use super::store::write_json;
use crate::memory::{heap, live::Publisher, process};
use crate::nn;
use crate::video;
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
    let before_bytes = heap::current_bytes();
    if site.device().is_cpu() {
        // now, and not with some frame's people: the heap's peak then does not depend on who is seen when
        nn::make_scratch();
    }
    facts.heap_scratch_bytes = counted(heap::current_bytes().saturating_sub(before_bytes));
    let before_bytes = heap::current_bytes();
    let stages = Stages::load(&order, site.device())?;
    site.models_are_loaded(facts);
    facts.setup_secs = Some(started.elapsed().as_secs_f64());
    facts.heap_setup_peak_bytes = counted(heap::reset_peak());
    facts.heap_base_bytes = counted(heap::current_bytes());
    facts.heap_weights_bytes = counted(heap::current_bytes().saturating_sub(before_bytes));

    let started = Instant::now();
    let settings = &order.settings;
    let results =
        Results::create(folder, &order.run_id, settings.results, settings.video.overlap(), started)?;
    let mut source =
        video::open_at(&order.video, order.fps, &settings.video, &order.scratch, stages.device())?;
    facts.first_frame = Some(source.range().start as u64);
    facts.frames = Some(source.frames() as u64);
    facts.fps = Some(source.probe().fps);
    publisher.frames(source.frames() as u64);
    source.prepare()?;
    facts.open_secs = Some(started.elapsed().as_secs_f64());
    facts.disk_peak_bytes = Some(source.disk_peak_bytes());
    publisher.disk_bytes(source.disk_bytes());

    let together = settings.hmr2.frames;
    let ran = Pipeline::new(order.run_id, stages, results, together, started, facts)
        .run(source.as_mut(), publisher);
    facts.disk_peak_bytes = Some(source.disk_peak_bytes());
    facts.heap_frames_bytes = counted(source.frame_buffer_bytes());
    ran?;
    let complaints = Some(source.complaints()).filter(|complaints| !complaints.is_empty());
    facts.remarks = facts.remarks.take().into_iter().chain(complaints).reduce(|a, b| format!("{a}\n{b}"));
    Ok(())
}

fn read_order(folder: &Path) -> Result<Order, RunnerError> {
    let path = order::order_in(folder);
    let bytes = std::fs::read(&path).map_err(RunnerError::file(&path))?;
    serde_json::from_slice(&bytes).map_err(|error| RunnerError::Order { path, message: error.to_string() })
}
