//! Element types of torch's storages.

/// Element type of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// Double precision.
    F64,
    /// Single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    BF16,
    /// Integers, booleans and complex numbers, which no weight has.
    Other {
        /// Bytes per element.
        bytes: usize,
    },
}

impl Dtype {
    /// The type of a storage class, such as `FloatStorage`; `None` if it is unknown.
    pub(super) fn from_storage_class(storage: &str) -> Option<Dtype> {
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

    /// Bytes per element.
    pub fn bytes(self) -> usize {
        match self {
            Dtype::F64 => 8,
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::BF16 => 2,
            Dtype::Other { bytes } => bytes,
        }
    }
}
