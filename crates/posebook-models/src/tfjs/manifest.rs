//! Parses `weightsManifest` (names, shapes and types of the tensors) and reads the tensors' values.

use super::TfjsError;
use half::f16;
use serde_json::Value;

/// Maximum number of axes of a tensor.
const MAX_AXES: usize = 8;
/// Bytes of an int32 or float32 value.
const WORD: u64 = 4;

/// A tensor's values, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Stored as float32, or as float16 or dequantize integers (dequantized).
    F32(Vec<f32>),
    /// Stored as int32, uint8 or bool.
    I32(Vec<i32>),
}

/// A constant tensor of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// Lengths of the axes; empty for a scalar.
    pub shape: Vec<usize>,
    /// The values.
    pub data: Data,
}

impl Weight {
    /// The values if they are floats.
    pub fn floats(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(values) => Some(values),
            Data::I32(_) => None,
        }
    }

    /// The values if they are integers.
    pub fn integers(&self) -> Option<&[i32]> {
        match &self.data {
            Data::I32(values) => Some(values),
            Data::F32(_) => None,
        }
    }
}

/// Storage format of a tensor's values.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stored {
    F32,
    F16,
    I32,
    /// One byte per value.
    U8,
    /// Quantized: `value * scale + min`, rounded if the tensor has integer values.
    Quantized {
        bytes: u64,
        scale: f64,
        min: f64,
        is_integer: bool,
    },
}

impl Stored {
    fn bytes(self) -> u64 {
        match self {
            Stored::F32 | Stored::I32 => WORD,
            Stored::F16 => 2,
            Stored::U8 => 1,
            Stored::Quantized { bytes, .. } => bytes,
        }
    }
}

/// A tensor of the manifest.
#[derive(Debug)]
struct Entry {
    name: String,
    shape: Vec<usize>,
    count: u64,
    stored: Stored,
    offset: u64,
}

/// A group of files; their concatenated bytes are the concatenated tensors.
#[derive(Debug)]
pub(super) struct Group {
    /// File names, in the folder of the JSON.
    pub(super) paths: Vec<String>,
    entries: Vec<Entry>,
    bytes: u64,
}

/// Parses the groups of a model's JSON.
pub(super) fn parse(json: &Value) -> Result<Vec<Group>, TfjsError> {
    let groups = list(json.get("weightsManifest"), "weightsManifest")?;
    groups.iter().enumerate().map(|(at, group)| parse_group(group, at)).collect()
}

fn list<'a>(value: Option<&'a Value>, at: &str) -> Result<&'a Vec<Value>, TfjsError> {
    value.and_then(Value::as_array).ok_or_else(|| TfjsError::structure(at, "it has to be a list"))
}

fn parse_group(group: &Value, at: usize) -> Result<Group, TfjsError> {
    let at = format!("weightsManifest[{at}]");
    let mut paths = Vec::new();
    for path in list(group.get("paths"), &format!("{at}.paths"))? {
        let name = path.as_str().filter(|name| is_plain(name)).ok_or_else(|| {
            TfjsError::structure(format!("{at}.paths"), format!("{path} is not a plain file name"))
        })?;
        paths.push(name.to_string());
    }
    let mut entries = Vec::new();
    let mut offset = 0u64;
    for weight in list(group.get("weights"), &format!("{at}.weights"))? {
        let entry = parse_entry(weight, offset, &at)?;
        let too_large = || TfjsError::Weight {
            name: entry.name.clone(),
            offset,
            reason: format!("its shape {:?} is too large", entry.shape),
        };
        let bytes = entry.count.checked_mul(entry.stored.bytes()).ok_or_else(too_large)?;
        offset = offset.checked_add(bytes).ok_or_else(too_large)?;
        entries.push(entry);
    }
    Ok(Group { paths, entries, bytes: offset })
}

/// Whether a name refers to a file in the same folder.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0', ':'])
}

fn parse_entry(weight: &Value, offset: u64, at: &str) -> Result<Entry, TfjsError> {
    let name = weight
        .get("name")
        .and_then(Value::as_str)
        .ok_or_else(|| TfjsError::structure(format!("{at}.weights"), "a tensor has no name"))?
        .to_string();
    let invalid = |reason: String| TfjsError::Weight { name: name.clone(), offset, reason };
    let axes =
        weight.get("shape").and_then(Value::as_array).ok_or_else(|| invalid("it has no shape".into()))?;
    if axes.len() > MAX_AXES {
        return Err(invalid(format!("it has {} axes, and at most {MAX_AXES} are supported", axes.len())));
    }
    let mut shape = Vec::with_capacity(axes.len());
    let mut count = 1u64;
    for axis in axes {
        let length = axis
            .as_u64()
            .filter(|length| u32::try_from(*length).is_ok())
            .ok_or_else(|| invalid(format!("{axis} is not an axis length")))?;
        count = count.checked_mul(length).ok_or_else(|| invalid("its shape is too large".into()))?;
        shape.push(usize::try_from(length).map_err(|_| invalid("its shape is too large".into()))?);
    }
    let stored = stored(weight).map_err(invalid)?;
    Ok(Entry { name, shape, count, stored, offset })
}

