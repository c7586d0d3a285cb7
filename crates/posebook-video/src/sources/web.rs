//! Downloads the video behind a web address into the cache. The file appears completely or not at all; an interrupted
//! download is resumed.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use posebook_core::download::{DownloadError, DownloadLimits, download, download_with};

use super::{SourceError, cache_name};

/// Hosts whose addresses are web pages with a video, not video files.
const PAGE_HOSTS: [&str; 3] = ["youtube.com", "youtu.be", "youtube-nocookie.com"];
/// What to do without curl.
const FILE_HINT: &str = "install it, or fetch the file by hand and give its path";
/// What to do without yt-dlp.
const PAGE_HINT: &str = "install it to read YouTube's pages, or give the path of the video's file";

/// Downloads `address` into the folder `cache`; returns the file's path. `on_progress` is called with the bytes so far.
pub fn fetch(address: &str, cache: &Path, on_progress: &mut dyn FnMut(u64)) -> Result<PathBuf, SourceError> {
    let (page, path) = (is_page(address), cache_path(address, cache));
    if path.is_file() {
        return Ok(path);
    }
    fs::create_dir_all(cache).map_err(SourceError::io(cache))?;
    // the same name for every process, so that the next one can resume
    let part =
        cache.join(format!("part-{}", path.file_name().and_then(|name| name.to_str()).unwrap_or_default()));
    let failure = |reason: String| SourceError::Address { address: address.into(), reason };
    let (hint, result) = if page {
        (PAGE_HINT, download_with("yt-dlp", &page_command(address, &part), &part, None, on_progress, None))
    } else {
        (FILE_HINT, download(address, &part, DownloadLimits::default(), on_progress, None))
    };
    result.map_err(|error| match error {
        DownloadError::ProgramNotFound(program) => {
            SourceError::ProgramNotFound { address: address.into(), program, hint }
        }
        error => failure(format!("it cannot be downloaded ({error})")),
    })?;
    if fs::metadata(&part).map_or(0, |metadata| metadata.len()) == 0 {
        return Err(failure("the download is empty; check the address".into()));
    }
    fs::rename(&part, &path).map_err(SourceError::io(&path))?;
    Ok(path)
}

/// The path in the cache of the complete download of `address`.
pub fn cache_path(address: &str, cache: &Path) -> PathBuf {
    let extension = if is_page(address) { "mkv" } else { extension_of(address) };
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let label = last.rsplit_once('.').map_or(last, |(stem, _)| stem);
    cache.join(format!("{}.{extension}", cache_name(label, address)))
}

/// The yt-dlp command for a page.
fn page_command(address: &str, part: &Path) -> Command {
    let mut command = Command::new("yt-dlp");
    command.args(["--quiet", "--no-warnings", "--no-playlist", "--no-part", "--merge-output-format", "mkv"]);
    command.args(["--remux-video", "mkv", "--output"]).arg(output_template(part));
    command.arg("--").arg(address);
    command
}

/// A path as a template of yt-dlp, in which `%` introduces fields.
fn output_template(path: &Path) -> OsString {
    path.to_str().map_or_else(|| path.into(), |text| text.replace('%', "%%").into())
}

/// Whether an address is a page with a video.
fn is_page(address: &str) -> bool {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#', ':']).next().unwrap_or_default().to_ascii_lowercase();
    PAGE_HOSTS
        .iter()
        .any(|page| host == *page || host.strip_suffix(page).is_some_and(|rest| rest.ends_with('.')))
}

/// The extension in an address, or `video` if there is none.
fn extension_of(address: &str) -> &str {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let extension =
        path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension);
    let is_plausible = |extension: &&str| {
        (1..=5).contains(&extension.len()) && extension.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    extension.filter(is_plausible).unwrap_or("video")
}

