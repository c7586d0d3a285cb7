//! Checks the ranks of modules: a module imports only from modules of lower rank.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every top-level module and its rank. `docs/ARCHITECTURE.md` describes them.
const MODULES: &[(&str, i8)] = &[
    ("main", 8),
    ("cli", 7),
    ("runner", 6),
    ("gpu_report", 6),
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
    // `person` uses vectors
    ("geometry", -1),
    // used by settings and tables
    ("labels", -1),
    // `files` and `children` use it
    ("scratch", -1),
    ("test_skip", -2),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rank(module: &str) -> Option<i8> {
    MODULES.iter().find(|(name, _)| *name == module).map(|(_, rank)| *rank)
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

/// The module that a file belongs to: the first part of its path below `src/`.
fn module_of(path: &Path) -> String {
    let below = path.strip_prefix(source()).unwrap();
    below.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_string()
}

/// The modules that a source text names as `crate::module`, or `crate::{module, ...}`.
fn imported_modules(text: &str) -> Vec<String> {
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

/// `text` without comment lines and without the unit tests at its end.
fn code_of(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Path of the module that a file holds, such as `["video", "jpeg", "scan"]`.
fn module_path(path: &Path) -> Vec<String> {
    let below = path.strip_prefix(source()).unwrap().with_extension("");
    let mut parts: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// Imports between the children of one module: parent, importing child, imported child.
fn sibling_imports(files: &[PathBuf]) -> BTreeSet<(Vec<String>, String, String)> {
    let modules: BTreeSet<Vec<String>> = files.iter().map(|path| module_path(path)).collect();
    let mut imports = BTreeSet::new();
    for path in files {
        let module = module_path(path);
        let is_test =
            |part: &String| part == "tests" || part.starts_with("tests_") || part.starts_with("test_");
        if module.iter().any(is_test) {
            continue;
        }
        let code = code_of(&fs::read_to_string(path).unwrap());
        let mut base = module.clone();
        for (at, _) in code.match_indices("super::") {
            if code[..at].ends_with("super::") {
                continue;
            }
            let mut rest = &code[at..];
            base.clone_from(&module);
            while let Some(after) = rest.strip_prefix("super::") {
                base.pop();
                rest = after;
            }
            for name in first_names(rest) {
                let mut target = base.clone();
                target.push(name.clone());
                if base.len() < module.len() && modules.contains(&target) && module[base.len()] != name {
                    imports.insert((base.clone(), module[base.len()].clone(), name));
                }
            }
        }
    }
    imports
}

/// The first path segment of an import, or those of its `{...}` group.
fn first_names(import: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
    };
    let Some(group) = import.strip_prefix('{') else { return vec![word(import)] };
    let (mut depth, mut names, mut current) = (0, Vec::new(), String::new());
    for letter in group.chars() {
        match letter {
            '}' if depth == 0 => break,
            ',' if depth == 0 => names.push(word(&std::mem::take(&mut current))),
            '{' => depth += 1,
            '}' => depth -= 1,
            _ if depth == 0 => current.push(letter),
            _ => {}
        }
    }
    names.push(word(&current));
    names
}

#[test]
fn submodules_do_not_import_each_other_in_circles() {
    let mut files = Vec::new();
    rust_files(&source(), &mut files);
    let imports = sibling_imports(&files);
    let mut edges: BTreeMap<(Vec<String>, String), Vec<String>> = BTreeMap::new();
    for (parent, from, to) in imports {
        edges.entry((parent, from)).or_default().push(to);
    }
    let mut circles = BTreeSet::new();
    for (parent, start) in edges.keys() {
        // depth-first from each module; a path that returns to its start is a circle
        let mut paths = vec![vec![start.clone()]];
        let mut visited = BTreeSet::new();
        while let Some(path) = paths.pop() {
            let last = path.last().unwrap().clone();
            for next in edges.get(&(parent.clone(), last)).into_iter().flatten() {
                if next == start {
                    let smallest = path.iter().min().unwrap();
                    if smallest == start {
                        circles.insert(format!("{}: {} -> {start}", parent.join("::"), path.join(" -> ")));
                    }
                } else if visited.insert(next.clone()) {
                    paths.push([path.clone(), vec![next.clone()]].concat());
                }
            }
        }
    }
    assert!(circles.is_empty(), "{}", circles.into_iter().collect::<Vec<_>>().join("\n"));
}

/// Words that used to name things here and that readers had to translate.
const PRIVATE_WORDS: &[&str] = &[
    "sight",
    "foresee",
    "foreseen",
    "figurant",
    "last_words",
    "errand",
    "leash",
    "foretell",
    "grow_older",
    "twins_before",
];

#[test]
fn private_words_do_not_return() {
    let mut files = Vec::new();
    rust_files(&source(), &mut files);
    let mut found = Vec::new();
    for path in &files {
        for (index, line) in fs::read_to_string(path).unwrap().lines().enumerate() {
            let mut words = line.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
            if let Some(word) = words.find(|word| PRIVATE_WORDS.contains(&word.to_lowercase().as_str())) {
                found.push(format!("{}:{}: {word}", path.display(), index + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn modules_import_only_from_lower_ranks() {
    let mut files = Vec::new();
    rust_files(&source(), &mut files);
    let mut errors = Vec::new();
    for path in &files {
        let module = module_of(path);
        if module == "lib" {
            continue;
        }
        let Some(own) = rank(&module) else {
            errors.push(format!("{} is in no module of the table", path.display()));
            continue;
        };
        for other in imported_modules(&fs::read_to_string(path).unwrap()) {
            if other == module {
                continue;
            }
            match rank(&other) {
                Some(rank) if rank < own => {}
                Some(rank) => {
                    errors.push(format!("{} (rank {own}) imports {other} (rank {rank})", path.display()))
                }
                None => errors
                    .push(format!("{} imports crate::{other}, which is not in the table", path.display())),
            }
        }
    }
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn imports_are_read_in_every_form() {
    let text = "use crate::frame::Frame;\n// use crate::no\nuse crate::{body::{Body, tensor}, nn};\nlet x = crate::video::open();";
    assert_eq!(imported_modules(text), ["frame", "body", "nn", "video"]);
}

#[test]
fn no_file_is_longer_than_600_lines() {
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
