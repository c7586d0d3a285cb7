//! Pictures of many channels, with a border of zeros.

/// A picture of `height x width` pixels with `channels` numbers each, and a border of `border` pixels around it.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Map {
    pub(in super::super) height: usize,
    pub(in super::super) width: usize,
    pub(in super::super) channels: usize,
    pub(in super::super) border: usize,
    /// `(height + 2 border, width + 2 border, channels)`. Whoever writes leaves the border as it is.
    pub(in super::super) values: Vec<f32>,
}

impl Map {
    /// A map of zeros.
    pub(in super::super) fn new(height: usize, width: usize, channels: usize, border: usize) -> Map {
        let values = vec![0.0; Map::numbers(height, width, channels, border)];
        Map { height, width, channels, border, values }
    }

    /// How many numbers such a map holds.
    pub(in super::super) fn numbers(height: usize, width: usize, channels: usize, border: usize) -> usize {
        (height + 2 * border) * (width + 2 * border) * channels
    }

    /// Numbers from one row to the next.
    pub(in super::super) fn row_step(&self) -> usize {
        (self.width + 2 * self.border) * self.channels
    }

    /// Where the pixel in column 0 of row `y` starts in [`Map::values`].
    pub(in super::super) fn row(&self, y: usize) -> usize {
        (y + self.border) * self.row_step() + self.border * self.channels
    }
}

/// A map's sizes, apart from its values.
pub(super) struct Shape {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) border: usize,
    pub(super) row_step: usize,
    /// Where the first pixel starts.
    pub(super) first: usize,
}

impl Shape {
    pub(super) fn of(map: &Map) -> Shape {
        let Map { height, width, channels, border, .. } = *map;
        Shape { height, width, channels, border, row_step: map.row_step(), first: map.row(0) }
    }
}
