//! Pixels to a file's bytes.

use super::bits::{Codes, Writer};
use super::color::{halve, to_ycc};
use super::dct::{Divider, forward};
use super::tables::{SPECS, ZIGZAG, steps};
use super::{Block, Layout, SIDE};

/// Replaces `file` by the JPEG of a picture.
///
/// # Errors
/// If a side is 0 or longer than a JPEG's 65,535 pixels.
pub fn encode(
    rgb: &[u8],
    width: usize,
    height: usize,
    quality: u8,
    file: &mut Vec<u8>,
) -> Result<(), String> {
    for side in [width, height] {
        if !(1..=usize::from(u16::MAX)).contains(&side) {
            return Err(format!("a JPEG cannot be {side} pixels long"));
        }
    }
    let layout = Layout { width, height };
    let steps = steps(quality);
    file.clear();
    header(layout, &steps, file);
    let mut scan = Scan::new(layout, &steps, file);
    let mut strip = Strip::new(layout);
    for unit_row in 0..layout.units().1 {
        strip.fill(rgb, unit_row);
        scan.strip(&strip, unit_row);
    }
    scan.writer.finish();
    file.extend([0xff, 0xd9]);
    Ok(())
}

/// All before the scan, in libjpeg's order.
fn header(layout: Layout, steps: &[[u8; 64]; 2], file: &mut Vec<u8>) {
    file.extend([0xff, 0xd8, 0xff, 0xe0, 0, 16]);
    file.extend(*b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    for (number, steps) in (0u8..).zip(steps) {
        file.extend([0xff, 0xdb, 0, 67, number]);
        file.extend(ZIGZAG.map(|at| steps[usize::from(at)]));
    }
    let [height, width] = [layout.height, layout.width].map(|side| (side as u16).to_be_bytes());
    file.extend([0xff, 0xc0, 0, 17, 8, height[0], height[1], width[0], width[1], 3]);
    file.extend([1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]);
    for (spec, number) in SPECS.iter().zip([0x00, 0x10, 0x01, 0x11]) {
        file.extend([0xff, 0xc4]);
        file.extend((19 + spec.symbols.len() as u16).to_be_bytes());
        file.push(number);
        file.extend(spec.counts);
        file.extend(spec.symbols);
    }
    file.extend([0xff, 0xda, 0, 12, 3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0]);
}

/// Sixteen rows of luma and eight of each chroma.
struct Strip {
    layout: Layout,
    luma: Vec<u8>,
    chroma: [Vec<u8>; 2],
    luma_stride: usize,
    chroma_stride: usize,
    /// Full chroma of two rows.
    full: [Vec<u8>; 4],
}

impl Strip {
    fn new(layout: Layout) -> Strip {
        let luma_stride = layout.luma_blocks().0 * SIDE;
        let chroma_stride = layout.units().0 * SIDE;
        Strip {
            layout,
            luma: vec![0; luma_stride * 2 * SIDE],
            chroma: std::array::from_fn(|_| vec![0; chroma_stride * SIDE]),
            luma_stride,
            chroma_stride,
            full: std::array::from_fn(|_| vec![0; chroma_stride * 2]),
        }
    }

    /// Converts the rows of one row of units. Below the picture its last row of samples is repeated, of
    /// chroma the last *halved* one.
    fn fill(&mut self, rgb: &[u8], unit_row: usize) {
        let Layout { width, height } = self.layout;
        for pair in 0..SIDE {
            let first = (unit_row * SIDE + pair) * 2;
            let (above, here) = self.luma.split_at_mut(pair * 2 * self.luma_stride);
            let (upper, rest) = here.split_at_mut(self.luma_stride);
            let lower = &mut rest[..self.luma_stride];
            let out = pair * self.chroma_stride..(pair + 1) * self.chroma_stride;
            if first >= height {
                let last = &above[above.len() - self.luma_stride..];
                upper.copy_from_slice(last);
                lower.copy_from_slice(last);
                for chroma in &mut self.chroma {
                    chroma.copy_within(out.start - self.chroma_stride..out.start, out.start);
                }
                continue;
            }
            let row = |y: usize| &rgb[y * width * 3..(y + 1) * width * 3];
            let [upper_blue, upper_red, lower_blue, lower_red] = &mut self.full;
            to_ycc(row(first), upper, upper_blue, upper_red);
            to_ycc(row((first + 1).min(height - 1)), lower, lower_blue, lower_red);
            halve(upper_blue, lower_blue, &mut self.chroma[0][out.clone()]);
            halve(upper_red, lower_red, &mut self.chroma[1][out]);
        }
    }
}

/// The coded blocks of a picture.
struct Scan<'f> {
    layout: Layout,
    dividers: [Divider; 2],
    codes: [Codes; 4],
    writer: Writer<'f>,
    /// The last mean of each component.
    means: [i16; 3],
}

