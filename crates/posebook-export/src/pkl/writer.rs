//! Writes a `.pkl` frame by frame.

use super::entry::write_entry;
use super::ghosts::Ghosts;
use super::keys::{FrameKey, KeyKind, frame_key};
use super::opcodes as op;
use super::pickler::Pickler;
use super::settings::PklSettings;
use crate::ExportError;
use crate::frames::{ExportFrame, Exported, FrameSink, VideoInfo};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use posebook_core::files::AtomicFile;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// joblib's `compress=3`, which PHALP uses.
const LEVEL: u32 = 3;

/// Writes a `.pkl`. Its memory does not grow with the video, except for the numbers of the tracks.
pub struct PklWriter {
    path: PathBuf,
    pickler: Pickler<ZlibEncoder<AtomicFile>>,
    ghosts: Ghosts,
    video: VideoInfo,
    settings: PklSettings,
    tracks: BTreeSet<u64>,
    without_mask: u64,
    unknown_pts: bool,
    exported: Exported,
}

impl PklWriter {
    /// Begins the file `path`.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create(path: &Path, video: VideoInfo, settings: PklSettings) -> Result<PklWriter, ExportError> {
        let begin = || {
            let out = ZlibEncoder::new(AtomicFile::create(path)?, Compression::new(LEVEL));
            let mut pickler = Pickler::new(out)?;
            pickler.code(op::EMPTY_DICT)?;
            Ok(pickler)
        };
        Ok(PklWriter {
            path: path.to_path_buf(),
            pickler: begin().map_err(ExportError::file(path))?,
            ghosts: Ghosts::new(video.n_init, video.max_age_track),
            video,
            settings,
            tracks: BTreeSet::new(),
            without_mask: 0,
            unknown_pts: false,
            exported: Exported::default(),
        })
    }

    fn write(&mut self, frame: &ExportFrame) -> io::Result<()> {
        let key = frame_key(self.settings.keys, frame, &self.video, &self.settings.output_dir);
        match &key {
            FrameKey::Text(text) => self.pickler.text(text)?,
            FrameKey::Stream(source, pts) => {
                self.pickler.source(source, self.exported.frames == 0)?;
                self.pickler.int(*pts)?;
                self.pickler.code(op::TUPLE2)?;
            }
        }
        self.pickler.store_key()?;
        let name = match &key {
            FrameKey::Text(text) => text.rsplit('/').next(),
            FrameKey::Stream(..) => None,
        };
        write_entry(&mut self.pickler, frame, name, &self.settings)?;
        self.pickler.code(op::SETITEM)
    }
}

impl FrameSink for PklWriter {
    fn push(&mut self, frame: ExportFrame) -> Result<(), ExportError> {
        frame.check()?;
        if self.settings.appearance
            && let Some(person) = frame.people.iter().find(|person| person.embedding.is_none())
        {
            let problem =
                "there is no embedding of the appearance, and others have one; run `posebook track` with \
                           appearance.results=true for the whole video"
                    .into();
            return Err(ExportError::Person { frame: frame.index, track: person.id, problem });
        }
        let frame = self.ghosts.fill(frame);
        self.unknown_pts |= self.settings.keys == KeyKind::Pts && frame.pts.is_none();
        let seen = frame.people.iter().filter(|person| person.tracked_time == 0);
        self.tracks.extend(seen.clone().map(|person| person.id));
        self.without_mask += seen.clone().filter(|person| person.mask.is_none()).count() as u64;
        let seen = seen.count();
        self.write(&frame).map_err(ExportError::file(&self.path))?;
        self.exported.count(seen);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Exported, ExportError> {
        let PklWriter { path, pickler, tracks, mut exported, without_mask, unknown_pts, .. } = *self;
        let end = || pickler.finish()?.finish()?.finish();
        end().map_err(ExportError::file(&path))?;
        exported.tracks = tracks.len();
        exported.files.push(path);
        if without_mask > 0 {
            exported.notes.push(format!(
                "{without_mask} of {} people have no mask; their box is written as one",
                exported.people
            ));
        }
        if unknown_pts {
            exported.notes.push(
                "the timestamps of the video are not known: the keys count frames instead (give the video with --source)"
                    .into(),
            );
        }
        Ok(exported)
    }
}
