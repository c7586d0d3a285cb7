//! Clips of a dataset: what one is made from ([`ClipSpec`]), and the finished clip on disk ([`Clip`]). Does not
//! depend on runs.

use super::DatasetError;
use super::boxes::BoxFile;
use super::drawn;
use super::file_clip::FileClip;
use super::footage_source::FootageClip;
use super::record::{BOXES, Progress, Record, TABLE, TRUTH};
use super::truth::TruthFile;
use posebook_core::frame::FrameSize;
use posebook_core::provenance::sha256_of_file;
use posebook_synth::walkers::WalkersClip;
use posebook_video::sources::{ImageFiles, is_image_source};
use std::path::{Path, PathBuf};

/// A clip of a dataset, and what it is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipSpec {
    /// The clip's name, unique in its dataset.
    pub name: String,
    /// What it is made from.
    pub source: ClipSource,
    /// Recorded SHA-256 of its decoded frames; `None` if none is recorded.
    pub recorded_sha256: Option<String>,
}

/// What a clip is made from.
#[derive(Debug, Clone, PartialEq)]
pub enum ClipSource {
    /// A drawn (synthetic) scene.
    Walkers(WalkersClip),
    /// A file of the user's, or one that is fetched.
    File(FileClip),
}

/// A finished clip on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// The clip's name.
    pub name: String,
    /// The video file, or the folder of images.
    pub path: PathBuf,
    /// SHA-256 of the video file, or of the folder of images.
    pub sha256: String,
    /// SHA-256 of the decoded frames, if it was computed: always for drawn clips.
    pub decoded_sha256: Option<String>,
    /// Recorded SHA-256 of the decoded frames.
    pub recorded_sha256: Option<String>,
    /// Size of the video, bytes.
    pub bytes: u64,
    /// Frame width, pixels.
    pub width: usize,
    /// Frame height, pixels.
    pub height: usize,
    /// Number of frames.
    pub frames: usize,
    /// Frames per second.
    pub fps: f64,
    /// Ground truth, for scoring; `None` if there is none.
    pub truth: Option<TruthFile>,
    /// Boxes that the user provides as input, instead of the ground truth's; `None` if there are none.
    pub boxes: Option<BoxFile>,
    /// The ground truth as Parquet.
    pub table: Option<PathBuf>,
    /// Notes for the user on how ground truth and boxes were read.
    pub notes: Vec<String>,
    /// The name of its view, if it is one of several of a scene.
    pub view: Option<String>,
    /// File of the scene's 3D ground truth ([`posebook_track::metrics::views::ViewsTruth::read`]). If a network's points are
    /// its origin, the file exists only after [`super::views::ViewsPlan::create_truth`].
    pub views_truth: Option<PathBuf>,
    /// Which detector's points that ground truth is triangulated from; every score against it names it.
    pub truth_origin: Option<String>,
}

/// A drawn clip in the cache.
#[derive(Debug, Clone, PartialEq)]
pub struct CachedClip {
    /// The hash of everything it is made from, which names its folder.
    pub key: String,
    /// Name, size and length.
    pub description: String,
    /// SHA-256 of its decoded frames.
    pub decoded_sha256: String,
}

impl CachedClip {
    /// The drawn clips in `cache` of this `version` of generator and encoder, by key.
    ///
    /// # Errors
    /// If the cache or a clip's record cannot be read. A missing cache has no clips.
    pub fn list_drawn(cache: &Path, version: &str) -> Result<Vec<CachedClip>, DatasetError> {
        let entries = match std::fs::read_dir(cache) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(DatasetError::io("read", cache, source)),
        };
        let mut clips = Vec::new();
        for entry in entries.flatten() {
            let Some(key) = entry.file_name().to_str().map(str::to_string) else { continue };
            if key.ends_with(".part") {
                continue;
            }
            let Some(record) = Record::read(&entry.path())? else { continue };
            let is_this_version =
                record.made_from.get("version").and_then(|made| made.as_str()) == Some(version);
            let Some(decoded_sha256) = record.decoded_sha256.filter(|_| is_this_version) else { continue };
            let description =
                format!("{}, {}x{}, {} frames", record.name, record.width, record.height, record.frames);
            clips.push(CachedClip { key, description, decoded_sha256 });
        }
        clips.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(clips)
    }
}

impl ClipSpec {
    /// Number of frames, if known before the clip is prepared.
    pub fn frame_count(&self) -> Option<usize> {
        match &self.source {
            ClipSource::Walkers(clip) => Some(clip.frames),
            ClipSource::File(_) => None,
        }
    }

    /// The scene of a drawn clip; `None` for a file.
    pub fn walkers(&self) -> Option<&WalkersClip> {
        match &self.source {
            ClipSource::Walkers(clip) => Some(clip),
            ClipSource::File(_) => None,
        }
    }

    /// The package that the clip is fetched from; `None` if it is drawn or the user's own.
    pub fn footage(&self) -> Option<&FootageClip> {
        match &self.source {
            ClipSource::Walkers(_) => None,
            ClipSource::File(clip) => clip.footage.as_deref(),
        }
    }