fn stored(weight: &Value) -> Result<Stored, String> {
    let dtype = weight.get("dtype").and_then(Value::as_str).unwrap_or("none");
    let is_integer = match dtype {
        "float32" => false,
        "int32" => true,
        "uint8" | "bool" => return Ok(Stored::U8),
        _ => return Err(format!("its type is {dtype}; float32, int32, uint8 and bool are supported")),
    };
    let Some(quantization) = weight.get("quantization").filter(|value| !value.is_null()) else {
        return Ok(if is_integer { Stored::I32 } else { Stored::F32 });
    };
    let narrow = quantization.get("dtype").and_then(Value::as_str).unwrap_or("none");
    let number = |key: &str| {
        let number = quantization.get(key).and_then(Value::as_f64).filter(|number| number.is_finite());
        number.ok_or_else(|| format!("its quantization has no number `{key}`"))
    };
    match narrow {
        "float16" if !is_integer => Ok(Stored::F16),
        "uint8" => {
            Ok(Stored::Quantized { bytes: 1, scale: number("scale")?, min: number("min")?, is_integer })
        }
        "uint16" => {
            Ok(Stored::Quantized { bytes: 2, scale: number("scale")?, min: number("min")?, is_integer })
        }
        _ => Err(format!("it is quantized to {narrow}; float16, uint8 and uint16 are supported")),
    }
}

/// Checks that a group's files have as many bytes (`found`) as its tensors need.
pub(super) fn check_length(group: &Group, found: u64) -> Result<(), TfjsError> {
    // name the first truncated tensor, which is more helpful than the total
    let end = |entry: &Entry| entry.offset + entry.count * entry.stored.bytes();
    if let Some(entry) = group.entries.iter().find(|entry| end(entry) > found) {
        let reason = format!(
            "it needs {} bytes, and the files {} end at byte {found}",
            entry.count * entry.stored.bytes(),
            group.paths.join(", ")
        );
        return Err(TfjsError::Weight { name: entry.name.clone(), offset: entry.offset, reason });
    }
    if found != group.bytes {
        return Err(TfjsError::Length { files: group.paths.join(", "), found, listed: group.bytes });
    }
    Ok(())
}

/// Reads the tensors of a group.
pub(super) fn read_group(group: &Group, bytes: &[u8]) -> Result<Vec<(String, Weight)>, TfjsError> {
    check_length(group, bytes.len() as u64)?;
    let mut rest = bytes;
    let mut weights = Vec::with_capacity(group.entries.len());
    for entry in &group.entries {
        // cannot overflow: the sum over all tensors equals the length of a slice in memory
        let taken = (entry.count * entry.stored.bytes()) as usize;
        let Some((bytes, remaining)) = rest.split_at_checked(taken) else {
            return Err(TfjsError::Length {
                files: group.paths.join(", "),
                found: rest.len() as u64,
                listed: taken as u64,
            });
        };
        rest = remaining;
        let data = values(entry.stored, bytes);
        if let Data::F32(values) = &data
            && let Some(at) = values.iter().position(|value| value.is_nan())
        {
            let reason = format!("value {at} is not a number (NaN)");
            return Err(TfjsError::Weight { name: entry.name.clone(), offset: entry.offset, reason });
        }
        weights.push((entry.name.clone(), Weight { shape: entry.shape.clone(), data }));
    }
    Ok(weights)
}

fn values(stored: Stored, bytes: &[u8]) -> Data {
    let words = bytes.as_chunks::<4>().0.iter();
    let halves = bytes.as_chunks::<2>().0.iter();
    match stored {
        Stored::F32 => Data::F32(words.map(|word| f32::from_le_bytes(*word)).collect()),
        Stored::I32 => Data::I32(words.map(|word| i32::from_le_bytes(*word)).collect()),
        Stored::F16 => Data::F32(halves.map(|half| f16::from_le_bytes(*half).to_f32()).collect()),
        Stored::U8 => Data::I32(bytes.iter().map(|byte| i32::from(*byte)).collect()),
        Stored::Quantized { bytes: 1, scale, min, is_integer } => {
            dequantize(bytes.iter().map(|byte| f64::from(*byte)), scale, min, is_integer)
        }
        Stored::Quantized { scale, min, is_integer, .. } => {
            dequantize(halves.map(|half| f64::from(u16::from_le_bytes(*half))), scale, min, is_integer)
        }
    }
}

fn dequantize(values: impl Iterator<Item = f64>, scale: f64, min: f64, is_integer: bool) -> Data {
    let values = values.map(|value| value * scale + min);
    if is_integer {
        Data::I32(values.map(|value| value.round() as i32).collect())
    } else {
        Data::F32(values.map(|value| value as f32).collect())
    }
}
