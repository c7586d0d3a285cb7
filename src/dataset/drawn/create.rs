//! Creates a clip in the cache: encodes the frames, writes ground truth and record.

use super::encode::Encoder;
use crate::dataset::DatasetError;
use crate::dataset::cache::StagingFolder;
use crate::dataset::frame_hash::decoded_sha256;
use crate::dataset::record::{Progress, RECORD, Record, TABLE, TRUTH};
use crate::dataset::truth::TruthWriter;
use posebook_core::frame::FrameSize;
use posebook_core::provenance::{Machine, sha256_of_bytes, sha256_of_file};
use posebook_models::body::Body;
use posebook_notebook::tables::TruthTableWriter;
use posebook_synth::walkers::{SceneRenderer, WalkersClip, version};
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
    let mut encoder =
        Encoder::start(&path(VIDEO), FrameSize::new(clip.width, clip.height), clip.fps, &clip.encoding)?;
    let mut truth = TruthWriter::new(BufWriter::new(create(TRUTH)?));
    let mut table = TruthTableWriter::create(&path(TABLE))?;
    let mut renderer = SceneRenderer::new(clip, Body::built_in());
    let mut hash = Sha256::new();
    for frame in 0..clip.frames {
        let mut people = renderer.draw(frame);
        hash.update(renderer.rgb());
        encoder.push(renderer.rgb())?;
        let is_scored = |share: Option<f32>| share.is_some_and(|share| share >= clip.least_visible.max(1e-6));
        for person in &people {
            table.push(frame, person, is_scored(person.visible_share))?;
        }
        people.retain(|person| is_scored(person.visible_share));
        truth.push(people).map_err(|error| DatasetError::io("write", &path(TRUTH), error))?;
        progress(frame + 1, clip.frames);
    }
    encoder.finish()?;
    table.finish()?;
    let written = truth.finish().and_then(|mut file| file.flush());
    written.map_err(|error| DatasetError::io("write", &path(TRUTH), error))?;
    let digest = hash.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_synth::walkers::WalkersDataset;

    #[test]
    fn a_clips_content_determines_its_key() {
        let toml = "kind = 'walkers'\nabout = 'tiny'\nseed = 10007\nwidth = 160\nheight = 90\nframes = 20\nfps = 30.0\n\
                    [[clip]]\nname = 'tiny'\npeople = 2";
        let dataset: WalkersDataset = toml::from_str(toml).unwrap();
        let clip = dataset.clips().unwrap().remove(0);
        assert_eq!(cache_key(&clip), cache_key(&clip.clone()));
        assert_ne!(cache_key(&clip), cache_key(&WalkersClip { seed: clip.seed + 1, ..clip.clone() }));
        assert_ne!(cache_key(&clip), cache_key(&WalkersClip { frames: 21, ..clip.clone() }));
    }
}
