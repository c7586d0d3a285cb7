//! Reads files of `torch.save`: a zip with a pickle and a file per storage, or, before 2020, concatenated pickles followed
//! by the storages.
//!
//! Opening reads only names, shapes and locations of tensors; values are read on demand, so that a checkpoint's optimizer
//! state costs nothing.

mod dtype;
mod policy;
mod tensors;

pub use dtype::Dtype;
pub use tensors::TensorEntry;

use super::machine::{Limits, read};
use super::{PickleError, START_BYTES, describe_foreign_file};
pub(super) use policy::TorchPolicy;
use posebook_core::archive::Zip;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use tensors::storage_widths;
pub(super) use tensors::{list_tensors, state_dict};

/// Maximum length of a checkpoint's pickle, which holds names and shapes only.
const MAX_PICKLE_BYTES: u64 = 64 << 20;
/// Maximum number of a tensor's values, and of values in the part of the storage that it spans: 1 GiB in f32.
const MAX_VALUES: usize = 1 << 28;
/// Magic number in the first pickle of a legacy file.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Start of a zip file.
const ZIP_MAGIC: &[u8; 4] = b"PK\x03\x04";

/// Whether the first pickle of a file is the magic number of a legacy file.
fn has_legacy_magic(start: &[u8]) -> bool {
    start.windows(LEGACY_MAGIC.len()).take(16).any(|window| window == LEGACY_MAGIC)
}

/// An opened checkpoint.
pub struct Checkpoint {
    path: PathBuf,
    /// All tensors of the state dict.
    pub tensors: Vec<TensorEntry>,
    storages: Storages,
}

enum Storages {
    /// The zip, and the folder inside it that contains the storages.
    Zip(Box<Zip>, String),
    /// A legacy file: the offset and length in bytes of each storage.
    Legacy(File, HashMap<String, (u64, u64)>),
}

impl Checkpoint {
    /// Whether bytes at the start of a file are those of one of the formats: a zip file, or the magic number of a legacy file.
    pub fn is_start_of_one(start: &[u8]) -> bool {
        start.starts_with(ZIP_MAGIC) || has_legacy_magic(start)
    }

    /// Opens a checkpoint of either format and lists its tensors: those of `state_dict`, `model` or the like if present, else
    /// those of the root.
    ///
    /// # Errors
    /// If the file has neither format, is damaged, or its pickle is refused.
    pub fn open(path: &Path) -> Result<Checkpoint, PickleError> {
        let failed = |source| PickleError::File { path: path.to_path_buf(), source };
        let mut file = File::open(path).map_err(failed)?;
        let mut start = [0; 4];
        let length = file.read(&mut start).map_err(failed)?;
        if start[..length] == *ZIP_MAGIC {
            Checkpoint::open_zip(path)
        } else {
            Checkpoint::open_legacy(path, file)
        }
    }

    fn open_zip(path: &Path) -> Result<Checkpoint, PickleError> {
        let damaged = |reason: String| PickleError::invalid("the checkpoint", reason);
        let mut zip = Zip::open(path)?;
        let is_pickle = |name: &&str| name.ends_with("/data.pkl") && name.matches('/').count() == 1;
        let pickle = zip.names().find(is_pickle).map(str::to_string);
        let pickle = pickle
            .ok_or_else(|| damaged("a zip file without `data.pkl`, which is not a checkpoint".into()))?;
        let root = pickle.trim_end_matches("data.pkl").to_string();
        let order = format!("{root}byteorder");
        if zip.size(&order).is_some() && zip.read(&order, 16)? != b"little" {
            return Err(damaged("its values are big-endian".into()));
        }
        let bytes = zip.read(&pickle, MAX_PICKLE_BYTES)?;
        let tensors = list_tensors(&read(&bytes, &TorchPolicy, Limits::default())?)?;
        Ok(Checkpoint { path: path.to_path_buf(), tensors, storages: Storages::Zip(Box::new(zip), root) })
    }

