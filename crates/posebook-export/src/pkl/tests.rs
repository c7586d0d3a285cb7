//! Files of joblib are read, files of this crate are read back, wrong files are refused.

use super::*;
use crate::frames::tests::{frame, person};
use crate::{ExportError, ExportFrame, ExportPerson, Exported, FrameSink, VideoInfo};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// A file of `make_pkl.py`.
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn frames_of(path: &Path) -> Result<(Vec<PklFrame>, PklSummary), ExportError> {
    let mut frames = Vec::new();
    let take = &mut |frame| {
        frames.push(frame);
        Ok::<(), ExportError>(())
    };
    let summary = read(path, 25.0, ReadLimits::default(), take)?;
    Ok((frames, summary))
}

/// The message about a file with these bytes.
fn refused(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo_x.pkl");
    std::fs::write(&path, bytes).unwrap();
    frames_of(&path).unwrap_err().to_string()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(3));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn unpacked(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

fn write(path: &Path, frames: &[ExportFrame], settings: PklSettings) -> Result<Exported, ExportError> {
    let mut writer = Box::new(PklWriter::create(path, VideoInfo::new("clip", 25.0), settings)?);
    frames.iter().try_for_each(|frame| writer.push(frame.clone()))?;
    writer.finish()
}

fn ids(frame: &ExportFrame) -> Vec<(u64, i64)> {
    frame.people.iter().map(|person| (person.id, person.tracked_time)).collect()
}

#[test]
fn files_of_joblib_are_read() {
    let (frames, summary) = frames_of(&data("extract.pkl")).unwrap();
    assert_eq!((summary.frames, summary.people, summary.ghosts, summary.doubled), (16, 25, 7, 0));
    assert_eq!(frames[15].key, FrameKey::Text("outputs/_DEMO/clip/img/000016.jpg".into()));
    assert_eq!(ids(&frames[15].frame), [(1, 0), (2, 7)]);
    // the lost track repeats its last seen entry
    let ghost = ExportPerson { tracked_time: 0, ..frames[15].frame.people[1].clone() };
    assert_eq!(ghost, frames[8].frame.people[1]);
    let one = &frames[4].frame.people[0];
    assert_eq!((one.bbox.x1, one.bbox.x2, one.bbox.y2), (104.0, 164.5, 231.0));
    assert_eq!((one.translation, one.detection), ([0.1, 0.2, 40.4], 0));
    assert!((one.score - 0.86).abs() < 1e-6 && (frames[4].frame.time_secs - 0.16).abs() < 1e-9);
    // joint 43's z is element 131 of the formula
    assert!((one.joints[43][2] - (41.0 + 0.37 * 131.0f32).sin()).abs() < 1e-4);
    assert_eq!(one.params.global_orient[2], [0.0, 0.0, 1.0]);
    let mask = one.mask.as_ref().unwrap();
    assert_eq!((mask.width, mask.height, mask.counts.as_str()), (320, 200, "PYc0"));
    assert!(one.embedding.is_none());

    let (frames, summary) = frames_of(&data("stream.pkl")).unwrap();
    assert_eq!((summary.frames, summary.people, summary.frames_with_appearance), (8, 14, 7));
    assert_eq!(frames[3].key, FrameKey::Stream("clips/clip.mp4".into(), 1536));
    assert_eq!((frames[3].frame.pts, frames[3].frame.shot, frames[2].frame.shot), (Some(1536), true, false));
    assert_eq!(frames[0].frame.people[1].embedding.as_ref().unwrap().len(), 4096);
    assert!(frames[7].frame.people.is_empty());
}

#[test]
fn people_who_are_there_twice_are_kept_once() {
    let (frames, summary) = frames_of(&data("short.pkl")).unwrap();
    assert_eq!((summary.people, summary.doubled), (4, 4));
    assert_eq!(ids(&frames[1].frame), [(1, 0), (2, 0)]);
    assert_eq!(frames[1].frame.people[1].keypoints.len(), 25);
    assert!(summary.notes()[0].contains("4 people are in the file twice"), "{:?}", summary.notes());
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo_clip.pkl");
    let mut frames: Vec<ExportFrame> = (0..12).map(|number| frame(number, &[1, 2])).collect();
    frames[7].people.remove(0);
    frames[3].shot = true;
    frames.iter_mut().flat_map(|frame| &mut frame.people).for_each(|person| {
        person.embedding = Some((0..4096).map(|index| (index % 7) as f32).collect());
        person.mask =
            Some(crate::rle::mask_of_box(&person.bbox, posebook_core::frame::FrameSize::new(320, 200)));
    });
    for keys in [KeyKind::Path, KeyKind::Pts, KeyKind::Text] {
        let settings = PklSettings { keys, appearance: true, ..PklSettings::new("out") };
        let exported = write(&path, &frames, settings).unwrap();
        assert_eq!((exported.frames, exported.people, exported.tracks, exported.notes.len()), (12, 23, 2, 0));
        let (read, summary) = frames_of(&path).unwrap();
        assert_eq!((summary.people, summary.ghosts), (23, 1));
        let key = read[7].key.to_string();
        match keys {
            KeyKind::Path => assert_eq!(key, "out/_DEMO/clip/img/000008.jpg"),
            KeyKind::Pts => assert_eq!(key, "(clip, 3584)"),
            KeyKind::Text => assert_eq!(key, "clip_000008.jpg"),
        }
        for (written, read) in frames.iter().zip(read) {
            let mut read = read.frame;
            read.people.retain(|person| person.tracked_time == 0);
            read.pts = written.pts;
            // width and height are rounded, and with them the right and the lower edge
            for (read, written) in read.people.iter_mut().zip(&written.people) {
                assert!((read.bbox.x2 - written.bbox.x2).abs() < 1e-4);
                read.bbox = written.bbox;
            }
            assert_eq!(read, *written);
        }
    }
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes[..2], [0x78, 0x5e], "a zlib stream of level 3");
}

