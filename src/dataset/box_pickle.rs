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

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by joblib 1.5 with numpy 2: `joblib.dump(boxes, path, compress=3)` of `{"b10.jpg": {"gt_bbox":
    /// np.float32 array [[10, 20, 30, 40], [1.5, 2, 30, 60]], "extra_data": {"gt_class": [], "gt_track_id": np.array([7, 8])}},
    /// "b2.jpg": [[10.0, 20.0, 30.0, 40.0]] without identities, "a.jpg": no boxes, "c.jpg": [np.array([5, 6, 7, 8])] with class
    /// [[3]] and identity np.int64(-1)}`.
    const JOBLIB: &str = "\
     785e65524f4bdc50108ffb27bb6e2d5584962aa51e2a6c2fa1150f3d94ba6a416820072f3d85302f49f74593cd23c943f720d883760bef \
     d6d98ba77e947ea182dfa04ef212adecc07b33c3ccbcf9fde6cd6567fed7d0728143d563efdf5927628c95332e3cc6d27354eb27298b23 \
     664d6422a69e88fcd33844b5e694ee7e96c1f46b06428419fec2b7dfabda7e2e991f439ea3ea5655a87a9300ca5c4a52dd9c8308d16ed9 \
     9d6bf2d22ca062b5744876504c29c2078d45d9ad6fbbf873f6038f7168b7d5d247741ce7cb3f92eab28d02991a401ca7675e9280c099da \
     d448ab7e1ec4d17892841362332dc21ced55c97a652589616ced1bc66f3ab774b60e0ce3cf1ecd62a47d713017f574d4203c2f32f00228 \
     4033a4e968862eaa27e450d43ff5a200b9a987c097f90a7f6ab7ae903fe3ab7c8dafab56f4e181097fb1c883bf9cf18d12a0a9f1f5eaf6 \
     fd5acf6f6a434a65b29de6af78db2518c3a3d11b1d3e1aed36c6a7c6f8ac8d10f86609ee958bfcb58bf44e17fe7f6621ea3f8a3ee6d6b9 \
     e7b67d8f7ca51e6da5ba355cb3d60b7c9c3af080ca45bb0d506253cfab6fb43c3fcd422b917111e90d5266ee430ce5bef1edc37ed310af \
     6945404a69dd011d8b033e";

    fn from_hex(hex: &str) -> Vec<u8> {
        let digits: Vec<char> = hex.chars().filter(char::is_ascii_hexdigit).collect();
        let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    #[test]
    fn joblibs_file_of_lists_and_arrays_is_read() {
        let read = parse(&from_hex(JOBLIB)).unwrap();
        let names: Vec<&str> = read.frames.iter().map(|frame| frame.name.as_str()).collect();
        assert_eq!(names, ["a.jpg", "b10.jpg", "b2.jpg", "c.jpg"], "sorted by characters, as Python does");
        let given = |x1, y1, x2, y2, id| PickledBox { bbox: BBox { x1, y1, x2, y2 }, id };
        let boxes: Vec<_> = read.frames.iter().map(|frame| frame.boxes.clone()).collect();
        assert_eq!(boxes[0], []);
        let two = [given(10.0, 20.0, 40.0, 60.0, Some(7)), given(1.5, 2.0, 31.5, 62.0, Some(8))];
        assert_eq!(boxes[1], two);
        assert_eq!(boxes[2], [given(10.0, 20.0, 40.0, 60.0, None)]);
        assert_eq!(boxes[3], [given(5.0, 6.0, 12.0, 14.0, None)]);
        assert!(!read.have_identities());
        assert_eq!(read.notes, ["gt_class of 1 frames is not used: it labels actions"]);
    }

    /// A pickle of protocol 0, whose opcodes are text.
    fn refused(pickle: &str) -> String {
        parse(pickle.as_bytes()).unwrap_err().to_string()
    }

    /// A pickle of one frame with this entry.
    fn frame(name: &str, entry: &str) -> String {
        format!("(dV{name}\n(d{entry}s.")
    }

    #[test]
    fn damaged_and_hostile_files_are_refused() {
        let bbox = |numbers: &str| format!("Vgt_bbox\n(l(l{numbers}as");
        let four = "F1\naF2\naF3\naF4\na";
        assert_eq!(parse(frame("a.jpg", &bbox(four)).as_bytes()).unwrap().frames.len(), 1);
        for (pickle, hint) in [
            (frame("../a.jpg", &bbox(four)), "names without folders"),
            (frame("a/b.jpg", &bbox(four)), "names without folders"),
            (frame("a.jpg", &bbox("F1\naF2\na")), "x, y, width, height"),
            (frame("a.jpg", &bbox("F1\naF2\naF-3\naF4\na")), "no area"),
            (frame("a.jpg", &bbox("F1\naFnan\naF3\naF4\na")), "no area"),
            (frame("a.jpg", "Vother\n(ls"), "no `gt_bbox`"),
            ("cos\nsystem\n(S'echo'\ntR.".to_string(), "os.system"),
            ("(d.".to_string(), "no frames"),
            ("(l.".to_string(), "a dictionary of frame names"),
            ("(dVa".to_string(), "truncated"),
        ] {
            let message = refused(&pickle);
            assert!(message.contains(hint), "{pickle}: {message}");
        }
        let id = |ids: &str| format!("{}Vextra_data\n(dVgt_track_id\n(l{ids}ss", bbox(four));
        assert!(refused(&frame("a.jpg", &id("I1\naI2\na"))).contains("2 identities for 1 boxes"));
        assert!(refused(&frame("a.jpg", &id("F1.5\na"))).contains("not a whole number"));
    }
}
