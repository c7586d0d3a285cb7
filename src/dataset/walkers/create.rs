//! Creates a clip in the cache: encodes the frames, writes ground truth and record.

use super::super::DatasetError;
use super::super::cache::StagingFolder;
use super::super::encode::Encoder;
use super::super::frame_hash::decoded_sha256;
use super::super::record::{Progress, RECORD, Record, TABLE, TRUTH};
use super::super::table::TruthTableWriter;
use super::super::truth::TruthWriter;
use super::{SceneRenderer, WalkersClip, version};
use crate::body::Body;
use crate::frame::FrameSize;
use crate::provenance::{Machine, sha256_of_bytes, sha256_of_file};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const VIDEO: &str = "clip.mp4";

/// Everything that determines a clip; its hash names the clip's folder.
fn made_from(clip: &WalkersClip) -> serde_json::Value {
    json!({
        "version": version(),
        "body_sha256": sha256_of_bytes(Body::built_in_bytes()),
        "clip": clip,
    })
}

/// Name of the clip's folder in the cache.
pub fn cache_key(clip: &WalkersClip) -> String {
    sha256_of_bytes(made_from(clip).to_string().as_bytes())[..32].to_string()
}

/// Draws, encodes and writes a clip to `cache/key`.
pub fn create(
    name: &str,
    clip: &WalkersClip,
    cache: &Path,
    key: &str,
    progress: Progress,
) -> Result<PathBuf, DatasetError> {
    let create_error = |source| DatasetError::io("make a clip in", cache, source);
    let staging = StagingFolder::create(cache, key).map_err(create_error)?;
    let drawn_sha256 = draw(clip, staging.folder(), progress)?;
    let hash = |file: &str| sha256_of_file(&staging.folder().join(file)).map_err(create_error);
    let video = staging.folder().join(VIDEO);
    let record = Record {
        name: name.to_string(),
        video: VIDEO.into(),
        video_sha256: hash(VIDEO)?,
        decoded_sha256: Some(decoded_sha256(&video)?),
        video_bytes: std::fs::metadata(&video).map_err(create_error)?.len(),
        width: clip.width,
        height: clip.height,
        frames: clip.frames,
        fps: clip.fps,
        truth_sha256: Some(hash(TRUTH)?),
        boxes_sha256: None,
        table_sha256: Some(hash(TABLE)?),
        drawn_sha256: Some(drawn_sha256),
        ffmpeg: Machine::current().ffmpeg,
        made_from: made_from(clip),
        notes: Vec::new(),
        view: None,
        views_truth: None,
        truth_origin: None,
    };
    record.write(staging.folder())?;
    debug_assert!(staging.folder().join(RECORD).is_file());
    staging.commit().map_err(create_error)
}

/// Writes video and ground truth; returns the SHA-256 of all drawn frames.
fn draw(clip: &WalkersClip, folder: &Path, progress: Progress) -> Result<String, DatasetError> {
    let path = |name: &str| folder.join(name);
    let create = |name: &str| File::create(path(name)).map_err(|e| DatasetError::io("write", &path(name), e));
    let table_error =
        |error: polars::prelude::PolarsError| DatasetError::invalid(&path(TABLE), error.to_string());
    let mut encoder =
        Encoder::start(&path(VIDEO), FrameSize::new(clip.width, clip.height), clip.fps, &clip.encoding)?;
    let mut truth = TruthWriter::new(BufWriter::new(create(TRUTH)?));
    let mut table = TruthTableWriter::new(create(TABLE)?).map_err(table_error)?;
    let mut renderer = SceneRenderer::new(clip, Body::built_in());
    let mut hash = Sha256::new();
    for frame in 0..clip.frames {
        let mut people = renderer.draw(frame);
        hash.update(renderer.rgb());
        encoder.push(renderer.rgb())?;
        let is_scored = |share: Option<f32>| share.is_some_and(|share| share >= clip.least_visible.max(1e-6));
        for person in &people {
            table.push(frame, person, is_scored(person.visible_share)).map_err(table_error)?;
        }
        people.retain(|person| is_scored(person.visible_share));
        truth.push(people).map_err(|error| DatasetError::io("write", &path(TRUTH), error))?;
        progress(frame + 1, clip.frames);
    }
    encoder.finish()?;
    table.finish().map_err(table_error)?;
    let written = truth.finish().and_then(|mut file| file.flush());
    written.map_err(|error| DatasetError::io("write", &path(TRUTH), error))?;
    let digest = hash.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
