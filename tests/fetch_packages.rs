//! `model fetch` and `dataset` with packages: fake registry programs that give local archives, files provided by the user,
//! two checkouts, and concurrent processes.

#![cfg(unix)]

#[path = "common/skip.rs"]
mod skip;

use posebook::dataset::Dataset;
use posebook::dataset::views::TriangulatedPoint;
use posebook_core::fetch::{self, Event, Manifest};
use posebook_core::landmarks::SCORED_LANDMARKS;
use posebook_core::provenance::sha256_of_bytes;
use posebook_track::metrics::views::ViewsTruth;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;

static NOT_STOPPED: AtomicBool = AtomicBool::new(false);

/// A .tgz of files.
fn tgz(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, bytes) in files {
        let mut head = [0u8; 512];
        head[..name.len()].copy_from_slice(name.as_bytes());
        head[100..108].copy_from_slice(b"0000644\0");
        head[124..136].copy_from_slice(format!("{:011o}\0", bytes.len()).as_bytes());
        head[148..156].copy_from_slice(b"        ");
        head[156] = b'0';
        head[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend_from_slice(&head);
        tar.extend_from_slice(bytes);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    gzip.finish().unwrap()
}

/// A folder with checkouts of a project, a cache folder, and fake programs.
struct Sandbox {
    folder: tempfile::TempDir,
    archive: Vec<u8>,
}

const WEIGHTS: &[u8] = b"weights, weights and weights";

impl Sandbox {
    /// With an npm that gives an archive of weights and notes, and appends a line to `calls` at each call.
    fn new() -> Sandbox {
        let folder = tempfile::tempdir().unwrap();
        let archive =
            tgz(&[("package/w.bin", WEIGHTS), ("package/notes/a", b"1"), ("package/notes/b", b"2")]);
        std::fs::write(folder.path().join("archive.tgz"), &archive).unwrap();
        let sandbox = Sandbox { folder, archive };
        let text = "while [ \"$1\" != --pack-destination ]; do shift; done\necho call >> ROOT/calls\nsleep 0.3\ncp \
                    ROOT/archive.tgz \"$2/got.tgz\"";
        sandbox.add_program("npm", text);
        sandbox
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    fn add_program(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path("programs")).unwrap();
        let text = text.replace("ROOT", &self.folder.path().display().to_string());
        let path = self.path("programs").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The text of a manifest of npm's archive.
    fn manifest(&self, sha256: &str) -> String {
        let weights = sha256_of_bytes(WEIGHTS);
        let bytes = self.archive.len();
        format!(
            "description = \"a test\"\nlicence = \"MIT\"\nlicence_file = \"text.txt\"\nattribution = \"By \
             somebody.\"\nagreement = false\nnext = \"\"\n[[file]]\nname = \"archive.tgz\"\nfrom = {{ npm = \
             \"@some/body@1.0\" }}\nsha256 = \"{sha256}\"\nbytes = {bytes}\n[[file.member]]\ninside = \
             \"package/w.bin\"\nplace = \"w.bin\"\nsha256 = \"{weights}\"\n[[file.member]]\ninside = \
             \"package/notes/\"\nplace = \"notes\"\n"
        )
    }

    /// A clone of a project with the manifest.
    fn clone(&self, name: &str, manifest: &str) -> PathBuf {
        let clone = self.path(name);
        std::fs::create_dir_all(clone.join("experiments")).unwrap();
        std::fs::create_dir_all(clone.join("models/sources")).unwrap();
        std::fs::write(clone.join("models/sources/mine.toml"), manifest).unwrap();
        std::fs::write(clone.join("models/sources/text.txt"), "the terms").unwrap();
        clone
    }

    fn run(&self, clone: &Path, path: &str, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_posebook"));
        command.current_dir(clone).args(arguments).env("PATH", path);
        command.env("POSEBOOK_CACHE", self.path("cache"));
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        (status.success(), text.replace(&self.folder.path().display().to_string(), "ROOT"))
    }

    /// The PATH with the fake programs first.
    fn path_with_programs(&self) -> String {
        format!("{}:{}", self.path("programs").display(), std::env::var("PATH").unwrap())
    }

    fn fetch(&self, clone: &Path, more: &[&str]) -> (bool, String) {
        self.run(clone, &self.path_with_programs(), &[&["model", "fetch", "mine"], more].concat())
    }

    fn stored_path(&self, inside: &str) -> PathBuf {
        self.path("cache/models/mine").join(inside)
    }

    fn npm_calls(&self) -> usize {
        std::fs::read_to_string(self.path("calls")).unwrap_or_default().lines().count()
    }

    /// Names in the folder of fetched files.
    fn stored_files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.stored_path("")).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.retain(|name| ![".lock", ".verified.json"].contains(&name.as_str()));
        names.sort();
        names
    }
}

