//! Half of the bytes through the pipe: planes as the decoder has them, made RGB here, with the very bits
//! that ffmpeg's `-pix_fmt rgb24` gives.
//!
//! What is imitated is swscale's own way on x86 for 4:2:0 (`libswscale/yuv2rgb.c`, where the factors come
//! from, and `libswscale/x86/yuv_2_rgb.asm`): every part times eight, less its zero, times a factor of 16
//! bits of which the upper half is kept; one chroma sample for four pixels. Other machines and other
//! versions may compute otherwise. So ffmpeg itself is asked once in a process, with pictures of all pairs
//! of brightness and colour ([`proven`]): if one byte differs, RGB comes through the pipe as ever.
//!
//! Must not know whose pictures they are, nor how they come.

use std::io::{Read, Write};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::child::{MOST_BYTES, ffmpeg, start_ffmpeg};
use super::probe::Probe;

/// Smaller pictures come as RGB: there is little to save, and the question to ffmpeg has its price.
const LEAST_PIXELS: usize = 640 * 360;
/// How long ffmpeg may say nothing while it is asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// Values of a byte, and so of a sample.
const VALUES: usize = 256;
/// Ways in which the red and the blue sample are paired in the question to ffmpeg.
const PAIRINGS: usize = 4;

/// How a video's samples are meant: what decides the factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colours {
    /// ITU-R BT.709 instead of BT.601, which also serves where nothing is said.
    bt709: bool,
    /// Whether the file says which of the two.
    told: bool,
    /// Samples from 0 to 255, and not from 16 to 235.
    full: bool,
    /// `yuvj420p`, ffmpeg's older way to say the same.
    j: bool,
}

impl Colours {
    /// The colours of a video whose planes can be taken as they are; `None` where RGB must be asked for:
    /// other layouts than 4:2:0 in bytes, odd sides, turned or interlaced pictures, other matrices, and
    /// videos that say one thing in their middle and another at their start, or may do so.
    pub fn of(probe: &Probe) -> Option<Colours> {
        let told = &probe.colours;
        let even = probe.width.is_multiple_of(2) && probe.height.is_multiple_of(2);
        let one_header = matches!(probe.container.as_str(), "isomp4" | "matroska");
        let plain = probe.rotation_degrees == 0 && even && one_header && !told.interlaced;
        if !plain || probe.width * probe.height < LEAST_PIXELS {
            return None;
        }
        if !matches!(told.chroma_location.as_deref(), None | Some("unspecified" | "left")) {
            return None;
        }
        let j = match told.pixel_format.as_deref() {
            Some("yuv420p") => false,
            Some("yuvj420p") => true,
            _ => return None,
        };
        let full = match told.range.as_deref() {
            None | Some("unknown") => j,
            Some("tv") if !j => false,
            Some("pc") => true,
            _ => return None,
        };
        let (bt709, told) = match told.space.as_deref() {
            None | Some("unknown") => (false, false),
            Some("smpte170m" | "bt470bg") => (false, true),
            Some("bt709") => (true, true),
            _ => return None,
        };
        // looked at last, since the file is read for it
        probe.has_constant_headers().then_some(Colours { bt709, told, full, j })
    }

    /// ffmpeg's name for the layout.
    pub fn pixel_format(self) -> &'static str {
        if self.j { "yuvj420p" } else { "yuv420p" }
    }
}

/// Bytes of the three planes of a picture with even sides.
pub(super) fn planes_bytes(width: usize, height: usize) -> usize {
    width * height + width * height / 2
}

/// The factors of the conversion, as 16-bit numbers: what one sample adds to which colour.
#[derive(Debug, Clone, Copy)]
struct Factors {
    luma_zero: i16,
    luma: i16,
    red_of_v: i16,
    green_of_u: i16,
    green_of_v: i16,
    blue_of_u: i16,
}

/// Zero of the chroma samples, times eight.
const CHROMA_ZERO: i16 = 128 * 8;

