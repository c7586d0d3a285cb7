//! Detections in COCO's results format: an array of `{"image_id", "category_id", "bbox", "score", "segmentation"}`.
//!
//! `posebook detect` writes it, one record per line in the order of the frames, and a description of the video and of the
//! detector in a file beside it ([`DetectionsAbout`]). `image_id` is the number of a frame in its video, from 0; `bbox` is left,
//! top, width and height in pixels; `segmentation` is `{"size": [height, width], "counts"}`, COCO's compressed run lengths.
//! Results of other programs are read as well. Reading and writing hold one frame's boxes in memory at a time.

use super::DatasetError;
use super::boxes::{BoxFile, BoxWriter};
use super::mot::VideoExtent;
use posebook_core::files::{AtomicFile, write_atomically};
use posebook_core::person::{FrameMask, InputBox, LtwhBox};
use posebook_core::provenance::sha256_of_file;
use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// COCO's category of people.
const PERSON: u64 = 1;
/// Mark of UTF-8 at the start of a file.
const UTF8_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The description beside a file of detections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DetectionsAbout {
    /// How frames are counted, in words.
    pub frame_numbers: String,
    /// Name of the video.
    pub video: String,
    /// SHA-256 of the video file, or of the folder of images at `fps`.
    pub video_sha256: String,
    /// Width of a frame, pixels.
    pub width: usize,
    /// Height of a frame, pixels.
    pub height: usize,
    /// Number of frames in the video.
    pub frames: usize,
    /// Frames per second.
    pub fps: f64,
    /// First frame that was read.
    pub first_frame: usize,
    /// Number of frames that were read.
    pub frames_read: usize,
    /// One of how many frames of the range was read.
    pub every: usize,
    /// Name of the detector, as in `detect.model`.
    pub detector: String,
    /// What identifies its weights, such as their SHA-256.
    pub detector_sha256: String,
    /// SHA-256 of the file of its set; `None` for NanoDet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector_set_sha256: Option<String>,
    /// Settings of the detection.
    pub settings: serde_json::Value,
    /// The device.
    pub device: String,
    /// Version of posebook.
    pub posebook: String,
}

impl DetectionsAbout {
    /// Path of the description of `detections`.
    pub fn path(detections: &Path) -> PathBuf {
        let mut name = detections.file_name().unwrap_or_default().to_os_string();
        name.push(".about.json");
        detections.with_file_name(name)
    }

    /// The description beside `detections`; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn beside(detections: &Path) -> Result<Option<DetectionsAbout>, DatasetError> {
        let path = DetectionsAbout::path(detections);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(DatasetError::io("read", &path, source)),
        };
        let read = serde_json::from_slice(&bytes);
        read.map(Some).map_err(|error: serde_json::Error| {
            let message = format!("{}; remove it to use the detections without it", without_position(&error));
            DatasetError::at_line(&path, error.line().max(1), message)
        })
    }

    /// Writes the description beside `detections`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_beside(&self, detections: &Path) -> Result<(), DatasetError> {
        let path = DetectionsAbout::path(detections);
        let write_error = |source| DatasetError::io("write", &path, source);
        let text = serde_json::to_string_pretty(self).map_err(|error| write_error(error.into()))?;
        write_atomically(&path, (text + "\n").as_bytes()).map_err(write_error)
    }

    /// Checks that the detections `of` are those of a video of `extent`; `sha256` computes the video's hash at a frame rate.
    ///
    /// # Errors
    /// If they are of another video.
    pub(super) fn check_video(
        &self,
        of: &Path,
        extent: VideoExtent,
        sha256: impl FnOnce(f64) -> Result<String, DatasetError>,
    ) -> Result<(), DatasetError> {
        let remedy = "detect people in this one (`posebook detect`)";
        let size = extent.size.map_or((self.width, self.height), |size| (size.width, size.height));
        if (self.width, self.height) != size || self.frames != extent.frames {
            let message = format!(
                "its boxes are those of {} with {} frames of {}x{} pixels, and this video has {} of {}x{}; {remedy}",
                self.video, self.frames, self.width, self.height, extent.frames, size.0, size.1
            );
            return Err(DatasetError::invalid(of, message));
        }
        let found = sha256(self.fps)?;
        if found != self.video_sha256 {
            let message = format!(
                "its boxes are those of {} with SHA-256 {}, and this video has {found}; {remedy}, or remove {} if it shows the \
                 same",
                self.video,
                self.video_sha256,
                DetectionsAbout::path(of).display()
            );
            return Err(DatasetError::invalid(of, message));
        }
        Ok(())
    }
}

