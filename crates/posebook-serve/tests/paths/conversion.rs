//! From what a client writes to a path of the server.

use crate::{linux, maps, refusal, rules, wsl};
use posebook_serve::paths::{Machine, PathRules};
use proptest::prelude::*;
use std::fs;
use std::path::{Component, Path, PathBuf};

#[test]
fn paths_of_windows_become_those_of_wsl() {
    let rules = rules(wsl(), &[]);
    for (given, resolved) in [
        (r"C:\Users\me\a b.mp4", "/mnt/c/Users/me/a b.mp4"),
        ("c:/Users/me/a b.mp4", "/mnt/c/Users/me/a b.mp4"),
        (r"D:\x\.\\y.mp4", "/mnt/d/x/y.mp4"),
        (r"z:\", "/mnt/z"),
        (r#""C:\Users\me\copied as path.mp4""#, "/mnt/c/Users/me/copied as path.mp4"),
        ("file:///C:/Users/me/a%20b.mp4", "/mnt/c/Users/me/a b.mp4"),
        ("FILE:///c:/%C3%A9.mp4", "/mnt/c/é.mp4"),
        ("file:/C:/a.mp4", "/mnt/c/a.mp4"),
        ("file://localhost/srv/x.mp4", "/srv/x.mp4"),
        ("file:///srv/100%25.mp4", "/srv/100%.mp4"),
        (r"\\wsl$\Ubuntu\srv\x", "/srv/x"),
        (r"\\WSL.localhost\ubuntu\srv\X y", "/srv/X y"),
        ("//wsl.localhost/Ubuntu/srv/x", "/srv/x"),
        ("file://wsl.localhost/Ubuntu/srv/x", "/srv/x"),
        ("/mnt/c/Users/x", "/mnt/c/Users/x"),
    ] {
        assert_eq!(rules.resolve(given).unwrap(), Path::new(resolved), "{given}");
    }
    // where `/` is allowed, a folder `/c` of Linux is meant; elsewhere the drive of Git Bash and Cygwin
    assert_eq!(rules.resolve("/c/Users/x").unwrap(), Path::new("/c/Users/x"));
    let folder = tempfile::tempdir().unwrap();
    let allowed = PathRules::on(wsl(), &[folder.path().into()], &[]).unwrap();
    for given in ["/c/Users/x", "/C/Users/x", "/cygdrive/c/Users/x"] {
        let (status, _, detail) = refusal(allowed.resolve(given));
        assert!(status == 403 && detail.contains("it is /mnt/c/Users/x, which is not below"), "{detail}");
    }
}

#[test]
fn maps_come_first_and_the_longest_wins() {
    let rules = rules(
        wsl(),
        &[
            (r"\\nas\clips", "/srv/clips"),
            (r"\\nas\clips\Old\", "/srv/old/"),
            ("/data", "/host/data"),
            ("/data/big", "/host/big"),
            ("C:", "/drives/c"),
            (r"C:\Videos", "/srv/videos"),
            ("/d/x", "/literal"),
        ],
    );
    for (given, resolved) in [
        (r"\\nas\clips\a.mp4", "/srv/clips/a.mp4"),
        (r"\\NAS\Clips\Sub\a.mp4", "/srv/clips/Sub/a.mp4"),
        ("//nas/clips/a.mp4", "/srv/clips/a.mp4"),
        ("file://nas/clips/a%20b.mp4", "/srv/clips/a b.mp4"),
        ("file:////nas/clips/a.mp4", "/srv/clips/a.mp4"),
        (r"\\nas\clips\old\a.mp4", "/srv/old/a.mp4"),
        (r"\\nas\clips\older\a.mp4", "/srv/clips/older/a.mp4"),
        (r"\\nas\clips", "/srv/clips"),
        ("/data/a.mp4", "/host/data/a.mp4"),
        ("/data/big/a.mp4", "/host/big/a.mp4"),
        ("/data/bigger/a.mp4", "/host/data/bigger/a.mp4"),
        ("/database/a.mp4", "/database/a.mp4"),
        ("/DATA/a.mp4", "/DATA/a.mp4"),
        (r"c:\x.mp4", "/drives/c/x.mp4"),
        (r"c:\VIDEOS/x.mp4", "/srv/videos/x.mp4"),
        ("/c/videos/x.mp4", "/srv/videos/x.mp4"),
        ("/cygdrive/c/x.mp4", "/drives/c/x.mp4"),
        ("/d/x/y.mp4", "/literal/y.mp4"),
    ] {
        assert_eq!(rules.resolve(given).unwrap(), Path::new(resolved), "{given}");
    }
}

#[test]
fn maps_lead_back_to_the_clients_form() {
    let rules = rules(
        linux(),
        &[(r"\\nas\clips", "/srv/clips"), ("C:/", "/drives/c"), ("/data", "/host"), ("D:", "/d")],
    );
    for (path, client) in [
        ("/srv/clips/a b/c.mp4", r"\\nas\clips\a b\c.mp4"),
        ("/srv/clips", r"\\nas\clips"),
        ("/d", r"D:\"),
        ("/drives/c/x/y", "C:/x/y"),
        ("/d/x/y", r"D:\x\y"),
        ("/host/a", "/data/a"),
        ("/hosts/a", "/hosts/a"),
        (r"/srv/clips/a\b", r"/srv/clips/a\b"),
        ("/srv/clips/a:b", "/srv/clips/a:b"),
        ("/elsewhere", "/elsewhere"),
    ] {
        assert_eq!(rules.to_client(path), client);
        assert_eq!(rules.resolve(client).unwrap(), Path::new(path));
    }
}

#[test]
fn a_path_that_names_no_file_is_refused_with_the_reason() {
    let long = format!("/{}", "a".repeat(4096));
    for (given, reason) in [
        ("", "it is empty"),
        (r"\\?\C:\a.mp4", r"`\\?\`"),
        ("//?/C:/a.mp4", r"`\\?\`"),
        (r"\\.\PhysicalDrive0", r"`\\.\`"),
        (r"\\.\pipe\x", r"`\\.\`"),
        ("file:////./pipe/x", r"`\\.\`"),
        (r"\??\C:\a", "relative to a drive"),
        ("C:a.mp4", "current folder of drive C"),
        ("c:", "current folder of drive C"),
        ("file:///C:a.mp4", "current folder of drive C"),
        (r"C:\a.mp4:stream", "alternate stream"),
        (r"C:\a.mp4::$DATA", "alternate stream"),
        ("a.mp4:stream", "alternate stream"),
        ("CON", "device of Windows"),
        ("nul.mp4", "device of Windows"),
        (r"C:\x\con", "device of Windows"),
        (r"C:\x\NUL.tar.gz", "device of Windows"),
        (r"C:\x\com1.mp4", "device of Windows"),
        (r"C:\x\LPT³", "device of Windows"),
        (r"C:\aux \a.mp4", "device of Windows"),
        (r"C:\conin$", "device of Windows"),
        (r"\\nas\clips\prn.mp4", "device of Windows"),
        (r"C:\a.mp4.", "ends with a dot or a space"),
        (r"C:\a.mp4 ", "ends with a dot or a space"),
        (r"C:\folder.\a.mp4", "ends with a dot or a space"),
        (r"C:\a?.mp4", "the character `?`"),
        (r"C:\a|b.mp4", "the character `|`"),
        ("/clips/a\0.mp4", "NUL"),
        ("file:///clips/a%00.mp4", "NUL"),
        ("/clips/a\r\n.mp4", "control character U+000D"),
        ("/clips/\u{1b}[31m.mp4", "control character U+001B"),
        ("/clips/\u{9b}.mp4", "control character U+009B"),
        ("file:///clips/%0a.mp4", "control character U+000A"),
        (&long, "4097 bytes"),
        ("file:///clips/%ff%fe.mp4", "not UTF-8"),
        ("file:///clips/a.mp4?x", "%3F"),
        ("file:///clips/a.mp4#x", "%23"),
        ("file:a.mp4", "relative path"),
        ("file://nas", "has a path"),
        ("a.mp4", "relative path"),
        ("./a.mp4", "relative path"),
        ("~/a.mp4", "relative path"),
        ("-i", "relative path"),
        (r"\a.mp4", "relative to a drive"),
        (r"\\", "no host"),
        (r"\\\a\b", "no host"),
        ("/clips/../etc/passwd", "`..`"),
        ("/..", "`..`"),
        ("file:///clips/%2e%2e/etc/passwd", "`..`"),
        ("file:///clips/..%2fetc", "`..`"),
        (r"C:\a\..\b", "`..`"),
        (r"\\nas\clips\..\..\x", "`..`"),
        ("..", "`..`"),
        ("http://example.com/a.mp4", "it is an address"),
    ] {
        for machine in [linux(), wsl()] {
            let (status, name, detail) = refusal(rules(machine, &[]).resolve(given));
            assert!(
                status == 422 && name == "malformed" && detail.contains(reason),
                "{given:?}: {name}: {detail}"
            );
            assert!(!detail.contains(char::is_control) && detail.len() < 700, "{detail:?}");
        }
    }
}

#[test]
fn a_path_elsewhere_is_refused_with_the_option_that_would_help() {
    let on = |machine| rules(machine, &[]);
    for (machine, given, reason) in [
        (linux(), r"C:\a.mp4", "--map C:=FOLDER"),
        (linux(), r"\\nas\clips\a.mp4", r"--map '\\nas\clips=FOLDER'"),
        (wsl(), r"\\nas\clips\a.mp4", r"--map '\\nas\clips=FOLDER'"),
        (linux(), r"\\wsl$\Ubuntu\a.mp4", "does not run in the Windows Subsystem"),
        (wsl(), r"\\wsl$\Debian\a.mp4", "the distribution `Debian`, the server is in `Ubuntu`"),
        (wsl(), r"\\wsl.localhost", "the distribution ``"),
    ] {
        let (status, name, detail) = refusal(on(machine).resolve(given));
        assert!(status == 403 && name == "path-not-allowed" && detail.contains(reason), "{given}: {detail}");
    }
    let none = PathRules::on(linux(), &[], &maps(&[("/a", "/b")])).unwrap();
    for given in ["/a", "", "CON"] {
        let (status, name, detail) = refusal(none.open(given));
        assert!(status == 403 && name == "path-not-allowed" && detail.contains("--allow FOLDER"), "{detail}");
    }
}

#[test]
fn wsl_is_recognized_by_the_kernels_release() {
    assert!(Machine::from_release("4.4.0-19041-Microsoft", None).is_wsl);
    let other = Machine::from_release("6.1.0-18-amd64", Some("Ubuntu".into()));
    assert_eq!(other, Machine::default());
}

#[test]
fn invalid_options_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let allow = |path: &Path| PathRules::on(linux(), &[path.into()], &[]).unwrap_err();
    assert!(allow(&file).contains("not a folder"), "{}", allow(&file));
    let missing = allow(&folder.path().join("missing"));
    assert!(missing.contains("missing") && missing.contains("create the folder"), "{missing}");
    for (from, to, reason) in [
        ("data", "/x", "relative path"),
        ("/data", "x", "relative path"),
        ("/data", r"C:\x", "not a folder of the server"),
        ("/data", "/x/../y", "`..`"),
        (r"\\?\C:\", "/x", r"`\\?\`"),
        ("", "/x", "empty"),
    ] {
        let error = PathRules::on(linux(), &[], &maps(&[(from, to)])).unwrap_err();
        assert!(error.contains(reason) && error.contains("--map"), "{error}");
    }
    let twice = maps(&[(r"C:\Clips", "/x"), ("c:/CLIPS/", "/y")]);
    assert!(PathRules::on(linux(), &[], &twice).unwrap_err().contains("already"));
}

/// Pieces that paths of all systems are made of.
fn pieces() -> impl Strategy<Value = String> {
    let fixed = [
        "/",
        "\\",
        "//",
        r"\\",
        ":",
        ".",
        "..",
        "C:",
        "c:/",
        "file:",
        "file:///",
        "%2e",
        "%2f",
        "%00",
        "%ff",
        "?",
        "*",
        "nas",
        "clips",
        "wsl$",
        "wsl.localhost",
        "Ubuntu",
        "CON",
        "nul",
        "COM1",
        "cygdrive",
        "mnt",
        "data",
        "tmp",
        "allowed",
        "a.mp4",
        " ",
        "\"",
        "~",
        "é",
        "İ",
        "ß",
        "\u{202e}",
        "\0",
        "\n",
        "-",
    ];
    let piece = prop_oneof![8 => proptest::sample::select(fixed.to_vec()).prop_map(String::from), 1 => any::<String>()];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_resolved_lies_below_an_allowed_folder(given in pieces(), in_wsl: bool) {
        let machine = if in_wsl { wsl() } else { linux() };
        let allowed: [PathBuf; 2] = ["/tmp".into(), "/usr".into()];
        let maps = maps(&[(r"\\nas\clips", "/tmp/nas"), ("/data", "/usr/data"), (r"C:\", "/tmp/c"), ("/c", "/etc")]);
        let rules = PathRules::on(machine, &allowed, &maps).unwrap();
        for given in [given.clone(), format!("/tmp/{given}"), format!(r"C:\{given}"), format!(r"\\nas\clips\{given}")] {
            match rules.resolve(&given) {
                Ok(path) => {
                    prop_assert!(allowed.iter().any(|folder| path.starts_with(folder)), "{given:?} {path:?}");
                    let is_plain = path.components().all(|part| !matches!(part, Component::ParentDir));
                    prop_assert!(is_plain && path.is_absolute(), "{given:?} {path:?}");
                    let client = rules.to_client(path.to_str().unwrap());
                    prop_assert_eq!(rules.resolve(&client).ok(), Some(path), "{:?}", client);
                }
                Err(problem) => prop_assert!(matches!(problem.status, 403 | 422), "{given:?}"),
            }
            if let Err(problem) = rules.open(&given) {
                prop_assert!(matches!(problem.status, 403 | 422), "{given:?}");
            }
        }
    }
}
