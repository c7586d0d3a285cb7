//! A small bitmap font: printable ASCII, capitals five dots wide and seven high, drawn for this program. The dots are
//! joined by strokes, so that letters are round and of any thickness at any size.

/// Rows of a glyph: seven from the capitals' top to the base line, then two for descenders.
pub const HEIGHT: usize = 9;
/// Columns between two letters.
const GAP: usize = 1;

/// A glyph: its width and its rows; the leftmost dot is the highest of `width` bits.
pub struct Glyph {
    pub width: usize,
    pub rows: [u8; HEIGHT],
}

/// Glyphs as drawings, separated by blanks.
const ART: &[(&str, [&str; HEIGHT])] = &[
    (
        "ABCDEFGHIJKLM",
        [
            ".###. ####. .###. ####. ##### ##### .###. #...# ### ..### #...# #.... #...#",
            "#...# #...# #...# #...# #.... #.... #...# #...# .#. ...#. #..#. #.... ##.##",
            "#...# #...# #.... #...# #.... #.... #.... #...# .#. ...#. #.#.. #.... #.#.#",
            "##### ####. #.... #...# ####. ####. #.### ##### .#. ...#. ##... #.... #.#.#",
            "#...# #...# #.... #...# #.... #.... #...# #...# .#. ...#. #.#.. #.... #...#",
            "#...# #...# #...# #...# #.... #.... #...# #...# .#. #..#. #..#. #.... #...#",
            "#...# ####. .###. ####. ##### #.... .#### #...# ### .##.. #...# ##### #...#",
            "..... ..... ..... ..... ..... ..... ..... ..... ... ..... ..... ..... .....",
            "..... ..... ..... ..... ..... ..... ..... ..... ... ..... ..... ..... .....",
        ],
    ),
    (
        "NOPQRSTUVWXYZ",
        [
            "#...# .###. ####. .###. ####. .#### ##### #...# #...# #...# #...# #...# #####",
            "##..# #...# #...# #...# #...# #.... ..#.. #...# #...# #...# #...# #...# ....#",
            "#.#.# #...# #...# #...# #...# #.... ..#.. #...# #...# #...# .#.#. .#.#. ...#.",
            "#.#.# #...# ####. #...# ####. .###. ..#.. #...# #...# #.#.# ..#.. ..#.. ..#..",
            "#..## #...# #.... #.#.# #.#.. ....# ..#.. #...# .#.#. #.#.# .#.#. ..#.. .#...",
            "#...# #...# #.... #..#. #..#. ....# ..#.. #...# .#.#. ##.## #...# ..#.. #....",
            "#...# .###. #.... .##.# #...# ####. ..#.. .###. ..#.. #...# #...# ..#.. #####",
            "..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... .....",
            "..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... .....",
        ],
    ),
    (
        "abcdefghijklm",
        [
            "..... #.... .... ....# ..... ..## ..... #.... # ..# #... #. .....",
            "..... #.... .... ....# ..... .#.. ..... #.... . ... #... #. .....",
            ".###. ####. .### .#### .###. .#.. .#### ####. # ..# #..# #. ##.#.",
            "....# #...# #... #...# #...# ###. #...# #...# # ..# #.#. #. #.#.#",
            ".#### #...# #... #...# ##### .#.. #...# #...# # ..# ##.. #. #.#.#",
            "#...# #...# #... #...# #.... .#.. #...# #...# # ..# #.#. #. #.#.#",
            ".#### ####. .### .#### .###. .#.. .#### #...# # ..# #..# .# #.#.#",
            "..... ..... .... ..... ..... .... ....# ..... . #.# .... .. .....",
            "..... ..... .... ..... ..... .... .###. ..... . .#. .... .. .....",
        ],
    ),
    (
        "nopqrstuvwxyz",
        [
            "..... ..... ..... ..... .... .... .#.. ..... ..... ..... ..... ..... ....",
            "..... ..... ..... ..... .... .... .#.. ..... ..... ..... ..... ..... ....",
            "####. .###. ####. .#### #.## .### ###. #...# #...# #...# #...# #...# ####",
            "#...# #...# #...# #...# ##.. #... .#.. #...# #...# #.#.# .#.#. #...# ...#",
            "#...# #...# #...# #...# #... .##. .#.. #...# .#.#. #.#.# ..#.. #...# .##.",
            "#...# #...# #...# #...# #... ...# .#.. #...# .#.#. #.#.# .#.#. #...# #...",
            "#...# .###. ####. .#### #... ###. ..## .#### ..#.. .#.#. #...# .#### ####",
            "..... ..... #.... ....# .... .... .... ..... ..... ..... ..... ....# ....",
            "..... ..... #.... ....# .... .... .... ..... ..... ..... ..... .###. ....",
        ],
    ),
    (
        "0123456789+-=",
        [
            ".###. .#. .###. .###. ...#. ##### .###. ##### .###. .###. ..... .... ....",
            "#...# ##. #...# #...# ..##. #.... #.... ....# #...# #...# ..#.. .... ....",
            "#..## .#. ....# ....# .#.#. ####. #.... ...#. #...# #...# ..#.. .... ####",
            "#.#.# .#. ...#. ..##. #..#. ....# ####. ...#. .###. .#### ##### #### ....",
            "##..# .#. ..#.. ....# ##### ....# #...# ..#.. #...# ....# ..#.. .... ####",
            "#...# .#. .#... #...# ...#. #...# #...# ..#.. #...# ....# ..#.. .... ....",
            ".###. ### ##### .###. ...#. .###. .###. ..#.. .###. .###. ..... .... ....",
            "..... ... ..... ..... ..... ..... ..... ..... ..... ..... ..... .... ....",
            "..... ... ..... ..... ..... ..... ..... ..... ..... ..... ..... .... ....",
        ],
    ),
    (
        ".,:;!?'\"()[]{}/\\|_",
        [
            ". .. . .. # .###. # #.# ..# #.. ## ## ..# #.. ...# #... # .....",
            ". .. . .. # #...# # #.# .#. .#. #. .# .#. .#. ...# #... # .....",
            ". .. # .# # ....# . ... #.. ..# #. .# .#. .#. ..#. .#.. # .....",
            ". .. . .. # ...#. . ... #.. ..# #. .# #.. ..# ..#. .#.. # .....",
            ". .. . .. # ..#.. . ... #.. ..# #. .# .#. .#. .#.. ..#. # .....",
            ". .# . .# . ..... . ... .#. .#. #. .# .#. .#. .#.. ..#. # .....",
            "# .# # .# # ..#.. . ... ..# #.. ## ## ..# #.. #... ...# # .....",
            ". #. . #. . ..... . ... ... ... .. .. ... ... .... .... # #####",
            ". .. . .. . ..... . ... ... ... .. .. ... ... .... .... . .....",
        ],
    ),
    (
        "#$%&*<>@^`~ ",
        [
            ".#.#. ..#.. ##..# .##.. ..... ...# #... .###. ..#.. #. ..... ...",
            ".#.#. .#### ##..# #..#. ..#.. ..#. .#.. #...# .#.#. .# ..... ...",
            "##### #.#.. ...#. #..#. #.#.# .#.. ..#. #.### #...# .. .#..# ...",
            ".#.#. .###. ..#.. .##.. .###. #... ...# #.#.# ..... .. #.##. ...",
            "##### ..#.# .#... #.#.# #.#.# .#.. ..#. #.### ..... .. ..... ...",
            ".#.#. ####. #..## #..#. ..#.. ..#. .#.. #.... ..... .. ..... ...",
            ".#.#. ..#.. #..## .##.# ..... ...# #... .###. ..... .. ..... ...",
            "..... ..... ..... ..... ..... .... .... ..... ..... .. ..... ...",
            "..... ..... ..... ..... ..... .... .... ..... ..... .. ..... ...",
        ],
    ),
];

