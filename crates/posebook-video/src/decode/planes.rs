//! Converts YUV 4:2:0 to RGB24, bit-identical to swscale. Sending YUV through the pipe halves the traffic.
//!
//! Compared with RGB24 from ffmpeg, decoding takes 10 to 12% less CPU time of both processes at 1920x1080 and the same at
//! 640x360 (ratios of interleaved runs: 0.88, 0.90 and 1.03). For `track` with NanoDet and BlazePose at 1920x1088 the
//! ratio is 1.02 (0.97 to 1.16 in five pairs of runs), so the gain shows only where little else is computed.
//!
//! Input is the `yuv420p` or `yuvj420p` output of a decoder (three planes), output is what `ffmpeg -pix_fmt rgb24` would
//! give. The arithmetic is swscale's fast path on x86 (`libswscale/yuv2rgb.c` for the coefficients,
//! `libswscale/x86/yuv_2_rgb.asm` for the conversion): each sample times 8, minus its offset, times a 16-bit coefficient, of
//! which the upper 16 bits are kept; one chroma sample for 2x2 pixels. Other machines and versions of ffmpeg may compute
//! differently. Therefore [`matches_swscale`] compares a test image with all pairs of luma and chroma once per process: if
//! one byte differs, ffmpeg converts to RGB itself.

use std::io::{Read, Write};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::ffmpeg::child::{MAX_DATA_BYTES, ffmpeg_command, spawn_ffmpeg};
use crate::probe::Probe;

/// Smaller frames are converted by ffmpeg: there is little to save, and the comparison costs time.
const MIN_PIXELS: usize = 640 * 360;
/// Stall timeout of ffmpeg during the comparison.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Number of values of an 8-bit sample.
const SAMPLE_VALUES: usize = 256;
/// Number of different pairings of U and V in the test image.
const PAIRINGS: usize = 4;

/// The properties of 4:2:0 YUV that determine the conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct YuvFormat {
    /// The BT.709 matrix; else BT.601, which is also used where the file names none.
    bt709: bool,
    /// Whether the file names the matrix.
    is_matrix_declared: bool,
    /// Full range (0 to 255) instead of limited range (16 to 235).
    full_range: bool,
    /// `yuvj420p`, ffmpeg's older name of full-range `yuv420p`.
    is_yuvj: bool,
}

impl YuvFormat {
    /// The format of a video whose frames can be converted here; `None` where ffmpeg has to convert: layouts other than 8-bit
    /// 4:2:0, odd sizes, rotated or interlaced video, other matrices, and videos whose codec headers change or may change.
    pub fn from_probe(probe: &Probe) -> Option<YuvFormat> {
        let color_info = &probe.color_info;
        let even = probe.width.is_multiple_of(2) && probe.height.is_multiple_of(2);
        let has_known_headers = matches!(probe.container.as_str(), "isomp4" | "matroska");
        let is_plain = probe.rotation_degrees == 0 && even && has_known_headers && !probe.interlaced;
        if !is_plain || probe.width * probe.height < MIN_PIXELS {
            return None;
        }
        if !matches!(color_info.chroma_location.as_deref(), None | Some("unspecified" | "left")) {
            return None;
        }
        let is_yuvj = match color_info.pixel_format.as_deref() {
            Some("yuv420p") => false,
            Some("yuvj420p") => true,
            _ => return None,
        };
        let full_range = match color_info.range.as_deref() {
            None | Some("unknown") => is_yuvj,
            Some("tv") if !is_yuvj => false,
            Some("pc") => true,
            _ => return None,
        };
        let (bt709, is_matrix_declared) = match color_info.space.as_deref() {
            None | Some("unknown") => (false, false),
            Some("smpte170m" | "bt470bg") => (false, true),
            Some("bt709") => (true, true),
            _ => return None,
        };
        // checked last, since it reads the file
        probe.has_constant_headers().then_some(YuvFormat { bt709, is_matrix_declared, full_range, is_yuvj })
    }

    /// ffmpeg's name of the pixel format.
    pub fn pixel_format(self) -> &'static str {
        if self.is_yuvj { "yuvj420p" } else { "yuv420p" }
    }
}

/// Bytes of the three planes of a frame with even sides.
pub fn yuv420_bytes(width: usize, height: usize) -> usize {
    width * height + width * height / 2
}

