//! An embedding without weights: mean colors of the seen texels in a grid of cells.
//!
//! In: a UV map; out: 32 x 32 cells by three colors, plane by plane, then zeros up to the embedding's length. A cell in which
//! nothing was seen is 0, the mean color of ImageNet. Two maps that were cut to the texels seen in both differ only by color.

use posebook_core::appearance::{EMBEDDING_LENGTH, UV_SIDE, UV_TEXELS, UvMap};

/// Cells per side of the grid.
const CELLS: usize = 32;
/// Texels per side of a cell.
const CELL_SIDE: usize = UV_SIDE / CELLS;
/// Factor of all values. Colors in a map are ImageNet-normalized and divided by 5, so that they differ by a tenth or two
/// between clothes, and two people by about 5 over a few hundred common cells. The published encoder's embeddings of two people
/// differ by about 40, and PHALP's weights of the cues assume that.
const GAIN: f32 = 8.0;

/// The embedding of a map.
pub fn encode(map: &UvMap) -> Vec<f32> {
    let mut embedding = vec![0.0; EMBEDDING_LENGTH];
    let mut seen = [0.0f32; CELLS * CELLS];
    let mask = map.mask();
    for (texel, _) in mask.iter().enumerate().filter(|&(_, &mask)| mask > 0.5) {
        let cell = (texel / UV_SIDE / CELL_SIDE) * CELLS + texel % UV_SIDE / CELL_SIDE;
        seen[cell] += 1.0;
        for channel in 0..3 {
            embedding[channel * CELLS * CELLS + cell] += map.values()[channel * UV_TEXELS + texel];
        }
    }
    for plane in embedding.chunks_exact_mut(CELLS * CELLS).take(3) {
        for (value, &seen) in plane.iter_mut().zip(&seen) {
            *value *= GAIN / seen.max(1.0);
        }
    }
    embedding
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_hold_the_mean_color_of_seen_texels() {
        let mut map = UvMap::empty();
        // two seen texels of the cell in row 1, column 2, and one that is not seen
        for (texel, red, mask) in
            [(8 * UV_SIDE + 16, 0.2, 1.0), (9 * UV_SIDE + 23, 0.4, 1.0), (10 * UV_SIDE + 20, 5.0, -1.0)]
        {
            map.values_mut()[texel] = red;
            map.values_mut()[3 * UV_TEXELS + texel] = mask;
        }
        let embedding = encode(&map);
        assert_eq!(embedding.len(), EMBEDDING_LENGTH);
        assert!((embedding[CELLS + 2] - 0.3 * GAIN).abs() < 1e-6);
        assert_eq!(embedding.iter().filter(|&&value| value != 0.0).count(), 1);
    }
}
