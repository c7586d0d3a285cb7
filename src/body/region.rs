//! What covers a part of the body, so that a picture can dress it.

/// The covering of a face.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Region {
    Skin = 0,
    Hair = 1,
    Shirt = 2,
    Trousers = 3,
    Shoes = 4,
    Eyes = 5,
}

impl Region {
    pub const ALL: [Region; 6] =
        [Region::Skin, Region::Hair, Region::Shirt, Region::Trousers, Region::Shoes, Region::Eyes];

    /// The region of a number in a file, if it is one.
    pub fn from_number(number: u32) -> Option<Region> {
        Region::ALL.get(number as usize).copied()
    }
}