impl Factors {
    /// `ff_yuv2rgb_c_init_tables` without brightness, contrast and saturation.
    fn of(colours: Colours) -> Factors {
        let [mut red_of_v, mut blue_of_u, mut green_of_u, mut green_of_v]: [i32; 4] = if colours.bt709 {
            [117_489, 138_438, -13_975, -34_925]
        } else {
            [104_597, 132_201, -25_675, -53_279]
        };
        let (mut luma, mut zero) = ((1 << 16) * 255 / 219, 16);
        if colours.full {
            (luma, zero) = (1 << 16, 0);
            for factor in [&mut red_of_v, &mut blue_of_u, &mut green_of_u, &mut green_of_v] {
                *factor = *factor * 224 / 255;
            }
        }
        // an eighth, since samples count eightfold; rounded
        let eighth = |factor: i32| ((factor + 4) >> 3) as i16;
        Factors {
            luma_zero: zero * 8,
            luma: eighth(luma),
            red_of_v: eighth(red_of_v),
            green_of_u: eighth(green_of_u),
            green_of_v: eighth(green_of_v),
            blue_of_u: eighth(blue_of_u),
        }
    }
}

/// What a sample adds: the upper half of a product of 16 bits.
fn part(sample: u8, zero: i16, factor: i16) -> i16 {
    (((i32::from(sample) * 8 - i32::from(zero)) * i32::from(factor)) >> 16) as i16
}

/// Fills `rgb` from the planes of a picture: luma row by row, then the two chroma planes at half the
/// width and height.
///
/// # Shapes
/// `planes` `width * height * 3 / 2` bytes, `rgb` `width * height * 3`; both sides even.
pub(super) fn rgb_from_planes(colours: Colours, planes: &[u8], width: usize, height: usize, rgb: &mut [u8]) {
    let factors = Factors::of(colours);
    for (samples, rgb) in row_pairs(planes, width, height).zip(rgb.chunks_exact_mut(2 * width * 3)) {
        row_pair(&factors, samples, width, rgb);
    }
}

/// The samples of two rows of pixels: luma of both, and the chroma that they share.
type RowPair<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// The rows of a picture's planes, two by two.
fn row_pairs(planes: &[u8], width: usize, height: usize) -> impl Iterator<Item = RowPair<'_>> {
    let (luma, chroma) = planes.split_at(width * height);
    let (u, v) = chroma.split_at(width * height / 4);
    let chroma = u.chunks_exact(width / 2).zip(v.chunks_exact(width / 2));
    luma.chunks_exact(2 * width).zip(chroma).map(|(luma, (u, v))| (luma, u, v))
}

/// Two rows of pixels, `2 * width * 3` bytes of RGB.
fn row_pair(factors: &Factors, (luma, u, v): RowPair, width: usize, rgb: &mut [u8]) {
    for (luma, rgb) in luma.chunks_exact(width).zip(rgb.chunks_exact_mut(width * 3)) {
        row(factors, luma, u, v, rgb);
    }
}

/// One row of pixels: in wide steps where the machine has them, the rest one by one.
fn row(factors: &Factors, luma: &[u8], u: &[u8], v: &[u8], rgb: &mut [u8]) {
    let done = wide_row(factors, luma, u, v, rgb);
    narrow_row(factors, &luma[done..], &u[done / 2..], &v[done / 2..], &mut rgb[done * 3..]);
}

