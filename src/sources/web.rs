//! A video behind an address, fetched to a file: whole or absent, gone on with where it was broken off.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::download::{DownloadError, Patience, download, run};
use super::{SourceError, key};

/// Hosts whose addresses are pages about videos and not videos.
const PAGES: [&str; 3] = ["youtube.com", "youtu.be", "youtube-nocookie.com"];
const FILE_HINT: &str = "install it, or fetch the file by hand and give its path";
const PAGE_HINT: &str = "install it to read YouTube's pages, or give the path of the video's file";

/// Fetches `address` into `kept`; `tell` hears how many bytes are there.
pub(super) fn fetch(address: &str, kept: &Path, tell: &mut dyn FnMut(u64)) -> Result<PathBuf, SourceError> {
    let (page, place) = (is_page(address), place(address, kept));
    if place.is_file() {
        return Ok(place);
    }
    fs::create_dir_all(kept).map_err(SourceError::disk(kept))?;
    // without this process' number: the next one goes on with it
    let part =
        kept.join(format!("part-{}", place.file_name().and_then(|name| name.to_str()).unwrap_or_default()));
    let failed = |what: String| SourceError::Address { address: address.into(), what };
    let (hint, ended) = if page {
        let ended = run("yt-dlp", &page_command(address, &part), &part, None, tell, None);
        (PAGE_HINT, ended.map_err(|failure| failure.error))
    } else {
        (FILE_HINT, download(address, &part, Patience::default(), tell, None))
    };
    ended.map_err(|error| match error {
        DownloadError::NoProgram(program) => {
            SourceError::NoProgram { address: address.into(), program, hint }
        }
        error => failed(format!("it cannot be fetched ({error})")),
    })?;
    if fs::metadata(&part).map_or(0, |about| about.len()) == 0 {
        return Err(failed("nothing came; check the address".into()));
    }
    fs::rename(&part, &place).map_err(SourceError::disk(&place))?;
    Ok(place)
}

/// Where what is behind `address` is kept once it is whole.
pub(super) fn place(address: &str, kept: &Path) -> PathBuf {
    let ending = if is_page(address) { "mkv" } else { ending_of(address) };
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let known_as = last.rsplit_once('.').map_or(last, |(stem, _)| stem);
    kept.join(format!("{}.{ending}", key(known_as, address)))
}

fn page_command(address: &str, part: &Path) -> Command {
    let mut command = Command::new("yt-dlp");
    command.args(["--quiet", "--no-warnings", "--no-playlist", "--no-part", "--merge-output-format", "mkv"]);
    command.args(["--remux-video", "mkv", "--output"]).arg(template_of(part));
    command.arg("--").arg(address);
    command
}

/// A path for yt-dlp, which fills in what stands behind a `%`.
fn template_of(path: &Path) -> OsString {
    path.to_str().map_or_else(|| path.into(), |text| text.replace('%', "%%").into())
}

fn is_page(address: &str) -> bool {
    let behind = address.split_once("://").map_or(address, |(_, behind)| behind);
    let host = behind.split(['/', '?', '#', ':']).next().unwrap_or_default().to_ascii_lowercase();
    PAGES.iter().any(|page| host == *page || host.strip_suffix(page).is_some_and(|rest| rest.ends_with('.')))
}

/// The ending of the file's name, for people; `video` where there is none.
fn ending_of(address: &str) -> &str {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let ending = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, ending)| ending);
    let is_good =
        |ending: &&str| (1..=5).contains(&ending.len()) && ending.bytes().all(|b| b.is_ascii_alphanumeric());
    ending.filter(is_good).unwrap_or("video")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};

    /// Serves `bytes` on the loopback address: the first answer breaks off after `breaks_at` bytes, later
    /// ones are whole from where they are asked to go on. Tells every answer's first byte.
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
        let there = Command::new("curl").arg("--version").output().is_ok();
        if !there {
            eprintln!("skipped: there is no curl");
        }
        there
    }

    #[test]
    fn a_broken_fetch_is_gone_on_with_and_a_whole_one_is_kept() {
        if !has_curl() {
            return;
        }
        let kept = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        let (address, starts) = serve(bytes.clone(), 70_000);
        let address = format!("{address}/clips/walk.mp4?size=large");
        let mut told = 0;
        // curl goes on by itself, or with the next invocation
        let place = (0..3)
            .find_map(|_| fetch(&address, kept.path(), &mut |bytes| told = bytes).ok())
            .expect("the whole file in three invocations");
        assert_eq!(fs::read(&place).unwrap(), bytes);
        assert!(place.extension().is_some_and(|ending| ending == "mp4"));
        assert_eq!(told, bytes.len() as u64);
        let starts: Vec<usize> = starts.try_iter().collect();
        assert!(starts.len() > 1 && starts[1] == 70_000, "{starts:?}");
        assert_eq!(fs::read_dir(kept.path()).unwrap().count(), 1, "nothing but the whole file");
        assert_eq!(fetch(&address, kept.path(), &mut |_| panic!("it is there")).unwrap(), place);
    }

    #[test]
    fn an_address_that_does_not_answer_is_told() {
        if !has_curl() {
            return;
        }
        let kept = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let message =
            fetch(&format!("http://{free}/x.mp4"), kept.path(), &mut |_| ()).unwrap_err().to_string();
        assert!(message.contains("curl said") && message.contains("/x.mp4"), "{message}");
        assert!(fs::read_dir(kept.path()).unwrap().all(|entry| !entry.unwrap().path().ends_with(".mp4")));
    }

    #[test]
    fn pages_are_told_from_files() {
        for page in ["https://www.youtube.com/watch?v=x", "https://youtu.be/x", "http://m.youtube.com/x"] {
            assert!(is_page(page), "{page}");
        }
        for file in ["https://notyoutube.com/a.mp4", "https://a.org/youtube.com/b.mp4"] {
            assert!(!is_page(file), "{file}");
        }
        assert_eq!(ending_of("https://a.org/b/c.MKV?x=1.y"), "MKV");
        assert_eq!(ending_of("https://a.org/watch"), "video");
        assert_eq!(ending_of("https://a.org/a.b%20c"), "video");
    }
}