/// Coefficients of the conversion, as 16-bit fixed-point numbers.
#[derive(Debug, Clone, Copy)]
struct Coefficients {
    /// Luma of black, times 8.
    luma_offset: i16,
    luma: i16,
    v_to_red: i16,
    u_to_green: i16,
    v_to_green: i16,
    u_to_blue: i16,
}

/// Chroma of gray (128), times 8.
const CHROMA_OFFSET: i16 = 128 * 8;

impl Coefficients {
    /// As `ff_yuv2rgb_c_init_tables` with neutral brightness, contrast and saturation.
    fn new(format: YuvFormat) -> Coefficients {
        let [mut v_to_red, mut u_to_blue, mut u_to_green, mut v_to_green]: [i32; 4] = if format.bt709 {
            [117_489, 138_438, -13_975, -34_925]
        } else {
            [104_597, 132_201, -25_675, -53_279]
        };
        let (mut luma, mut black) = ((1 << 16) * 255 / 219, 16);
        if format.full_range {
            (luma, black) = (1 << 16, 0);
            for coefficient in [&mut v_to_red, &mut u_to_blue, &mut u_to_green, &mut v_to_green] {
                *coefficient = *coefficient * 224 / 255;
            }
        }
        // divided by 8, rounded, because samples are multiplied by 8
        let eighth = |coefficient: i32| ((coefficient + 4) >> 3) as i16;
        Coefficients {
            luma_offset: black * 8,
            luma: eighth(luma),
            v_to_red: eighth(v_to_red),
            u_to_green: eighth(u_to_green),
            v_to_green: eighth(v_to_green),
            u_to_blue: eighth(u_to_blue),
        }
    }
}

/// A sample's contribution: the upper half of the 32-bit product, as `pmulhw`.
fn scaled(sample: u8, offset: i16, coefficient: i16) -> i16 {
    (((i32::from(sample) * 8 - i32::from(offset)) * i32::from(coefficient)) >> 16) as i16
}

/// Converts a frame: `planes` has luma row by row, then the two chroma planes at half the width and height.
///
/// # Shapes
/// `planes` `width * height * 3 / 2` bytes, `rgb` `width * height * 3`; both sides even.
pub fn yuv420_to_rgb(format: YuvFormat, planes: &[u8], width: usize, height: usize, rgb: &mut [u8]) {
    let coefficients = Coefficients::new(format);
    for (samples, rgb) in row_pairs(planes, width, height).zip(rgb.chunks_exact_mut(2 * width * 3)) {
        convert_row_pair(&coefficients, samples, width, rgb);
    }
}

/// Samples of two pixel rows: luma of both, then the U and V that they share.
type RowPair<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// The pixel rows of a frame, in pairs.
fn row_pairs(planes: &[u8], width: usize, height: usize) -> impl Iterator<Item = RowPair<'_>> {
    let (luma, chroma) = planes.split_at(width * height);
    let (u, v) = chroma.split_at(width * height / 4);
    let chroma = u.chunks_exact(width / 2).zip(v.chunks_exact(width / 2));
    luma.chunks_exact(2 * width).zip(chroma).map(|(luma, (u, v))| (luma, u, v))
}

/// Converts two pixel rows to `2 * width * 3` bytes of RGB.
fn convert_row_pair(coefficients: &Coefficients, (luma, u, v): RowPair, width: usize, rgb: &mut [u8]) {
    for (luma, rgb) in luma.chunks_exact(width).zip(rgb.chunks_exact_mut(width * 3)) {
        convert_row(coefficients, luma, u, v, rgb);
    }
}

/// Converts one pixel row: with AVX2 where the CPU has it, the rest pixel by pixel.
fn convert_row(coefficients: &Coefficients, luma: &[u8], u: &[u8], v: &[u8], rgb: &mut [u8]) {
    let done = convert_row_simd(coefficients, luma, u, v, rgb);
    convert_row_scalar(coefficients, &luma[done..], &u[done / 2..], &v[done / 2..], &mut rgb[done * 3..]);
}

/// Converts a row pixel by pixel.
fn convert_row_scalar(coefficients: &Coefficients, luma: &[u8], u: &[u8], v: &[u8], rgb: &mut [u8]) {
    let pairs = luma.chunks_exact(2).zip(rgb.chunks_exact_mut(6));
    for ((luma, rgb), (&u, &v)) in pairs.zip(u.iter().zip(v)) {
        let red = scaled(v, CHROMA_OFFSET, coefficients.v_to_red);
        let green = scaled(u, CHROMA_OFFSET, coefficients.u_to_green)
            + scaled(v, CHROMA_OFFSET, coefficients.v_to_green);
        let blue = scaled(u, CHROMA_OFFSET, coefficients.u_to_blue);
        for (&luma, pixel) in luma.iter().zip(rgb.chunks_exact_mut(3)) {
            let luma = scaled(luma, coefficients.luma_offset, coefficients.luma);
            for (channel, chroma) in pixel.iter_mut().zip([red, green, blue]) {
                *channel = (luma + chroma).clamp(0, 255) as u8;
            }
        }
    }
}

