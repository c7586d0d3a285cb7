//! `model fetch` against servers on the loopback address: complete, interrupted, wrong and missing files.

#[path = "common/skip.rs"]
mod skip;

use posebook_core::download::DownloadLimits;
use posebook_core::fetch::{self, Event, FetchError, Manifest};
use posebook_core::provenance::sha256_of_bytes;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

static NOT_STOPPED: AtomicBool = AtomicBool::new(false);

/// A client's request: the path, and the first byte of the range.
#[derive(Debug, Clone, PartialEq)]
struct Request {
    path: String,
    from: usize,
}

/// A server whose responses are written by `respond`, each in its own thread.
fn serve(
    respond: impl Fn(&Request, usize, &mut TcpStream) + Send + Sync + 'static,
) -> (String, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (send, requests) = channel();
    let respond = std::sync::Arc::new(respond);
    std::thread::spawn(move || {
        for (number, mut stream) in listener.incoming().flatten().enumerate() {
            let (respond, send) = (respond.clone(), send.clone());
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let path = line.split(' ').nth(1).unwrap_or_default().to_string();
                let mut request = Request { path, from: 0 };
                line.clear();
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                    if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                        request.from = range.trim().trim_end_matches('-').parse().unwrap();
                    }
                    line.clear();
                }
                let _ = send.send(request.clone());
                respond(&request, number, &mut stream);
            });
        }
    });
    (address, requests)
}

/// The head of a response with the bytes from `from` on of a file of `length` bytes.
fn head(from: usize, length: usize) -> String {
    let status = match from {
        0 => "200 OK".to_string(),
        _ => format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{length}", length - 1),
    };
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", length - from)
}

fn send(stream: &mut TcpStream, bytes: &[u8]) {
    // the client may have closed the connection
    let _ = stream.write_all(bytes).and_then(|()| stream.flush());
}

fn status(stream: &mut TcpStream, status: &str) {
    send(stream, format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes());
}

/// A server of one file that supports ranges.
fn serve_whole(bytes: Vec<u8>) -> (String, Receiver<Request>) {
    serve(move |request, _, stream| {
        send(stream, head(request.from, bytes.len()).as_bytes());
        send(stream, &bytes[request.from..]);
    })
}

fn file_bytes() -> Vec<u8> {
    (0..200_000u32).map(|number| (number % 251) as u8).collect()
}

/// A manifest of one file with additional lines.
fn manifest(folder: &Path, address: &str, lines: &str) -> Manifest {
    let start = "description = \"\"\nlicence = \"MIT\"\nagreement = false\nnext = \"\"\n[[file]]\nname = \"weights.bin\"\n";
    let path = folder.join("test.toml");
    std::fs::write(&path, format!("{start}from = {{ web = [\"{address}\"] }}\n{lines}\n")).unwrap();
    Manifest::load(&path).unwrap()
}

fn short_limits() -> DownloadLimits {
    DownloadLimits { stall_secs: 1, retries: 0, ..DownloadLimits::default() }
}

/// Fetches into `folder/files` and returns the content of `weights.bin`.
fn fetch_weights(folder: &Path, manifest: &Manifest) -> Result<Vec<u8>, String> {
    let files = folder.join("files");
    match fetch::fetch(manifest, &files, short_limits(), &mut |_| (), &NOT_STOPPED) {
        Ok(()) => Ok(std::fs::read(files.join("weights.bin")).unwrap_or_default()),
        Err(errors) => Err(errors.iter().map(ToString::to_string).collect()),
    }
}

/// The names in the folder of files.
fn remaining_files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("files")).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    // the lock, and the record of what was verified
    names.retain(|name| ![".lock", ".verified.json"].contains(&name.as_str()));
    names.sort();
    names
}

/// Whether curl is installed; if not, reports the skip.
fn has_curl() -> bool {
    let has_curl = Command::new("curl").arg("--version").output().is_ok();
    if !has_curl {
        skip::skip("curl is not installed", true);
    }
    has_curl
}