#[test]
fn boxes_stand_for_missing_masks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo_clip.pkl");
    let exported = write(&path, &[frame(0, &[1])], PklSettings::new("out")).unwrap();
    assert!(exported.notes[0].contains("1 of 1 people have no mask"), "{:?}", exported.notes);
    let (frames, _) = frames_of(&path).unwrap();
    let mask = frames[0].frame.people[0].mask.clone().unwrap();
    assert_eq!(
        mask,
        crate::rle::mask_of_box(&person(0, 1).bbox, posebook_core::frame::FrameSize::new(320, 200))
    );
    // nobody at all is a file, too
    assert_eq!(write(&path, &[frame(0, &[]), frame(1, &[])], PklSettings::new("out")).unwrap().people, 0);
    assert_eq!(frames_of(&path).unwrap().1.frames, 2);
}

/// The size of the written file does not depend on numbers of the memo: a long video has the same opcodes per frame.
#[test]
fn the_memo_does_not_grow() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo_clip.pkl");
    let length = |frames: u64| {
        let frames: Vec<ExportFrame> = (0..frames).map(|number| frame(number, &[1])).collect();
        write(&path, &frames, PklSettings::new("out")).unwrap();
        unpacked(&path).len()
    };
    let (ten, twenty, thirty) = (length(10), length(20), length(30));
    assert_eq!(twenty - ten, thirty - twenty);
}

#[test]
fn damaged_and_foreign_files_are_refused() {
    let whole = std::fs::read(data("extract.pkl")).unwrap();
    assert!(refused(&whole[..whole.len() / 2]).contains("is damaged"));
    let plain = unpacked(&data("extract.pkl"));
    assert!(refused(&zlib(&plain[..plain.len() / 2])).contains("truncated"));
    assert!(refused(b"\x80\x02]q\0.").contains("a list of 0"));
    assert!(refused(b"\x80\x02}K\x01K\x02s.").contains("a dictionary with the key the number 1"));
    assert!(refused(b"\x80\x02}X\x01\0\0\0aK\x02s.").contains("the number 2 for `a`"));
    assert!(refused(&zlib(b"cposix\nsystem\n(S'touch x'\ntR.")).contains("`posix.system`"));
    assert!(refused(b"<!doctype html>").contains("a web page"));
    // a frame of another version: no joints
    let message = refused(&zlib(&replaced(&plain, b"2d_joints", b"xx_joints")));
    assert!(message.contains("frame 0 of") && message.contains("000001.jpg"), "{message}");
    assert!(message.contains("`2d_joints` is missing"), "{message}");
    // lists of unequal length: `camera` and `tid` change places in one frame
    let message = refused(&zlib(b"\x80\x02}X\x01\0\0\0f}(X\x03\0\0\0tid]K\x01aX\x04\0\0\0bbox]us."));
    assert!(message.contains("`bbox` has 0 elements, and `tid` has 1"), "{message}");
    // a box of 3 numbers
    let message = refused(&zlib(&replaced(&plain, b"\x8c\x03tid", b"\x8c\x03tie")));
    assert!(message.contains("`tid` is missing"), "{message}");
    let folder = tempfile::tempdir().unwrap();
    assert!(frames_of(&folder.path().join("none.pkl")).unwrap_err().to_string().contains("none.pkl"));
}

/// The bytes with the first occurrence of `from` replaced by `to`, of the same length.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).expect("the bytes are there");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn a_file_that_unpacks_to_too_much_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo_x.pkl");
    std::fs::write(&path, zlib(&vec![b'N'; 1 << 20])).unwrap();
    let read =
        |limits| read(&path, 25.0, limits, &mut |_| Ok::<(), ExportError>(())).unwrap_err().to_string();
    let message = read(ReadLimits { unpacked_bytes: 1 << 16, ..ReadLimits::default() });
    assert!(message.contains("more than 65536 bytes"), "{message}");
    let message = read(ReadLimits { values: 1000, ..ReadLimits::default() });
    assert!(message.contains("limit of 1000 values"), "{message}");
}

#[test]
fn wrong_people_are_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo_clip.pkl");
    let twice = write(&path, &[frame(4, &[1, 1])], PklSettings::new("out")).unwrap_err().to_string();
    assert!(twice.contains("frame 4, track 1"), "{twice}");
    let appearance = PklSettings { appearance: true, ..PklSettings::new("out") };
    let message = write(&path, &[frame(4, &[1])], appearance).unwrap_err().to_string();
    assert!(message.contains("appearance.results=true"), "{message}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no half file is left");
}

// /dev/full exists on Linux only
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut pickler = pickler::Pickler::new(ZlibEncoder::new(full, Compression::new(3))).unwrap();
    let settings = PklSettings::new("out");
    let write = || {
        for number in 0..200 {
            let key = frame_key(KeyKind::Text, &frame(number, &[]), &VideoInfo::new("clip", 25.0), "");
            pickler.text(&key.to_string())?;
            pickler.store_key()?;
            entry::write_entry(&mut pickler, &frame(number, &[1]), None, &settings)?;
        }
        pickler.finish()?.finish()
    };
    assert!(write().unwrap_err().to_string().contains("No space left"));
}