#[test]
fn a_second_checkout_fetches_nothing() {
    let sandbox = Sandbox::new();
    let manifest = sandbox.manifest(&sha256_of_bytes(&sandbox.archive));
    let (done, text) = sandbox.fetch(&sandbox.clone("one", &manifest), &[]);
    assert!(done && text.contains("archive.tgz: fetching") && text.contains("licence: MIT"), "{text}");
    assert_eq!(sandbox.stored_files(), ["LICENSE.txt", "notes", "w.bin"]);
    assert_eq!(std::fs::read(sandbox.stored_path("w.bin")).unwrap(), WEIGHTS);
    assert_eq!(std::fs::read(sandbox.stored_path("notes/b")).unwrap(), b"2");
    let license = std::fs::read_to_string(sandbox.stored_path("LICENSE.txt")).unwrap();
    assert_eq!(license, "By somebody.\nLicence: MIT\n\nthe terms");
    let second = sandbox.clone("two", &manifest);
    let (done, text) = sandbox.fetch(&second, &[]);
    assert!(done && text.contains("all files exist already, nothing is fetched"), "{text}");
    assert_eq!(sandbox.npm_calls(), 1);
    assert!(!second.join(".posebook").exists());
    // a file that was changed is fetched again, and one that is missing
    std::fs::write(sandbox.stored_path("w.bin"), "other").unwrap();
    assert!(sandbox.fetch(&second, &[]).0);
    assert_eq!(std::fs::read(sandbox.stored_path("w.bin")).unwrap(), WEIGHTS);
    std::fs::remove_dir_all(sandbox.stored_path("notes")).unwrap();
    assert!(sandbox.fetch(&second, &[]).0);
    assert_eq!(
        (sandbox.npm_calls(), sandbox.stored_files()),
        (3, vec!["LICENSE.txt".into(), "notes".into(), "w.bin".into()])
    );
}

#[test]
fn concurrent_processes_fetch_once() {
    let sandbox = Sandbox::new();
    let clone = sandbox.clone("one", &sandbox.manifest(&sha256_of_bytes(&sandbox.archive)));
    std::thread::scope(|scope| {
        let runs = [0, 1, 2].map(|_| scope.spawn(|| sandbox.fetch(&clone, &[])));
        for run in runs {
            let (done, text) = run.join().unwrap();
            assert!(done, "{text}");
        }
    });
    assert_eq!(
        (sandbox.npm_calls(), sandbox.stored_files()),
        (1, vec!["LICENSE.txt".into(), "notes".into(), "w.bin".into()])
    );
}

#[test]
fn wrong_downloads_are_deleted() {
    let sandbox = Sandbox::new();
    let right = sandbox.manifest(&sha256_of_bytes(&sandbox.archive));
    let clone = sandbox.clone("wrong", &sandbox.manifest(&"0".repeat(64)));
    let (done, text) = sandbox.fetch(&clone, &[]);
    assert!(!done && text.contains("it was deleted") && text.contains(&"0".repeat(64)), "{text}");
    assert!(sandbox.stored_files().is_empty(), "{:?}", sandbox.stored_files());
    let clone = sandbox.clone("short", &right);
    std::fs::write(sandbox.path("archive.tgz"), &sandbox.archive[..100]).unwrap();
    let (done, text) = sandbox.fetch(&clone, &[]);
    assert!(!done && text.contains("has 100 bytes, expected"), "{text}");
    assert!(sandbox.stored_files().is_empty());
    // the archive is as the manifest says, and a member is not
    std::fs::write(sandbox.path("archive.tgz"), &sandbox.archive).unwrap();
    let clone = sandbox.clone("member", &right.replace("package/notes/", "package/none/"));
    let (done, text) = sandbox.fetch(&clone, &[]);
    assert!(!done && text.contains("there is no `package/none/` in archive.tgz"), "{text}");
    let clone = sandbox.clone("other", &right.replace(&sha256_of_bytes(WEIGHTS), &"1".repeat(64)));
    let (done, text) = sandbox.fetch(&clone, &[]);
    assert!(!done && text.contains("package/w.bin has the SHA-256"), "{text}");
}

