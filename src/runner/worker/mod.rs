//! Executes one run in a process of its own: opens device, networks and video, runs the pipeline, writes the report.
//!
//! Input: the job in the run's folder. Output: row logs and the report in the same folder. During the run,
//! [`posebook_core::memory::live`] writes memory and the current frame to a file that the supervisor reads.

pub mod detection;
pub mod pipeline;
pub mod result_writer;
pub mod shots;
pub mod stages;

use super::RunnerError;
use super::job::{self, JobSpec, WorkerReport};
use super::store::write_json;
use crate::runner::drawing::overlay::OverlaySink;
use crate::runner::job::gpu::DeviceSession;
use crate::runner::worker::pipeline::{Pipeline, if_counted};
use crate::runner::worker::result_writer::ResultWriter;
use crate::runner::worker::shots::ShotMarks;
use crate::runner::worker::stages::Stages;
use posebook_core::labels::Outcome;
use posebook_core::memory::live::Publisher;
use posebook_core::memory::{heap, process};
use posebook_models::device::uploader;
use posebook_models::nn;
use posebook_video as video;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// The hidden subcommand `worker FOLDER`: executes the job in `folder` and writes its report there.
pub fn run_worker(folder: &Path) -> ExitCode {
    exit_with_parent();
    let mut report = WorkerReport::default();
    let result = run(folder, &mut report);
    let host = &mut report.metrics.host;
    host.heap_peak_bytes = host.heap_base_bytes.map(|_| heap::peak_bytes());
    host.process_peak_bytes = process::own_resident_bytes().map(|(_, peak_bytes)| peak_bytes);
    report.metrics.disk.disk_written_bytes = process::own_written_bytes();
    report.outcome = match &result {
        Ok(()) => Outcome::Ok,
        Err(error) if error.is_out_of_memory() => Outcome::OutOfMemory,
        Err(_) => Outcome::Error,
    };
    report.error = result.err().map(|error| error.to_string());
    match write_json(&job::report_path(folder), &report) {
        Ok(()) if report.outcome == Outcome::Ok => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Asks the kernel to kill this process when its supervisor ends: without it nothing is measured.
fn exit_with_parent() {
    #[cfg(target_os = "linux")]
    {
        // if the kernel refuses, the run goes on to its end
        let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
        // a supervisor that ended before gives no signal
        let supervisor = std::env::var(job::SUPERVISOR).ok().and_then(|id| id.parse::<u32>().ok());
        if supervisor.is_some_and(|id| id != std::os::unix::process::parent_id()) {
            std::process::exit(1);
        }
    }
}

fn run(folder: &Path, report: &mut WorkerReport) -> Result<(), RunnerError> {
    let job = read_job(folder)?;
    if let Some(mib) = job.settings.limits.host_mib {
        heap::set_limit_bytes(mib * 1024 * 1024);
    }
    let live = job::live_path(folder);
    let publisher = Publisher::start(&live).map_err(RunnerError::file(&live))?;

    let started = Instant::now();
    let session = DeviceSession::open(&job, &publisher, &mut report.metrics.device)?;
    session.remarks().iter().for_each(|remark| report.add_remark(remark));
    let result = run_on_device(folder, job, &session, &publisher, report, started);
    session.record_peaks(&mut report.metrics.device);
    result.map_err(|error| session.explain_error(error))
}

/// Loads the networks, opens the video and runs the pipeline. Opening the device began at `started`.
fn run_on_device(
    folder: &Path,
    job: JobSpec,
    session: &DeviceSession,
    publisher: &Publisher,
    report: &mut WorkerReport,
    started: Instant,
) -> Result<(), RunnerError> {
    let before_bytes = heap::current_bytes();
    if session.device().is_cpu() {
        // Allocated now and not at the first product, so that the heap's peak does not depend on when people appear.
        nn::preallocate_scratch();
    }
    let heap_added_bytes = |before_bytes| if_counted(heap::current_bytes().saturating_sub(before_bytes));
    report.metrics.host.heap_scratch_bytes = heap_added_bytes(before_bytes);
    let before_bytes = heap::current_bytes();
    let stages = Stages::load(&job, session.device())?;
    session.after_model_load(&mut report.metrics.device);
    report.metrics.timing.setup_secs = Some(started.elapsed().as_secs_f64());
    report.metrics.host.heap_setup_peak_bytes = if_counted(heap::reset_peak());
    report.metrics.host.heap_base_bytes = if_counted(heap::current_bytes());
    report.metrics.host.heap_weights_bytes = heap_added_bytes(before_bytes);

    let opened = Instant::now();
    let settings = &job.settings;
    let device = stages.device();
    let uploader = (!device.is_cpu()).then(|| uploader(device));
    let mut source = video::open_with_fps(&job.video, job.fps, &settings.video, &job.scratch, uploader)?;
    report.first_frame = Some(source.range().start as u64);
    report.frames = Some(source.frame_count() as u64);
    report.fps = Some(source.probe().fps);
    publisher.set_frame_count(source.frame_count() as u64);
    source.prepare()?;
    report.metrics.timing.open_secs = Some(opened.elapsed().as_secs_f64());
    report.metrics.disk.disk_peak_bytes = Some(source.disk_peak_bytes());
    publisher.set_disk_bytes(source.disk_bytes());

    let overlay = job.overlay.as_ref();
    let overlay = overlay.map(|path| OverlaySink::start(path, &source, settings, &job.model)).transpose()?;
    let draws_overlay = overlay.is_some();
    let (is_threaded, frames_per_batch) = (settings.video.overlap(), settings.hmr2.frames);
    let results = ResultWriter::create(folder, &job.run_id, settings.results, is_threaded, opened, overlay)?;
    let shots = ShotMarks::start(settings.shots, &source)?;
    let pipeline = Pipeline::new(job.run_id, stages, shots, results, frames_per_batch, opened, report);
    let pipeline = if draws_overlay { pipeline.with_frame_copies() } else { pipeline };
    let result = pipeline.run(&mut source, publisher);
    report.metrics.disk.disk_peak_bytes = Some(source.disk_peak_bytes());
    report.metrics.host.heap_frames_bytes = if_counted(source.frame_buffer_bytes());
    result?;
    report.add_remark(&source.decoder_warnings());
    Ok(())
}

fn read_job(folder: &Path) -> Result<JobSpec, RunnerError> {
    let path = job::job_path(folder);
    let bytes = std::fs::read(&path).map_err(RunnerError::file(&path))?;
    serde_json::from_slice(&bytes).map_err(|error| RunnerError::Job { path, message: error.to_string() })
}