/// Whether a file of boxes is JSON, and not MOTChallenge text.
///
/// # Errors
/// If it cannot be read.
pub fn is_results(path: &Path) -> Result<bool, DatasetError> {
    let read_error = |source| DatasetError::io("read the boxes", path, source);
    let file = BufReader::new(File::open(path).map_err(read_error)?);
    for byte in file.bytes() {
        match byte.map_err(read_error)? {
            // the mark of UTF-8 that some editors write
            b' ' | b'\t' | b'\r' | b'\n' | 0xEF | 0xBB | 0xBF => {}
            // an object is no list of results, which the error of reading it says
            first => return Ok(matches!(first, b'[' | b'{')),
        }
    }
    Ok(false)
}

/// A record.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    image_id: u64,
    category_id: u64,
    bbox: [f64; 4],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    segmentation: Option<Segmentation>,
}

/// A mask.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Segmentation {
    Runs {
        /// Height and width.
        size: [usize; 2],
        counts: String,
    },
    /// Polygons or lists of run lengths.
    #[serde(skip_serializing)]
    Other(IgnoredAny),
}

/// Writes detections, frame by frame.
pub struct ResultsWriter {
    file: AtomicFile,
    is_empty: bool,
}

impl ResultsWriter {
    /// Creates a file that appears at `path` when it is finished.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create(path: &Path) -> std::io::Result<ResultsWriter> {
        let mut file = AtomicFile::create(path)?;
        file.write_all(b"[")?;
        Ok(ResultsWriter { file, is_empty: true })
    }

    /// Adds the boxes of a frame. Frames have to be in ascending order.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn push(&mut self, frame: usize, boxes: &[InputBox]) -> std::io::Result<()> {
        for InputBox { bbox, score, mask, .. } in boxes {
            // in double precision left and width give the right edge back exactly
            let LtwhBox { left, top, width, height } = (*bbox).into();
            let record = Record {
                image_id: frame as u64,
                category_id: PERSON,
                bbox: [left, top, width, height],
                score: score.map(f64::from),
                segmentation: mask.as_ref().map(|mask| Segmentation::Runs {
                    size: [mask.height, mask.width],
                    counts: mask.counts.clone(),
                }),
            };
            self.file.write_all(if self.is_empty { b"\n" } else { b",\n" })?;
            self.is_empty = false;
            serde_json::to_writer(&mut self.file, &record)?;
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self) -> std::io::Result<()> {
        self.file.write_all(b"\n]\n")?;
        self.file.finish()
    }
}

/// Converts the detections at `path` of a video of `extent` to a `boxes.jsonl` at `to`. Returns notes on what was not used.
///
/// # Errors
/// If the file cannot be read; or, with its line, if a record is invalid, of a frame that is not in the video, or not in the order
/// of the frames.
pub(super) fn to_box_file(
    path: &Path,
    extent: VideoExtent,
    to: PathBuf,
) -> Result<(BoxFile, Vec<String>), DatasetError> {
    let write_error = |source| DatasetError::io("write", &to, source);
    let file = File::open(path).map_err(|source| DatasetError::io("read the boxes", path, source))?;
    let mut import = Import {
        extent,
        out: BoxWriter::create(&to).map_err(write_error)?,
        frame: 0,
        boxes: Vec::new(),
        others: 0,
        empty: 0,
        masks_left_out: 0,
    };
    let mut reader = BufReader::new(file);
    let start = reader.fill_buf().map_err(|source| DatasetError::io("read the boxes", path, source))?;
    // the mark of UTF-8 that some editors write is no part of JSON
    if start.starts_with(UTF8_MARK) {
        reader.consume(UTF8_MARK.len());
    }
    let mut deserializer = serde_json::Deserializer::from_reader(reader);
    let read = deserializer.deserialize_seq(ImportVisitor(&mut import)).and_then(|()| deserializer.end());
    read.map_err(|error| DatasetError::at_line(path, error.line().max(1), without_position(&error)))?;
    import.write_until(extent.frames).map_err(write_error)?;
    let notes = import.notes(path);
    import.out.finish().map_err(write_error)?;
    let sha256 = sha256_of_file(&to).map_err(write_error)?;
    Ok((BoxFile { path: to, sha256 }, notes))
}

