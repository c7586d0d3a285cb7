//! Opens a result. In: the folder of results and the file's record. Out: the open regular file of the recorded size; no link is
//! followed.

use crate::job::ResultFile;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io;
use std::path::Path;

/// Opens the file of a record below `folder`.
///
/// # Errors
/// If the record's name is not a plain relative path, a component of it is a link, it is not a regular file, or its size is
/// not that of the record.
pub(super) fn open_result(folder: &Path, record: &ResultFile) -> io::Result<File> {
    let file = open_beneath(folder, &record.name)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(invalid("it is not a regular file"));
    }
    if about.len() != record.bytes {
        return Err(invalid(&format!("it has {} bytes and its record {}", about.len(), record.bytes)));
    }
    Ok(file)
}

/// Opens each component in the folder before it: a path of links cannot lead out, at any time.
fn open_beneath(folder: &Path, name: &str) -> io::Result<File> {
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    if !name.split('/').all(is_plain) {
        return Err(invalid("its name is not a plain relative path"));
    }
    let common = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let mut opened = open(folder, common | OFlag::O_DIRECTORY, Mode::empty())?;
    let mut parts = name.split('/').peekable();
    while let Some(part) = parts.next() {
        // without O_NONBLOCK, opening a named pipe would wait for its writer
        let kind = if parts.peek().is_some() { OFlag::O_DIRECTORY } else { OFlag::O_NONBLOCK };
        opened = openat(&opened, part, common | kind, Mode::empty())?;
    }
    Ok(File::from(opened))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn record(name: &str, bytes: u64) -> ResultFile {
        let text = String::new();
        ResultFile { name: name.to_owned(), bytes, sha256: text.clone(), media_type: text }
    }

    #[test]
    fn only_regular_files_below_the_folder_are_opened() {
        let outside = tempfile::tempdir().unwrap();
        let secret = outside.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        let folder = outside.path().join("files");
        fs::create_dir_all(folder.join("deep")).unwrap();
        fs::write(folder.join("deep/a.csv"), "inside").unwrap();
        symlink(&secret, folder.join("link")).unwrap();
        symlink(outside.path(), folder.join("up")).unwrap();
        symlink("deep", folder.join("sideways")).unwrap();
        nix::unistd::mkfifo(&folder.join("pipe"), Mode::S_IRUSR).unwrap();

        let text = io::read_to_string(open_result(&folder, &record("deep/a.csv", 6)).unwrap()).unwrap();
        assert_eq!(text, "inside");
        for name in [
            "../secret",
            "deep/../../secret",
            "deep/./a.csv",
            "deep//a.csv",
            "/etc/passwd",
            "",
            "/",
            "deep/",
            "..",
            "a\0b",
            "link",
            "up/secret",
            "sideways/a.csv",
            "pipe",
            "deep",
            "missing",
            "deep/a.csv/x",
        ] {
            assert!(open_result(&folder, &record(name, 6)).is_err(), "{name:?}");
        }
        assert!(
            open_result(&folder, &record("deep/a.csv", 7)).is_err(),
            "a file of another size than the record's"
        );
        // the folder itself may not be a link either
        symlink(&folder, outside.path().join("done")).unwrap();
        assert!(open_result(&outside.path().join("done"), &record("deep/a.csv", 6)).is_err());
    }
}