/// Converts the start of a row with SIMD instructions; returns the number of pixels converted.
#[cfg(not(target_arch = "x86_64"))]
fn convert_row_simd(_: &Coefficients, _: &[u8], _: &[u8], _: &[u8], _: &mut [u8]) -> usize {
    0
}

/// Converts the start of a row with SIMD instructions; returns the number of pixels converted.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "calls AVX2 code after its detection")]
fn convert_row_simd(coefficients: &Coefficients, luma: &[u8], u: &[u8], v: &[u8], rgb: &mut [u8]) -> usize {
    if is_x86_feature_detected!("avx2") {
        // SAFETY: AVX2 was detected
        unsafe { avx2::convert_row(coefficients, luma, u, v, rgb) }
    } else {
        0
    }
}

/// Conversion of 32 pixels at a time.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{CHROMA_OFFSET, Coefficients};
    use std::arch::x86_64::*;

    /// Shuffles that interleave the channels of 16 pixels: `SHUFFLES[third][channel]` selects for each of 16 bytes of RGB the
    /// sample of that channel, or zero. Samples are in the order of the eight even pixels, then the eight odd ones.
    const SHUFFLES: [[[u8; 16]; 3]; 3] = {
        let mut shuffles = [[[0x80; 16]; 3]; 3];
        let mut byte = 0;
        while byte < 48 {
            let pixel = byte / 3;
            shuffles[byte / 16][byte % 3][byte % 16] = (pixel / 2 + 8 * (pixel % 2)) as u8;
            byte += 1;
        }
        shuffles
    };

    /// Converts as many pixels of a row as fill whole vectors; returns their number.
    #[target_feature(enable = "avx2")]
    pub fn convert_row(
        coefficients: &Coefficients,
        luma: &[u8],
        u: &[u8],
        v: &[u8],
        rgb: &mut [u8],
    ) -> usize {
        let low_bytes = _mm256_set1_epi16(0xff);
        let luma_offset = _mm256_set1_epi16(coefficients.luma_offset);
        let chroma_offset = _mm256_set1_epi16(CHROMA_OFFSET);
        let [luma_coefficient, v_to_red, u_to_green, v_to_green, u_to_blue] = [
            coefficients.luma,
            coefficients.v_to_red,
            coefficients.u_to_green,
            coefficients.v_to_green,
            coefficients.u_to_blue,
        ]
        .map(|factor| _mm256_set1_epi16(factor));
        let shuffles = SHUFFLES.map(|third| third.map(|bytes| _mm256_broadcastsi128_si256(load16(&bytes))));
        let (luma, _) = luma.as_chunks::<32>();
        let chroma = u.as_chunks::<16>().0.iter().zip(v.as_chunks::<16>().0);
        for ((luma, (u, v)), rgb) in luma.iter().zip(chroma).zip(rgb.as_chunks_mut::<96>().0) {
            let chroma = |samples: &[u8; 16]| {
                let times_eight = _mm256_slli_epi16::<3>(_mm256_cvtepu8_epi16(load16(samples)));
                _mm256_sub_epi16(times_eight, chroma_offset)
            };
            let (u, v) = (chroma(u), chroma(v));
            let red = _mm256_mulhi_epi16(v, v_to_red);
            let green =
                _mm256_add_epi16(_mm256_mulhi_epi16(u, u_to_green), _mm256_mulhi_epi16(v, v_to_green));
            let blue = _mm256_mulhi_epi16(u, u_to_blue);
            let luma = load32(luma);
            let scaled_luma = |samples: __m256i| {
                let times_eight = _mm256_slli_epi16::<3>(samples);
                _mm256_mulhi_epi16(_mm256_sub_epi16(times_eight, luma_offset), luma_coefficient)
            };
            let even = scaled_luma(_mm256_and_si256(luma, low_bytes));
            let odd = scaled_luma(_mm256_srli_epi16::<8>(luma));
            let [red, green, blue] = [red, green, blue].map(|chroma| {
                _mm256_packus_epi16(_mm256_add_epi16(even, chroma), _mm256_add_epi16(odd, chroma))
            });
            for (third, shuffle) in shuffles.iter().enumerate() {
                let red = _mm256_shuffle_epi8(red, shuffle[0]);
                let green = _mm256_shuffle_epi8(green, shuffle[1]);
                let blue = _mm256_shuffle_epi8(blue, shuffle[2]);
                let bytes = _mm256_or_si256(_mm256_or_si256(red, green), blue);
                let (parts, _) = rgb.as_chunks_mut::<16>();
                store16(&mut parts[third], _mm256_castsi256_si128(bytes));
                store16(&mut parts[third + 3], _mm256_extracti128_si256::<1>(bytes));
            }
        }
        luma.len() * 32
    }

    #[target_feature(enable = "avx2")]
    #[expect(unsafe_code, reason = "the intrinsic takes a pointer")]
    fn load16(bytes: &[u8; 16]) -> __m128i {
        // SAFETY: reads 16 bytes of the array; no alignment is needed
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    #[expect(unsafe_code, reason = "the intrinsic takes a pointer")]
    fn load32(bytes: &[u8; 32]) -> __m256i {
        // SAFETY: reads 32 bytes of the array; no alignment is needed
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    #[expect(unsafe_code, reason = "the intrinsic takes a pointer")]
    fn store16(bytes: &mut [u8; 16], value: __m128i) {
        // SAFETY: writes 16 bytes of the array; no alignment is needed
        unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), value) }
    }
}

