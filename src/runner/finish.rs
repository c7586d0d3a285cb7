//! From a run's spools to its tables, its accuracy and its row.

use super::RunnerError;
use super::accuracy::{Accuracy, Truth};
use super::clips::{Clip, OfViews, Ready};
use super::death::Outcome;
use super::folder::utc_now;
use super::jitter::Jitter;
use super::plan::Planned;
use super::planner::mode_of;
use super::smoothing::TrackSmoother;
use super::views::{self, ViewTruth};
use super::watch::Seen;
use crate::body::Body;
use crate::dataset::walkers::{Encoding, WalkersClip};
use crate::device::Card;
use crate::experiment::Smoothing;
use crate::provenance::{Machine, Source};
use crate::tables::files::TableWriter;
use crate::tables::{FrameRow, MemoryRow, PersonRow, Row, RunRow, Spool, read_spool};
use crate::video::{Extract, Mode, Store};
use std::path::Path;

/// Turns the spools in `folder` into tables, removes them, and fills in the accuracy of `row`.
///
/// A run that failed keeps the rows that it finished; it has no accuracy.
///
/// # Errors
/// If a spool cannot be read or a table not be written.
pub fn tables(
    folder: &Path,
    row: &mut RunRow,
    body: &Body,
    truth: Option<Truth>,
    views: Option<&OfViews>,
    smoothing: &Smoothing,
) -> Result<(), RunnerError> {
    let views = views.map(|of| ViewTruth::read(&of.path, &of.view, &of.origin)).transpose()?;
    // where a file begins anew its frames are others
    let views = views.filter(|_| row.loops <= 1);
    let mut in_view = Vec::new();
    // a process that was ended could not say how far it had come
    row.frames_done = Some(convert::<FrameRow>(folder, |_| ())?);
    convert::<MemoryRow>(folder, |_| ())?;
    // where a file begins anew its people are others to a tracker, and the same to the truth
    let mut accuracy = Accuracy::new(body, truth.filter(|_| row.loops <= 1));
    let mut smoother = smoothing.results.then(|| TrackSmoother::new(&smoothing.filter, body));
    let (mut jitter, mut smooth_jitter) = (Jitter::new(row.every), Jitter::new(row.every));
    let mut without_body = 0;
    let people = convert::<PersonRow>(folder, |person| {
        if let Some(smoother) = &mut smoother {
            smoother.fill(person);
        }
        if views.as_ref().is_some_and(|views| views.has(person.frame)) {
            in_view.extend(views::candidate(person));
        }
        if let Some(track) = person.track {
            jitter.add(track, person.frame, &person.joints_m);
            smooth_jitter.add(track, person.frame, &person.smooth_joints_m);
        }
        without_body += u64::from(person.joints_m.is_empty());
        accuracy.add(person);
    })?;
    row.people_without_body = Some(without_body);
    row.people = row.people.or(Some(people));
    if row.outcome == Outcome::Ok.name() {
        row.jitter_mm_per_frame2 = jitter.mean();
        row.smooth_jitter_mm_per_frame2 = smooth_jitter.mean();
        accuracy.finish(row, row.first_frame.unwrap_or(0) as usize);
        if let Some(views) = views {
            views.score(row, &in_view, body)?;
        }
    }
    Ok(())
}

/// Turns one spool into a table; gives its number of rows.
fn convert<R: Row>(folder: &Path, mut with: impl FnMut(&mut R)) -> Result<u64, RunnerError> {
    let mut rows = 0;
    let mut table = TableWriter::create(folder)?;
    for row in read_spool::<R>(folder)? {
        let mut row = row?;
        with(&mut row);
        table.push(row)?;
        rows += 1;
    }
    table.finish()?;
    let spool = Spool::<R>::path_in(folder);
    if spool.exists() {
        std::fs::remove_file(&spool).map_err(RunnerError::file(&spool))?;
    }
    Ok(rows)
}

