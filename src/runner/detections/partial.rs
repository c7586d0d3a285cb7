//! The file of detections in progress, from which an interrupted command continues.
//!
//! In: the boxes of each frame, in order. Out: `FILE.part` with a line that describes the command and a line per frame; at the
//! end the finished file. An incomplete last line is dropped when the file is opened again.

use super::{DetectionsError, Format};
use crate::dataset::coco::{DetectionsAbout, ResultsWriter};
use posebook_core::files::AtomicFile;
use posebook_core::person::{InputBox, LtwhBox};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A line of the file with the boxes of a frame.
#[derive(Debug, Serialize, Deserialize)]
struct FrameLine {
    frame: usize,
    boxes: Vec<InputBox>,
}

/// Detections in progress.
pub(super) struct PartialDetections {
    path: PathBuf,
    out: BufWriter<File>,
    done: usize,
    #[cfg(unix)]
    _lock: nix::fcntl::Flock<File>,
}

/// The path of the detections in progress of `out`.
pub(super) fn path_beside(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    out.with_file_name(name)
}

impl PartialDetections {
    /// Opens the file beside `out`, or creates it. `frames` are the numbers of the frames to detect, in order.
    ///
    /// # Errors
    /// If it cannot be read or written, has frames of a command with another description, or another process writes it.
    pub fn open(
        out: &Path,
        about: &DetectionsAbout,
        frames: &[usize],
    ) -> Result<PartialDetections, DetectionsError> {
        let path = path_beside(out);
        let io_error = |source| DetectionsError::Io { path: path.clone(), source };
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = options.map_err(io_error)?;
        #[cfg(unix)]
        let lock = {
            use nix::fcntl::{Flock, FlockArg};
            let handle = file.try_clone().map_err(io_error)?;
            let busy = |_| DetectionsError::Busy { path: path.clone() };
            Flock::lock(handle, FlockArg::LockExclusiveNonblock).map_err(busy)?
        };
        let (end, done) = read_done(&mut file, &path, about, frames)?;
        file.set_len(end).map_err(io_error)?;
        file.seek(SeekFrom::End(0)).map_err(io_error)?;
        let mut partial = PartialDetections {
            path: path.clone(),
            out: BufWriter::new(file),
            done,
            #[cfg(unix)]
            _lock: lock,
        };
        if end == 0 {
            partial.write_line(about).map_err(io_error)?;
        }
        Ok(partial)
    }

    /// Number of frames that are done.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Adds the boxes of the next frame, which is `frame`.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn push(&mut self, frame: usize, boxes: Vec<InputBox>) -> Result<(), DetectionsError> {
        let written = self.write_line(&FrameLine { frame, boxes });
        written.map_err(|source| DetectionsError::Io { path: self.path.clone(), source })?;
        self.done += 1;
        Ok(())
    }

    fn write_line(&mut self, line: &impl Serialize) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n")?;
        self.out.flush()
    }

    /// Writes the finished file `out` with its description, and removes this one. Returns the number of people.
    ///
    /// # Errors
    /// If a file cannot be read or written; then this one stays.
    pub fn finish(
        self,
        out: &Path,
        about: &DetectionsAbout,
        format: Format,
    ) -> Result<usize, DetectionsError> {
        let own_error = |source| DetectionsError::Io { path: self.path.clone(), source };
        let out_error = |source| DetectionsError::Io { path: out.to_path_buf(), source };
        let mut lines = BufReader::new(File::open(&self.path).map_err(own_error)?).lines();
        let _about = lines.next().transpose().map_err(own_error)?;
        let mut writer = Writer::create(out, format).map_err(out_error)?;
        let mut people = 0;
        for line in lines {
            let line = line.map_err(own_error)?;
            let FrameLine { frame, boxes } =
                serde_json::from_str(&line).map_err(|error| own_error(error.into()))?;
            people += boxes.len();
            writer.push(frame, &boxes).map_err(out_error)?;
        }
        // before the detections, so that these never exist without a description
        about.write_beside(out)?;
        writer.finish().map_err(out_error)?;
        std::fs::remove_file(&self.path).map_err(own_error)?;
        Ok(people)
    }
}

