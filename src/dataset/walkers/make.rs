//! Makes a clip: frames into the encoder, truth into its files, all of it into the cache.

use super::super::DatasetError;
use super::super::cache::Making;
use super::super::clip::{Progress, RECORD, Record, TABLE, TRUTH};
use super::super::decoded::decoded_sha256;
use super::super::encode::Encoder;
use super::super::table::TruthTable;
use super::super::truth::TruthWriter;
use super::{Stage, WalkersClip, version};
use crate::body::Body;
use crate::provenance::{Machine, sha256_of_bytes, sha256_of_file};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const VIDEO: &str = "clip.mp4";

/// Everything that makes a clip, resolved: its hash names the clip's folder.
fn made_from(clip: &WalkersClip) -> serde_json::Value {
    json!({
        "version": version(),
        "body_sha256": sha256_of_bytes(Body::stand_in_bytes()),
        "clip": clip,
    })
}

/// The clip's folder in the cache.
pub fn key(clip: &WalkersClip) -> String {
    sha256_of_bytes(made_from(clip).to_string().as_bytes())[..32].to_string()
}

/// Draws, encodes and writes down a clip into `cache/key`.
pub fn make(
    name: &str,
    clip: &WalkersClip,
    cache: &Path,
    key: &str,
    progress: Progress,
) -> Result<PathBuf, DatasetError> {
    let write = |source| DatasetError::io("make a clip in", cache, source);
    let making = Making::start(cache, key).map_err(write)?;
    let drawn_sha256 = draw(clip, making.folder(), progress)?;
    let hash = |file: &str| sha256_of_file(&making.folder().join(file)).map_err(write);
    let video = making.folder().join(VIDEO);
    let record = Record {
        name: name.to_string(),
        video: VIDEO.into(),
        video_sha256: hash(VIDEO)?,
        decoded_sha256: Some(decoded_sha256(&video)?),
        video_bytes: std::fs::metadata(&video).map_err(write)?.len(),
        width: clip.width,
        height: clip.height,
        frames: clip.frames,
        fps: clip.fps,
        truth_sha256: Some(hash(TRUTH)?),
        boxes_sha256: None,
        table_sha256: Some(hash(TABLE)?),
        drawn_sha256: Some(drawn_sha256),
        ffmpeg: Machine::this().ffmpeg,
        made_from: made_from(clip),
        notes: Vec::new(),
        view: None,
        views_truth: None,
        truth_origin: None,
    };
    record.write(making.folder())?;
    debug_assert!(making.folder().join(RECORD).is_file());
    making.finish().map_err(write)
}

/// Writes video and truth; gives the SHA-256 of all drawn frames.
fn draw(clip: &WalkersClip, folder: &Path, progress: Progress) -> Result<String, DatasetError> {
    let path = |name: &str| folder.join(name);
    let create = |name: &str| File::create(path(name)).map_err(|e| DatasetError::io("write", &path(name), e));
    let table_error =
        |error: polars::prelude::PolarsError| DatasetError::invalid(&path(TABLE), error.to_string());
    let mut encoder = Encoder::start(&path(VIDEO), (clip.width, clip.height), clip.fps, &clip.encoding)?;
    let mut truth = TruthWriter::new(BufWriter::new(create(TRUTH)?));
    let mut table = TruthTable::new(create(TABLE)?).map_err(table_error)?;
    let mut stage = Stage::new(clip, Body::stand_in());
    let mut hash = Sha256::new();
    for frame in 0..clip.frames {
        let mut people = stage.draw(frame);
        hash.update(stage.rgb());
        encoder.push(stage.rgb())?;
        let scored = |share: Option<f32>| share.is_some_and(|share| share >= clip.least_visible.max(1e-6));
        for person in &people {
            table.push(frame, person, scored(person.visible_share)).map_err(table_error)?;
        }
        people.retain(|person| scored(person.visible_share));
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
