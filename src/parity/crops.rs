//! Golden 06: crops of formula images, compared with OpenCV 4's.

use super::check::{CheckRecorder, EXACT, Tolerance};
use super::golden::{Golden, GoldenSet};
use super::images::{boxes, image, mask};
use super::{ParityError, Stage};
use posebook_models::hmr2::crop::{self, Square, normalize, pad_to_aspect};
use posebook_models::hmr2::mask::rle_counts;
use posebook_models::warp::{ImageView, affine_to_crop, gaussian_blur};

/// Side of the goldens' crops, pixels.
const SIZE: usize = 256;
/// Normalized values of the demo, whose blur is in double precision.
const DEMO: Tolerance = Tolerance::Absolute(2e-6);

fn crc32(bytes: &[u8]) -> u64 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().into()
}

fn rgb_to_bgr(rgb: &[u8]) -> Vec<u8> {
    rgb.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [b, g, r]).collect()
}

/// Every `every`-th row and column of a plane or of interleaved pixels.
fn subsample<T: Copy>(values: &[T], width: usize, channels: usize, every: usize) -> Vec<T> {
    let row = width * channels;
    let rows = values.chunks_exact(row).step_by(every);
    rows.flat_map(|row| row.chunks_exact(channels).step_by(every).flatten().copied()).collect()
}

fn subsample_planes(planes: &[f32]) -> Vec<f32> {
    planes.chunks_exact(SIZE * SIZE).flat_map(|plane| subsample(plane, SIZE, 1, 4)).collect()
}

/// Numbers of PHALP's crops, masks and RLE counts whose checksums differ from the reference's.
#[derive(Default)]
struct Mismatches {
    patches: usize,
    masks: usize,
    runs: usize,
}

/// Compares PHALP's crops, masks and RLE counts.
pub fn phalp(set: &GoldenSet, checks: &mut CheckRecorder) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Crops, "06_crops_cv4")?;
    let frame = image(set, "image", 480, 360);
    let all = boxes(&golden, "boxes")?;
    let padded: Vec<f32> = all.iter().map(pad_to_aspect).flat_map(|b| [b.x1, b.y1, b.x2, b.y2]).collect();
    checks.compare_tensor(&golden, "boxes_padded", &padded, EXACT, "px")?;
    let (mut patches, mut normalized, mut masks) = (Vec::new(), Vec::new(), Vec::new());
    let (mut maps, mut mismatches) = ([Vec::new(), Vec::new()], Mismatches::default());
    for (index, bbox) in all.iter().enumerate() {
        let pointer = |key: &str| format!("/phalp/{index}/{key}");
        let square = Square::phalp(bbox);
        maps[0].extend_from_slice(affine_to_crop(square.center, square.side, SIZE).as_flattened());
        maps[1].extend(golden.metadata_numbers(&pointer("trans"))?);
        let rgb = square.crop(&frame, SIZE);
        let differs =
            |key: &str, crc: u64| Ok::<_, ParityError>(usize::from(*golden.metadata(&pointer(key))? != crc));
        mismatches.patches += differs("patch_bgr_u8_crc32", crc32(&rgb_to_bgr(&rgb)))?;
        let mut planes = vec![0.0; rgb.len()];
        normalize(&rgb, &mut planes);
        normalized.extend(subsample_planes(&planes));
        patches.extend(subsample(&rgb_to_bgr(&rgb), SIZE, 3, 4));
        let mask = mask(set, index, bbox, 480, 360);
        let bytes: Vec<u8> = mask.iter().map(|&inside| inside * 255).collect();
        let crop = square.crop_mask(&bytes, 480, 360, SIZE);
        mismatches.masks += differs("mask_u8_crc32", crc32(&crop))?;
        masks.extend(subsample(&crop, SIZE, 1, 4));
        let text = rle_counts(&mask, 480, 360);
        mismatches.runs += differs("rle/counts_crc32", crc32(text.as_bytes()))?;
    }
    // decimal text does not always restore the last bit
    let [ours, theirs] = &maps;
    checks.compare(&golden, "trans", ours, theirs, Tolerance::Relative(2.0 * f64::EPSILON), "")?;
    checks.record_mismatches(&golden, "whole patches", mismatches.patches, all.len());
    checks.record_mismatches(&golden, "whole masks", mismatches.masks, all.len());
    checks.record_mismatches(&golden, "run lengths", mismatches.runs, all.len());
    compare_bytes(&golden, "phalp_patch_bgr_u8_s4", &patches, checks)?;
    compare_bytes(&golden, "phalp_mask_u8_s4", &masks, checks)?;
    checks.compare_tensor(&golden, "phalp_norm_rgb_s4", &normalized, EXACT, "")
}

fn compare_bytes(
    golden: &Golden,
    key: &str,
    got: &[u8],
    checks: &mut CheckRecorder,
) -> Result<(), ParityError> {
    let got: Vec<f32> = got.iter().copied().map(f32::from).collect();
    checks.compare_tensor(golden, key, &got, EXACT, "levels")
}

/// Compares the demo's crops.
pub fn demo(set: &GoldenSet, checks: &mut CheckRecorder) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Crops, "06_crops_cv4")?;
    for (name, width, height, boxes_key, key) in
        [("image", 480, 360, "boxes", "demo"), ("image_big", 1280, 960, "boxes_big", "demo_big")]
    {
        let frame = image(set, name, width, height);
        let (mut normalized, mut squares, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        let (mut mismatches, mut unblurred) = (0, 0);
        for (index, bbox) in boxes(&golden, boxes_key)?.iter().enumerate() {
            let pointer = |what: &str| format!("/{key}/{index}/{what}");
            let square = Square::demo(bbox);
            squares.extend([square.center[0], square.center[1], square.side].map(f64::from));
            expected.extend(golden.metadata_numbers(&pointer("box_center"))?);
            expected.push(golden.metadata_number(&pointer("box_size"))?);
            let mut planes = vec![0.0; 3 * SIZE * SIZE];
            crop::demo_crop(&frame, bbox, SIZE, &mut planes);
            if *golden.metadata(&pointer("blurred"))? == false {
                let bytes: Vec<u8> = planes.iter().flat_map(|value| value.to_le_bytes()).collect();
                mismatches += usize::from(*golden.metadata(&pointer("f32_crc32"))? != crc32(&bytes));
                unblurred += 1;
            }
            normalized.extend(subsample_planes(&planes));
        }
        checks.compare(&golden, &format!("{key}, squares"), &squares, &expected, EXACT, "px")?;
        checks.record_mismatches(&golden, &format!("{key}, whole crops not blurred"), mismatches, unblurred);
        checks.compare_tensor(&golden, &format!("{key}_norm_rgb_s4"), &normalized, DEMO, "")?;
    }
    Ok(())
}

/// Compares the Gaussian blur.
pub fn blur(set: &GoldenSet, checks: &mut CheckRecorder) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Crops, "06_crops_cv4")?;
    for (name, width, height, sigma, every, key) in [
        ("image_big", 1280, 960, 0.8, 16, "gaussian_big_sigma0.8_s16"),
        ("image", 480, 360, 2.3, 8, "gaussian_image_sigma2.3_s8"),
    ] {
        let frame = image(set, name, width, height);
        let out = gaussian_blur(ImageView::<_, 3>::new(frame.rgb(), width, height), sigma);
        let bgr: Vec<f32> =
            out.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [b, g, r].map(|v| v as f32)).collect();
        checks.compare_tensor(&golden, key, &subsample(&bgr, width, 3, every), DEMO, "levels")?;
    }
    Ok(())
}
