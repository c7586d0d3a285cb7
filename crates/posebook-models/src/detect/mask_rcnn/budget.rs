//! Bounds the memory of a pass: windows, attention rows and regions are computed in chunks that fit.

/// A limit on the buffers of one step of a pass, which is computed in chunks. Results do not depend on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Bytes that the buffers of a chunk may take; `None` computes everything at once.
    pub bytes: Option<u64>,
}

impl Budget {
    /// A limit in mebibytes.
    pub fn from_mib(mib: u64) -> Budget {
        Budget { bytes: Some(mib.saturating_mul(1 << 20)) }
    }

    /// How many of `count` items of `item_bytes` each are computed at a time: at least one.
    pub fn chunk(&self, count: usize, item_bytes: usize) -> usize {
        let fits = self.bytes.map_or(count as u64, |bytes| bytes / (item_bytes as u64).max(1));
        usize::try_from(fits).unwrap_or(usize::MAX).min(count).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_fits_and_is_never_empty() {
        assert_eq!(Budget::default().chunk(7, 1 << 30), 7);
        assert_eq!(Budget::from_mib(1).chunk(7, 1 << 18), 4);
        assert_eq!(Budget::from_mib(1).chunk(7, 1 << 30), 1);
        assert_eq!(Budget::from_mib(1).chunk(0, 0), 1);
    }
}