#[test]
fn a_file_is_downloaded_once_and_verified() {
    if !has_curl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (address, requests) = serve_whole(file_bytes());
    let sha256 = sha256_of_bytes(&file_bytes());
    let known = manifest(folder.path(), &address, &format!("sha256 = \"{sha256}\"\nbytes = 200000"));
    assert_eq!(fetch_weights(folder.path(), &known).unwrap(), file_bytes());
    assert_eq!(fetch_weights(folder.path(), &known).unwrap(), file_bytes());
    assert_eq!(
        (requests.try_iter().count(), remaining_files(folder.path())),
        (1, vec!["weights.bin".to_string()])
    );
    // a file with another content is fetched again
    std::fs::write(folder.path().join("files/weights.bin"), "x").unwrap();
    assert_eq!(fetch_weights(folder.path(), &known).unwrap(), file_bytes());

    let other = tempfile::tempdir().unwrap();
    let wrong = manifest(other.path(), &address, &format!("sha256 = \"{}\"", "0".repeat(64)));
    let said = fetch_weights(other.path(), &wrong).unwrap_err();
    assert!(
        said.contains(&sha256) && said.contains(&"0".repeat(64)) && said.contains("it was deleted"),
        "{said}"
    );
    let short = manifest(other.path(), &address, "bytes = 300000");
    assert!(fetch_weights(other.path(), &short).unwrap_err().contains("has 200000 bytes, expected 300000"));
    let long = manifest(other.path(), &address, "bytes = 100");
    assert!(fetch_weights(other.path(), &long).unwrap_err().contains("more than the 100 bytes"));
    assert!(remaining_files(other.path()).is_empty());
    // an unknown hash is reported
    let mut reports = Vec::new();
    let unknown = manifest(other.path(), &address, "");
    let mut on_event = |event: Event| {
        if let Event::Downloaded { sha256, is_known, .. } = event {
            reports.push((sha256.to_string(), is_known));
        }
    };
    fetch::fetch(&unknown, &other.path().join("files"), short_limits(), &mut on_event, &NOT_STOPPED).unwrap();
    assert_eq!(reports, [(sha256, false)]);
}

#[test]
fn an_interrupted_download_is_resumed() {
    if !has_curl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (address, requests) = serve(|request, number, stream| {
        let bytes = file_bytes();
        send(stream, head(request.from, bytes.len()).as_bytes());
        let end = if number == 0 { 70_000 } else { bytes.len() };
        send(stream, &bytes[request.from..end]);
    });
    let manifest =
        manifest(folder.path(), &address, &format!("sha256 = \"{}\"", sha256_of_bytes(&file_bytes())));
    let said = fetch_weights(folder.path(), &manifest).unwrap_err();
    assert!(said.contains("the partial download is kept and will be resumed"), "{said}");
    assert_eq!(remaining_files(folder.path()), ["weights.bin.part"]);
    assert_eq!(fetch_weights(folder.path(), &manifest).unwrap(), file_bytes());
    let starts: Vec<usize> = requests.try_iter().map(|request| request.from).collect();
    assert_eq!((starts, remaining_files(folder.path())), (vec![0, 70_000], vec!["weights.bin".to_string()]));
}

#[test]
fn without_range_requests_the_whole_file_is_downloaded_again() {
    if !has_curl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (address, _) = serve(|_, _, stream| {
        send(stream, head(0, file_bytes().len()).as_bytes());
        send(stream, &file_bytes());
    });
    std::fs::create_dir(folder.path().join("files")).unwrap();
    std::fs::write(folder.path().join("files/weights.bin.part"), &file_bytes()[..1000]).unwrap();
    assert_eq!(fetch_weights(folder.path(), &manifest(folder.path(), &address, "")).unwrap(), file_bytes());
    // the partial download is already complete
    let folder = tempfile::tempdir().unwrap();
    let (address, _) = serve(|request, _, stream| match request.from {
        200_000 => status(stream, "416 Range Not Satisfiable"),
        _ => status(stream, "500 Internal Server Error"),
    });
    std::fs::create_dir(folder.path().join("files")).unwrap();
    std::fs::write(folder.path().join("files/weights.bin.part"), file_bytes()).unwrap();
    assert_eq!(fetch_weights(folder.path(), &manifest(folder.path(), &address, "")).unwrap(), file_bytes());
}

