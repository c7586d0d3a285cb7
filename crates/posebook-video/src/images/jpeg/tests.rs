//! Comparison with OpenCV's bytes and pixels over sizes and qualities, and damaged files.

use proptest::prelude::*;
use serde_json::Value;

use super::{decode_extracted, encode};
use posebook_core::provenance::sha256_of_bytes;

/// The image that `tests/goldens/opencv/make_jpeg.py` draws.
fn test_image(width: usize, height: usize) -> Vec<u8> {
    let value = |x: usize, y: usize, c: usize| {
        if y < height / 4 {
            return ((x / 3 + y / 5 + c) % 2 * 255) as u8;
        }
        let ramp = ((x * (c + 3) + y * (5 - c)) % 97 + 80) as i64;
        if x < width / 2 {
            return ramp as u8;
        }
        let mut noise = ((x * 73_856_093) ^ (y * 19_349_663) ^ (c * 83_492_791)) as u32;
        noise ^= noise >> 13;
        noise = noise.wrapping_mul(0x5bd1_e995);
        noise ^= noise >> 15;
        (ramp + i64::from(noise % 160) - 80).clamp(0, 255) as u8
    };
    let sample = |n: usize| value(n / 3 % width, n / 3 / width, n % 3);
    (0..width * height * 3).map(sample).collect()
}

#[test]
fn bytes_and_pixels_equal_those_of_opencv() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens/opencv/jpeg.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 80);
    let mut file = Vec::new();
    for case in cases {
        let number = |name: &str| case[name].as_u64().unwrap() as usize;
        let (width, height, quality) = (number("width"), number("height"), number("quality"));
        let rgb = test_image(width, height);
        assert_eq!(case["rgb_sha256"], sha256_of_bytes(&rgb), "not the image that OpenCV was given");
        encode(&rgb, width, height, quality as u8, &mut file).unwrap();
        let about = format!("{width}x{height} at quality {quality}");
        assert_eq!(number("file_bytes"), file.len(), "{about}");
        assert_eq!(case["file_sha256"], sha256_of_bytes(&file), "{about}");
        let mut back = vec![0; rgb.len()];
        assert!(decode_extracted(&file, &mut back).unwrap());
        assert_eq!(case["back_sha256"], sha256_of_bytes(&back), "{about}");
    }
}

#[test]
fn files_that_posebook_did_not_write_are_rejected() {
    let (width, height) = (40, 24);
    let rgb = test_image(width, height);
    let mut file = Vec::new();
    assert!(encode(&rgb, 0, 1, 95, &mut file).unwrap_err().to_string().contains("0 pixels"));
    assert!(encode(&rgb, 1, 70_000, 95, &mut file).unwrap_err().to_string().contains("70000 pixels"));
    encode(&rgb, width, height, 95, &mut file).unwrap();
    let mut back = vec![0; rgb.len()];
    assert!(!decode_extracted(&file, &mut back[3..]).unwrap(), "another size");
    for length in 0..file.len() - 2 {
        assert!(decode_extracted(&file[..length], &mut back).is_err(), "{length} of {} bytes", file.len());
    }
    for kind in [0xc1, 0xc2, 0xdd] {
        let at = file.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
        let mut other = file.clone();
        other[at + 1] = kind;
        assert!(decode_extracted(&other, &mut back).is_err(), "segment {kind:x}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// A damaged file gives an error or other pixels, never a panic.
    #[test]
    fn damaged_files_do_not_panic(damage in proptest::collection::vec((0usize..4000, any::<u8>()), 1..20)) {
        let rgb = test_image(40, 24);
        let mut file = Vec::new();
        encode(&rgb, 40, 24, 90, &mut file).unwrap();
        for (offset, byte) in damage {
            let length = file.len();
            file[offset % length] = byte;
        }
        let _ = decode_extracted(&file, &mut vec![0; rgb.len()]);
    }
}