/// JSON's error without the position at its end, which is given otherwise.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(message, _)| message.to_string())
}

/// A conversion in progress.
struct Import {
    extent: VideoExtent,
    out: BoxWriter,
    /// The frame of `boxes`.
    frame: usize,
    boxes: Vec<InputBox>,
    /// Records of other categories.
    others: usize,
    /// Boxes without an area.
    empty: usize,
    masks_left_out: usize,
}

impl Import {
    /// Writes the boxes of the current frame and empty frames up to `frame`.
    fn write_until(&mut self, frame: usize) -> std::io::Result<()> {
        while self.frame < frame {
            self.out.push(std::mem::take(&mut self.boxes))?;
            self.frame += 1;
        }
        Ok(())
    }

    /// Adds a record; an error is what is wrong with it.
    fn add(&mut self, record: Record) -> Result<(), String> {
        let Record { image_id, category_id, bbox: [left, top, width, height], score, segmentation } = record;
        let frame = usize::try_from(image_id).ok().filter(|frame| *frame < self.extent.frames);
        let Some(frame) = frame else {
            let last = self.extent.frames.saturating_sub(1);
            return Err(format!(
                "image_id {image_id} is no frame of the video: frames count from 0 to {last}"
            ));
        };
        if frame < self.frame {
            return Err(format!("image_id {frame} comes after {}: sort the records by image_id", self.frame));
        }
        if category_id != PERSON {
            self.others += 1;
            return Ok(());
        }
        self.write_until(frame).map_err(|error| format!("its boxes cannot be stored: {error}"))?;
        let numbers = [left, top, width, height];
        if !numbers.iter().all(|number| number.abs() <= f64::from(f32::MAX)) || width < 0.0 || height < 0.0 {
            return Err(format!("the box {numbers:?} is not left, top, width and height in pixels"));
        }
        let bbox = LtwhBox { left, top, width, height }.to_bbox();
        if bbox.area() <= 0.0 {
            self.empty += 1;
            return Ok(());
        }
        let score = score.map(|score| score as f32);
        if let Some(score) = score.filter(|score| !(0.0..=1.0).contains(score)) {
            return Err(format!("the score {score} is not within 0 to 1"));
        }
        let mask = match segmentation {
            None => None,
            Some(Segmentation::Runs { size: [height, width], counts }) => {
                if let Some(size) =
                    self.extent.size.filter(|size| (size.width, size.height) != (width, height))
                {
                    return Err(format!("a mask of {width}x{height} pixels is not one of a frame of {size}"));
                }
                Some(FrameMask { width, height, counts })
            }
            Some(Segmentation::Other(_)) => {
                self.masks_left_out += 1;
                None
            }
        };
        self.boxes.push(InputBox { id: self.boxes.len() as u32, bbox, score, mask });
        Ok(())
    }

    fn notes(&self, path: &Path) -> Vec<String> {
        let path = path.display();
        let counts = [
            (self.others, "records of other categories than 1 (person) skipped"),
            (self.empty, "boxes without width or height skipped"),
            (self.masks_left_out, "masks left out that are not compressed run lengths"),
        ];
        let notes = counts.into_iter().filter(|(count, _)| *count > 0);
        notes.map(|(count, what)| format!("{path}: {count} {what}")).collect()
    }
}

/// Reads the array's elements one by one.
struct ImportVisitor<'i>(&'i mut Import);