#[test]
fn the_error_for_a_dead_link_says_what_to_do() {
    if !has_curl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (address, _) = serve(|request, _, stream| match request.path.as_str() {
        "/gone" => status(stream, "404 Not Found"),
        _ => status(stream, "403 Forbidden"),
    });
    let lines = "also_called = [\"old.bin\"]\nby_hand = \"posebook model import hmr2 --smpl FILE\"";
    let mut manifest = manifest(folder.path(), &address, lines);
    manifest.files[0].from = fetch::Origin::Web(vec![format!("{address}/secret"), format!("{address}/gone")]);
    let said = fetch_weights(folder.path(), &manifest).unwrap_err().replace(&address, "[server]");
    insta::assert_snapshot!(said, @r"
    weights.bin cannot be fetched:
      [server]/secret: the server answers 403
      [server]/gone: the server answers 404
      It is also called, or contains: old.bin.
      If you have a copy: posebook model import hmr2 --smpl FILE.
    ");
    manifest.files[0].from = fetch::Origin::Registration("https://body.invalid".into());
    let said = fetch_weights(folder.path(), &manifest).unwrap_err();
    assert!(said.contains("registration is required at https://body.invalid"), "{said}");
    // a file that cannot be fetched does not prevent the others
    let (good, _) = serve_whole(file_bytes());
    let second = fetch::File {
        name: "second.bin".into(),
        from: fetch::Origin::Web(vec![good]),
        ..manifest.files[0].clone()
    };
    manifest.files.push(second);
    assert!(fetch_weights(folder.path(), &manifest).is_err());
    assert_eq!(remaining_files(folder.path()), ["second.bin"]);
}

#[test]
fn redirects_are_followed_but_only_to_http_and_https() {
    if !has_curl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (address, requests) = serve(|request, _, stream| match request.path.as_str() {
        "/file" => {
            send(stream, head(0, file_bytes().len()).as_bytes());
            send(stream, &file_bytes());
        }
        "/moved" => status(stream, "302 Found\r\nLocation: /file"),
        "/circle" => status(stream, "302 Found\r\nLocation: /circle"),
        _ => status(stream, "302 Found\r\nLocation: file:///etc/hostname"),
    });
    for path in ["/outside", "/circle"] {
        let manifest = manifest(folder.path(), &format!("{address}{path}"), "");
        assert!(fetch_weights(folder.path(), &manifest).is_err(), "{path}");
        assert!(remaining_files(folder.path()).is_empty(), "{path}");
    }
    assert_eq!(requests.try_iter().filter(|request| request.path == "/circle").count(), 11);
    let moved = manifest(folder.path(), &format!("{address}/moved"), "");
    assert_eq!(fetch_weights(folder.path(), &moved).unwrap(), file_bytes());
}

#[test]
fn a_stalled_transfer_is_aborted_and_resumed() {
    if !has_curl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (address, _) = serve(|request, number, stream| {
        send(stream, head(request.from, file_bytes().len()).as_bytes());
        send(stream, &file_bytes()[request.from..request.from.max(50_000)]);
        if number == 0 {
            std::thread::sleep(Duration::from_secs(20));
        }
        send(stream, &file_bytes()[request.from.max(50_000)..]);
    });
    let manifest = manifest(folder.path(), &address, "");
    let said = fetch_weights(folder.path(), &manifest).unwrap_err();
    assert!(said.contains("curl said") && said.contains("kept and will be resumed"), "{said}");
    assert_eq!(fetch_weights(folder.path(), &manifest).unwrap(), file_bytes());
}

#[test]
fn a_stopped_download_is_kept_and_resumed() {
    if !has_curl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (address, requests) = serve(|request, number, stream| {
        send(stream, head(request.from, file_bytes().len()).as_bytes());
        if number == 0 {
            send(stream, &file_bytes()[..30_000]);
            std::thread::sleep(Duration::from_secs(20));
        }
        send(stream, &file_bytes()[request.from..]);
    });
    let manifest = manifest(folder.path(), &address, "");
    let stop = AtomicBool::new(false);
    let mut on_event = |event: Event| {
        if matches!(event, Event::Progress { bytes: 1.., .. }) {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let limits = DownloadLimits { stall_secs: 60, retries: 0, max_bytes: None };
    let errors =
        fetch::fetch(&manifest, &folder.path().join("files"), limits, &mut on_event, &stop).unwrap_err();
    assert!(matches!(errors[..], [FetchError::Stopped]), "{errors:?}");
    assert_eq!(remaining_files(folder.path()), ["weights.bin.part"]);
    assert_eq!(fetch_weights(folder.path(), &manifest).unwrap(), file_bytes());
    assert!(requests.try_iter().nth(1).unwrap().from > 0);
}

/// A tar of plain files, packed by gzip.
fn tgz(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for (name, data) in files {
        let mut block = vec![0; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        block[148..156].fill(b' ');
        block[156] = b'0';
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block.extend(*data);
        block.resize(block.len().next_multiple_of(512), 0);
        encoder.write_all(&block).unwrap();
    }
    encoder.write_all(&[0; 1024]).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn archives_are_unpacked_only_inside_of_their_folder() {
    if !has_curl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (address, _) = serve_whole(tgz(&[("data/a.txt", b"1"), ("b.txt", b"2")]));
    let all = manifest(folder.path(), &address, "unpack_to = \"4DHumans\"");
    fetch_weights(folder.path(), &all).unwrap();
    assert_eq!(std::fs::read(folder.path().join("files/4DHumans/data/a.txt")).unwrap(), b"1");
    assert_eq!(remaining_files(folder.path()), ["4DHumans"]);

    let folder = tempfile::tempdir().unwrap();
    let member = |inside: &str| format!("[[file.member]]\ninside = \"{inside}\"\nplace = \"deep/one.txt\"");
    let right = format!("{}\nsha256 = \"{}\"", member("data/a.txt"), sha256_of_bytes(b"1"));
    fetch_weights(folder.path(), &manifest(folder.path(), &address, &right)).unwrap();
    assert_eq!(std::fs::read(folder.path().join("files/deep/one.txt")).unwrap(), b"1");
    assert_eq!(remaining_files(folder.path()), ["deep"]);
    let folder = tempfile::tempdir().unwrap();
    let said = fetch_weights(folder.path(), &manifest(folder.path(), &address, &member("none"))).unwrap_err();
    assert!(said.contains("there is no `none` in weights.bin"), "{said}");

    for (name, bytes) in [
        ("outside", tgz(&[("a.txt", b"1"), ("../../evil.txt", b"2")])),
        ("no archive", b"<html>please log in</html>".to_vec()),
        ("cut short", tgz(&[("a.txt", &file_bytes())])[..300].to_vec()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (address, _) = serve_whole(bytes);
        let unpacked = manifest(folder.path(), &address, "unpack_to = \"4DHumans\"");
        fetch_weights(folder.path(), &unpacked).expect_err(name);
        assert!(remaining_files(folder.path()).is_empty(), "{name}: {:?}", remaining_files(folder.path()));
        assert!(
            !folder.path().join("evil.txt").exists() && !folder.path().join("files/../../evil.txt").exists()
        );
    }
}

/// A project with one manifest.
struct Project(tempfile::TempDir);

impl Project {
    fn new(manifest: &str) -> Project {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("experiments")).unwrap();
        std::fs::create_dir_all(folder.path().join("models/sources")).unwrap();
        std::fs::write(folder.path().join("models/sources/mine.toml"), manifest).unwrap();
        Project(folder)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_posebook"));
        command.current_dir(self.0.path()).args(["model", "fetch", "mine"]).args(arguments);
        command.env("POSEBOOK_CACHE", self.0.path().join("cache"));
        command
    }

    fn file(&self, inside: &str) -> PathBuf {
        self.0.path().join("cache/models/mine").join(inside)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn the_license_must_be_accepted_and_proxies_come_from_the_environment() {
    if !has_curl() {
        return;
    }
    // the proxy gets the request for a file of another server
    let (proxy, requests) = serve_whole(file_bytes());
    let start = "description = \"a test\"\nlicence = \"research alone\"\nterms = \"https://terms.invalid\"\n";
    let rest = "agreement = true\nnext = \"look into FOLDER\"\n[[file]]\nname = \"weights.bin\"\n";
    let project =
        Project::new(&format!("{start}{rest}from = {{ web = [\"http://files.invalid/w.bin\"] }}\n"));
    let run = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.env("http_proxy", &proxy).env_remove("no_proxy").env_remove("NO_PROXY").output().unwrap()
    };
    let refused = run(&[]);
    assert!(!refused.status.success());
    let text = said(&refused);
    assert!(text.contains("licence: research alone\n    https://terms.invalid"), "{text}");
    assert!(text.contains("give `--accept-licence` if you agree"), "{text}");
    assert!(requests.try_recv().is_err(), "nothing is fetched before the license is accepted");
    let done = run(&["--accept-licence"]);
    let text = said(&done);
    assert!(done.status.success(), "{text}");
    assert_eq!(std::fs::read(project.file("weights.bin")).unwrap(), file_bytes());
    assert_eq!(requests.try_recv().unwrap().path, "http://files.invalid/w.bin");
    assert!(
        text.contains(&format!(
            "SHA-256 {}, which the manifest does not know",
            sha256_of_bytes(&file_bytes())
        )),
        "{text}"
    );
    assert!(text.contains("next: look into") && text.contains("cache/models/mine"), "{text}");
}

#[test]
#[cfg(unix)]
fn ctrl_c_keeps_the_partial_download() {
    if !has_curl() {
        return;
    }
    let (address, requests) = serve(|request, number, stream| {
        send(stream, head(request.from, file_bytes().len()).as_bytes());
        if number == 0 {
            send(stream, &file_bytes()[..30_000]);
            std::thread::sleep(Duration::from_secs(60));
        }
        send(stream, &file_bytes()[request.from..]);
    });
    let start = "description = \"\"\nlicence = \"MIT\"\nagreement = false\nnext = \"\"\n[[file]]\nname = \"weights.bin\"\n";
    let project = Project::new(&format!("{start}from = {{ web = [\"{address}\"] }}\n"));
    let child = project
        .command(&[])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn();
    let child = child.unwrap();
    let part = project.file("weights.bin.part");
    let began = std::time::Instant::now();
    while std::fs::metadata(&part).map_or(0, |metadata| metadata.len()) == 0 {
        assert!(began.elapsed().as_secs() < 60, "nothing was downloaded");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(!ended.status.success() && said(&ended).contains("kept and will be resumed"), "{}", said(&ended));
    let done = project.command(&[]).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(std::fs::read(project.file("weights.bin")).unwrap(), file_bytes());
    assert!(requests.try_iter().nth(1).unwrap().from > 0);
}

/// Uses fake programs named npm and python3 that write an archive to the requested folder.
#[test]
#[cfg(unix)]
fn packages_are_downloaded_with_the_programs_of_their_registries() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive.tgz");
    std::fs::write(&archive, tgz(&[("package/a.bin", b"1")])).unwrap();
    let program = |name: &str, option: &str| {
        let text = format!(
            "#!/bin/sh\necho \"$@\" > {0}/{name}.said\nwhile [ \"$1\" != {option} ]; do shift; done\ncp {1} \"$2/got.tgz\"\n",
            folder.path().display(),
            archive.display()
        );
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    program("npm", "--pack-destination");
    program("python3", "--dest");
    let start = "description = \"\"\nlicence = \"MIT\"\nagreement = false\nnext = \"\"\n";
    let file = |from: &str, place: &str| {
        let member = format!("[[file.member]]\ninside = \"package/a.bin\"\nplace = \"{place}\"\n");
        format!("[[file]]\nname = \"{place}.tgz\"\nfrom = {from}\n{member}")
    };
    let files =
        file("{ npm = \"@some/body@1.0\" }", "one.bin") + &file("{ pypi = \"body==2.0\" }", "two.bin");
    let project = Project::new(&format!("{start}{files}"));
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let done = project.command(&[]).env("PATH", path).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    let arguments_of =
        |name: &str| std::fs::read_to_string(folder.path().join(format!("{name}.said"))).unwrap();
    assert!(
        arguments_of("npm").starts_with("pack --ignore-scripts")
            && arguments_of("npm").trim().ends_with("-- @some/body@1.0")
    );
    assert!(
        arguments_of("python3").contains("--only-binary=:all:")
            && arguments_of("python3").trim().ends_with("-- body==2.0")
    );
    for name in ["one.bin", "two.bin"] {
        assert_eq!(std::fs::read(project.file(name)).unwrap(), b"1");
    }
    let mut remaining_files: Vec<_> =
        std::fs::read_dir(project.file("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    remaining_files.sort();
    assert_eq!(remaining_files, [".lock", "one.bin", "two.bin"]);
}

#[test]
fn all_manifests_are_valid_and_mistakes_are_reported() {
    let mut names = Vec::new();
    for folder in ["models/sources", "datasets/sources"] {
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let manifest = Manifest::load(&entry.unwrap().path()).unwrap_or_else(|error| panic!("{error}"));
            names.push(manifest.name);
        }
    }
    names.sort();
    assert_eq!(
        names,
        [
            "blazepose",
            "hmr2",
            "hmr2a",
            "nanodet",
            "phalp",
            "pose2sim",
            "regnety",
            "sports2d",
            "vitdet",
            "vtest",
            "x101"
        ]
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.toml");
    for (file, expected) in [
        ("name = \"../a\"\nfrom = { web = [\"http://a\"] }", "is not a path below a folder"),
        ("name = \"a\"\nplace = \"/b\"\nfrom = { web = [\"http://a\"] }", "is not a path below a folder"),
        ("name = \"a\"\nunpack_to = \"..\"\nfrom = { web = [\"http://a\"] }", "is not a path below a folder"),
        ("name = \"a\"\nfrom = { web = [] }", "has no address"),
        ("name = \"a\"\nfrom = { web = [\"ftp://a\"] }", "is not an http or https address"),
        ("name = \"a\"\nfrom = { npm = \"--help\" }", "is not a package name"),
        ("name = \"a\"\nfrom = { web = [\"http://a\"] }\nsha256 = \"12\"", "is not a SHA-256"),
        ("name = \"a\"\nfrom = { gopher = \"a\" }", "gopher"),
        ("name = \"a\"\nfrom = { debian = \"a\" }", "needs members"),
        ("name = \"a\"\nfrom = { web = [\"http://a\"] }\nsha = \"12\"", "sha"),
    ] {
        let start = "description = \"\"\nlicence = \"\"\nagreement = false\nnext = \"\"\n[[file]]\n";
        std::fs::write(&path, format!("{start}{file}")).unwrap();
        let said = Manifest::load(&path).unwrap_err().to_string();
        assert!(said.contains(expected), "{file}: {said}");
    }
}
