//! Assembles the record of a run: its row before and after the run, its tables, its accuracy.
//!
//! Input: the planned run, the worker's report, and the row logs in the run's folder. Output: the row of the table `runs`
//! and the other tables as files.

use crate::experiment::SmoothingSettings;
use crate::runner::RunnerError;
use crate::runner::job::WorkerReport;
use crate::runner::job::clips::{Clip, ReadyClip, ViewTruthFile};
use crate::runner::job::planned::PlannedRun;
use crate::runner::scoring::accuracy::{Accuracy, Truth};
use crate::runner::scoring::jitter::Jitter;
use crate::runner::scoring::smoothing::TrackSmoother;
use crate::runner::scoring::views::{self, ViewTruth};
use crate::runner::store::report_folder::utc_now;
use posebook_core::labels::Outcome;
use posebook_core::provenance::{Machine, SourceVersion};
use posebook_models::body::Body;
use posebook_models::device::Gpu;
use posebook_notebook::tables::files::TableWriter;
use posebook_notebook::tables::{FrameRow, MemoryRow, PersonRow, RowLog, RunRow, TableRow, read_row_log};
use posebook_synth::walkers::{Encoding, WalkersClip};
use posebook_video::{Extract, Mode, Store};
use std::path::Path;

/// Converts the row logs in `folder` to tables, removes them, and fills in the accuracy of `row`.
///
/// A failed run keeps the rows that it finished; it has no accuracy.
///
/// # Errors
/// If a row log cannot be read or a table cannot be written.
pub fn tables(
    folder: &Path,
    row: &mut RunRow,
    body: &Body,
    truth: Option<Truth>,
    views: Option<&ViewTruthFile>,
    smoothing: &SmoothingSettings,
) -> Result<(), RunnerError> {
    let views = views.map(|file| ViewTruth::load(&file.path, &file.view, &file.origin)).transpose()?;
    // ground truth of views has each frame once, so that a file that is read several times cannot be scored
    let views = views.filter(|_| row.loops <= 1);
    let mut in_view = Vec::new();
    // counted here, because a killed process cannot report it
    row.frames_done = Some(convert::<FrameRow>(folder, |_| ())?);
    convert::<MemoryRow>(folder, |_| ())?;
    // when a file starts again, people get new track ids but keep their ids in the ground truth
    let mut accuracy = Accuracy::new(body, truth.filter(|_| row.loops <= 1));
    let mut smoother = smoothing.results.then(|| TrackSmoother::new(&smoothing.filter, body));
    let (mut jitter, mut smooth_jitter) = (Jitter::new(row.every), Jitter::new(row.every));
    let mut without_body = 0;
    let people = convert::<PersonRow>(folder, |person| {
        if let Some(smoother) = &mut smoother {
            smoother.fill(person);
        }
        if views.as_ref().is_some_and(|views| views.has_frame(person.frame)) {
            in_view.extend(views::view_person(person));
        }
        if let Some(track) = person.track {
            jitter.add(track, person.frame, &person.joints_m);
            smooth_jitter.add(track, person.frame, &person.smooth_joints_m);
        }
        without_body += u64::from(person.joints_m.is_empty());
        accuracy.add(person);
    })?;
    row.people_without_body = Some(without_body);
    row.metrics.tracking.people = row.metrics.tracking.people.or(Some(people));
    if row.outcome == Outcome::Ok {
        row.metrics.pose.jitter_mm_per_frame2 = jitter.mean();
        row.metrics.pose.smooth_jitter_mm_per_frame2 = smooth_jitter.mean();
        accuracy.finish(row, row.first_frame.unwrap_or(0) as usize);
        if let Some(views) = views {
            views.score(row, &in_view, body)?;
        }
    }
    Ok(())
}

/// Converts one row log to a table, with `update` applied to each row. Returns the number of rows.
fn convert<R: TableRow>(folder: &Path, mut update: impl FnMut(&mut R)) -> Result<u64, RunnerError> {
    let mut rows = 0;
    let mut table = TableWriter::create(folder)?;
    for row in read_row_log::<R>(folder)? {
        let mut row = row?;
        update(&mut row);
        table.push(row)?;
        rows += 1;
    }
    table.finish()?;
    let row_log = RowLog::<R>::path(folder);
    if row_log.exists() {
        std::fs::remove_file(&row_log).map_err(RunnerError::file(&row_log))?;
    }
    Ok(rows)
}

