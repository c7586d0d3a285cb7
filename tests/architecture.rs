//! Holds the house's plan: a room imports only from rooms of strictly lower rank.

use std::fs;
use std::path::{Path, PathBuf};

/// Every room and its rank. `src/lib.rs` explains what happens in each.
const ROOMS: &[(&str, i8)] = &[
    ("main", 8),
    ("cli", 7),
    ("runner", 6),
    ("survey", 6),
    ("reference", 6),
    ("report", 5),
    ("experiment", 4),
    ("speed", 4),
    ("train", 4),
    ("tables", 3),
    ("parity", 3),
    ("import", 4),
    ("dataset", 3),
    ("recovery", 3),
    ("video", 2),
    ("detect", 2),
    ("fetch", 2),
    ("hmr2", 2),
    ("blazepose", 2),
    ("fit", 2),
    ("phalp", 2),
    ("metrics", 2),
    ("memory", 2),
    ("body", 1),
    ("device", 1),
    ("render", 1),
    ("motchallenge", 1),
    ("nn", 1),
    ("landmarks", 1),
    ("tfjs", 1),
    ("tflite", 1),
    ("warp", 1),
    ("sources", 1),
    ("pickle", 1),
    ("archive", 0),
    ("assignment", 0),
    ("children", 0),
    ("ffmpeg", 0),
    ("files", 0),
    ("frame", 0),
    ("npz", 0),
    ("person", 0),
    ("provenance", 0),
    ("random", 0),
    // persons are made of vectors
    ("geometry", -1),
    // files and child processes are named and asked after by it
    ("scratch", -1),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rank(room: &str) -> Option<i8> {
    ROOMS.iter().find(|(name, _)| *name == room).map(|(_, rank)| *rank)
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The room a file belongs to: the first part of its path below `src/`.
fn room_of(path: &Path) -> String {
    let below = path.strip_prefix(source()).unwrap();
    below.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_string()
}

/// The rooms that a source text names as `crate::room`, or `crate::{room, ...}`.
fn rooms_named_in(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut named = Vec::new();
    for tail in code.split("crate::").skip(1) {
        if let Some(group) = tail.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for letter in group.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => named.push(std::mem::take(&mut word)),
                    _ if depth == 0 => word.push(letter),
                    _ => {}
                }
            }
            named.push(word);
        } else {
            named.push(tail.to_string());
        }
    }
    let name = |text: String| {
        text.trim()
            .chars()
            .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
            .collect::<String>()
    };
    named.into_iter().map(name).filter(|name| !name.is_empty()).collect()
}

#[test]
fn rooms_import_only_from_below() {
    let mut files = Vec::new();
    rust_files(&source(), &mut files);
    let mut faults = Vec::new();
    for path in &files {
        let room = room_of(path);
        if room == "lib" {
            continue;
        }
        let Some(own) = rank(&room) else {
            faults.push(format!("{} is in no known room", path.display()));
            continue;
        };
        for other in rooms_named_in(&fs::read_to_string(path).unwrap()) {
            if other == room {
                continue;
            }
            match rank(&other) {
                Some(rank) if rank < own => {}
                Some(rank) => {
                    faults.push(format!("{} (rank {own}) imports {other} (rank {rank})", path.display()))
                }
                None => faults.push(format!("{} imports crate::{other}, which is no room", path.display())),
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn imports_are_read_in_every_form() {
    let text = "use crate::frame::Frame;\n// use crate::no\nuse crate::{body::{Body, tensor}, nn};\nlet x = crate::video::open();";
    assert_eq!(rooms_named_in(text), ["frame", "body", "nn", "video"]);
}

#[test]
fn no_file_is_longer_than_one_reading() {
    let mut files = Vec::new();
    rust_files(&source(), &mut files);
    let long: Vec<String> = files
        .iter()
        .map(|path| (path, fs::read_to_string(path).unwrap().lines().count()))
        .filter(|(_, lines)| *lines > 600)
        .map(|(path, lines)| format!("{lines} lines: {}", path.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}
