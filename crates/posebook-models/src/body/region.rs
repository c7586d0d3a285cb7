//! Surface regions of the body (skin, hair, clothes), for rendering.

/// The surface region of a face; the numbers are those in body files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Region {
    /// Bare skin.
    Skin = 0,
    /// Hair.
    Hair = 1,
    /// Shirt.
    Shirt = 2,
    /// Trousers.
    Trousers = 3,
    /// Shoes.
    Shoes = 4,
    /// Eyes.
    Eyes = 5,
}

impl Region {
    /// All regions, in the order of their numbers.
    pub const ALL: [Region; 6] =
        [Region::Skin, Region::Hair, Region::Shirt, Region::Trousers, Region::Shoes, Region::Eyes];

    /// The region of a number in a body file.
    pub fn from_number(number: u32) -> Option<Region> {
        Region::ALL.get(number as usize).copied()
    }
}