/// The row of a run that has not started: settings, clip, model, machine.
pub fn row_before(planned: &PlannedRun, source: &SourceVersion, machine: &Machine) -> RunRow {
    let settings = &planned.settings;
    let key = planned.key.as_ref();
    let mut row = RunRow {
        run_id: planned.run_id.clone(),
        mode: settings.video.mode().ok().map(Mode::label),
        repeat: planned.repeat,
        settings: planned.settings_json.to_string(),
        dataset: settings.dataset.name.clone(),
        clip: planned.clip.name().to_string(),
        model: settings.model.clone(),
        detector: Some(settings.detect.model.name().to_string()),
        detector_sha256: key.and_then(|key| key.detector_sha256.clone()),
        cues: Some(settings.phalp.cues.to_string()),
        weights_sha256: key.map(|key| key.weights_sha256.clone()),
        body_sha256: key.and_then(|key| key.body_sha256.clone()),
        precision: settings.hmr2.precision,
        hmr2_batch: settings.hmr2.batch as u64,
        hmr2_frames: settings.hmr2.frames as u64,
        results: settings.results.name().to_string(),
        every: settings.video.every() as u64,
        loops: settings.video.loops() as u64,
        overlap: Some(settings.video.overlap()),
        device: planned.placement.device.clone(),
        limit_host_mib: settings.limits.host_mib,
        limit_device_mib: settings.limits.device_mib,
        gpu: planned.placement.gpu.as_ref().map(|gpu| gpu.name.clone()),
        driver: planned.placement.gpu.as_ref().map(Gpu::driver_description),
        seed: settings.seed,
        git_hash: source.git_hash.clone(),
        git_dirty: source.git_dirty,
        program_sha256: key.map(|key| key.program_sha256.clone()),
        cpu: machine.cpu.clone(),
        cores: Some(machine.cores as u64),
        machine_memory_bytes: machine.memory_bytes,
        os: Some(machine.os.clone()),
        ffmpeg: machine.ffmpeg.clone(),
        started_utc: Some(utc_now()),
        ..RunRow::default()
    };
    row.metrics.device.device_total_bytes = planned.placement.gpu.as_ref().map(|gpu| gpu.total_bytes);
    row.jpeg_quality = jpeg_quality(settings);
    if let Clip::Ready(ready) = &planned.clip {
        let ReadyClip { sha256, bytes, width, height, frames, fps, scene: drawn, .. } = ready;
        row.clip_sha256 = Some(sha256.clone());
        row.clip_decoded_sha256 = ready.decoded_sha256.clone();
        row.clip_as_recorded = ready.matches_recorded_hash();
        row.clip_bytes = Some(*bytes);
        row.width = Some(*width as u64);
        row.height = Some(*height as u64);
        row.clip_frames = Some(*frames as u64);
        // an estimate, replaced when the worker has opened the video
        row.frames = Some((*frames as u64 * row.loops).div_ceil(row.every.max(1)));
        row.fps = Some(*fps);
        if let Some(drawn) = drawn {
            add_scene(&mut row, drawn);
        }
    }
    row
}

/// Adds the parameters of a drawn clip.
fn add_scene(row: &mut RunRow, drawn: &WalkersClip) {
    let Encoding { gop, b_frames, crf, bit_rate_kbps } = &drawn.encoding;
    row.dataset_seed = drawn.seed.checked_sub(drawn.scene.seed);
    row.dataset_people = Some(drawn.people as u64);
    row.gop = Some(u64::from(*gop));
    row.b_frames = Some(u64::from(*b_frames));
    row.bit_rate_kbps = bit_rate_kbps.map(u64::from);
    // the encoder ignores crf where a bit rate is set
    row.crf = row.bit_rate_kbps.is_none().then_some(u64::from(*crf));
}

fn jpeg_quality(settings: &crate::experiment::Settings) -> Option<u64> {
    match settings.video.mode() {
        Ok(Mode::Extract(Extract { store: Store::Jpeg, quality })) => quality.map(u64::from),
        _ => None,
    }
}

/// Adds the report of the finished process to the row.
pub fn add_report(row: &mut RunRow, report: WorkerReport) {
    let WorkerReport { outcome, error, remarks, first_frame, frames, fps, metrics } = report;
    row.outcome = outcome;
    row.error = error;
    row.remarks = remarks;
    row.first_frame = first_frame;
    row.frames = frames.or(row.frames);
    row.fps = fps.or(row.fps);
    let device_total_bytes = row.metrics.device.device_total_bytes;
    row.metrics = metrics;
    row.metrics.device.device_total_bytes = device_total_bytes;
}