#[test]
fn without_the_program_or_a_network_the_message_says_what_to_do() {
    let sandbox = Sandbox::new();
    let clone = sandbox.clone("one", &sandbox.manifest(&sha256_of_bytes(&sandbox.archive)));
    let (done, text) = sandbox.run(&clone, "/nowhere", &["model", "fetch", "mine"]);
    assert!(!done);
    let size = fetch::format_size(sandbox.archive.len() as u64);
    insta::assert_snapshot!(text.replace(&size, "SIZE"), @r"
    mine: a test
    licence: MIT
    archive.tgz: fetching, SIZE
    error: archive.tgz cannot be fetched:
      `npm` is not on the PATH
      On a machine with a network `npm pack @some/body@1.0` gives the file (SIZE). Bring it here and run `posebook model fetch mine --from FILE`: it is verified and unpacked to ROOT/cache/models/mine.
    ");
    sandbox.add_program(
        "npm",
        "echo 'npm error code EAI_AGAIN' >&2; echo 'npm error request to http://host/x' >&2; exit 1",
    );
    let (done, text) = sandbox.fetch(&clone, &[]);
    assert!(
        !done && text.contains("npm cannot reach its registry (EAI_AGAIN)") && !text.contains("http"),
        "{text}"
    );
    assert!(sandbox.stored_files().is_empty());
}

#[test]
fn a_provided_file_is_verified_and_unpacked() {
    let sandbox = Sandbox::new();
    let clone = sandbox.clone("one", &sandbox.manifest(&sha256_of_bytes(&sandbox.archive)));
    let given = sandbox.path("brought.tgz");
    let from = ["--from", given.to_str().unwrap()];
    for (bytes, expected) in [
        (sandbox.archive[..100].to_vec(), "it has 100 bytes, and archive.tgz has"),
        (vec![7; sandbox.archive.len()], "another version or was changed in transfer"),
    ] {
        std::fs::write(&given, &bytes).unwrap();
        let (done, text) = sandbox.fetch(&clone, &from);
        assert!(!done && text.contains(expected), "{text}");
        assert!(
            sandbox.stored_files().is_empty() && std::fs::read(&given).unwrap() == bytes,
            "the user's file is unchanged"
        );
    }
    std::fs::write(&given, &sandbox.archive).unwrap();
    let (done, text) = sandbox.fetch(&clone, &from);
    assert!(done, "{text}");
    assert_eq!(
        (sandbox.npm_calls(), sandbox.stored_files()),
        (0, vec!["LICENSE.txt".into(), "notes".into(), "w.bin".into()])
    );
    assert!(given.is_file());
    // a file out of the archive
    std::fs::remove_file(sandbox.stored_path("w.bin")).unwrap();
    std::fs::write(&given, WEIGHTS).unwrap();
    assert!(sandbox.fetch(&clone, &from).0 && sandbox.stored_path("w.bin").is_file());
    assert!(sandbox.fetch(&clone, &[]).1.contains("all files exist already"));
    let (done, text) = sandbox.fetch(&clone, &["--from", "/no/such/file"]);
    assert!(!done && text.contains("/no/such/file"), "{text}");
}

#[test]
fn ensure_is_quick_if_all_files_are_present_and_reports_what_it_fetches() {
    let sandbox = Sandbox::new();
    let clone = sandbox.clone("one", &sandbox.manifest(&sha256_of_bytes(&sandbox.archive)));
    let manifest = Manifest::load(&clone.join("models/sources/mine.toml")).unwrap();
    assert!(sandbox.fetch(&clone, &[]).0);
    let folder = sandbox.stored_path("");
    let mut events = 0;
    let mut on_event = |_: Event| events += 1;
    assert_eq!(fetch::ensure(&manifest, "mine", &folder, &mut on_event, &NOT_STOPPED).unwrap(), folder);
    assert_eq!(events, 0);
    std::fs::remove_file(sandbox.stored_path("w.bin")).unwrap();
    let mut lines = Vec::new();
    let stopped = AtomicBool::new(true);
    let mut on_event = |event: Event| lines.extend(event.message());
    // no program of this process' PATH is run: it was stopped before
    let error = fetch::ensure(&manifest, "mine", &folder, &mut on_event, &stopped).unwrap_err();
    let size = fetch::format_size(sandbox.archive.len() as u64);
    assert_eq!(
        lines[0],
        format!("fetching mine once (a test), {size}; licence: MIT; stored in {}", folder.display())
    );
    assert!(!error.to_string().is_empty());
    let agreement = Manifest { agreement: true, ..manifest };
    let error =
        fetch::ensure(&agreement, "mine", &folder, &mut |_| (), &NOT_STOPPED).unwrap_err().to_string();
    assert!(error.contains("posebook model fetch mine --accept-licence"), "{error}");
}

/// Two clips of one package, fetched once and made as files of the user's are.
#[test]
fn footage_is_fetched_and_converted_to_clips() {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        return skip::skip("ffmpeg is not installed", true);
    }
    let sandbox = Sandbox::new();
    let video = sandbox.path("a.mp4");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args([
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=64x48:rate=10:duration=0.5",
        "-pix_fmt",
        "yuv420p",
    ]);
    assert!(ffmpeg.arg(&video).status().unwrap().success());
    let bytes = std::fs::read(&video).unwrap();
    let archive = tgz(&[("package/a.mp4", &bytes), ("package/b.mp4", &bytes)]);
    std::fs::write(sandbox.path("archive.tgz"), &archive).unwrap();
    let clone = sandbox.clone("one", "");
    std::fs::create_dir_all(clone.join("datasets/sources")).unwrap();
    let member = |name: &str| {
        format!(
            "[[file.member]]\ninside = \"package/{name}\"\nplace = \"{name}\"\nsha256 = \"{}\"\n",
            sha256_of_bytes(&bytes)
        )
    };
    let manifest = format!(
        "description = \"a test\"\nlicence = \"CC0\"\nagreement = false\ncommand = \"posebook dataset fetch \
         street\"\nnext = \"\"\n[[file]]\nname = \"s.tgz\"\nfrom = {{ npm = \"s@1\" }}\nsha256 = \"{}\"\n{}{}",
        sha256_of_bytes(&archive),
        member("a.mp4"),
        member("b.mp4")
    );
    std::fs::write(clone.join("datasets/sources/street.toml"), manifest).unwrap();
    let dataset = "kind = \"footage\"\nabout = \"a street\"\nsource = \"street\"\n[[clip]]\nname = \"a\"\nvideo = \
                   \"a.mp4\"\n[[clip]]\nname = \"b\"\nvideo = \"b.mp4\"\n";
    std::fs::write(clone.join("datasets/street.toml"), dataset).unwrap();
    let dataset_command = |arguments: &[&str]| {
        let path = sandbox.path_with_programs();
        sandbox.run(&clone, &path, &[&["dataset"], arguments].concat())
    };
    let (done, text) = dataset_command(&["list"]);
    assert!(
        done && text.contains("licence: CC0; not fetched yet") && text.contains("a; not made yet"),
        "{text}"
    );
    let (done, text) = dataset_command(&["make", "street"]);
    assert!(done && text.contains("fetching street once (a test); licence: CC0"), "{text}");
    let (done, text) = dataset_command(&["list"]);
    assert!(done && text.contains("fetched to ROOT/cache/footage/street"), "{text}");
    assert_eq!(text.matches("made: ROOT/cache/footage/street").count(), 2, "{text}");
    let (done, text) = dataset_command(&["make", "street"]);
    assert!(done && !text.contains("fetching") && sandbox.npm_calls() == 1, "{text}");
    let (done, text) = dataset_command(&["verify", "street"]);
    assert!(done && text.contains("b: unchanged"), "{text}");
    for (change, expected) in [
        ("source = \"street\"", "source = \"strete\""),
        ("video = \"b.mp4\"", "video = \"../b.mp4\""),
        ("about", "only = [\"c\"]\nabout"),
        ("about", "truth = \"openpose\"\nabout"),
        ("about", "truth_boxes = \"gt.txt\"\nabout"),
    ]
    .iter()
    .zip([
        "no manifest",
        "not a path below",
        "there is no clip `c`",
        "needs `[views]`",
        "needs a single clip",
    ]) {
        std::fs::write(clone.join("datasets/street.toml"), dataset.replacen(change.0, change.1, 1)).unwrap();
        let (done, text) = dataset_command(&["make", "street"]);
        assert!(!done && text.contains(expected), "{expected}: {text}");
    }
}

