//! Feature maps with a border of zeros, so that convolutions need no bounds checks or copies.

/// A feature map of `height x width` pixels with `channels` values each and a zero border of `border` pixels.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct PaddedMap {
    pub(in super::super) height: usize,
    pub(in super::super) width: usize,
    pub(in super::super) channels: usize,
    pub(in super::super) border: usize,
    /// `(height + 2 border, width + 2 border, channels)`. Writers must not change the border.
    pub(in super::super) values: Vec<f32>,
}

impl PaddedMap {
    /// A map filled with zeros.
    pub(in super::super) fn new(height: usize, width: usize, channels: usize, border: usize) -> PaddedMap {
        let values = vec![0.0; PaddedMap::value_count(height, width, channels, border)];
        PaddedMap { height, width, channels, border, values }
    }

    /// Number of values, border included.
    pub(in super::super) fn value_count(
        height: usize,
        width: usize,
        channels: usize,
        border: usize,
    ) -> usize {
        (height + 2 * border) * (width + 2 * border) * channels
    }

    /// Number of values from one row to the next.
    pub(in super::super) fn row_step(&self) -> usize {
        (self.width + 2 * self.border) * self.channels
    }

    /// Index in [`PaddedMap::values`] of the pixel in column 0 of row `y`.
    pub(in super::super) fn row(&self, y: usize) -> usize {
        (y + self.border) * self.row_step() + self.border * self.channels
    }
}

/// The memory layout of a map without its values.
pub(super) struct MapLayout {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) border: usize,
    pub(super) row_step: usize,
    /// Index of the first pixel inside the border.
    pub(super) first: usize,
}

impl MapLayout {
    pub(super) fn new(map: &PaddedMap) -> MapLayout {
        let PaddedMap { height, width, channels, border, .. } = *map;
        MapLayout { height, width, channels, border, row_step: map.row_step(), first: map.row(0) }
    }
}
