//! Text files with lines for people.

use crate::{ExportError, ExportFrame, ExportPerson, Exported};
use posebook_core::files::AtomicFile;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A text file with lines for people, of all tracks or one.
pub(crate) struct TextFile {
    path: PathBuf,
    file: AtomicFile,
    track: Option<u64>,
    tracks: BTreeSet<u64>,
    exported: Exported,
}

impl TextFile {
    pub fn create(path: &Path, track: Option<u64>) -> Result<TextFile, ExportError> {
        let file = AtomicFile::create(path).map_err(ExportError::file(path))?;
        let (tracks, exported) = (BTreeSet::new(), Exported::default());
        Ok(TextFile { path: path.to_path_buf(), file, track, tracks, exported })
    }

    pub fn write(&mut self, text: &str) -> Result<(), ExportError> {
        self.file.write_all(text.as_bytes()).map_err(ExportError::file(&self.path))
    }

    /// Calls `write` for the people of a frame who were seen in it.
    pub fn push(
        &mut self,
        frame: &ExportFrame,
        write: impl Fn(&mut dyn Write, &ExportPerson) -> io::Result<()>,
    ) -> Result<(), ExportError> {
        frame.check()?;
        let track = self.track;
        let wanted =
            |person: &&ExportPerson| person.tracked_time == 0 && track.is_none_or(|track| track == person.id);
        let mut count = 0;
        for person in frame.people.iter().filter(wanted) {
            write(&mut self.file, person).map_err(ExportError::file(&self.path))?;
            self.tracks.insert(person.id);
            count += 1;
        }
        self.exported.count(count);
        Ok(())
    }

    pub fn finish(self) -> Result<Exported, ExportError> {
        let TextFile { path, file, track, tracks, mut exported } = self;
        if tracks.is_empty() {
            let what = track.map_or("no track".to_string(), |track| format!("no track {track}"));
            return Err(ExportError::Tracks(format!(
                "{what} in {} frames, so there is nothing to export: tracks are confirmed after phalp.n_init frames; use a \
                 longer video, or a lower phalp.n_init",
                exported.frames
            )));
        }
        file.finish().map_err(ExportError::file(&path))?;
        exported.tracks = tracks.len();
        exported.files.push(path);
        Ok(exported)
    }
}
