//! Colors of tracks: posebook's own, and the two palettes of PHALP.

use super::overlay::track_color;
use serde::{Deserialize, Serialize};

/// Which colors tracks have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colors {
    /// Colors that are distinguishable with any color vision.
    #[default]
    Posebook,
    /// PHALP's.
    Phalp,
    /// PHALP's second palette, which the videos of SLAHMR and LART have.
    Slahmr,
}

impl Colors {
    /// sRGB color of a track. In PHALP's palettes the track id is the index; 0 is replaced by 1, as PHALP does. Beyond the
    /// palette PHALP draws random colors, different in every run; here they depend only on the id.
    pub fn of_track(self, track: u64) -> [u8; 3] {
        let palette: &[[u8; 3]] = match self {
            Colors::Posebook => return track_color(track as u32),
            Colors::Phalp => &PHALP,
            Colors::Slahmr => &SLAHMR,
        };
        let color = usize::try_from(track).ok().and_then(|index| palette.get(index).copied());
        color.unwrap_or_else(|| random_color(track)).map(|channel| channel.max(1))
    }
}

/// Three bytes that depend on the id alone.
fn random_color(track: u64) -> [u8; 3] {
    // splitmix64
    let mut bits = track.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let bytes = (bits ^ (bits >> 31)).to_le_bytes();
    [bytes[0], bytes[1], bytes[2]]
}

/// `phalp_colors` of PHALP.
const PHALP: [[u8; 3]; 64] = [
    [213, 255, 0],
    [255, 0, 86],
    [158, 0, 142],
    [14, 76, 161],
    [255, 229, 2],
    [0, 95, 57],
    [0, 255, 0],
    [149, 0, 58],
    [255, 147, 126],
    [164, 36, 0],
    [0, 21, 68],
    [145, 208, 203],
    [98, 14, 0],
    [107, 104, 130],
    [0, 0, 255],
    [0, 125, 181],
    [106, 130, 108],
    [0, 174, 126],
    [194, 140, 159],
    [190, 153, 112],
    [0, 143, 156],
    [95, 173, 78],
    [255, 0, 0],
    [255, 0, 246],
    [255, 2, 157],
    [104, 61, 59],
    [255, 116, 163],
    [150, 138, 232],
    [152, 255, 82],
    [167, 87, 64],
    [1, 255, 254],
    [255, 238, 232],
    [254, 137, 0],
    [189, 198, 255],
    [1, 208, 255],
    [187, 136, 0],
    [117, 68, 177],
    [165, 255, 210],
    [255, 166, 254],
    [119, 77, 0],
    [122, 71, 130],
    [38, 52, 0],
    [0, 71, 84],
    [67, 0, 44],
    [181, 0, 255],
    [255, 177, 103],
    [255, 219, 102],
    [144, 251, 146],
    [126, 45, 210],
    [189, 211, 147],
    [229, 111, 254],
    [222, 255, 116],
    [0, 255, 120],
    [0, 155, 255],
    [0, 100, 1],
    [0, 118, 255],
    [133, 169, 0],
    [0, 185, 23],
    [120, 130, 49],
    [0, 255, 198],
    [255, 110, 65],
    [232, 94, 190],
    [0, 0, 0],
    [1, 0, 103],
];

/// `slahmr_colors` of PHALP.
const SLAHMR: [[u8; 3]; 97] = [
    [241, 91, 181],
    [0, 187, 249],
    [254, 228, 64],
    [0, 245, 212],
    [222, 158, 54],
    [93, 169, 233],
    [155, 93, 229],
    [24, 242, 178],
    [252, 116, 186],
    [138, 225, 252],
    [178, 171, 242],
    [24, 231, 98],
    [232, 93, 117],
    [207, 250, 231],
    [253, 208, 242],
    [109, 157, 197],
    [166, 189, 219],
    [253, 146, 207],
    [167, 201, 87],
    [117, 68, 177],
    [255, 229, 50],
    [251, 202, 239],
    [58, 134, 255],
    [255, 0, 110],
    [251, 86, 7],
    [188, 51, 209],
    [122, 229, 130],
    [0, 48, 73],
    [214, 40, 40],
    [229, 179, 179],
    [0, 187, 249],
    [255, 190, 11],
    [204, 213, 174],
    [0, 245, 212],
    [255, 153, 200],
    [144, 251, 146],
    [189, 211, 147],
    [230, 0, 86],
    [0, 95, 57],
    [0, 174, 126],
    [255, 116, 163],
    [189, 198, 255],
    [90, 219, 255],
    [158, 0, 142],
    [255, 147, 126],
    [164, 36, 0],
    [0, 21, 68],
    [145, 208, 203],
    [95, 173, 78],
    [107, 104, 130],
    [0, 125, 181],
    [106, 130, 108],
    [252, 246, 189],
    [208, 244, 222],
    [169, 222, 249],
    [228, 193, 249],
    [122, 204, 174],
    [194, 140, 159],
    [0, 143, 156],
    [235, 0, 0],
    [255, 2, 157],
    [104, 61, 59],
    [150, 138, 232],
    [152, 255, 82],
    [167, 87, 64],
    [1, 255, 254],
    [255, 238, 232],
    [254, 137, 0],
    [1, 208, 255],
    [187, 136, 0],
    [165, 255, 210],
    [255, 166, 254],
    [119, 77, 0],
    [122, 71, 130],
    [38, 52, 0],
    [0, 71, 84],
    [67, 0, 44],
    [181, 0, 255],
    [255, 177, 103],
    [255, 219, 102],
    [126, 45, 210],
    [229, 111, 254],
    [222, 255, 116],
    [0, 255, 120],
    [0, 155, 255],
    [0, 100, 1],
    [0, 118, 255],
    [133, 169, 0],
    [0, 185, 23],
    [120, 130, 49],
    [0, 255, 198],
    [255, 110, 65],
    [232, 94, 190],
    [1, 0, 103],
    [149, 0, 58],
    [98, 14, 0],
    [0, 0, 0],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_track_id_is_the_index_of_the_palette() {
        assert_eq!(Colors::Phalp.of_track(0), [213, 255, 1]);
        assert_eq!(Colors::Phalp.of_track(1), [255, 1, 86]);
        assert_eq!(Colors::Phalp.of_track(63), [1, 1, 103]);
        assert_eq!(Colors::Slahmr.of_track(0), [241, 91, 181]);
        assert_eq!(Colors::Slahmr.of_track(19), [117, 68, 177]);
        assert_eq!(Colors::Slahmr.of_track(96), [1, 1, 1]);
        assert_eq!(Colors::Posebook.of_track(3), track_color(3));
    }

    #[test]
    fn colors_beyond_a_palette_are_fixed_and_different() {
        let colors: std::collections::BTreeSet<[u8; 3]> =
            (64..164).map(|track| Colors::Phalp.of_track(track)).collect();
        assert!(colors.len() > 95, "{}", colors.len());
        assert_eq!(Colors::Phalp.of_track(5000), Colors::Slahmr.of_track(5000));
        assert!(Colors::Slahmr.of_track(u64::MAX).iter().all(|&channel| channel > 0));
    }
}
