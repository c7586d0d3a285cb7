//! Film strips: pictures in a grid, columns for moments, rows for ways to see them.
//! Must not know what the rows stand for.

use super::pen::{line_height, shortened, text_height, text_width};
use super::picture::Picture;

const PAPER: [u8; 3] = [255, 255, 255];
const INK: [u8; 3] = [36, 38, 43];
const FAINT: [u8; 3] = [105, 110, 120];
const EMPTY: [u8; 3] = [226, 228, 232];
/// Between two pictures, pixels.
const GAP: usize = 6;

/// One row of a strip.
pub struct Row {
    pub label: String,
    /// One per column; `None` where there is none to show.
    pub pictures: Vec<Option<Picture>>,
}

/// A grid of pictures with a caption over each column and a label over each row.
pub struct Strip {
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
    /// Width of one picture, pixels; larger ones are shrunk to it.
    pub cell_width: usize,
}

impl Strip {
    /// The strip as one picture. Cells are as high as the highest picture after shrinking.
    pub fn picture(&self) -> Picture {
        let cells: Vec<Vec<Option<Picture>>> = self
            .rows
            .iter()
            .map(|row| row.pictures.iter().map(|cell| cell.as_ref().map(|p| self.shrunk(p))).collect())
            .collect();
        let columns = cells.iter().map(Vec::len).max().unwrap_or(0).max(self.columns.len());
        let heights = cells.iter().flatten().flatten().map(|picture| picture.height);
        let cell_height = heights.max().unwrap_or(self.cell_width * 9 / 16);
        let small = if self.cell_width >= 240 { 2 } else { 1 };
        let large = if self.cell_width >= 140 { 2 } else { 1 };
        let heading = line_height(small) + 4;
        let labelled = self.rows.iter().any(|row| !row.label.is_empty());
        let label = if labelled { line_height(large) + 4 } else { 0 };
        let width = (columns * (self.cell_width + GAP)).saturating_sub(GAP).max(1);
        let height =
            heading + cells.len() * (label + cell_height + GAP) - if cells.is_empty() { 0 } else { GAP };
        let mut strip = Picture::filled(width, height, PAPER);
        for (i, caption) in self.columns.iter().enumerate() {
            let text = shortened(caption, small, self.cell_width);
            strip.text(&text, (i * (self.cell_width + GAP)) as i32, 2, small, FAINT);
        }
        for (i, (row, pictures)) in self.rows.iter().zip(&cells).enumerate() {
            let top = heading + i * (label + cell_height + GAP);
            let drop = label.saturating_sub(text_height(large)) / 2;
            let text = shortened(&row.label, large, width.saturating_sub(1));
            // twice, a pixel apart: bold
            (0..2).for_each(|left| strip.text(&text, left, (top + drop) as i32, large, INK));
            for column in 0..columns {
                let left = column * (self.cell_width + GAP);
                match pictures.get(column).and_then(Option::as_ref) {
                    Some(picture) => {
                        strip.paste(picture, left + (self.cell_width - picture.width) / 2, top + label)
                    }
                    None => self.blank(&mut strip, left, top + label, cell_height),
                }
            }
        }
        strip
    }

    fn shrunk(&self, picture: &Picture) -> Picture {
        picture.fitted(self.cell_width, usize::MAX)
    }

    fn blank(&self, strip: &mut Picture, left: usize, top: usize, height: usize) {
        strip.paste(&Picture::filled(self.cell_width, height, EMPTY), left, top);
        let text = shortened("nothing to show", 1, self.cell_width);
        let inset = (self.cell_width - text_width(&text, 1)) / 2;
        let middle = top + height.saturating_sub(text_height(1)) / 2;
        strip.text(&text, (left + inset) as i32, middle as i32, 1, FAINT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_in_their_cells() {
        let red = Picture::filled(320, 180, [200, 0, 0]);
        let strip = Strip {
            columns: vec!["frame 0".into(), "frame 30, which has a very long caption indeed".into()],
            rows: vec![
                Row { label: "extract".into(), pictures: vec![Some(red.clone()), Some(red)] },
                Row { label: "stream".into(), pictures: vec![None] },
            ],
            cell_width: 160,
        };
        let picture = strip.picture();
        assert_eq!(picture.width, 2 * 160 + GAP);
        let at = |x: usize, y: usize| &picture.rgb[(y * picture.width + x) * 3..][..3];
        let first = 11 + 4 + 22 + 4;
        assert_eq!(at(80, first + 45), [200, 0, 0]);
        assert_eq!(at(250, first + 45), [200, 0, 0]);
        assert_eq!(at(162, first + 45), PAPER);
        assert_eq!(at(3, first + 90 + GAP + 26 + 5), EMPTY);
        assert_eq!(picture.height, first + 90 + GAP + 26 + 90);
    }

    #[test]
    fn nothing_at_all_is_a_picture_too() {
        let strip = Strip { columns: vec![], rows: vec![], cell_width: 100 };
        assert_eq!(strip.picture().width, 1);
    }
}