impl<'f> Scan<'f> {
    fn new(layout: Layout, steps: &[[u8; 64]; 2], file: &'f mut Vec<u8>) -> Scan<'f> {
        Scan {
            layout,
            dividers: [Divider::new(&steps[0]), Divider::new(&steps[1])],
            codes: SPECS.each_ref().map(Codes::of),
            writer: Writer::new(file),
            means: [0; 3],
        }
    }

    /// One row of units.
    fn strip(&mut self, strip: &Strip, unit_row: usize) {
        let (columns, rows) = self.layout.luma_blocks();
        for unit in 0..self.layout.units().0 {
            for (x, y) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                let column = unit * 2 + x;
                if column < columns && unit_row * 2 + y < rows {
                    let from = &strip.luma[y * SIDE * strip.luma_stride + column * SIDE..];
                    let block = self.transformed(from, strip.luma_stride, 0);
                    self.block(&block, 0);
                } else {
                    // outside the picture: nothing but the mean of the block before
                    let mut block = [0; 64];
                    block[0] = self.means[0];
                    self.block(&block, 0);
                }
            }
            for (n, chroma) in strip.chroma.iter().enumerate() {
                let block = self.transformed(&chroma[unit * SIDE..], strip.chroma_stride, 1);
                self.block(&block, n + 1);
            }
        }
    }

    fn transformed(&self, samples: &[u8], stride: usize, table: usize) -> Block {
        let mut block = [0; 64];
        for (row, samples) in block.chunks_exact_mut(SIDE).zip(samples.chunks(stride)) {
            for (place, &sample) in row.iter_mut().zip(samples) {
                *place = i16::from(sample) - 128;
            }
        }
        forward(&mut block);
        self.dividers[table].divide(&mut block);
        block
    }

    fn block(&mut self, block: &Block, component: usize) {
        let [means, rest] = match component {
            0 => [&self.codes[0], &self.codes[1]],
            _ => [&self.codes[2], &self.codes[3]],
        };
        let (length, bits) = signed(block[0] - self.means[component]);
        self.means[component] = block[0];
        self.writer.symbol(means, length as u8, bits, length);
        let mut zeros = 0;
        for at in &ZIGZAG[1..] {
            let value = block[usize::from(*at)];
            if value == 0 {
                zeros += 1;
                continue;
            }
            while zeros > 15 {
                self.writer.symbol(rest, 0xf0, 0, 0);
                zeros -= 16;
            }
            let (length, bits) = signed(value);
            self.writer.symbol(rest, (zeros << 4) | length as u8, bits, length);
            zeros = 0;
        }
        if zeros > 0 {
            self.writer.symbol(rest, 0, 0, 0);
        }
    }
}

/// How many bits a number takes, and those bits: of a negative one, those of it less one.
fn signed(value: i16) -> (u32, u32) {
    let length = u32::from(value.unsigned_abs()).checked_ilog2().map_or(0, |log| log + 1);
    let bits = i32::from(value) - i32::from(value < 0);
    (length, bits as u32 & ((1 << length) - 1))
}