/// Reads what is done: the end of the last complete line, and the number of frames.
fn read_done(
    file: &mut File,
    path: &Path,
    about: &DetectionsAbout,
    frames: &[usize],
) -> Result<(u64, usize), DetectionsError> {
    let io_error = |source| DetectionsError::Io { path: path.to_path_buf(), source };
    let mut reader = BufReader::new(file);
    let (mut end, mut done, mut line) = (0, 0, Vec::new());
    let mut has_about = false;
    loop {
        line.clear();
        let read = reader.by_ref().read_until(b'\n', &mut line).map_err(io_error)?;
        if read == 0 || line.last() != Some(&b'\n') {
            return Ok((end, done));
        }
        let number = done + usize::from(has_about) + 1;
        let damaged =
            |problem: String| DetectionsError::Damaged { path: path.to_path_buf(), line: number, problem };
        if has_about {
            let found: FrameLine =
                serde_json::from_slice(&line).map_err(|error| damaged(error.to_string()))?;
            if frames.get(done) != Some(&found.frame) {
                return Err(damaged(format!("frame {} was not expected here", found.frame)));
            }
            done += 1;
        } else {
            let found: DetectionsAbout =
                serde_json::from_slice(&line).map_err(|error| damaged(error.to_string()))?;
            if let Some(difference) = difference(&found, about) {
                line.clear();
                reader.by_ref().read_until(b'\n', &mut line).map_err(io_error)?;
                if line.last() != Some(&b'\n') {
                    // no frame is done: the command starts again with its own settings
                    return Ok((0, 0));
                }
                return Err(DetectionsError::OtherPartial { path: path.to_path_buf(), difference });
            }
            has_about = true;
        }
        end += read as u64;
    }
}

/// What differs between the descriptions of two commands; `None` if nothing does.
pub(super) fn difference(found: &DetectionsAbout, wanted: &DetectionsAbout) -> Option<String> {
    // reading may change the last digit of a number: both are compared as they are read
    let read = |about: &DetectionsAbout| serde_json::from_str(&serde_json::to_string(about).ok()?).ok();
    let (found, wanted) = (serde_json::to_value(found).ok()?, read(wanted)?);
    let entries = |value: &serde_json::Value| value.as_object().cloned().unwrap_or_default();
    let (found, wanted) = (entries(&found), entries(&wanted));
    let keys = found.keys().chain(wanted.keys());
    let key = keys.into_iter().find(|key| found.get(*key) != wanted.get(*key))?;
    let shown = |value: Option<&serde_json::Value>| value.map_or("nothing".to_string(), ToString::to_string);
    Some(format!("`{key}` is {} there, and {} now", shown(found.get(key)), shown(wanted.get(key))))
}

/// The writer of a finished file.
enum Writer {
    Coco(ResultsWriter),
    Mot(AtomicFile),
}

impl Writer {
    fn create(out: &Path, format: Format) -> std::io::Result<Writer> {
        match format {
            Format::Coco => ResultsWriter::create(out).map(Writer::Coco),
            Format::Mot => AtomicFile::create(out).map(Writer::Mot),
        }
    }

    fn push(&mut self, frame: usize, boxes: &[InputBox]) -> std::io::Result<()> {
        match self {
            Writer::Coco(writer) => writer.push(frame, boxes),
            Writer::Mot(file) => boxes.iter().try_for_each(|given| {
                let LtwhBox { left, top, width, height } = given.bbox.into();
                let score = f64::from(given.score.unwrap_or(1.0));
                writeln!(file, "{},-1,{left},{top},{width},{height},{score}", frame + 1)
            }),
        }
    }