fn narrow_row(factors: &Factors, luma: &[u8], u: &[u8], v: &[u8], rgb: &mut [u8]) {
    let pairs = luma.chunks_exact(2).zip(rgb.chunks_exact_mut(6));
    for ((luma, rgb), (&u, &v)) in pairs.zip(u.iter().zip(v)) {
        let red = part(v, CHROMA_ZERO, factors.red_of_v);
        let green = part(u, CHROMA_ZERO, factors.green_of_u) + part(v, CHROMA_ZERO, factors.green_of_v);
        let blue = part(u, CHROMA_ZERO, factors.blue_of_u);
        for (&luma, pixel) in luma.iter().zip(rgb.chunks_exact_mut(3)) {
            let luma = part(luma, factors.luma_zero, factors.luma);
            for (colour, of_chroma) in pixel.iter_mut().zip([red, green, blue]) {
                *colour = (luma + of_chroma).clamp(0, 255) as u8;
            }
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn wide_row(_: &Factors, _: &[u8], _: &[u8], _: &[u8], _: &mut [u8]) -> usize {
    0
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "calls code for AVX2 once the machine has it")]
fn wide_row(factors: &Factors, luma: &[u8], u: &[u8], v: &[u8], rgb: &mut [u8]) -> usize {
    if is_x86_feature_detected!("avx2") {
        // SAFETY: reached only where the feature was found
        unsafe { wide::row(factors, luma, u, v, rgb) }
    } else {
        0
    }
}

/// Thirty-two pixels at a time.
#[cfg(target_arch = "x86_64")]
mod wide {
    use super::{CHROMA_ZERO, Factors};
    use std::arch::x86_64::*;

    /// Where the bytes of sixteen pixels go: `TARGETS[third][colour]` picks, for each of sixteen bytes of
    /// RGB, the sample of that colour, or nothing. Samples lie as eight of even pixels, then eight of odd.
    const TARGETS: [[[u8; 16]; 3]; 3] = {
        let mut targets = [[[0x80; 16]; 3]; 3];
        let mut byte = 0;
        while byte < 48 {
            let pixel = byte / 3;
            targets[byte / 16][byte % 3][byte % 16] = (pixel / 2 + 8 * (pixel % 2)) as u8;
            byte += 1;
        }
        targets
    };

    /// Converts as many pixels of a row as fit; tells how many.
    #[target_feature(enable = "avx2")]
    pub fn row(factors: &Factors, luma: &[u8], u: &[u8], v: &[u8], rgb: &mut [u8]) -> usize {
        let low_bytes = _mm256_set1_epi16(0xff);
        let luma_zero = _mm256_set1_epi16(factors.luma_zero);
        let chroma_zero = _mm256_set1_epi16(CHROMA_ZERO);
        let [of_luma, red_of_v, green_of_u, green_of_v, blue_of_u] =
            [factors.luma, factors.red_of_v, factors.green_of_u, factors.green_of_v, factors.blue_of_u]
                .map(|factor| _mm256_set1_epi16(factor));
        let targets = TARGETS.map(|third| third.map(|bytes| _mm256_broadcastsi128_si256(load16(&bytes))));
        let (luma, _) = luma.as_chunks::<32>();
        let chroma = u.as_chunks::<16>().0.iter().zip(v.as_chunks::<16>().0);
        for ((luma, (u, v)), rgb) in luma.iter().zip(chroma).zip(rgb.as_chunks_mut::<96>().0) {
            let chroma = |samples: &[u8; 16]| {
                let eightfold = _mm256_slli_epi16::<3>(_mm256_cvtepu8_epi16(load16(samples)));
                _mm256_sub_epi16(eightfold, chroma_zero)
            };
            let (u, v) = (chroma(u), chroma(v));
            let red = _mm256_mulhi_epi16(v, red_of_v);
            let green =
                _mm256_add_epi16(_mm256_mulhi_epi16(u, green_of_u), _mm256_mulhi_epi16(v, green_of_v));
            let blue = _mm256_mulhi_epi16(u, blue_of_u);
            let luma = load32(luma);
            let bright = |samples: __m256i| {
                let eightfold = _mm256_slli_epi16::<3>(samples);
                _mm256_mulhi_epi16(_mm256_sub_epi16(eightfold, luma_zero), of_luma)
            };
            let even = bright(_mm256_and_si256(luma, low_bytes));
            let odd = bright(_mm256_srli_epi16::<8>(luma));
            let [red, green, blue] = [red, green, blue].map(|chroma| {
                _mm256_packus_epi16(_mm256_add_epi16(even, chroma), _mm256_add_epi16(odd, chroma))
            });
            for (third, target) in targets.iter().enumerate() {
                let red = _mm256_shuffle_epi8(red, target[0]);
                let green = _mm256_shuffle_epi8(green, target[1]);
                let blue = _mm256_shuffle_epi8(blue, target[2]);
                let bytes = _mm256_or_si256(_mm256_or_si256(red, green), blue);
                let (parts, _) = rgb.as_chunks_mut::<16>();
                store16(&mut parts[third], _mm256_castsi256_si128(bytes));
                store16(&mut parts[third + 3], _mm256_extracti128_si256::<1>(bytes));
            }
        }
        luma.len() * 32
    }

    #[target_feature(enable = "avx2")]
    #[expect(unsafe_code, reason = "the instruction takes a pointer")]
    fn load16(bytes: &[u8; 16]) -> __m128i {
        // SAFETY: sixteen bytes are there, and need no alignment
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    #[expect(unsafe_code, reason = "the instruction takes a pointer")]
    fn load32(bytes: &[u8; 32]) -> __m256i {
        // SAFETY: thirty-two bytes are there, and need no alignment
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    #[expect(unsafe_code, reason = "the instruction takes a pointer")]
    fn store16(bytes: &mut [u8; 16], what: __m128i) {
        // SAFETY: there is room for sixteen bytes, which need no alignment
        unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), what) }
    }
}

/// Whether ffmpeg converts as it is done here, byte for byte, at this width; asked once in a process.
pub(super) fn proven(colours: Colours, width: usize) -> bool {
    static KNOWN: Mutex<Vec<(Colours, usize, bool)>> = Mutex::new(Vec::new());
    // one asks, the others wait for the answer
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(&(.., same)) = known.iter().find(|known| (known.0, known.1) == (colours, width)) {
        return same;
    }
    let (planes, height) = question(width);
    let same = converts_alike(colours, &planes, width, height);
    known.push((colours, width, same));
    same
}

/// Planes of a picture `width` pixels wide, and its height, with every pair of a luma and a chroma value,
/// in several pairings of the two chroma values.
fn question(width: usize) -> (Vec<u8>, usize) {
    let cells_per_row = width / 2;
    let cells_per_value = VALUES / 4;
    let rows = (PAIRINGS * VALUES * cells_per_value).div_ceil(cells_per_row);
    let height = rows * 2;
    let mut planes = vec![0; planes_bytes(width, height)];
    let (luma, chroma) = planes.split_at_mut(width * height);
    let (u, v) = chroma.split_at_mut(width * height / 4);
    for cell in 0..rows * cells_per_row {
        let (at, value) = (cell % cells_per_value, cell / cells_per_value % VALUES);
        u[cell] = value as u8;
        v[cell] = match cell / (cells_per_value * VALUES) {
            0 => value,
            1 => 255 - value,
            2 => value * 167 + 91,
            _ => value * 45 + 17,
        } as u8;
        let corner = cell / cells_per_row * 2 * width + cell % cells_per_row * 2;
        for (step, pixel) in [corner, corner + 1, corner + width, corner + width + 1].into_iter().enumerate()
        {
            luma[pixel] = (4 * at + step) as u8;
        }
    }
    (planes, height)
}

/// Whether ffmpeg's `-pix_fmt rgb24` makes of such planes what [`rgb_from_planes`] makes; false if it does not answer.
fn converts_alike(colours: Colours, planes: &[u8], width: usize, height: usize) -> bool {
    let mut command = ffmpeg();
    command.args(["-f", "rawvideo", "-pix_fmt", colours.pixel_format()]);
    command.args(["-color_range", if colours.full { "pc" } else { "tv" }]);
    if colours.told {
        command.args(["-colorspace", if colours.bt709 { "bt709" } else { "smpte170m" }]);
    }
    command.args(["-video_size", &format!("{width}x{height}"), "-i", "pipe:0"]);
    command.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]);
    let Ok(mut child) = start_ffmpeg(&mut command, Some(PATIENCE), Some(MOST_BYTES)) else { return false };
    let (stdin, stdout) = (child.take_stdin(), child.take_stdout());
    drop(child.take_stderr());
    let is_same = thread::scope(|scope| {
        let ask = scope.spawn(move || stdin.is_some_and(|mut stdin| stdin.write_all(planes).is_ok()));
        // the pipe is closed when the answer is found to differ, which ends whoever still writes
        let is_same = stdout.is_some_and(|stdout| is_rgb_of(colours, planes, width, height, stdout));
        ask.join().unwrap_or(false) && is_same
    });
    // one that did not answer is ended with its handle
    is_same && child.wait().is_some_and(|status| status.success())
}

