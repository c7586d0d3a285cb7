//! Names of a job's sources in its results: those that the client gave, made safe as file names.
//!
//! In: the job. Out: one name for each source, and texts in which paths of the server are replaced by names.

use posebook_serve::job::JobFile;
use std::path::{Path, PathBuf};

/// Longest name without its extension, bytes: results add beginnings and endings to it, and file systems allow 255.
const MAX_STEM_BYTES: usize = 180;
/// Longest extension.
const MAX_EXTENSION_BYTES: usize = 16;

/// Names of the sources, and the paths that texts must not contain.
#[derive(Debug, Clone)]
pub struct ShownNames {
    names: Vec<String>,
    /// Paths of the server and what texts have instead.
    replaced: Vec<(String, String)>,
}

impl ShownNames {
    /// The names of the sources of `job`, whose folder is `folder`.
    pub fn new(job: &JobFile, folder: &Path) -> ShownNames {
        let given = |index: usize| job.source_names.get(index).unwrap_or(&job.source_name);
        let names: Vec<String> = (0..job.sources.len()).map(|index| safe_name(given(index))).collect();
        let text = |path: &PathBuf| path.display().to_string();
        let paths = job.sources.iter().map(text).zip(&names);
        // ffmpeg names a file with its protocol
        let mut replaced: Vec<(String, String)> = paths
            .flat_map(|(path, name)| [(format!("file:{path}"), name.clone()), (path, name.clone())])
            .collect();
        replaced.extend(job.boxes.as_ref().map(|boxes| (text(boxes), "boxes".to_string())));
        replaced.push((format!("{}/", folder.display()), String::new()));
        // a path that begins with another one comes first
        replaced.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        ShownNames { names, replaced }
    }

    /// One name for each source.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// `text` with names in place of paths.
    pub fn text(&self, text: &str) -> String {
        self.replaced.iter().fold(text.to_string(), |text, (path, name)| text.replace(path, name))
    }
}

/// The last part of a name or path, without characters that a file name must not have, and not too long.
fn safe_name(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let safe: String = last.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
    let (stem, extension) = match safe.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && extension.len() <= MAX_EXTENSION_BYTES => {
            (stem, extension)
        }
        _ => (safe.as_str(), ""),
    };
    let end = (0..=MAX_STEM_BYTES.min(stem.len())).rev().find(|&end| stem.is_char_boundary(end)).unwrap_or(0);
    match (&stem[..end], extension) {
        ("" | "." | "..", _) => "video".to_string(),
        (stem, "") => stem.to_string(),
        (stem, extension) => format!("{stem}.{extension}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_serve::job::{JobId, JobKind};

    #[test]
    fn names_are_single_and_short_file_names() {
        for (given, name) in [
            ("a b.mp4", "a b.mp4"),
            ("../../etc/passwd", "passwd"),
            ("C:\\clips\\me.mov", "me.mov"),
            ("..", "video"),
            ("", "video"),
            ("a/", "video"),
            ("a\r\nSet-Cookie: x=1.mp4", "a__Set-Cookie: x=1.mp4"),
            ("\"><img src=x onerror=alert(1)>.mp4", "\"><img src=x onerror=alert(1)>.mp4"),
            (".hidden", ".hidden"),
        ] {
            assert_eq!(safe_name(given), name, "{given}");
        }
        let long = safe_name(&("😀".repeat(63) + ".mp4"));
        assert_eq!(long, "😀".repeat(45) + ".mp4");
    }

    #[test]
    fn texts_have_no_paths_of_the_server() {
        let job = JobFile {
            id: JobId::random(),
            kind: JobKind::Reconstruct,
            sources: ["/data/uploads/1/source.mp4", "/data/uploads/1/source.mp4.png"]
                .map(PathBuf::from)
                .into(),
            source_name: "two".into(),
            source_names: vec!["a.mp4".into(), "b.png".into()],
            boxes: Some("/data/uploads/2/source.txt".into()),
            experiment: None,
            settings: serde_json::Map::new(),
            device: "cpu".into(),
        };
        let shown = ShownNames::new(&job, Path::new("/data/work/1-1"));
        let text = "file:/data/uploads/1/source.mp4.png, /data/uploads/1/source.mp4: /data/work/1-1/files/x; \
                    /data/uploads/2/source.txt:3";
        assert_eq!(shown.text(text), "b.png, a.mp4: files/x; boxes:3");
    }
}