static GLYPHS: std::sync::LazyLock<Vec<Option<Glyph>>> = std::sync::LazyLock::new(|| {
    let mut glyphs: Vec<Option<Glyph>> = (0..128).map(|_| None).collect();
    for (letters, rows) in ART {
        let columns: Vec<Vec<&str>> = rows.iter().map(|row| row.split(' ').collect()).collect();
        for (i, letter) in letters.chars().enumerate() {
            let bits = |row: &Vec<&str>| row[i].bytes().fold(0, |bits, dot| bits << 1 | (dot == b'#') as u8);
            let rows = std::array::from_fn(|row| bits(&columns[row]));
            glyphs[letter as usize] = Some(Glyph { width: columns[0][i].len(), rows });
        }
    }
    glyphs
});

/// The glyph of a character. Some typographic characters map to ASCII, unknown ones to a question mark.
pub fn glyph(letter: char) -> &'static Glyph {
    let letter = match letter {
        '\u{2013}' | '\u{2014}' | '\u{2212}' => '-',
        '\u{2018}' | '\u{2019}' => '\'',
        '\u{00d7}' => 'x',
        '\u{00a0}' => ' ',
        other => other,
    };
    let known = GLYPHS.get(letter as usize).and_then(|glyph| glyph.as_ref());
    known.or(GLYPHS[b'?' as usize].as_ref()).expect("the font has a question mark")
}

