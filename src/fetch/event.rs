//! What fetching reports while it runs, and each report as a line of text. Must not know who shows it.

use super::manifest::{File, Manifest};
use std::path::Path;

/// A report of progress.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// Something of the manifest is missing in `folder` and is going to be fetched.
    Needed { manifest: &'a Manifest, name: &'a str, folder: &'a Path },
    /// Another process fetches into the same folder; it is waited for.
    Waits { folder: &'a Path },
    /// The file is there already, whole.
    There { file: &'a File },
    /// The file is being fetched from now on.
    Began { file: &'a File },
    /// So many bytes of it came.
    Grew { file: &'a File, bytes: u64 },
    /// Its SHA-256, and whether the manifest has the same or knows none.
    Came { file: &'a File, sha256: &'a str, is_known: bool },
    /// So many files were taken out of it.
    Unpacked { file: &'a File, files: usize },
}

impl Event<'_> {
    /// The report as a line; `None` for [`Event::Grew`], which comes many times a second.
    pub fn line(&self) -> Option<String> {
        Some(match self {
            Event::Needed { manifest, name, folder } => {
                let size =
                    manifest.bytes().map(|bytes| format!(", {}", size_in_words(bytes))).unwrap_or_default();
                let what = manifest.description.trim_end_matches('.');
                format!(
                    "fetching {name} once ({what}){size}; licence: {}; kept in {}",
                    manifest.licence,
                    folder.display()
                )
            }
            Event::Waits { folder } => {
                format!("another process fetches into {}; waiting for it", folder.display())
            }
            Event::There { file } => format!("{}: there already", file.name),
            Event::Began { file } => {
                let size = file.bytes.map(|bytes| format!(", {}", size_in_words(bytes))).unwrap_or_default();
                format!("{}: fetching{size}", file.name)
            }
            Event::Grew { .. } => return None,
            Event::Came { file, sha256, is_known: true } => {
                format!("{}: came, SHA-256 {sha256} as it should be", file.name)
            }
            Event::Came { file, sha256, is_known: false } => {
                let known_inside = file.members.iter().any(|member| member.sha256.is_some());
                let advice =
                    if known_inside { "what is in it is compared" } else { "compare it with others'" };
                format!("{}: came, SHA-256 {sha256}, which the manifest does not know: {advice}", file.name)
            }
            Event::Unpacked { file, files } => format!("{}: {files} files unpacked", file.name),
        })
    }
}

/// A size as people read it: `41 MB`, `7.6 MB`, `12 kB`.
pub fn size_in_words(bytes: u64) -> String {
    let scaled = |unit: f64| bytes as f64 / unit;
    match bytes {
        0..=999 => format!("{bytes} bytes"),
        1000..=999_499 => format!("{:.0} kB", scaled(1e3)),
        999_500..=9_949_999 => format!("{:.1} MB", scaled(1e6)),
        9_950_000..=999_499_999 => format!("{:.0} MB", scaled(1e6)),
        _ => format!("{:.1} GB", scaled(1e9)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_or_three_digits() {
        let sizes = [999, 12_345, 7_600_000, 9_949_999, 40_985_403, 144_509_169, 1_234_567_890];
        let words = ["999 bytes", "12 kB", "7.6 MB", "9.9 MB", "41 MB", "145 MB", "1.2 GB"];
        assert_eq!(sizes.map(size_in_words), words);
    }
}
