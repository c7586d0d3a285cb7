//! The files of `torch.save`: a zip with a pickle and a file per storage, or, before 2020, pickles one after the
//! other with the storages behind them.
//!
//! Only the names, shapes and places of tensors are read at first; a tensor's numbers are read when they are asked
//! for, so that a checkpoint's optimizer costs nothing. Must not know which network the tensors belong to.

mod places;
mod policy;

pub use places::TensorPlace;

use super::machine::{Limits, read};
use super::{PickleError, START_BYTES, foreign};
use crate::archive::Zip;
pub(super) use places::listed;
use places::storage_widths;
pub(super) use policy::Tensors;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The pickle of a checkpoint is names and shapes; a longer one is none.
const LONGEST_PICKLE_BYTES: u64 = 64 << 20;
/// Numbers of a tensor, and of the part of a storage that they lie in, at most: a GiB in single precision.
const MOST_NUMBERS: usize = 1 << 28;
/// What the first pickle of an old file says.
const OLD_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// How a tensor's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    F64,
    F32,
    F16,
    BF16,
    /// Integers and truth values, which no weight is.
    Other {
        bytes: usize,
    },
}

impl Dtype {
    fn of(storage: &str) -> Option<Dtype> {
        Some(match storage {
            "DoubleStorage" => Dtype::F64,
            "FloatStorage" => Dtype::F32,
            "HalfStorage" => Dtype::F16,
            "BFloat16Storage" => Dtype::BF16,
            "LongStorage" => Dtype::Other { bytes: 8 },
            "IntStorage" => Dtype::Other { bytes: 4 },
            "ShortStorage" => Dtype::Other { bytes: 2 },
            "CharStorage" | "ByteStorage" | "BoolStorage" | "UntypedStorage" | "QInt8Storage"
            | "QUInt8Storage" => Dtype::Other { bytes: 1 },
            "QInt32Storage" => Dtype::Other { bytes: 4 },
            "ComplexFloatStorage" => Dtype::Other { bytes: 8 },
            "ComplexDoubleStorage" => Dtype::Other { bytes: 16 },
            _ => return None,
        })
    }

    pub fn bytes(self) -> usize {
        match self {
            Dtype::F64 => 8,
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::BF16 => 2,
            Dtype::Other { bytes } => bytes,
        }
    }
}

/// A checkpoint, opened.
pub struct Checkpoint {
    path: PathBuf,
    pub tensors: Vec<TensorPlace>,
    storages: Storages,
}

enum Storages {
    /// The zip, and the folder inside it that storages lie in.
    Zip(Box<Zip>, String),
    /// Where each storage lies in an old file, and its bytes.
    Behind(File, HashMap<String, (u64, u64)>),
}

impl Checkpoint {
    /// Opens a checkpoint of either form and lists its tensors: those of `state_dict`, `model` or the like where there
    /// is one of these, else those of the whole.
    ///
    /// # Errors
    /// If the file is neither form, is damaged, or calls something in its pickle.
    pub fn open(path: &Path) -> Result<Checkpoint, PickleError> {
        let failed = |source| PickleError::File { path: path.to_path_buf(), source };
        let mut file = File::open(path).map_err(failed)?;
        let mut start = [0; 4];
        let length = file.read(&mut start).map_err(failed)?;
        if start[..length] == *b"PK\x03\x04" { Checkpoint::zipped(path) } else { Checkpoint::old(path, file) }
    }

    fn zipped(path: &Path) -> Result<Checkpoint, PickleError> {
        let damaged = |reason: String| PickleError::wrong("the checkpoint", reason);
        let mut zip = Zip::open(path)?;
        let is_pickle = |name: &&str| name.ends_with("/data.pkl") && name.matches('/').count() == 1;
        let pickle = zip.names().find(is_pickle).map(str::to_string);
        let pickle = pickle
            .ok_or_else(|| damaged("a zip file, and no checkpoint: there is no `data.pkl` in it".into()))?;
        let root = pickle.trim_end_matches("data.pkl").to_string();
        let order = format!("{root}byteorder");
        if zip.size(&order).is_some() && zip.whole(&order, 16)? != b"little" {
            return Err(damaged("its numbers are big-endian".into()));
        }
        let bytes = zip.whole(&pickle, LONGEST_PICKLE_BYTES)?;
        let tensors = listed(&read(&bytes, &Tensors, Limits::default())?)?;
        Ok(Checkpoint { path: path.to_path_buf(), tensors, storages: Storages::Zip(Box::new(zip), root) })
    }