/// Whether `theirs` is the RGB of the planes, and nothing more. Two rows are held at a time: the question is asked
/// before the first frame, and must not raise the heap's peak above what frames and results take.
fn is_rgb_of(colours: Colours, planes: &[u8], width: usize, height: usize, mut theirs: impl Read) -> bool {
    let factors = Factors::of(colours);
    let (mut ours, mut read) = (vec![0; 2 * width * 3], vec![0; 2 * width * 3]);
    let are_same = row_pairs(planes, width, height).all(|samples| {
        row_pair(&factors, samples, width, &mut ours);
        theirs.read_exact(&mut read).is_ok() && read == ours
    });
    are_same && matches!(theirs.read(&mut [0]), Ok(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Colours> {
        (0..16).map(|bits| Colours {
            bt709: bits & 1 > 0,
            told: bits & 3 > 0,
            full: bits & 12 > 0,
            j: bits & 8 > 0,
        })
    }

    #[test]
    fn wide_steps_and_single_pixels_agree() {
        for colours in all() {
            let factors = Factors::of(colours);
            let (planes, height) = question(98);
            let (luma, chroma) = planes.split_at(98 * height);
            let (u, v) = chroma.split_at(98 * height / 4);
            let (mut one_by_one, mut in_steps) = (vec![0; 98 * 3], vec![0; 98 * 3]);
            for y in 0..height {
                let luma = &luma[y * 98..][..98];
                let (u, v) = (&u[y / 2 * 49..][..49], &v[y / 2 * 49..][..49]);
                narrow_row(&factors, luma, u, v, &mut one_by_one);
                row(&factors, luma, u, v, &mut in_steps);
                assert_eq!(one_by_one, in_steps, "{colours:?}, row {y}");
            }
        }
    }

    #[test]
    fn the_question_holds_every_pair() {
        let (planes, height) = question(854);
        let (luma, chroma) = planes.split_at(854 * height);
        let (u, v) = chroma.split_at(854 * height / 4);
        let mut seen = [vec![false; 65536], vec![false; 65536]];
        for (at, &y) in luma.iter().enumerate() {
            let cell = at / 854 / 2 * 427 + at % 854 / 2;
            for (seen, plane) in seen.iter_mut().zip([u, v]) {
                seen[usize::from(y) * 256 + usize::from(plane[cell])] = true;
            }
        }
        assert!(seen.iter().flatten().all(|&seen| seen));
    }

    #[test]
    fn one_byte_that_differs_is_noticed() {
        let colours = Colours { bt709: true, told: true, full: false, j: false };
        let (planes, height) = question(98);
        let mut rgb = vec![0; 98 * height * 3];
        rgb_from_planes(colours, &planes, 98, height, &mut rgb);
        let is_same = |theirs: &[u8]| is_rgb_of(colours, &planes, 98, height, theirs);
        assert!(is_same(&rgb) && !is_same(&rgb[..rgb.len() - 1]) && !is_same(&[&rgb[..], &[0]].concat()));
        for at in [0, rgb.len() / 2, rgb.len() - 1] {
            let mut other = rgb.clone();
            other[at] ^= 1;
            assert!(!is_same(&other), "byte {at}");
        }
    }

    /// Of the factors: white is white, black is black, and grey has no colour.
    #[test]
    fn the_ends_of_the_scale() {
        for (full, black, white) in [(false, 16, 235), (true, 0, 255)] {
            for bt709 in [false, true] {
                let colours = Colours { bt709, told: true, full, j: false };
                let mut rgb = [7; 12];
                for (luma, expected) in [(black, 0), (white, 254)] {
                    rgb_from_planes(colours, &[luma, luma, luma, luma, 128, 128], 2, 2, &mut rgb);
                    assert!(rgb.iter().all(|&value| value.abs_diff(expected) <= 1), "{colours:?}: {rgb:?}");
                }
            }
        }
    }
}
