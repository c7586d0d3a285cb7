//! Opening below allowed folders: links, files that are none, folders of images.

use crate::{linux, refusal, rules};
use posebook_serve::paths::PathRules;
use posebook_serve::problem::Problem;
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// An allowed folder beside a secret, with links of all kinds.
struct Place {
    _folder: tempfile::TempDir,
    allowed: PathBuf,
    outside: PathBuf,
    rules: PathRules,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let (allowed, outside) = (root.join("allowed"), root.join("outside"));
    for folder in
        [allowed.join("sub/deep"), allowed.join("pictures"), allowed.join("empty"), outside.join("pictures")]
    {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(allowed.join("a.mp4"), "inside").unwrap();
    fs::write(allowed.join("sub/b.mp4"), "below").unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    for folder in [allowed.join("pictures"), outside.join("pictures")] {
        for name in ["2.PNG", "1.jpg", "notes.txt"] {
            fs::write(folder.join(name), name).unwrap();
        }
    }
    let rules = PathRules::on(linux(), std::slice::from_ref(&allowed), &[]).unwrap();
    Place { _folder: folder, allowed, outside, rules }
}

impl Place {
    fn given(&self, name: &str) -> String {
        format!("{}/{name}", self.allowed.display())
    }

    fn read(&self, name: &str) -> Result<String, Problem> {
        let mut opened = self.rules.open(&self.given(name))?;
        let mut text = String::new();
        opened.file.read_to_string(&mut text).unwrap();
        Ok(text)
    }
}

#[test]
fn files_and_links_to_the_inside_are_opened() {
    let place = place();
    symlink("a.mp4", place.allowed.join("relative")).unwrap();
    symlink("../a.mp4", place.allowed.join("sub/up")).unwrap();
    symlink(place.allowed.join("a.mp4"), place.allowed.join("absolute")).unwrap();
    symlink(place.allowed.join("sub"), place.allowed.join("folder")).unwrap();
    symlink("relative", place.allowed.join("twice")).unwrap();
    symlink("deep/../b.mp4", place.allowed.join("sub/around")).unwrap();
    for (name, content) in [
        ("a.mp4", "inside"),
        ("sub/b.mp4", "below"),
        ("sub//./b.mp4", "below"),
        ("relative", "inside"),
        ("sub/up", "inside"),
        ("absolute", "inside"),
        ("folder/b.mp4", "below"),
        ("twice", "inside"),
        ("sub/around", "below"),
    ] {
        assert_eq!(place.read(name).unwrap(), content, "{name}");
    }
    let opened = place.rules.open(&place.given("sub//b.mp4")).unwrap();
    assert_eq!((opened.given, opened.resolved), (place.given("sub//b.mp4"), place.allowed.join("sub/b.mp4")));
    assert!(!opened.is_folder);
}

#[test]
fn a_link_to_the_outside_is_refused_and_says_nothing_about_it() {
    let place = place();
    let links = [
        ("file", place.outside.join("secret")),
        ("missing", place.outside.join("missing")),
        ("relative", "../outside/secret".into()),
        ("relative-missing", "../outside/missing".into()),
        ("folder", place.outside.clone()),
        ("up", "..".into()),
        ("root", "/".into()),
        ("magic", "/proc/self/exe".into()),
        ("magic-root", "/proc/self/root".into()),
        ("circle", "circle".into()),
    ];
    for (name, target) in links {
        symlink(target, place.allowed.join(name)).unwrap();
    }
    let mut reasons = std::collections::BTreeSet::new();
    for name in [
        "file",
        "missing",
        "relative",
        "relative-missing",
        "folder",
        "folder/secret",
        "folder/missing",
        "folder/pictures",
        "up/outside/secret",
        "up/outside/missing",
        "root/etc/passwd",
        "root/no/such",
        "magic",
        "magic-root/etc/passwd",
        "circle",
        "circle/x",
    ] {
        let given = place.given(name);
        let (status, kind, detail) = refusal(place.rules.open(&given));
        assert_eq!((status, kind.as_str()), (403, "path-not-allowed"), "{name}: {detail}");
        reasons.insert(detail.replace(&given, "PATH"));
    }
    assert_eq!(reasons.len(), 1, "existing and missing files have the same words: {reasons:?}");
    for outside in ["secret", "missing"] {
        let given = place.outside.join(outside);
        let (status, _, detail) = refusal(place.rules.open(given.to_str().unwrap()));
        assert!(status == 403 && detail.contains("not below a folder that the server allows"), "{detail}");
    }
    // a name that only begins like the allowed folder
    let beside = format!("{}2/x", place.allowed.display());
    assert_eq!(refusal(place.rules.open(&beside)).0, 403);
}

#[test]
fn only_regular_files_and_folders_of_images_are_opened_and_nothing_blocks() {
    let place = place();
    let began = Instant::now();
    nix::unistd::mkfifo(&place.allowed.join("fifo.mp4"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(place.allowed.join("socket.mp4")).unwrap();
    for (name, kind, reason) in [
        ("fifo.mp4", "not-a-video", "a FIFO"),
        ("socket.mp4", "not-a-video", "a socket"),
        ("empty", "not-a-video", "no image"),
        ("", "not-a-video", "no image"),
        ("sub", "not-a-video", "no image"),
        ("none.mp4", "no-such-file", "no such file"),
        ("none/none.mp4", "no-such-file", "no such file"),
        ("a.mp4/x", "no-such-file", "no such file"),
        (&"e".repeat(256), "no-such-file", "cannot be opened"),
    ] {
        let (status, found, detail) = refusal(place.rules.open(&place.given(name)));
        assert!(status == 422 && found == kind && detail.contains(reason), "{name}: {found}: {detail}");
    }
    let everything = rules(linux(), &[]);
    for (given, reason) in [
        ("/dev/zero", "a device"),
        ("/dev/null", "a device"),
        ("/proc/self/environ", "kernel's state"),
        ("/proc/self", "kernel's state"),
        ("/sys/kernel/uevent_seqnum", "kernel's state"),
    ] {
        let (status, _, detail) = refusal(everything.open(given));
        assert!(status == 422 && detail.contains(reason), "{given}: {detail}");
    }
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_folder_gives_its_images_and_none_from_outside() {
    let place = place();
    let stop = AtomicBool::new(false);
    let folder = place.rules.open(&place.given("pictures")).unwrap();
    assert!(folder.is_folder);
    assert_eq!(folder.image_names().unwrap(), ["1.jpg", "2.PNG"]);
    let copies = place.outside.join("copies");
    let paths = folder.copy_images(&copies, 100, &stop).unwrap();
    assert_eq!(paths, [copies.join("1.jpg"), copies.join("2.PNG")]);
    assert_eq!(fs::read_to_string(&paths[1]).unwrap(), "2.PNG");
    assert_eq!(refusal(folder.copy_images(&copies, 9, &stop)).0, 413);
    assert!(folder.copy_images(&copies, 10, &stop).is_ok());
    assert_eq!(refusal(folder.copy_images(&copies, 100, &AtomicBool::new(true))).0, 422);
    for name in ["../a.mp4", "/etc/passwd", "none.jpg", "."] {
        assert!(folder.image(name).is_err(), "{name}");
    }
    symlink("1.jpg", place.allowed.join("pictures/3.jpg")).unwrap();
    assert_eq!(place.rules.open(&place.given("pictures")).unwrap().image_names().unwrap().len(), 3);
    // linked after the look: the copy refuses it
    symlink(place.outside.join("pictures/1.jpg"), place.allowed.join("pictures/4.jpg")).unwrap();
    let (status, _, detail) = refusal(folder.copy_images(&copies, 100, &stop));
    assert!(status == 403 && detail.contains("4.jpg"), "{detail}");
    assert_eq!(refusal(place.rules.open(&place.given("pictures"))).0, 403);
    fs::remove_file(place.allowed.join("pictures/4.jpg")).unwrap();
    nix::unistd::mkfifo(&place.allowed.join("pictures/4.jpg"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (status, _, detail) = refusal(place.rules.open(&place.given("pictures")));
    assert!(status == 422 && detail.contains("a FIFO"), "{detail}");
}

#[test]
fn an_allowed_folder_may_be_a_link() {
    let place = place();
    let link = place.outside.join("link");
    symlink(&place.allowed, &link).unwrap();
    let rules = PathRules::on(linux(), std::slice::from_ref(&link), &[]).unwrap();
    for given in [link.join("a.mp4"), place.allowed.join("a.mp4")] {
        assert!(rules.open(given.to_str().unwrap()).is_ok(), "{}", given.display());
    }
    let both = PathRules::on(linux(), &[place.allowed.clone(), place.outside.clone()], &[]).unwrap();
    symlink(place.outside.join("secret"), place.allowed.join("to-the-other")).unwrap();
    assert!(both.open(&place.given("to-the-other")).is_ok(), "a link from one allowed folder to another");
    assert_eq!(refusal(place.rules.open(&place.given("to-the-other"))).0, 403);
}

/// One thread swaps a folder and a file with links to the outside, another opens by both names.
#[test]
fn a_link_swapped_between_look_and_use_never_opens_the_outside() {
    let place = place();
    fs::write(place.outside.join("b.mp4"), "secret").unwrap();
    fs::write(place.allowed.join("file"), "inside").unwrap();
    symlink(place.outside.join("secret"), place.allowed.join("file-link")).unwrap();
    fs::create_dir(place.allowed.join("dir")).unwrap();
    fs::write(place.allowed.join("dir/b.mp4"), "inside").unwrap();
    symlink(&place.outside, place.allowed.join("dir-link")).unwrap();
    let done = AtomicBool::new(false);
    let (mut opened, mut refused, mut wrong) = (0_u64, 0_u64, None);
    let swaps = std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let at = |name: &str| place.allowed.join(name);
            let mut swaps = 0_u64;
            while !done.load(Ordering::Relaxed) {
                for name in ["file", "dir"] {
                    let link = at(&format!("{name}-link"));
                    fs::rename(at(name), at("spare")).unwrap();
                    fs::rename(&link, at(name)).unwrap();
                    fs::rename(at("spare"), &link).unwrap();
                }
                swaps += 1;
            }
            swaps
        });
        let began = Instant::now();
        // nothing may panic before the flag that ends the swapping thread is set
        while began.elapsed() < Duration::from_millis(1200) && wrong.is_none() {
            for name in ["file", "dir/b.mp4", "dir-link/b.mp4", "file-link"] {
                match place.read(name) {
                    Ok(text) if text == "inside" => opened += 1,
                    Ok(text) => wrong = Some(format!("{name}: {text}")),
                    Err(problem) if matches!(problem.name(), "path-not-allowed" | "no-such-file") => {
                        refused += 1
                    }
                    Err(problem) => wrong = Some(format!("{name}: {}", problem.detail)),
                }
            }
        }
        done.store(true, Ordering::Relaxed);
        swapper.join().unwrap()
    });
    assert_eq!(wrong, None);
    assert!(swaps > 20 && opened > 20 && refused > 20, "{swaps} swaps, {opened} opened, {refused} refused");
}