    /// A legacy file. Its pickles are read with as much of the file as they turn out to need.
    fn open_legacy(path: &Path, mut file: File) -> Result<Checkpoint, PickleError> {
        let failed = |source| PickleError::File { path: path.to_path_buf(), source };
        let file_bytes = file.metadata().map_err(failed)?.len();
        let mut max_bytes = 1 << 20;
        loop {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(0)).map_err(failed)?;
            Read::by_ref(&mut file).take(max_bytes).read_to_end(&mut bytes).map_err(failed)?;
            if !has_legacy_magic(&bytes) {
                if let Some(what) = describe_foreign_file(&bytes[..bytes.len().min(START_BYTES as usize)]) {
                    return Err(PickleError::WrongFileType(what));
                }
                let reason = "is neither a zip file nor a legacy file of torch.save, and its name does not end in .safetensors";
                return Err(PickleError::invalid("the checkpoint", reason));
            }
            match read_legacy_pickles(&bytes) {
                Err(PickleError::Truncated { .. }) if max_bytes < file_bytes.min(MAX_PICKLE_BYTES) => {
                    max_bytes *= 8;
                }
                pickles => {
                    let (tensors, storages, first) = pickles?;
                    let ranges = legacy_storage_ranges(&mut file, file_bytes, storages, first)?;
                    let storages = Storages::Legacy(file, ranges);
                    return Ok(Checkpoint { path: path.to_path_buf(), tensors, storages });
                }
            }
        }
    }

    /// Reads a tensor of any strides in single precision and C order.
    ///
    /// # Errors
    /// If its storage is missing or too short, or it is not floating-point.
    pub fn read_f32(&mut self, tensor: &TensorEntry) -> Result<Vec<f32>, PickleError> {
        let wrong = |reason: &str| PickleError::invalid(format!("tensor {}", tensor.name), reason);
        if matches!(tensor.dtype, Dtype::Other { .. }) {
            return Err(wrong("holds integers, not floating-point values"));
        }
        let Some(span) = Span::new(tensor) else {
            return Err(wrong("its shape or strides are out of range"));
        };
        if span.count == 0 {
            return Ok(Vec::new());
        }
        let bytes = self.storage(&tensor.storage, span.from_byte, span.bytes)?;
        let all: Vec<f32> = match tensor.dtype {
            Dtype::F64 => {
                bytes.as_chunks().0.iter().map(|number| f64::from_le_bytes(*number) as f32).collect()
            }
            Dtype::F32 => bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect(),
            Dtype::F16 => {
                bytes.as_chunks().0.iter().map(|number| half::f16::from_le_bytes(*number).to_f32()).collect()
            }
            _ => {
                bytes.as_chunks().0.iter().map(|number| half::bf16::from_le_bytes(*number).to_f32()).collect()
            }
        };
        drop(bytes);
        Ok(if is_contiguous(tensor) { all } else { gather_in_c_order(tensor, span.count, &all) })
    }

    /// Reads a range of a storage.
    fn storage(&mut self, key: &str, from: u64, length: u64) -> Result<Vec<u8>, PickleError> {
        match &mut self.storages {
            Storages::Zip(zip, root) => Ok(zip.read_range(&format!("{root}data/{key}"), from, length)?),
            Storages::Legacy(file, ranges) => {
                let wrong = |reason: String| PickleError::invalid(format!("storage {key}"), reason);
                let (start, has) = ranges.get(key).copied().ok_or_else(|| wrong("is not there".into()))?;
                if has < from + length {
                    let reason =
                        format!("has {has} bytes where {} are needed; the file is truncated", from + length);
                    return Err(wrong(reason));
                }
                let mut bytes = Vec::new();
                let read = file.seek(SeekFrom::Start(start + from));
                let read = read.and_then(|_| Read::by_ref(file).take(length).read_to_end(&mut bytes));
                match read {
                    Err(source) => Err(PickleError::File { path: self.path.clone(), source }),
                    Ok(read) if (read as u64) < length => {
                        Err(wrong("is truncated; copy the file again".into()))
                    }
                    Ok(_) => Ok(bytes),
                }
            }
        }
    }
}