/// Whether this machine's ffmpeg gives the same bytes at this width. Compared once per process, format and width.
pub fn matches_swscale(format: YuvFormat, width: usize) -> bool {
    static KNOWN: Mutex<Vec<(YuvFormat, usize, bool)>> = Mutex::new(Vec::new());
    // the first caller compares, the others wait for the result
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(&(.., is_same)) = known.iter().find(|known| (known.0, known.1) == (format, width)) {
        return is_same;
    }
    let (planes, height) = test_image(width);
    let is_same = swscale_gives_same_rgb(format, &planes, width, height);
    known.push((format, width, is_same));
    is_same
}

/// A test image `width` pixels wide, as planes, and its height: every pair of a luma and a chroma value, in several pairings
/// of U and V.
fn test_image(width: usize) -> (Vec<u8>, usize) {
    let cells_per_row = width / 2;
    let cells_per_value = SAMPLE_VALUES / 4;
    let rows = (PAIRINGS * SAMPLE_VALUES * cells_per_value).div_ceil(cells_per_row);
    let height = rows * 2;
    let mut planes = vec![0; yuv420_bytes(width, height)];
    let (luma, chroma) = planes.split_at_mut(width * height);
    let (u, v) = chroma.split_at_mut(width * height / 4);
    for cell in 0..rows * cells_per_row {
        let (index, value) = (cell % cells_per_value, cell / cells_per_value % SAMPLE_VALUES);
        u[cell] = value as u8;
        v[cell] = match cell / (cells_per_value * SAMPLE_VALUES) {
            0 => value,
            1 => 255 - value,
            2 => value * 167 + 91,
            _ => value * 45 + 17,
        } as u8;
        let corner = cell / cells_per_row * 2 * width + cell % cells_per_row * 2;
        for (step, pixel) in [corner, corner + 1, corner + width, corner + width + 1].into_iter().enumerate()
        {
            luma[pixel] = (4 * index + step) as u8;
        }
    }
    (planes, height)
}

/// Whether `ffmpeg -pix_fmt rgb24` gives the same bytes as [`yuv420_to_rgb`]; false if ffmpeg fails or stalls.
fn swscale_gives_same_rgb(format: YuvFormat, planes: &[u8], width: usize, height: usize) -> bool {
    let mut command = ffmpeg_command();
    command.args(["-f", "rawvideo", "-pix_fmt", format.pixel_format()]);
    command.args(["-color_range", if format.full_range { "pc" } else { "tv" }]);
    if format.is_matrix_declared {
        command.args(["-colorspace", if format.bt709 { "bt709" } else { "smpte170m" }]);
    }
    command.args(["-video_size", &format!("{width}x{height}"), "-i", "pipe:0"]);
    command.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]);
    let Ok(mut child) = spawn_ffmpeg(&mut command, Some(STALL_TIMEOUT), Some(MAX_DATA_BYTES)) else {
        return false;
    };
    let (stdin, stdout) = (child.take_stdin(), child.take_stdout());
    drop(child.take_stderr());
    let is_same = thread::scope(|scope| {
        let writer = scope.spawn(move || stdin.is_some_and(|mut stdin| stdin.write_all(planes).is_ok()));
        // at the first difference the pipe is closed, which ends the writer
        let is_same = stdout.is_some_and(|stdout| equals_converted(format, planes, width, height, stdout));
        writer.join().unwrap_or(false) && is_same
    });
    // a child that stalled is killed when its handle is dropped
    is_same && child.wait().is_some_and(|status| status.success())
}

