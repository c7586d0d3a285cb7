//! Reads PHALP's .pkl of given boxes: which frames a video has, and the boxes of the people in them.
//!
//! In: a pickle, plain or compressed by joblib: `{frame name: {"gt_bbox": [[x, y, width, height], ..], "extra_data":
//! {"gt_track_id": [..], "gt_class": [..]}}}`. Out: the frames in the order of their names, as PHALP sorts them. The file
//! is read as data; nothing in it is executed.

use super::DatasetError;
use posebook_core::person::{BBox, LtwhBox};
use posebook_models::pickle::array::{ArrayPolicy, read_array, read_number};
use posebook_models::pickle::{Handle, Limits, PickleError, Tree, decompress, read};
use std::path::Path;

/// Largest accepted file, unpacked.
const MAX_BYTES: u64 = 1 << 30;
/// A frame takes about 20 nodes, and a box 10.
const LIMITS: Limits = Limits { nodes: 20_000_000, depth: 1_000, memo: 20_000_000 };

/// A frame of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct PickledFrame {
    /// Name of its image, without a folder.
    pub name: String,
    /// Its boxes; none if the people are to be detected.
    pub boxes: Vec<PickledBox>,
}

/// A given box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PickledBox {
    /// Pixels of the image.
    pub bbox: BBox,
    /// The identity; `None` if the file has none.
    pub id: Option<u32>,
}

/// The frames of a file, sorted by name, and notes for the user.
#[derive(Debug, Clone, PartialEq)]
pub struct PickledBoxes {
    /// At least one.
    pub frames: Vec<PickledFrame>,
    /// What in the file is not used.
    pub notes: Vec<String>,
}

impl PickledBoxes {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, is no such pickle, or a box or an identity is invalid: which.
    pub fn read(path: &Path) -> Result<PickledBoxes, DatasetError> {
        let bytes = std::fs::read(path).map_err(|source| DatasetError::io("read the boxes", path, source))?;
        parse(&bytes).map_err(|error| DatasetError::invalid(path, error.to_string()))
    }

    /// Whether every box has an identity.
    pub fn have_identities(&self) -> bool {
        self.frames.iter().flat_map(|frame| &frame.boxes).all(|given| given.id.is_some())
    }
}

fn parse(bytes: &[u8]) -> Result<PickledBoxes, PickleError> {
    let bytes = decompress(bytes, MAX_BYTES)?;
    let tree = read(&bytes, &ArrayPolicy, LIMITS)?;
    let Some(entries) = tree.entries(tree.root()) else {
        return Err(unexpected(&tree, "the file", tree.root(), "a dictionary of frame names"));
    };
    let mut with_classes = 0;
    let mut frames = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        let name = frame_name(&tree, *name)?;
        with_classes += usize::from(has_classes(&tree, *value));
        let boxes = frame_boxes(&tree, *value, &name)?;
        frames.push(PickledFrame { name, boxes });
    }
    if frames.is_empty() {
        return Err(invalid("the file", "it has no frames"));
    }
    // of a name that occurs twice Python keeps the last entry
    frames.reverse();
    frames.sort_by(|a, b| a.name.cmp(&b.name));
    frames.dedup_by(|later, first| later.name == first.name);
    let mut notes = Vec::new();
    if with_classes > 0 {
        notes.push(format!("gt_class of {with_classes} frames is not used: it labels actions"));
    }
    Ok(PickledBoxes { frames, notes })
}

/// A name without a folder: a file must not name what lies outside of the folder that the user gives.
fn frame_name(tree: &Tree, handle: Handle) -> Result<String, PickleError> {
    let name = tree.text(handle).ok_or_else(|| unexpected(tree, "a key", handle, "the name of a frame"))?;
    if name.is_empty() || name == ".." || name.contains(['/', '\\', '\0']) {
        let reason =
            "is not the name of an image; give names without folders, and the folder as video.base_path";
        return Err(invalid(format!("the key `{}`", name.escape_default()), reason));
    }
    Ok(name.to_string())
}