/// The range of its storage that a tensor spans.
struct Span {
    count: usize,
    from_byte: u64,
    bytes: u64,
}

impl Span {
    /// `None` if a computation overflows or a limit is exceeded.
    fn new(tensor: &TensorEntry) -> Option<Span> {
        let count = tensor.shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side))?;
        let far = tensor.shape.iter().zip(&tensor.strides).try_fold(0usize, |far, (side, stride)| {
            side.saturating_sub(1).checked_mul(*stride)?.checked_add(far)
        })?;
        let width = tensor.dtype.bytes() as u64;
        let from_byte = (tensor.offset as u64).checked_mul(width)?;
        let bytes = (far as u64).checked_add(1)?.checked_mul(width)?;
        from_byte.checked_add(bytes)?;
        (count <= MAX_VALUES && bytes <= MAX_VALUES as u64 * 4).then_some(Span { count, from_byte, bytes })
    }
}

fn is_contiguous(tensor: &TensorEntry) -> bool {
    let mut stride = 1;
    tensor.shape.iter().zip(&tensor.strides).rev().all(|(side, found)| {
        let fits = *side == 1 || *found == stride;
        stride *= side;
        fits
    })
}

/// Gathers a tensor's values from its span.
fn gather_in_c_order(tensor: &TensorEntry, count: usize, all: &[f32]) -> Vec<f32> {
    let mut index = vec![0; tensor.shape.len()];
    let mut out = Vec::with_capacity(count);
    for _ in 0..count {
        out.push(all[index.iter().zip(&tensor.strides).map(|(index, stride)| index * stride).sum::<usize>()]);
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            if index[axis] < tensor.shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    out
}

/// Storages of a legacy file: key, and bytes per element.
type LegacyStorages = Vec<(String, usize)>;

/// Reads the five pickles of a legacy file: magic number, protocol version, system information, the checkpoint, keys of its
/// storages. Also returns the offset of the end of the last.
fn read_legacy_pickles(bytes: &[u8]) -> Result<(Vec<TensorEntry>, LegacyStorages, usize), PickleError> {
    let mut at = 0;
    for _ in 0..3 {
        at += read(&bytes[at..], &TorchPolicy, Limits::default())?.consumed_bytes();
    }
    let tree = read(&bytes[at..], &TorchPolicy, Limits::default())?;
    let (tensors, widths) = (list_tensors(&tree)?, storage_widths(&tree));
    at += tree.consumed_bytes();
    let keys = read(&bytes[at..], &TorchPolicy, Limits::default())?;
    let all = keys.elements(keys.root()).unwrap_or_default().iter().map(|key| {
        let key = keys.text(*key).unwrap_or_default();
        let width = widths.get(key).copied();
        let unknown = || PickleError::invalid(format!("storage {key}"), "no tensor gives its element type");
        width.map(|width| (key.to_string(), width)).ok_or_else(unknown)
    });
    Ok((tensors, all.collect::<Result<_, _>>()?, at + keys.consumed_bytes()))
}

/// Offsets and lengths of the storages of a legacy file: one after the other, each preceded by its number of elements.
fn legacy_storage_ranges(
    file: &mut File,
    file_bytes: u64,
    storages: LegacyStorages,
    first: usize,
) -> Result<HashMap<String, (u64, u64)>, PickleError> {
    let mut position = first as u64;
    let mut ranges = HashMap::new();
    for (key, width) in storages {
        let cut = || {
            PickleError::invalid(
                format!("storage {key}"),
                "reaches beyond the end of the file; the file is truncated",
            )
        };
        let mut count = [0; 8];
        file.seek(SeekFrom::Start(position)).and_then(|_| file.read_exact(&mut count)).map_err(|_| cut())?;
        let length =
            u64::from_le_bytes(count).checked_mul(width as u64).filter(|length| *length <= file_bytes);
        let length = length.ok_or_else(cut)?;
        ranges.insert(key, (position + 8, length));
        // a storage was read at `position`, and its length is at most that of the file: no overflow
        position += 8 + length;
    }
    Ok(ranges)
}