#[cfg(test)]
mod tests {
    use super::super::is_address;
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};

    /// Serves `bytes` on the loopback address: the first response ends after `breaks_at` bytes, later ones are complete from
    /// the requested position on. Sends the position of each response.
    fn serve(bytes: Vec<u8>, breaks_at: usize) -> (String, Receiver<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (send, starts) = channel();
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut from, mut line) = (0, String::new());
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                    if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                        from = range.trim().trim_end_matches('-').parse().unwrap();
                    }
                    line.clear();
                }
                let rest = &bytes[from..];
                let head = match from {
                    0 => "HTTP/1.1 200 OK".to_string(),
                    _ => format!(
                        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{}",
                        bytes.len() - 1,
                        bytes.len()
                    ),
                };
                let sent = if number == 0 { breaks_at.min(rest.len()) } else { rest.len() };
                let mut stream = stream;
                let head = format!("{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len());
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&rest[..sent]));
                let _ = send.send(from);
            }
        });
        (address, starts)
    }

    fn has_curl() -> bool {
        let has_curl = Command::new("curl").arg("--version").output().is_ok();
        if !has_curl {
            crate::test_skip::skip("curl is not installed", true);
        }
        has_curl
    }

    #[test]
    fn an_interrupted_download_is_resumed_and_a_complete_one_is_cached() {
        if !has_curl() {
            return;
        }
        let cache = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        let (address, starts) = serve(bytes.clone(), 70_000);
        let address = format!("{address}/clips/walk.mp4?size=large");
        let mut progress = 0;
        // curl resumes by itself or at the next invocation
        let path = (0..3)
            .find_map(|_| fetch(&address, cache.path(), &mut |bytes| progress = bytes).ok())
            .expect("the complete file in three invocations");
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert!(path.extension().is_some_and(|extension| extension == "mp4"));
        assert_eq!(progress, bytes.len() as u64);
        let starts: Vec<usize> = starts.try_iter().collect();
        assert!(starts.len() > 1 && starts[1] == 70_000, "{starts:?}");
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1, "only the complete file");
        assert_eq!(fetch(&address, cache.path(), &mut |_| panic!("it is in the cache")).unwrap(), path);
    }

    #[test]
    fn an_address_that_does_not_answer_is_an_error() {
        if !has_curl() {
            return;
        }
        let cache = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let message =
            fetch(&format!("http://{free}/x.mp4"), cache.path(), &mut |_| ()).unwrap_err().to_string();
        assert!(message.contains("curl said") && message.contains("/x.mp4"), "{message}");
        assert!(fs::read_dir(cache.path()).unwrap().all(|entry| !entry.unwrap().path().ends_with(".mp4")));
    }

    /// Answers every request with a redirect to `location`.
    fn redirect(location: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/x.mp4", listener.local_addr().unwrap());
        let location = if location.is_empty() { address.clone() } else { location.to_string() };
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                    line.clear();
                }
                let head = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
                let _ = stream.write_all(head.as_bytes());
            }
        });
        address
    }

    #[test]
    fn a_redirect_to_another_protocol_or_without_end_is_an_error() {
        if !has_curl() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret.mp4");
        fs::write(&secret, "not for the web").unwrap();
        let file = format!("file://{}", secret.display());
        for location in [&file, "ftp://127.0.0.1/x", "gopher://127.0.0.1/x", "scp://127.0.0.1/x", ""] {
            let cache = tempfile::tempdir().unwrap();
            let limits = DownloadLimits { retries: 0, ..DownloadLimits::default() };
            let part = cache.path().join("part");
            let error = download(&redirect(location), &part, limits, &mut |_| (), None).unwrap_err();
            let message = error.to_string();
            assert!(message.contains("curl said"), "{location}: {message}");
            assert!(fs::read(&part).unwrap_or_default().is_empty(), "{location} was read");
        }
        // nor is another protocol accepted at the start
        let limits = DownloadLimits { retries: 0, ..DownloadLimits::default() };
        let part = folder.path().join("part");
        assert!(download(&file, &part, limits, &mut |_| (), None).is_err());
        assert!(!part.exists() && !is_address(Path::new(&file)));
    }

    #[test]
    fn pages_are_distinguished_from_files() {
        for page in ["https://www.youtube.com/watch?v=x", "https://youtu.be/x", "http://m.youtube.com/x"] {
            assert!(is_page(page), "{page}");
        }
        for file in ["https://notyoutube.com/a.mp4", "https://a.org/youtube.com/b.mp4"] {
            assert!(!is_page(file), "{file}");
        }
        assert_eq!(extension_of("https://a.org/b/c.MKV?x=1.y"), "MKV");
        assert_eq!(extension_of("https://a.org/watch"), "video");
        assert_eq!(extension_of("https://a.org/a.b%20c"), "video");
    }
}