    fn finish(self) -> std::io::Result<()> {
        match self {
            Writer::Coco(writer) => writer.finish(),
            Writer::Mot(file) => file.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::person::BBox;

    fn about(detector: &str) -> DetectionsAbout {
        DetectionsAbout {
            frame_numbers: String::new(),
            video: "a.mp4".into(),
            video_sha256: "abc".into(),
            width: 96,
            height: 64,
            frames: 9,
            fps: 10.0,
            first_frame: 2,
            frames_read: 4,
            every: 2,
            detector: detector.into(),
            detector_sha256: "def".into(),
            detector_set_sha256: None,
            settings: serde_json::json!({ "score": 0.25 }),
            device: "cpu".into(),
            posebook: "0".into(),
        }
    }

    fn boxes(frame: usize) -> Vec<InputBox> {
        let bbox = BBox { x1: 0.1, y1: 1.0, x2: 10.3 + frame as f32, y2: 20.0 };
        vec![InputBox { id: 0, bbox, score: Some(0.7), mask: None }; frame % 3]
    }

    #[test]
    fn interrupted_detections_go_on_after_their_last_complete_line() {
        let folder = tempfile::tempdir().unwrap();
        let frames = [2, 4, 6, 8];
        let mut files = Vec::new();
        for (name, cuts) in [("whole.json", &[4][..]), ("cut.json", &[1, 0, 2, 1])] {
            let out = folder.path().join(name);
            let mut partial = PartialDetections::open(&out, &about("nanodet"), &frames).unwrap();
            for (opened, count) in cuts.iter().enumerate() {
                if opened > 0 {
                    drop(partial);
                    let part = path_beside(&out);
                    let torn = [std::fs::read(&part).unwrap(), b"{\"frame\":6,\"bo".to_vec()].concat();
                    std::fs::write(&part, torn).unwrap();
                    partial = PartialDetections::open(&out, &about("nanodet"), &frames).unwrap();
                }
                for _ in 0..*count {
                    let frame = frames[partial.done()];
                    partial.push(frame, boxes(frame)).unwrap();
                }
            }
            assert!(partial.done() == 4 && !out.exists());
            let people: usize = frames.iter().map(|frame| boxes(*frame).len()).sum();
            assert_eq!(partial.finish(&out, &about("nanodet"), Format::Coco).unwrap(), people);
            assert!(!path_beside(&out).exists());
            assert_eq!(DetectionsAbout::beside(&out).unwrap(), Some(about("nanodet")));
            files.push(std::fs::read(&out).unwrap());
        }
        assert_eq!(files[0], files[1]);
    }

    #[test]
    fn another_commands_detections_are_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("a.json");
        let mut partial = PartialDetections::open(&out, &about("vitdet"), &[2, 4]).unwrap();
        partial.push(2, boxes(2)).unwrap();
        let open = |detector: &str, frames: &[usize]| {
            PartialDetections::open(&out, &about(detector), frames).err().unwrap().to_string()
        };
        if cfg!(unix) {
            let busy = open("vitdet", &[2, 4]);
            assert!(busy.contains("another process"), "{busy}");
        }
        drop(partial);
        let other = open("nanodet", &[2, 4]);
        assert!(other.contains("`detector` is \"vitdet\" there, and \"nanodet\" now"), "{other}");
        let other = open("vitdet", &[3, 4]);
        assert!(other.contains("a.json.part:2: frame 2 was not expected here"), "{other}");
        assert_eq!(PartialDetections::open(&out, &about("vitdet"), &[2, 4]).unwrap().done(), 1);
        // without a finished frame there is nothing to keep
        let empty = folder.path().join("b.json");
        drop(PartialDetections::open(&empty, &about("vitdet"), &[2, 4]).unwrap());
        let mut partial = PartialDetections::open(&empty, &about("nanodet"), &[2, 4]).unwrap();
        partial.push(2, boxes(2)).unwrap();
        drop(partial);
        assert!(PartialDetections::open(&empty, &about("vitdet"), &[2, 4]).is_err());
        assert_eq!(PartialDetections::open(&empty, &about("nanodet"), &[2, 4]).unwrap().done(), 1);
    }

    #[test]
    fn motchallenge_text_counts_frames_from_one() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("a.txt");
        let mut partial = PartialDetections::open(&out, &about("vitdet"), &[4]).unwrap();
        partial.push(4, boxes(4)).unwrap();
        partial.finish(&out, &about("vitdet"), Format::Mot).unwrap();
        let text = std::fs::read_to_string(&out).unwrap();
        assert!(text.starts_with("5,-1,0.10000000149011612,1,") && text.lines().count() == 1, "{text}");
    }
}
