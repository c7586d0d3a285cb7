//! Reads PHALP's results: a `.pkl` of the original (joblib's form), or of [`PklWriter`](super::PklWriter).
//!
//! The file is unpacked into memory, and its objects are a graph of some hundred bytes per value; frames are then converted
//! one at a time. A file of N people with appearance takes about 30 KiB per person.

use super::keys::FrameKey;
use super::values::{Entry, Place};
use crate::ExportError;
use crate::frames::{ExportFrame, ExportPerson};
use posebook_core::frame::FrameSize;
use posebook_core::person::{BBox, FrameMask, JOINTS, SmplParams};
use posebook_models::pickle::array::ArrayPolicy;
use posebook_models::pickle::{Handle, Limits, Tree, decompress, read as read_pickle};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Limits on what a file may unpack to; a crafted file of a few megabytes can ask for all memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReadLimits {
    /// Bytes of the unpacked pickle.
    pub unpacked_bytes: u64,
    /// Values in it; each takes some 60 bytes.
    pub values: usize,
}

impl Default for ReadLimits {
    /// 8 GiB (half a million people with appearance) and 100 million values.
    fn default() -> ReadLimits {
        ReadLimits { unpacked_bytes: 8 << 30, values: 100_000_000 }
    }
}

/// A frame of a `.pkl` and its key.
#[derive(Debug, Clone, PartialEq)]
pub struct PklFrame {
    /// The key.
    pub key: FrameKey,
    /// The frame; its `index` is its `time`, since keys do not say where in the video it was.
    pub frame: ExportFrame,
}

/// What a `.pkl` holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PklSummary {
    /// Frames.
    pub frames: u64,
    /// People seen in their frame.
    pub people: u64,
    /// Entries of lost tracks.
    pub ghosts: u64,
    /// Further entries of a track in one frame, which are left out.
    pub doubled: u64,
    /// Frames whose people have embeddings.
    pub frames_with_appearance: u64,
}

impl PklSummary {
    /// Notes for the user.
    pub fn notes(&self) -> Vec<String> {
        let doubled = (self.doubled > 0).then(|| {
            format!(
                "{} people are in the file twice in one frame (as where boxes are given with classes); the first of each was \
                 kept",
                self.doubled
            )
        });
        doubled.into_iter().collect()
    }
}

/// Whether the file at `path` looks like a `.pkl`: by its name, or by zlib's first bytes.
pub fn is_pkl(path: &Path) -> bool {
    let is_zlib = || {
        let mut start = [0; 2];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
        read.is_ok() && matches!(start, [0x78, 0x01 | 0x5e | 0x9c | 0xda])
    };
    path.is_file() && (path.extension().is_some_and(|extension| extension == "pkl") || is_zlib())
}

/// The name of the video of `demo_<video>.pkl`.
pub fn video_name(path: &Path) -> String {
    let stem = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    stem.strip_prefix("demo_").map_or(stem.clone(), str::to_string)
}

/// Reads the file at `path` and passes its frames to `take`, in order. Times are counted with `fps`, since the file has none.
/// Entries of lost tracks have a [`tracked_time`](ExportPerson::tracked_time) other than 0; of people who are in a frame
/// twice the first is kept.
///
/// # Errors
/// If the file is of another kind, damaged, refused because it names what is not data, or lacks a value; or `take` fails.
pub fn read<E: From<ExportError>>(
    path: &Path,
    fps: f64,
    limits: ReadLimits,
    take: &mut dyn FnMut(PklFrame) -> Result<(), E>,
) -> Result<PklSummary, E> {
    let pickle_error = |source| ExportError::Pickle { path: path.to_path_buf(), source };
    let bytes = {
        let packed = std::fs::read(path).map_err(ExportError::file(path))?;
        decompress(&packed, limits.unpacked_bytes).map_err(pickle_error)?.into_owned()
    };
    let limits = Limits { nodes: limits.values, memo: limits.values, ..Limits::default() };
    let tree = read_pickle(&bytes, &ArrayPolicy, limits).map_err(pickle_error)?;
    let root = tree.root();
    let not_results = |found: String| ExportError::NotResults { path: path.to_path_buf(), found };
    let frames = tree.entries(root).ok_or_else(|| not_results(tree.describe(root)))?;
    let mut summary = PklSummary::default();
    for (number, &(key, entry)) in frames.iter().enumerate() {
        let key = read_key(&tree, key)
            .ok_or_else(|| not_results(format!("a dictionary with the key {}", tree.describe(key))))?;
        let shown = key.to_string();
        let place = Place { tree: &tree, path, frame: number, key: &shown };
        let mut frame = read_frame(&place, entry, number)?;
        frame.time_secs = frame.number as f64 / fps;
        if let FrameKey::Stream(_, pts) = &key {
            frame.pts = Some(*pts);
        }
        summary.count(&mut frame);
        take(PklFrame { key, frame })?;
    }
    Ok(summary)
}