    /// Frame size, if known before the clip is prepared.
    pub fn frame_size(&self) -> Option<FrameSize> {
        match &self.source {
            ClipSource::Walkers(clip) => Some(FrameSize::new(clip.width, clip.height)),
            ClipSource::File(_) => None,
        }
    }

    /// The clip, if it is in the cache.
    ///
    /// # Errors
    /// If its record is damaged, or a file of the user's cannot be read.
    pub fn find_cached(&self, cache: &Path) -> Result<Option<Clip>, DatasetError> {
        let Some(key) = self.key(cache)? else { return Ok(None) };
        let folder = cache.join(key);
        Ok(Record::read(&folder)?.map(|record| self.clip(&record, &folder)))
    }

    /// The clip from the cache, or else created now, atomically. `progress` is called as it is created or fetched.
    ///
    /// # Errors
    /// If it cannot be created; the cache is then unchanged.
    pub fn prepare(&self, cache: &Path, progress: Progress) -> Result<Clip, DatasetError> {
        if let Some(clip) = self.find_cached(cache)? {
            return Ok(clip);
        }
        let folder = match &self.source {
            ClipSource::Walkers(clip) => {
                drawn::create(&self.name, clip, cache, &drawn::cache_key(clip), progress)?
            }
            ClipSource::File(clip) => {
                let clip = clip.fetched(cache, progress)?;
                clip.import(&self.name, cache, &clip.key()?)?
            }
        };
        let record = Record::read(&folder)?;
        let missing = || {
            DatasetError::invalid(
                &folder,
                "the new clip is gone from the cache; does another process clear it?",
            )
        };
        Ok(self.clip(&record.ok_or_else(missing)?, &folder))
    }

    /// Hashes all files of a cached clip again and compares them with the record; `None` if the clip is not cached.
    ///
    /// # Errors
    /// If a file is missing or has another hash: which.
    pub fn verify(&self, cache: &Path) -> Result<Option<Clip>, DatasetError> {
        let Some(key) = self.key(cache)? else { return Ok(None) };
        let folder = cache.join(key);
        let Some(record) = Record::read(&folder)? else { return Ok(None) };
        let clip = self.clip(&record, &folder);
        let check = |path: &Path, expected: &str, found: String| {
            if found == expected {
                return Ok(());
            }
            let message = format!(
                "its SHA-256 is {found}, but {expected} is recorded; remove the folder {} and create the clip again",
                folder.display()
            );
            Err(DatasetError::invalid(path, message))
        };
        let is_image_folder = is_image_source(&clip.path);
        if is_image_folder {
            let found = ImageFiles::list(&clip.path)?.sha256(clip.fps)?;
            check(&clip.path, &record.video_sha256, found)?;
        }
        let video = Some(&record.video_sha256).filter(|_| !is_image_folder);
        let parts = [
            (clip.path.clone(), video),
            (folder.join(TRUTH), record.truth_sha256.as_ref()),
            (folder.join(BOXES), record.boxes_sha256.as_ref()),
            (folder.join(TABLE), record.table_sha256.as_ref()),
        ];
        for (path, expected) in parts {
            let Some(expected) = expected else { continue };
            let found = sha256_of_file(&path).map_err(|source| DatasetError::io("read", &path, source))?;
            check(&path, expected, found)?;
        }
        Ok(Some(clip))
    }

    fn clip(&self, record: &Record, folder: &Path) -> Clip {
        Clip { recorded_sha256: self.recorded_sha256.clone(), ..Clip::from_record(record, folder) }
    }

    /// The name of its cache folder: the hash of everything it is made from. `None` if its video is not fetched
    /// yet.
    fn key(&self, cache: &Path) -> Result<Option<String>, DatasetError> {
        match &self.source {
            ClipSource::Walkers(clip) => Ok(Some(drawn::cache_key(clip))),
            ClipSource::File(clip) => clip.without_fetching(cache)?.map(|clip| clip.key()).transpose(),
        }
    }
}

impl Clip {
    fn from_record(record: &Record, folder: &Path) -> Clip {
        let truth = record.truth_sha256.clone().map(|sha256| TruthFile { path: folder.join(TRUTH), sha256 });
        let boxes = record.boxes_sha256.clone().map(|sha256| BoxFile { path: folder.join(BOXES), sha256 });
        Clip {
            name: record.name.clone(),
            path: folder.join(&record.video),
            sha256: record.video_sha256.clone(),
            decoded_sha256: record.decoded_sha256.clone(),
            recorded_sha256: None,
            bytes: record.video_bytes,
            width: record.width,
            height: record.height,
            frames: record.frames,
            fps: record.fps,
            truth,
            boxes,
            table: record.table_sha256.as_ref().map(|_| folder.join(TABLE)),
            notes: record.notes.clone(),
            view: record.view.clone(),
            views_truth: record.views_truth.clone(),
            truth_origin: record.truth_origin.clone(),
        }
    }
}