/// Whether `theirs`, ffmpeg's output, has exactly the RGB bytes of the planes. Two rows are in memory at a time: the comparison runs before the
/// first frame and must not raise the peak of the heap.
fn equals_converted(
    format: YuvFormat,
    planes: &[u8],
    width: usize,
    height: usize,
    mut theirs: impl Read,
) -> bool {
    let coefficients = Coefficients::new(format);
    let (mut ours, mut read) = (vec![0; 2 * width * 3], vec![0; 2 * width * 3]);
    let are_same = row_pairs(planes, width, height).all(|samples| {
        convert_row_pair(&coefficients, samples, width, &mut ours);
        theirs.read_exact(&mut read).is_ok() && read == ours
    });
    are_same && matches!(theirs.read(&mut [0]), Ok(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_formats() -> impl Iterator<Item = YuvFormat> {
        (0..16).map(|bits| YuvFormat {
            bt709: bits & 1 > 0,
            is_matrix_declared: bits & 3 > 0,
            full_range: bits & 12 > 0,
            is_yuvj: bits & 8 > 0,
        })
    }

    #[test]
    fn simd_and_scalar_conversion_agree() {
        #[cfg(target_arch = "x86_64")]
        if !is_x86_feature_detected!("avx2") {
            return crate::test_skip::skip("this CPU has no AVX2", true);
        }
        for format in all_formats() {
            let coefficients = Coefficients::new(format);
            let (planes, height) = test_image(98);
            let (luma, chroma) = planes.split_at(98 * height);
            let (u, v) = chroma.split_at(98 * height / 4);
            let (mut one_by_one, mut in_steps) = (vec![0; 98 * 3], vec![0; 98 * 3]);
            for y in 0..height {
                let luma = &luma[y * 98..][..98];
                let (u, v) = (&u[y / 2 * 49..][..49], &v[y / 2 * 49..][..49]);
                convert_row_scalar(&coefficients, luma, u, v, &mut one_by_one);
                convert_row(&coefficients, luma, u, v, &mut in_steps);
                assert_eq!(one_by_one, in_steps, "{format:?}, row {y}");
            }
        }
    }

    #[test]
    fn the_test_image_has_every_pair_of_luma_and_chroma() {
        let (planes, height) = test_image(854);
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
    fn a_single_different_byte_is_detected() {
        let format = YuvFormat { bt709: true, is_matrix_declared: true, full_range: false, is_yuvj: false };
        let (planes, height) = test_image(98);
        let mut rgb = vec![0; 98 * height * 3];
        yuv420_to_rgb(format, &planes, 98, height, &mut rgb);
        let is_same = |theirs: &[u8]| equals_converted(format, &planes, 98, height, theirs);
        assert!(is_same(&rgb) && !is_same(&rgb[..rgb.len() - 1]) && !is_same(&[&rgb[..], &[0]].concat()));
        for at in [0, rgb.len() / 2, rgb.len() - 1] {
            let mut other = rgb.clone();
            other[at] ^= 1;
            assert!(!is_same(&other), "byte {at}");
        }
    }

    /// White becomes white, black becomes black, and gray has equal channels.
    #[test]
    fn black_and_white_are_preserved() {
        for (full_range, black, white) in [(false, 16, 235), (true, 0, 255)] {
            for bt709 in [false, true] {
                let format = YuvFormat { bt709, is_matrix_declared: true, full_range, is_yuvj: false };
                let mut rgb = [7; 12];
                for (luma, expected) in [(black, 0), (white, 254)] {
                    yuv420_to_rgb(format, &[luma, luma, luma, luma, 128, 128], 2, 2, &mut rgb);
                    assert!(rgb.iter().all(|&value| value.abs_diff(expected) <= 1), "{format:?}: {rgb:?}");
                }
            }
        }
    }
}