impl PklSummary {
    /// Counts a frame and removes who is in it twice.
    fn count(&mut self, frame: &mut ExportFrame) {
        let mut ids = BTreeSet::new();
        let all = frame.people.len();
        frame.people.retain(|person| ids.insert(person.id));
        self.doubled += (all - frame.people.len()) as u64;
        let seen = frame.people.iter().filter(|person| person.tracked_time == 0).count();
        self.frames += 1;
        self.people += seen as u64;
        self.ghosts += (frame.people.len() - seen) as u64;
        self.frames_with_appearance +=
            u64::from(frame.people.iter().any(|person| person.embedding.is_some()));
    }
}

fn read_key(tree: &Tree, key: Handle) -> Option<FrameKey> {
    if let Some(text) = tree.text(key) {
        return Some(FrameKey::Text(text.to_string()));
    }
    let [path, pts] = tree.elements(key)? else { return None };
    Some(FrameKey::Stream(tree.text(*path)?.to_string(), tree.int(*pts)?))
}

/// Lists that have one element per person, without which there is no person.
const REQUIRED: [&str; 8] =
    ["tid", "bbox", "tracked_time", "size", "smpl", "camera", "3d_joints", "2d_joints"];

fn read_frame(place: &Place, entry: Handle, number: usize) -> Result<ExportFrame, ExportError> {
    let entry = Entry::open(place, entry)?;
    let ids = entry.list("tid")?;
    for field in REQUIRED {
        let found = entry.list(field)?.len();
        if found != ids.len() {
            let problem = format!("has {found} elements, and `tid` has {}; the file is damaged", ids.len());
            return Err(place.error(field, problem));
        }
    }
    let size = match entry.list("size")?.first() {
        Some(&size) => read_size(place, size, "size")?,
        // frames without anybody do not say how large they are
        None => FrameSize::new(0, 0),
    };
    let people = (0..ids.len()).map(|index| read_person(place, &entry, index)).collect::<Result<_, _>>()?;
    let time = entry.number("time")?.unwrap_or(number as f64);
    Ok(ExportFrame {
        number: time.max(0.0) as u64,
        index: time.max(0.0) as u64,
        time_secs: 0.0,
        pts: None,
        shot: entry.number("shot")?.is_some_and(|shot| shot != 0.0),
        size,
        people,
    })
}

fn read_size(place: &Place, size: Handle, field: &'static str) -> Result<FrameSize, ExportError> {
    let sides = place.tree.elements(size).unwrap_or_default();
    let side = |index: usize| {
        let side = place.scalar(*sides.get(index)?, field).ok()?;
        (side >= 1.0 && side <= f64::from(u16::MAX)).then_some(side as usize)
    };
    let both = side(0).zip(side(1)).filter(|_| sides.len() == 2);
    let (height, width) =
        both.ok_or_else(|| place.error(field, "is not a list of the picture's height and width"))?;
    Ok(FrameSize::new(width, height))
}