/// What is known of a run before it starts.
pub fn row_before(planned: &Planned, source: &Source, machine: &Machine) -> RunRow {
    let settings = &planned.settings;
    let key = planned.key.as_ref();
    let mut row = RunRow {
        run_id: key.map(super::key::Key::run_id).unwrap_or_else(|| planned.stand_in_id()),
        mode: mode_of(settings),
        repeat: planned.repeat,
        settings: super::key::Key::settings_of(settings).to_string(),
        dataset: settings.dataset.name.clone(),
        clip: planned.clip.name().to_string(),
        model: settings.model.clone(),
        detector: Some(settings.detect.model.name().to_string()),
        detector_sha256: key.and_then(|key| key.detector_sha256.clone()),
        weights_sha256: key.map(|key| key.weights_sha256.clone()),
        body_sha256: key.and_then(|key| key.body_sha256.clone()),
        precision: precision_of(settings),
        hmr2_batch: settings.hmr2.batch as u64,
        hmr2_frames: settings.hmr2.frames as u64,
        results: settings.results.name().to_string(),
        every: settings.video.every() as u64,
        loops: settings.video.loops() as u64,
        overlap: Some(settings.video.overlap()),
        device: planned.place.device.clone(),
        limit_host_mib: settings.limits.host_mib,
        limit_device_mib: settings.limits.device_mib,
        gpu: planned.place.card.as_ref().map(|card| card.name.clone()),
        driver: planned.place.card.as_ref().map(Card::driver_in_words),
        device_total_bytes: planned.place.card.as_ref().map(|card| card.total_bytes),
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
    row.jpeg_quality = jpeg_quality(settings);
    if let Clip::Ready(ready) = &planned.clip {
        let Ready { sha256, bytes, width, height, frames, fps, drawn, .. } = ready;
        row.clip_sha256 = Some(sha256.clone());
        row.clip_decoded_sha256 = ready.decoded_sha256.clone();
        row.clip_as_recorded = ready.is_as_recorded();
        row.clip_bytes = Some(*bytes);
        row.width = Some(*width as u64);
        row.height = Some(*height as u64);
        row.clip_frames = Some(*frames as u64);
        // until the range is known
        row.frames = Some((*frames as u64 * row.loops).div_ceil(row.every.max(1)));
        row.fps = Some(*fps);
        if let Some(drawn) = drawn {
            add_scene(&mut row, drawn);
        }
    }
    row
}

/// What a drawn clip was made by.
fn add_scene(row: &mut RunRow, drawn: &WalkersClip) {
    let Encoding { gop, b_frames, crf, bit_rate_kbps } = &drawn.encoding;
    row.dataset_seed = drawn.seed.checked_sub(drawn.scene.seed);
    row.dataset_people = Some(drawn.people as u64);
    row.gop = Some(u64::from(*gop));
    row.b_frames = Some(u64::from(*b_frames));
    row.bit_rate_kbps = bit_rate_kbps.map(u64::from);
    // without effect beside a bit rate
    row.crf = row.bit_rate_kbps.is_none().then_some(u64::from(*crf));
}

fn jpeg_quality(settings: &crate::experiment::Settings) -> Option<u64> {
    match settings.video.mode() {
        Ok(Mode::Extract(Extract { store: Store::Jpeg, quality })) => quality.map(u64::from),
        _ => None,
    }
}

pub(super) fn precision_of(settings: &crate::experiment::Settings) -> String {
    // the word that the experiment file has for it
    let word = serde_json::to_value(settings.hmr2.precision).ok();
    word.and_then(|word| word.as_str().map(str::to_string)).unwrap_or_default()
}

/// Adds what was seen of the run.
pub fn add_seen(row: &mut RunRow, seen: Seen) {
    let Seen { outcome, error, wall_secs, facts, .. } = seen;
    row.outcome = outcome.name().to_string();
    row.error = error;
    row.remarks = facts.remarks;
    row.wall_secs = Some(wall_secs);
    row.first_frame = facts.first_frame;
    row.frames = facts.frames.or(row.frames);
    row.fps = facts.fps.or(row.fps);
    row.people = facts.people;
    row.setup_secs = facts.setup_secs;
    row.open_secs = facts.open_secs;
    row.first_frame_secs = facts.first_frame_secs;
    row.decode_secs = facts.decode_secs;
    row.detect_secs = facts.detect_secs;
    row.recover_secs = facts.recover_secs;
    row.track_secs = facts.track_secs;
    row.write_secs = facts.write_secs;
    let frames = facts.frames.filter(|frames| *frames > 0);
    row.latency_secs = facts.latency_secs.zip(frames).map(|(sum, frames)| sum / frames as f64);
    row.heap_setup_peak_bytes = facts.heap_setup_peak_bytes;
    row.heap_base_bytes = facts.heap_base_bytes;
    row.heap_peak_bytes = seen.heap_peak_bytes;
    row.heap_weights_bytes = facts.heap_weights_bytes;
    row.heap_scratch_bytes = facts.heap_scratch_bytes;
    row.heap_frames_bytes = facts.heap_frames_bytes;
    row.heap_activations_bytes = facts.heap_activations_bytes;
    row.heap_tracks_bytes = facts.heap_tracks_bytes;
    row.heap_results_bytes = facts.heap_results_bytes;
    row.process_peak_bytes = seen.process_peak_bytes;
    row.decoder_peak_bytes = seen.decoder_peak_bytes;
    row.disk_peak_bytes = seen.disk_peak_bytes;
    row.disk_written_bytes = facts.disk_written_bytes;
    row.device_setup_peak_bytes = facts.device_setup_peak_bytes;
    row.device_base_bytes = facts.device_base_bytes;
    row.device_peak_bytes = seen.device_peak_bytes;
    row.device_reserved_peak_bytes = seen.device_reserved_peak_bytes;
    row.device_process_peak_bytes = seen.device_process_peak_bytes;
    row.device_context_bytes = facts.device_context_bytes;
    row.device_workspace_bytes = facts.device_workspace_bytes;
    row.device_ballast_bytes = facts.device_ballast_bytes;
}