impl<'de> Visitor<'de> for ImportVisitor<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an array of records with image_id, category_id, bbox and score (COCO's results)")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<(), A::Error> {
        while let Some(record) = records.next_element::<Record>()? {
            self.0.add(record).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::boxes::BoxReader;
    use super::*;
    use posebook_core::frame::FrameSize;
    use posebook_core::person::BBox;

    const EXTENT: VideoExtent = VideoExtent { size: Some(FrameSize::new(640, 360)), frames: 6 };

    fn converted(path: &Path, folder: &Path) -> Result<(Vec<Vec<InputBox>>, Vec<String>), String> {
        let (file, notes) =
            to_box_file(path, EXTENT, folder.join("boxes.jsonl")).map_err(|error| error.to_string())?;
        let mut reader = BoxReader::open(&file.path).unwrap();
        let frames = (0..EXTENT.frames).map(|frame| reader.read_frame(frame).unwrap()).collect();
        Ok((frames, notes))
    }

    #[test]
    fn detections_are_read_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("detections.json");
        let mut random = posebook_core::random::stream(7, "coco", &[]);
        let mut value = |high: f64| (random.range(0.0, 1.0) * high) as f32;
        let mut frames = vec![Vec::new(); EXTENT.frames];
        for frame in [0, 2, 3] {
            for id in 0..40 {
                // tiny coordinates beside large ones
                let (x1, y1) = (value(640.0) * value(1e-9), value(360.0));
                let bbox = BBox { x1, y1, x2: x1 + 1e-3 + value(600.0), y2: y1 + 1e-3 + value(300.0) };
                let counts = "PPYo1".to_string();
                let mask = (id % 2 == 0).then_some(FrameMask { width: 640, height: 360, counts });
                let score = if frame == 3 { None } else { Some(value(1.0)) };
                frames[frame].push(InputBox { id, bbox, score, mask });
            }
        }
        let mut writer = ResultsWriter::create(&path).unwrap();
        for (frame, boxes) in frames.iter().enumerate() {
            writer.push(frame, boxes).unwrap();
        }
        assert!(!path.exists(), "nothing is at the path before the end");
        writer.finish().unwrap();
        assert!(is_results(&path).unwrap());
        assert_eq!(converted(&path, folder.path()).unwrap(), (frames, vec![]));
        let records: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(records.as_array().unwrap().len(), 120);
        assert_eq!(records[0]["segmentation"]["size"], serde_json::json!([360, 640]));

        ResultsWriter::create(&path).unwrap().finish().unwrap();
        assert_eq!(converted(&path, folder.path()).unwrap(), (vec![Vec::new(); EXTENT.frames], vec![]));
    }

    #[test]
    fn results_of_other_programs_are_read_and_wrong_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            converted(&path, folder.path())
        };
        let record = |image: u64, more: &str| {
            format!("{{\"image_id\":{image},\"category_id\":1,\"bbox\":[1,2,30,40.5],\"score\":0.5{more}}}")
        };
        let polygon = record(1, ",\"segmentation\":[[1,2,3,4,5,6]],\"area\":3,\"id\":7");
        let (car, empty) = (
            "{\"image_id\":1,\"category_id\":3,\"bbox\":[1,2,3,4]}",
            "{\"image_id\":1,\"category_id\":1,\"bbox\":[1,2,0,4]}",
        );
        let (frames, notes) = read(&format!(" [{polygon}, {car},{empty}]")).unwrap();
        let bbox = BBox { x1: 1.0, y1: 2.0, x2: 31.0, y2: 42.5 };
        assert_eq!(frames[1], [InputBox { id: 0, bbox, score: Some(0.5), mask: None }]);
        assert_eq!(notes.len(), 3, "{notes:?}");
        for (text, expected) in [
            (
                format!("[\n{},\n{}]", record(2, ""), record(1, "")),
                "results.json:3: image_id 1 comes after 2",
            ),
            (format!("[{}]", record(6, "")), "image_id 6 is no frame of the video: frames count from 0 to 5"),
            (
                "[{\"image_id\":1,\"category_id\":1,\"bbox\":[1,2,-3,4]}]".to_string(),
                "is not left, top, width",
            ),
            ("[{\"image_id\":1,\"category_id\":1,\"bbox\":[1,2,3]}]".to_string(), "invalid length 3"),
            (
                "[{\"image_id\":1,\"category_id\":1,\"bbox\":[1,2,3,4],\"score\":7}]".to_string(),
                "the score 7",
            ),
            ("[{\"image_id\":1,\"category_id\":1,\"bbox\":[1,2,3,1e300]}]".to_string(), "is not left, top"),
            (
                format!("[{}]", record(1, ",\"segmentation\":{\"size\":[1,2],\"counts\":\"a\"}")),
                "a mask of 2x1",
            ),
            (format!("[{},", record(1, "")), "EOF"),
            (format!("[{}] x", record(1, "")), "trailing characters"),
            ("[3]".to_string(), "results.json:1: invalid type"),
            (
                "{\"annotations\":[]}".to_string(),
                "invalid type: map, expected an array of records with image_id",
            ),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        // with the mark of UTF-8 that some editors write
        let (frames, _) = read(&format!("\u{feff}[{}]", record(5, ""))).unwrap();
        assert!(is_results(&path).unwrap() && frames[5].len() == 1);
        std::fs::write(&path, "1,-1,2,3,4,5,1\n").unwrap();
        assert!(!is_results(&path).unwrap());
    }
}