fn extra_data(tree: &Tree, frame: Handle, key: &str) -> Option<Handle> {
    tree.get(tree.get(frame, "extra_data")?, key)
}

fn has_classes(tree: &Tree, frame: Handle) -> bool {
    extra_data(tree, frame, "gt_class")
        .and_then(|classes| tree.elements(classes))
        .is_some_and(|all| !all.is_empty())
}

fn frame_boxes(tree: &Tree, frame: Handle, name: &str) -> Result<Vec<PickledBox>, PickleError> {
    let what = |part: &str| format!("{part} of frame `{name}`");
    let boxes = tree.get(frame, "gt_bbox").ok_or_else(|| {
        invalid(what("the entry"), "it has no `gt_bbox`; this is not PHALP's file of given boxes")
    })?;
    let rows = number_rows(tree, boxes, &what("gt_bbox"))?;
    let ids = match extra_data(tree, frame, "gt_track_id") {
        Some(ids) => number_rows(tree, ids, &what("gt_track_id"))?,
        None => Vec::new(),
    };
    if !ids.is_empty() && ids.len() != rows.len() {
        let reason = format!("{} identities for {} boxes", ids.len(), rows.len());
        return Err(invalid(what("gt_track_id"), reason));
    }
    let mut given = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        let [left, top, width, height] = row[..] else {
            return Err(invalid(
                what("a box"),
                format!("it has {} numbers; write x, y, width, height", row.len()),
            ));
        };
        let is_valid = row.iter().all(|value| value.is_finite()) && width > 0.0 && height > 0.0;
        if !is_valid {
            return Err(invalid(what("a box"), format!("{row:?} has no area; write x, y, width, height")));
        }
        let id = match ids.get(index) {
            Some(id) => identity(id, &what("gt_track_id"))?,
            None => None,
        };
        if let Some(id) = id
            && given.iter().any(|other: &PickledBox| other.id == Some(id))
        {
            return Err(invalid(what("gt_track_id"), format!("identity {id} is there twice")));
        }
        given.push(PickledBox { bbox: LtwhBox { left, top, width, height }.to_bbox(), id });
    }
    Ok(given)
}

/// An identity; negative ones mean none.
fn identity(row: &[f64], what: &str) -> Result<Option<u32>, PickleError> {
    match row {
        [id] if *id < 0.0 => Ok(None),
        [id] if id.fract() == 0.0 && *id <= f64::from(u32::MAX) => Ok(Some(*id as u32)),
        _ => Err(invalid(what, format!("{row:?} is not a whole number"))),
    }
}

/// Rows of numbers: of a list of numbers or of lists, or of an array of one or two axes. A number is a row of one.
fn number_rows(tree: &Tree, handle: Handle, what: &str) -> Result<Vec<Vec<f64>>, PickleError> {
    if let Some(elements) = tree.elements(handle) {
        return elements.iter().map(|element| number_row(tree, *element, what)).collect();
    }
    let array = read_array(tree, handle, what)?;
    let values = array.to_f64();
    match array.shape[..] {
        [_] => Ok(values.into_iter().map(|value| vec![value]).collect()),
        [_, 0] => Ok(Vec::new()),
        [_, width] => Ok(values.chunks_exact(width).map(<[f64]>::to_vec).collect()),
        _ => Err(unexpected(tree, what, handle, "an array of one or two axes")),
    }
}

fn number_row(tree: &Tree, handle: Handle, what: &str) -> Result<Vec<f64>, PickleError> {
    if let Some(elements) = tree.elements(handle) {
        return elements.iter().map(|element| read_number(tree, *element, what)).collect();
    }
    match read_number(tree, handle, what) {
        Ok(number) => Ok(vec![number]),
        Err(_) => Ok(read_array(tree, handle, what)?.to_f64()),
    }
}

fn invalid(what: impl Into<String>, reason: impl Into<String>) -> PickleError {
    PickleError::Invalid { what: what.into(), reason: reason.into() }
}

fn unexpected(tree: &Tree, what: &str, found: Handle, wanted: &'static str) -> PickleError {
    PickleError::Unexpected { what: what.to_string(), found: tree.describe(found), wanted }
}
