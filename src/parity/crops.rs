//! Golden 06: crops as OpenCV 4 cut them, of pictures made by a formula.

use super::check::{Bound, EXACT, Ledger};
use super::golden::{Golden, Set};
use super::pictures::{boxes, mask, picture};
use super::{ParityError, Stage};
use crate::hmr2::crop::{self, Square, normalize, padded};
use crate::hmr2::mask::run_lengths;
use crate::warp::{Picture, blurred, crop_from_picture};

/// What the goldens crop to.
const SIZE: usize = 256;
/// Normalised levels of the demo, whose blur is in double precision.
const DEMO: Bound = Bound::Absolute(2e-6);

fn crc32(bytes: &[u8]) -> u64 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().into()
}

fn swapped(rgb: &[u8]) -> Vec<u8> {
    rgb.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [b, g, r]).collect()
}

/// Every so many rows and columns of a plane or of interleaved pixels.
fn thinned<T: Copy>(values: &[T], width: usize, channels: usize, every: usize) -> Vec<T> {
    let row = width * channels;
    let rows = values.chunks_exact(row).step_by(every);
    rows.flat_map(|row| row.chunks_exact(channels).step_by(every).flatten().copied()).collect()
}

fn thinned_planes(planes: &[f32]) -> Vec<f32> {
    planes.chunks_exact(SIZE * SIZE).flat_map(|plane| thinned(plane, SIZE, 1, 4)).collect()
}

/// How many of PHALP's whole crops, masks and run lengths are not the reference's to the last bit, by
/// their check sums.
#[derive(Default)]
struct Wrong {
    patches: usize,
    masks: usize,
    runs: usize,
}

pub fn phalp(set: &Set, ledger: &mut Ledger) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Crops, "06_crops_cv4")?;
    let frame = picture(set, "image", 480, 360);
    let all = boxes(&golden, "boxes")?;
    let around: Vec<f32> = all.iter().map(padded).flat_map(|b| [b.x1, b.y1, b.x2, b.y2]).collect();
    ledger.close(&golden, "boxes_padded", &around, EXACT, "px")?;
    let (mut patches, mut normalized, mut masks) = (Vec::new(), Vec::new(), Vec::new());
    let (mut maps, mut wrong) = ([Vec::new(), Vec::new()], Wrong::default());
    for (index, bbox) in all.iter().enumerate() {
        let at = |key: &str| format!("/phalp/{index}/{key}");
        let square = Square::of_phalp(bbox);
        maps[0].extend_from_slice(crop_from_picture(square.center, square.side, SIZE).as_flattened());
        maps[1].extend(golden.numbers(&at("trans"))?);
        let rgb = square.cut(&frame, SIZE);
        let differs = |key: &str, crc: u64| Ok::<_, ParityError>(usize::from(*golden.told(&at(key))? != crc));
        wrong.patches += differs("patch_bgr_u8_crc32", crc32(&swapped(&rgb)))?;
        let mut planes = vec![0.0; rgb.len()];
        normalize(&rgb, &mut planes);
        normalized.extend(thinned_planes(&planes));
        patches.extend(thinned(&swapped(&rgb), SIZE, 3, 4));
        let mask = mask(set, index, bbox, 480, 360);
        let levels: Vec<u8> = mask.iter().map(|&inside| inside * 255).collect();
        let crop = square.cut_mask(&levels, 480, 360, SIZE);
        wrong.masks += differs("mask_u8_crc32", crc32(&crop))?;
        masks.extend(thinned(&crop, SIZE, 1, 4));
        let text = run_lengths(&mask, 480, 360);
        wrong.runs += differs("rle/counts_crc32", crc32(text.as_bytes()))?;
    }
    // the last bit of a number in a text is not promised to be read right
    let [ours, theirs] = &maps;
    ledger.numbers(&golden, "trans", ours, theirs, Bound::Relative(2.0 * f64::EPSILON), "")?;
    ledger.exact(&golden, "whole patches", wrong.patches, all.len());
    ledger.exact(&golden, "whole masks", wrong.masks, all.len());
    ledger.exact(&golden, "run lengths", wrong.runs, all.len());
    levels(&golden, "phalp_patch_bgr_u8_s4", &patches, ledger)?;
    levels(&golden, "phalp_mask_u8_s4", &masks, ledger)?;
    ledger.close(&golden, "phalp_norm_rgb_s4", &normalized, EXACT, "")
}

fn levels(golden: &Golden, key: &str, got: &[u8], ledger: &mut Ledger) -> Result<(), ParityError> {
    let got: Vec<f32> = got.iter().copied().map(f32::from).collect();
    ledger.close(golden, key, &got, EXACT, "levels")
}

pub fn demo(set: &Set, ledger: &mut Ledger) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Crops, "06_crops_cv4")?;
    for (name, width, height, of, key) in
        [("image", 480, 360, "boxes", "demo"), ("image_big", 1280, 960, "boxes_big", "demo_big")]
    {
        let frame = picture(set, name, width, height);
        let (mut normalized, mut squares, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        let (mut wrong, mut unblurred) = (0, 0);
        for (index, bbox) in boxes(&golden, of)?.iter().enumerate() {
            let at = |what: &str| format!("/{key}/{index}/{what}");
            let square = Square::of_demo(bbox);
            squares.extend([square.center[0], square.center[1], square.side].map(f64::from));
            wanted.extend(golden.numbers(&at("box_center"))?);
            wanted.push(golden.number(&at("box_size"))?);
            let mut planes = vec![0.0; 3 * SIZE * SIZE];
            crop::demo(&frame, bbox, SIZE, &mut planes);
            if *golden.told(&at("blurred"))? == false {
                let bytes: Vec<u8> = planes.iter().flat_map(|value| value.to_le_bytes()).collect();
                wrong += usize::from(*golden.told(&at("f32_crc32"))? != crc32(&bytes));
                unblurred += 1;
            }
            normalized.extend(thinned_planes(&planes));
        }
        ledger.numbers(&golden, &format!("{key}, squares"), &squares, &wanted, EXACT, "px")?;
        ledger.exact(&golden, &format!("{key}, whole crops not blurred"), wrong, unblurred);
        ledger.close(&golden, &format!("{key}_norm_rgb_s4"), &normalized, DEMO, "")?;
    }
    Ok(())
}

pub fn blur(set: &Set, ledger: &mut Ledger) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Crops, "06_crops_cv4")?;
    for (name, width, height, sigma, every, key) in [
        ("image_big", 1280, 960, 0.8, 16, "gaussian_big_sigma0.8_s16"),
        ("image", 480, 360, 2.3, 8, "gaussian_image_sigma2.3_s8"),
    ] {
        let frame = picture(set, name, width, height);
        let out = blurred(Picture::<_, 3>::new(frame.rgb(), width, height), sigma);
        let bgr: Vec<f32> =
            out.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [b, g, r].map(|v| v as f32)).collect();
        ledger.close(&golden, key, &thinned(&bgr, width, 3, every), DEMO, "levels")?;
    }
    Ok(())
}
