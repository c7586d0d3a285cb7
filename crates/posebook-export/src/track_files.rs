//! The files of formats that hold one track.

use crate::motion::{Motion, Motions, check_skeleton};
use crate::{ExportError, ExportFrame, Exported, VideoInfo};
use posebook_models::body::Body;
use std::path::{Path, PathBuf};

/// The files of a format that holds one track: the file that was named, or `track_<id>.<extension>` in a folder.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackFiles {
    out: PathBuf,
    is_folder: bool,
    extension: &'static str,
}

impl TrackFiles {
    /// `out` is a folder if it exists as one or ends with a slash.
    pub fn new(out: &Path, extension: &'static str) -> TrackFiles {
        let is_folder =
            out.is_dir() || out.as_os_str().to_string_lossy().ends_with(['/', std::path::MAIN_SEPARATOR]);
        TrackFiles { out: out.to_path_buf(), is_folder, extension }
    }

    /// The tracks and their files.
    ///
    /// # Errors
    /// If there is no track, or several are to be written into one file.
    pub fn assign<'m>(&self, motions: &'m Motions) -> Result<Vec<(&'m Motion, PathBuf)>, ExportError> {
        let tracks = motions.tracks()?;
        if !self.is_folder && tracks.len() > 1 {
            let listed = tracks.iter().map(|track| format!("{} ({} frames)", track.id, track.numbers.len()));
            return Err(ExportError::Tracks(format!(
                "the results have {} tracks, and {} holds one: name it with --track, or give a folder with --out {}/ \
                 to write all; the tracks are {}",
                tracks.len(),
                self.extension,
                self.out.with_extension("").display(),
                listed.collect::<Vec<_>>().join(", ")
            )));
        }
        let path = |track: &Motion| {
            if self.is_folder {
                self.out.join(format!("track_{}.{}", track.id, self.extension))
            } else {
                self.out.clone()
            }
        };
        Ok(tracks.into_iter().map(|track| (track, path(track))).collect())
    }
}

/// Collects tracks for formats with one file per track, and writes them at the end. Holds the tracks in memory.
pub struct TrackCollector {
    files: TrackFiles,
    video: VideoInfo,
    body: Body,
    motions: Motions,
}

impl TrackCollector {
    /// Collects tracks for the file or folder `out`; `track` selects one.
    ///
    /// # Errors
    /// If the body has not SMPL's skeleton.
    pub fn create(
        out: &Path,
        extension: &'static str,
        video: VideoInfo,
        body: Body,
        track: Option<u64>,
    ) -> Result<TrackCollector, ExportError> {
        check_skeleton(&body, extension)?;
        let (files, motions) = (TrackFiles::new(out, extension), Motions::new(track));
        Ok(TrackCollector { files, video, body, motions })
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// As [`Motions::push`].
    pub fn push(&mut self, frame: &ExportFrame) -> Result<(), ExportError> {
        self.motions.push(frame)
    }

    /// Writes each track to its file with `write`.
    ///
    /// # Errors
    /// If there is no track or too many, or `write` fails.
    pub fn finish(
        self,
        write: impl Fn(&Path, &Motion, &Body, &VideoInfo) -> Result<(), ExportError>,
    ) -> Result<Exported, ExportError> {
        let mut exported = Exported {
            frames: self.motions.times().len() as u64,
            people: self.motions.people(),
            notes: self.motions.uneven_note(&self.video).into_iter().collect(),
            ..Exported::default()
        };
        for (track, path) in self.files.assign(&self.motions)? {
            write(&path, track, &self.body, &self.video)?;
            exported.notes.extend(filled_note(track));
            exported.files.push(path);
            exported.tracks += 1;
        }
        Ok(exported)
    }
}

/// A note about the frames of a track that were filled.
fn filled_note(track: &Motion) -> Option<String> {
    let missing = track.missing();
    let (first, last) = track.span();
    (missing > 0).then(|| {
        format!(
            "track {}: {missing} of {} frames between its first and its last were not seen; their poses are interpolated",
            track.id,
            last - first + 1
        )
    })
}
