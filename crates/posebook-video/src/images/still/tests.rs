//! Comparison with OpenCV for all supported kinds of files (`tests/goldens/opencv/make_stills.py`), and files that are
//! damaged or no images.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use proptest::prelude::*;
use serde_json::Value;

use super::*;

const GOLDENS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens/opencv");

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(format!("{GOLDENS}/stills/{name}")).unwrap()
}

#[test]
fn pixels_equal_those_of_opencv() {
    let text = std::fs::read_to_string(format!("{GOLDENS}/stills.json")).unwrap();
    let goldens: Value = serde_json::from_str(&text).unwrap();
    let cases = goldens["cases"].as_array().unwrap();
    assert!(cases.len() >= 66);
    let mut wrong = Vec::new();
    for case in cases {
        let name = case["file"].as_str().unwrap();
        let found = decode(&golden(name)).map(|(width, height, rgb)| (width, height, sha256_of_bytes(&rgb)));
        let side = |axis: &str| case[axis].as_u64().unwrap() as usize;
        let expected = (side("width"), side("height"), case["rgb_sha256"].as_str().unwrap().to_string());
        if found.as_ref() != Ok(&expected) {
            wrong.push(format!("{name}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_first_bytes_decide_the_format() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read(&path, 3)
    };
    let still = read("really.jpg", &golden("rgb-8.png")).unwrap();
    assert_eq!((still.frame.width, still.frame.height, still.frame.index), (19, 11, 3));
    assert_eq!(still.sha256, sha256_of_bytes(&golden("rgb-8.png")));
    assert!(read("really.png", &golden("baseline-420-37x29.jpg")).is_ok());
    for (bytes, what) in [
        (&b"GIF89a\x01\x00"[..], "this is a GIF; supported images are JPEG and PNG; convert it"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "this is a WebP image"),
        (b"BM\x46\0\0\0", "this is a BMP image"),
        (b"II*\0\x08\0\0\0", "this is a TIFF image"),
        (b"\0\0\0\x18ftypheic", "this is a HEIF or AVIF image"),
        (b"\0\0\0\x18ftypisom", "this is a video; use `posebook track` for videos"),
        (b"hello", "this is not an image: neither JPEG nor PNG"),
        (b"\xff\xd8", "this is not an image"),
        (b"", "the file is empty"),
    ] {
        let message = read("x.png", bytes).unwrap_err().to_string();
        assert!(message.contains("x.png: ") && message.contains(what), "{message}");
    }
    let missing = super::read(Path::new("nowhere/a.png"), 0).unwrap_err().to_string();
    assert!(missing.starts_with("nowhere/a.png: cannot read the image"), "{missing}");
    assert!(super::read(folder.path(), 0).is_err(), "a folder");
}

#[test]
fn truncated_files_are_errors() {
    for name in ["baseline-420-37x29.jpg", "progressive-444-37x29.jpg", "cmyk.jpg", "baseline-restarts.jpg"] {
        let file = golden(name);
        for length in 0..file.len() - 2 {
            assert!(decode(&file[..length]).is_err(), "{name}: {length} of {} bytes", file.len());
        }
    }
    // a progressive file that ends between two scans has a complete image of lower quality
    let file = golden("progressive-444-37x29.jpg");
    let scans: Vec<usize> = (0..file.len() - 1).filter(|&at| file[at..at + 2] == [0xff, 0xda]).collect();
    let message = decode(&file[..scans[3]]).unwrap_err();
    assert_eq!(message, "the JPEG is damaged or cut short");
    let file = golden("rgb-8.png");
    for length in 0..file.len() - 12 {
        assert!(decode(&file[..length]).is_err(), "{length} of {} bytes", file.len());
    }
}

#[test]
fn too_large_sizes_are_rejected_before_memory_is_allocated() {
    let jpeg = |width: u16, height: u16| {
        let mut file = golden("baseline-420-37x29.jpg");
        let at = file.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
        file[at + 5..at + 7].copy_from_slice(&height.to_be_bytes());
        file[at + 7..at + 9].copy_from_slice(&width.to_be_bytes());
        decode(&file).unwrap_err()
    };
    assert!(jpeg(65_500, 2).contains("65500x2 pixels are too many"));
    assert!(jpeg(30_000, 30_000).contains("make the image smaller"));
    assert!(jpeg(0, 20).contains("an image of 0x20 pixels"));
    // a file this small cannot hold the image: rejected before memory is allocated
    assert_eq!(jpeg(16_000, 16_000), "the JPEG is damaged or cut short");
    let png = |width: u32, height: u32| {
        let mut file = golden("rgb-8.png");
        file[16..20].copy_from_slice(&width.to_be_bytes());
        file[20..24].copy_from_slice(&height.to_be_bytes());
        let mut crc = flate2::Crc::new();
        crc.update(&file[12..29]);
        file[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        decode(&file).unwrap_err()
    };
    assert!(png(40_000, 10).contains("40000x10 pixels"), "{}", png(40_000, 10));
    assert!(png(1 << 30, 1 << 30).contains("pixels are too many"));
    png(200, 200);
}

#[test]
fn unsupported_kinds_are_named() {
    let with_frame = |kind: u8, bits: u8| {
        let mut file = golden("baseline-444-5x6.jpg");
        let at = file.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
        (file[at + 1], file[at + 4]) = (kind, bits);
        decode(&file).unwrap_err()
    };
    assert!(with_frame(0xc9, 8).contains("arithmetic coding"));
    assert!(with_frame(0xc3, 8).contains("lossless"));
    assert!(with_frame(0xc1, 12).contains("JPEGs of 12 bits"));
}

#[test]
fn samples_of_sixteen_bits_lose_their_lower_byte() {
    let samples: Vec<u8> =
        [0x12ffu16, 0x8000, 0x00ff].iter().flat_map(|sample| sample.to_ne_bytes()).collect();
    let mut file = Vec::new();
    PngEncoder::new(&mut file).write_image(&samples, 1, 1, ExtendedColorType::Rgb16).unwrap();
    assert_eq!(decode(&file).unwrap(), (1, 1, vec![0x12, 0x80, 0x00]));
    let mut file = Vec::new();
    PngEncoder::new(&mut file).write_image(&[10, 20, 30, 0], 1, 1, ExtendedColorType::Rgba8).unwrap();
    assert_eq!(decode(&file).unwrap().2, [10, 20, 30], "transparent pixels keep their color");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    /// A damaged file gives an error or other pixels, never a panic.
    #[test]
    fn damaged_files_do_not_panic(
        which in 0usize..5,
        damage in proptest::collection::vec((2usize..4000, any::<u8>()), 1..12),
    ) {
        let names = ["progressive-420-37x29.jpg", "baseline-restarts.jpg", "ycck.jpg", "exif-6.jpg", "palette-4.png"];
        let mut file = golden(names[which]);
        for (offset, byte) in damage {
            let length = file.len();
            file[offset % length] = byte;
        }
        let _ = decode(&file);
    }
}
