//! The files of formats that hold one track.

use crate::ExportError;
use crate::motion::{Motion, Motions};
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

/// A note about the frames of a track that were filled.
pub(crate) fn filled_note(track: &Motion) -> Option<String> {
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