/// A package of Debian is read by `dpkg-deb` and `tar`.
#[test]
fn members_of_a_debian_package_are_unpacked() {
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        return skip::skip("dpkg-deb is not installed", cfg!(target_os = "linux"));
    }
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path("deb/DEBIAN")).unwrap();
    std::fs::create_dir_all(sandbox.path("deb/usr/share")).unwrap();
    std::fs::write(
        sandbox.path("deb/DEBIAN/control"),
        "Package: clip\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.invalid>\nDescription: a clip\n",
    )
    .unwrap();
    std::fs::write(sandbox.path("deb/usr/share/clip"), "a clip").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", sandbox.path("deb/usr/share/link")).unwrap();
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "--build"]).arg(sandbox.path("deb")).arg(sandbox.path("clip.deb"));
    assert!(build.output().unwrap().status.success());
    sandbox.add_program("apt-get", "cp ROOT/clip.deb clip_1_all.deb");
    let manifest = |inside: &str| {
        format!(
            "description = \"a test\"\nlicence = \"MIT\"\nagreement = false\nnext = \"\"\n[[file]]\nname = \
             \"clip.deb\"\nfrom = {{ debian = \"clip\" }}\n[[file.member]]\ninside = \"{inside}\"\nplace = \
             \"clip\"\nsha256 = \"{}\"\n",
            sha256_of_bytes(b"a clip")
        )
    };
    let (done, text) = sandbox.fetch(&sandbox.clone("one", &manifest("usr/share/clip")), &[]);
    assert!(done && text.contains("its members are verified"), "{text}");
    assert_eq!(
        (sandbox.stored_files(), std::fs::read(sandbox.stored_path("clip")).unwrap()),
        (vec!["clip".to_string()], b"a clip".to_vec())
    );
    std::fs::remove_file(sandbox.stored_path("clip")).unwrap();
    let (done, text) = sandbox.fetch(&sandbox.clone("two", &manifest("usr/share/none")), &[]);
    assert!(!done && text.contains("does not have the expected files"), "{text}");
    let whole = std::fs::read(sandbox.path("clip.deb")).unwrap();
    std::fs::write(sandbox.path("clip.deb"), &whole[..whole.len() / 2]).unwrap();
    let (done, text) = sandbox.fetch(&sandbox.clone("three", &manifest("usr/share/clip")), &[]);
    assert!(!done && text.contains("it is damaged"), "{text}");
    assert!(sandbox.stored_files().is_empty());
}

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum::<f64>().sqrt()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The truth of pose2sim's four views, where they were fetched before.
#[test]
fn the_ground_truth_of_openpose_points_is_as_good_as_measured() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/pose2sim.toml");
    let changes = toml::from_str("truth = \"openpose\"").unwrap();
    let source = Dataset::load(&path, &changes).unwrap().footage.unwrap();
    if !source.is_fetched().unwrap() {
        // the tests of the footage itself fetch it, and fail in CI where they cannot
        return skip::skip("`posebook dataset fetch pose2sim` was not run", false);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut plan = source.views.unwrap();
    plan.path = folder.path().join("truth.json");
    let truth = plan.create_truth_from_openpose().unwrap();
    assert_eq!(truth.frames, (0..13).map(|index| 8 * index).collect::<Vec<_>>());
    assert!(truth.points.iter().all(|frame| SCORED_LANDMARKS.iter().all(|index| frame[*index].is_some())));
    // measured: 12.7 pixels; thighs of 403 and 420 mm with a deviation of 11 and 13 mm
    let points = truth.points.iter().flatten().flatten();
    assert!(median(points.flat_map(|point| point.residual_px.iter().flatten().copied()).collect()) < 13.5);
    for limb in [[23, 25], [24, 26], [25, 27], [26, 28]] {
        let length = |points: &Vec<Option<TriangulatedPoint>>| {
            let [a, b] = [points[limb[0]].as_ref()?, points[limb[1]].as_ref()?];
            Some(distance(a.position, b.position))
        };
        let lengths: Vec<f64> = truth.points.iter().filter_map(length).collect();
        let mean = lengths.iter().sum::<f64>() / lengths.len() as f64;
        let deviation =
            lengths.iter().map(|length| (length - mean).powi(2)).sum::<f64>() / lengths.len() as f64;
        assert!((0.36..0.45).contains(&mean) && deviation.sqrt() < 0.016, "{limb:?}: {mean} {deviation}");
    }
    let again = ViewsTruth::read(&plan.path).unwrap();
    for (written, read) in truth.points.iter().flatten().zip(again.world_m.iter().flatten()) {
        let (written, read) = (written.as_ref().map(|point| point.position), *read);
        assert_eq!(written.is_some(), read.is_some());
        assert!(written.zip(read).is_none_or(|(a, b)| distance(a, b) < 2e-5), "{written:?} {read:?}");
    }
}