    /// A file from before the zips. Its pickles are read with as much of the file as they turn out to need.
    fn old(path: &Path, mut file: File) -> Result<Checkpoint, PickleError> {
        let failed = |source| PickleError::File { path: path.to_path_buf(), source };
        let whole_bytes = file.metadata().map_err(failed)?.len();
        let mut most_bytes = 1 << 20;
        loop {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(0)).map_err(failed)?;
            Read::by_ref(&mut file).take(most_bytes).read_to_end(&mut bytes).map_err(failed)?;
            if !bytes.windows(OLD_MAGIC.len()).take(16).any(|window| window == OLD_MAGIC) {
                if let Some(what) = foreign(&bytes[..bytes.len().min(START_BYTES as usize)]) {
                    return Err(PickleError::Foreign(what));
                }
                let reason =
                    "neither a zip file nor one of torch's older files, nor .safetensors by its name";
                return Err(PickleError::wrong("the checkpoint", reason));
            }
            match old_pickles(&bytes) {
                Err(PickleError::EndsEarly { .. }) if most_bytes < whole_bytes.min(LONGEST_PICKLE_BYTES) => {
                    most_bytes *= 8;
                }
                pickles => {
                    let (tensors, storages, place) = pickles?;
                    let places = old_places(&mut file, whole_bytes, storages, place)?;
                    let storages = Storages::Behind(file, places);
                    return Ok(Checkpoint { path: path.to_path_buf(), tensors, storages });
                }
            }
        }
    }

    /// The numbers of a tensor in single precision and C order, whatever its strides.
    ///
    /// # Errors
    /// If its storage is missing or too short, or it holds no floating-point numbers.
    pub fn floats(&mut self, tensor: &TensorPlace) -> Result<Vec<f32>, PickleError> {
        let wrong = |reason: &str| PickleError::wrong(format!("tensor {}", tensor.name), reason);
        if matches!(tensor.dtype, Dtype::Other { .. }) {
            return Err(wrong("its numbers are integers, where weights are wanted"));
        }
        let Some(span) = Span::of(tensor) else { return Err(wrong("its shape or its strides are absurd")) };
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
        Ok(if is_contiguous(tensor) { all } else { in_c_order(tensor, span.count, &all) })
    }

    /// Some bytes of a storage.
    fn storage(&mut self, key: &str, from: u64, length: u64) -> Result<Vec<u8>, PickleError> {
        match &mut self.storages {
            Storages::Zip(zip, root) => Ok(zip.range(&format!("{root}data/{key}"), from, length)?),
            Storages::Behind(file, places) => {
                let wrong = |reason: String| PickleError::wrong(format!("storage {key}"), reason);
                let (place, has) = places.get(key).copied().ok_or_else(|| wrong("is not there".into()))?;
                if has < from + length {
                    let reason =
                        format!("has {has} bytes where {} are needed; the file is cut short", from + length);
                    return Err(wrong(reason));
                }
                let mut bytes = Vec::new();
                let read = file.seek(SeekFrom::Start(place + from));
                let read = read.and_then(|_| Read::by_ref(file).take(length).read_to_end(&mut bytes));
                match read {
                    Err(source) => Err(PickleError::File { path: self.path.clone(), source }),
                    Ok(read) if (read as u64) < length => {
                        Err(wrong("is cut short; copy the file again".into()))
                    }
                    Ok(_) => Ok(bytes),
                }
            }
        }
    }
}

/// Which part of its storage a tensor's numbers lie in.
struct Span {
    count: usize,
    from_byte: u64,
    bytes: u64,
}

impl Span {
    /// `None` where numbers overflow, or are more than a tensor has.
    fn of(tensor: &TensorPlace) -> Option<Span> {
        let count = tensor.shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side))?;
        let far = tensor.shape.iter().zip(&tensor.strides).try_fold(0usize, |far, (side, stride)| {
            side.saturating_sub(1).checked_mul(*stride)?.checked_add(far)
        })?;
        let width = tensor.dtype.bytes() as u64;
        let from_byte = (tensor.offset as u64).checked_mul(width)?;
        let bytes = (far as u64).checked_add(1)?.checked_mul(width)?;
        from_byte.checked_add(bytes)?;
        (count <= MOST_NUMBERS && bytes <= MOST_NUMBERS as u64 * 4).then_some(Span {
            count,
            from_byte,
            bytes,
        })
    }
}

fn is_contiguous(tensor: &TensorPlace) -> bool {
    let mut stride = 1;
    tensor.shape.iter().zip(&tensor.strides).rev().all(|(side, found)| {
        let fits = *side == 1 || *found == stride;
        stride *= side;
        fits
    })
}

/// The numbers of a tensor out of those of its span.
fn in_c_order(tensor: &TensorPlace, count: usize, all: &[f32]) -> Vec<f32> {
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

/// An old file's storages: each one's key and the bytes of one of its numbers.
type OldStorages = Vec<(String, usize)>;

/// The five pickles of an old file: magic number, protocol, the writer's facts, the checkpoint, its storages' keys.
/// And where the last of them ends.
fn old_pickles(bytes: &[u8]) -> Result<(Vec<TensorPlace>, OldStorages, usize), PickleError> {
    let mut at = 0;
    for _ in 0..3 {
        at += read(&bytes[at..], &Tensors, Limits::default())?.length();
    }
    let tree = read(&bytes[at..], &Tensors, Limits::default())?;
    let (tensors, widths) = (listed(&tree)?, storage_widths(&tree));
    at += tree.length();
    let keys = read(&bytes[at..], &Tensors, Limits::default())?;
    let all = keys.elements(keys.root()).unwrap_or_default().iter().map(|key| {
        let key = keys.text(*key).unwrap_or_default();
        let width = widths.get(key).copied();
        let unknown =
            || PickleError::wrong(format!("storage {key}"), "no tensor says what numbers are in it");
        width.map(|width| (key.to_string(), width)).ok_or_else(unknown)
    });
    Ok((tensors, all.collect::<Result<_, _>>()?, at + keys.length()))
}

/// Where the storages of an old file lie: one behind the other, each behind the count of its numbers.
fn old_places(
    file: &mut File,
    whole_bytes: u64,
    storages: OldStorages,
    first: usize,
) -> Result<HashMap<String, (u64, u64)>, PickleError> {
    let mut place = first as u64;
    let mut places = HashMap::new();
    for (key, width) in storages {
        let cut = || {
            PickleError::wrong(
                format!("storage {key}"),
                "reaches beyond the file's end; the file is cut short",
            )
        };
        let mut count = [0; 8];
        file.seek(SeekFrom::Start(place)).and_then(|_| file.read_exact(&mut count)).map_err(|_| cut())?;
        let length =
            u64::from_le_bytes(count).checked_mul(width as u64).filter(|length| *length <= whole_bytes);
        let length = length.ok_or_else(cut)?;
        places.insert(key, (place + 8, length));
        place += 8 + length;
    }
    Ok(places)
}
