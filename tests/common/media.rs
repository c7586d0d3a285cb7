//! Real footage, which is not part of this repository.
//!
//! The files are read from the folder `POSEBOOK_MEDIA`, by default `shared/media` next to the repository. A test whose file is
//! missing prints that it is skipped; in CI it fails if the folder should be there: if `POSEBOOK_MEDIA` is set or `shared`
//! exists.

use std::path::{Path, PathBuf};

use super::skip;

/// The path of a file of the footage, or `None` after reporting a skip. `repository` is the root of the repository.
pub fn media(repository: &Path, name: &str) -> Option<PathBuf> {
    let shared = repository.join("../shared");
    let configured = std::env::var_os("POSEBOOK_MEDIA").map(PathBuf::from);
    let is_required_in_ci = configured.is_some() || shared.is_dir();
    let file = configured.unwrap_or_else(|| shared.join("media")).join(name);
    if !file.is_file() {
        let reason = format!("no {}; set POSEBOOK_MEDIA to the folder with the footage", file.display());
        skip::skip(&reason, is_required_in_ci);
        return None;
    }
    Some(file)
}