fn read_person(place: &Place, entry: &Entry, index: usize) -> Result<ExportPerson, ExportError> {
    let whole = |field: &'static str| -> Result<i64, ExportError> {
        let value = entry.scalar(field, index)?;
        let is_whole = value.fract() == 0.0 && value.abs() < 9e15;
        is_whole
            .then_some(value as i64)
            .ok_or_else(|| place.error(field, format!("is {value}, no whole number")))
    };
    let id = whole("tid")?;
    let id =
        u64::try_from(id).map_err(|_| place.error("tid", format!("is {id}, and tracks count from 0")))?;
    let [left, top, width, height] = entry.floats::<4>("bbox", index)?;
    let smpl = entry.list("smpl")?[index];
    let part = |name: &'static str| {
        let part = place.tree.get(smpl, name);
        part.ok_or_else(|| place.error("smpl", format!("lacks `{name}`")))
    };
    let orient = place.floats::<9>(part("global_orient")?, "smpl")?;
    let pose = place.floats::<207>(part("body_pose")?, "smpl")?;
    let rotation =
        |values: &[f32]| std::array::from_fn(|row| std::array::from_fn(|column| values[3 * row + column]));
    let joints = entry.floats::<135>("3d_joints", index)?;
    let points = entry.floats::<90>("2d_joints", index)?;
    let embedding = match entry.optional("appe", index) {
        Some(values) => Some(place.values(values, "appe")?.into()),
        None => None,
    };
    let (detection, keypoints) = read_extra(place, entry, index)?;
    Ok(ExportPerson {
        id,
        tracked_time: whole("tracked_time")?,
        detection,
        bbox: BBox { x1: left, y1: top, x2: left + width, y2: top + height },
        score: match entry.optional("conf", index) {
            Some(score) => place.scalar(score, "conf")? as f32,
            None => 1.0,
        },
        params: SmplParams {
            betas: place.floats::<10>(part("betas")?, "smpl")?,
            global_orient: rotation(&orient),
            body_pose: std::array::from_fn(|joint| rotation(&pose[9 * joint..])),
        },
        crop_camera: match entry.optional("camera_bbox", index) {
            Some(camera) => place.floats::<3>(camera, "camera_bbox")?,
            None => [0.0; 3],
        },
        translation: entry.floats::<3>("camera", index)?,
        joints: joints.as_chunks::<3>().0[..JOINTS].to_vec(),
        joints_in_square: points.as_chunks::<2>().0.to_vec(),
        mask: read_mask(place, entry, index)?,
        embedding,
        keypoints,
    })
}

/// The mask: a list of one dictionary; none where the list is empty.
fn read_mask(place: &Place, entry: &Entry, index: usize) -> Result<Option<FrameMask>, ExportError> {
    let Some(mask) = entry.optional("mask", index) else { return Ok(None) };
    let tree = place.tree;
    let mask = match tree.elements(mask) {
        Some([]) => return Ok(None),
        Some([mask, ..]) => *mask,
        None => mask,
    };
    let (size, counts) = (tree.get(mask, "size"), tree.get(mask, "counts"));
    let counts = counts.and_then(|counts| tree.text(counts));
    let (Some(size), Some(counts)) = (size, counts) else {
        return Err(place.error("mask", "is not a list of one dictionary with `size` and `counts` as text"));
    };
    let FrameSize { width, height } = read_size(place, size, "mask")?;
    Ok(Some(FrameMask { width, height, counts: counts.to_string() }))
}

/// The detection's number, or the keypoints that another program put in its place.
fn read_extra(place: &Place, entry: &Entry, index: usize) -> Result<(u64, Vec<[f32; 3]>), ExportError> {
    let Some(extra) = entry.optional("extra_data", index) else { return Ok((index as u64, Vec::new())) };
    match place.tree.int(extra) {
        Some(number) => Ok((u64::try_from(number).unwrap_or(0), Vec::new())),
        None => {
            // other programs store what they like; what is not a table of three columns is left out
            let table = place.table(extra, "extra_data")?;
            Ok((index as u64, table.unwrap_or_default()))
        }
    }
}