/// Width of a line of text in dots.
pub fn width(text: &str) -> usize {
    let letters = text.chars().map(|letter| glyph(letter).width + GAP).sum::<usize>();
    letters.saturating_sub(GAP)
}

/// A stroke between the centers of two dots, or on a single dot; columns and rows in dots.
pub type Stroke = [[f32; 2]; 2];

/// Calls `letter` with the left edge, the width and the strokes of every letter of a line of text, in dots. Strokes are
/// relative to the letter's left edge.
pub fn letters(text: &str, mut letter: impl FnMut(usize, usize, &[Stroke])) {
    let mut left = 0;
    for character in text.chars() {
        let glyph = glyph(character);
        letter(left, glyph.width, &strokes(glyph));
        left += glyph.width + GAP;
    }
}

/// Joins every dot with its neighbors; diagonally only where no orthogonal connection exists.
fn strokes(glyph: &Glyph) -> Vec<Stroke> {
    let is_on = |column: usize, row: usize| {
        row < HEIGHT && column < glyph.width && glyph.rows[row] >> (glyph.width - 1 - column) & 1 == 1
    };
    let middle = |column: usize, row: usize| [column as f32 + 0.5, row as f32 + 0.5];
    let mut strokes = Vec::new();
    for (row, column) in (0..HEIGHT).flat_map(|row| (0..glyph.width).map(move |column| (row, column))) {
        if !is_on(column, row) {
            continue;
        }
        let (right, down) = (is_on(column + 1, row), is_on(column, row + 1));
        let left = column > 0 && is_on(column - 1, row);
        let mut join = |column_after: usize, row_after: usize| {
            strokes.push([middle(column, row), middle(column_after, row_after)]);
        };
        // a single dot, such as a full stop
        join(column, row);
        if right {
            join(column + 1, row);
        }
        if down {
            join(column, row + 1);
        }
        if !right && !down && is_on(column + 1, row + 1) {
            join(column + 1, row + 1);
        }
        if !left && !down && column > 0 && is_on(column - 1, row + 1) {
            join(column - 1, row + 1);
        }
    }
    strokes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_ascii_is_complete_and_well_formed() {
        for letter in ' '..='~' {
            assert!(GLYPHS[letter as usize].is_some(), "no glyph for {letter:?}");
        }
        for (letters, rows) in ART {
            let widths = |row: &str| row.split(' ').map(str::len).collect::<Vec<_>>();
            assert_eq!(widths(rows[0]).len(), letters.chars().count(), "{letters}");
            for row in rows {
                assert_eq!(widths(row), widths(rows[0]), "{letters}: {row}");
            }
        }
    }

    #[test]
    fn no_two_glyphs_are_equal() {
        let letters: Vec<char> = ('!'..='~').collect();
        for (i, &a) in letters.iter().enumerate() {
            for &b in &letters[..i] {
                let (a_glyph, b_glyph) = (glyph(a), glyph(b));
                assert!(a_glyph.rows != b_glyph.rows || a_glyph.width != b_glyph.width, "{a:?} equals {b:?}");
            }
        }
        assert_eq!(width("il"), 4);
    }

    #[test]
    fn dots_are_joined_by_strokes() {
        let of = |letter: char| strokes(glyph(letter)).into_iter().filter(|[from, to]| from != to).count();
        // an L: six strokes down, four to the right
        assert_eq!(of('L'), 10);
        // a slash is diagonal where its column changes
        assert_eq!(of('/'), 6);
        assert_eq!(strokes(glyph('.')), [[[0.5, 6.5]; 2]]);
    }
}
