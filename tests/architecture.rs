//! Checks what cargo cannot: the order of modules inside a crate, where an external crate may be used, and that the
//! crates of the workspace keep to their dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every crate, the crates of the workspace in its `[dependencies]`, and external crates that it must not have there.
const CRATES: &[(&str, &[&str], &[&str])] = &[
    ("core", &[], &["candle-core", "polars", "clap"]),
    ("video", &["core"], &["candle-core", "polars", "clap"]),
    ("track", &["core"], &["candle-core", "polars", "clap"]),
    ("models", &["core"], &["polars", "clap"]),
    ("synth", &["core", "models", "track"], &["polars", "clap"]),
    ("notebook", &["core"], &["candle-core", "clap"]),
    ("export", &["core", "models"], &["candle-core", "polars", "clap"]),
    ("serve", &["core"], &["candle-core", "polars", "clap"]),
    (
        "root",
        &["core", "video", "track", "models", "synth", "notebook", "export", "serve"],
        &["polars", "plotters", "symphonia", "axum", "hyper", "rusqlite", "tokio"],
    ),
];

/// The top-level modules of the root package by rank: a module imports only from modules of lower rank.
const RANKS: &[(&str, u8)] = &[
    ("cli", 3),
    ("service", 2),
    ("gpu_report", 2),
    ("runner", 1),
    ("experiment", 0),
    ("dataset", 0),
    ("parity", 0),
    ("speed", 0),
    ("reference", 0),
];

/// External crates that only some modules may use, and these modules: `crate`, or `crate::module`.
const USERS: &[(&str, &[&str])] = &[
    // networks
    (
        "candle_core",
        &[
            "models",
            "synth::train",
            "root::parity",
            "root::speed",
            "root::gpu_report",
            "root::runner",
            "root::cli",
        ],
    ),
    ("candle_nn", &["models", "synth::train", "root::parity", "root::speed"]),
    ("safetensors", &["models", "synth::train"]),
    ("gemm", &["models::nn"]),
    ("memmap2", &["models::nn"]),
    // video, images, archives
    ("ffmpeg_sidecar", &["video::ffmpeg", "video::decode", "video::encode"]),
    ("symphonia", &["video::probe"]),
    ("image", &["video::images", "video::sources", "synth::render", "synth::train"]),
    ("jpeg_encoder", &["video::images", "synth::train"]),
    ("zip", &["core::archive", "serve::http"]),
    ("tar", &["core::archive"]),
    // tables and reports
    ("polars", &["notebook::tables"]),
    ("polars_io", &["notebook::tables"]),
    ("plotters", &["notebook::report::figure"]),
    ("maud", &["notebook::report", "serve::page"]),
    ("pulldown_cmark", &["notebook::report"]),
    // the service
    ("axum", &["serve"]),
    ("hyper", &["serve::http"]),
    ("hyper_util", &["serve::http"]),
    ("rusqlite", &["serve::store"]),
    ("tokio", &["serve"]),
    ("tower", &["serve"]),
    ("url", &["serve"]),
    ("uuid", &["serve"]),
    // the command line
    ("anyhow", &["root::cli", "root::main"]),
    ("clap", &["root::cli", "root::main"]),
    ("clap_complete", &["root::cli"]),
    ("indicatif", &["root::cli", "root::runner::project"]),
    ("ctrlc", &["root::runner::project"]),
    // the system
    ("nix", &["core", "video::decode", "serve", "root::runner"]),
    ("nvml_wrapper", &["core::memory"]),
    ("rand", &["core::random"]),
    ("rand_chacha", &["core::random"]),
];

/// Modules that hold the state that other modules of their parent share: they contain these modules' types, and these modules get
/// them. An import of such a module is no part of a circle.
const SHARED_STATE: &[(&str, &str)] = &[("serve", "service")];

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

/// The folder of a crate's manifest.
fn folder_of(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if name == "root" { root.to_path_buf() } else { root.join(format!("crates/posebook-{name}")) }
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every Rust file of every crate: sources, tests, examples and benchmarks.
fn all_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (name, ..) in CRATES {
        for kind in ["src", "tests", "examples", "benches"] {
            rust_files(&folder_of(name).join(kind), &mut found);
        }
    }
    found.retain(|path| !path.ends_with("tests/architecture.rs"));
    found
}

/// A source file without comments and unit tests.
struct Source {
    file: PathBuf,
    /// Path of its module below the crate, such as `["images", "jpeg", "scan"]`.
    module: Vec<String>,
    code: String,
}

/// The sources of a crate, without files of tests.
fn sources_of(name: &str) -> Vec<Source> {
    let folder = folder_of(name).join("src");
    let mut files = Vec::new();
    rust_files(&folder, &mut files);
    let sources = files.into_iter().map(|file| {
        let below = file.strip_prefix(&folder).unwrap().with_extension("");
        let mut module: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if module.last().is_some_and(|last| last == "mod" || last == "lib") {
            module.pop();
        }
        let text = fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        Source { code: lines.collect::<Vec<_>>().join("\n"), file, module }
    });
    let is_test = |part: &String| part.split('_').any(|word| word == "test" || word == "tests");
    sources.filter(|source| !source.module.iter().any(is_test)).collect()
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The rest of `code` from every place where it has the path segment `name` at the start of a path.
fn paths_from<'c>(code: &'c str, name: &'c str) -> impl Iterator<Item = &'c str> {
    let starts = |at: usize| {
        code[at + name.len()..].starts_with("::")
            && !code[..at].ends_with(|letter| is_word(letter) || letter == ':' || letter == '.')
    };
    code.match_indices(name).filter(move |(at, _)| starts(*at)).map(|(at, _)| &code[at..])
}

/// Adds the paths that `text` starts with: `a::{b, c::d}` gives two. Returns the rest of `text`.
fn read_paths<'t>(mut text: &'t str, mut path: Vec<String>, found: &mut Vec<Vec<String>>) -> &'t str {
    loop {
        text = text.trim_start();
        if let Some(mut rest) = text.strip_prefix('{') {
            loop {
                rest = read_paths(rest, path.clone(), found).trim_start();
                if rest.starts_with("as ") {
                    rest = rest.trim_start_matches(|letter| letter != ',' && letter != '}');
                }
                match rest.strip_prefix(',') {
                    Some(more) => rest = more,
                    None => return rest.strip_prefix('}').unwrap_or(rest),
                }
            }
        }
        let (word, rest) = text.split_at(text.find(|letter| !is_word(letter)).unwrap_or(text.len()));
        match word {
            "" | "self" => {}
            "crate" => path.clear(),
            "super" => drop(path.pop()),
            _ => path.push(word.to_string()),
        }
        match rest.strip_prefix("::") {
            Some(more) => text = more,
            None => {
                found.push(path);
                return rest;
            }
        }
    }
}

/// The paths below its crate that a source names with `crate::` or `super::`.
fn internal_paths(source: &Source) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate", "super"] {
        for text in paths_from(&source.code, start) {
            read_paths(text, source.module.clone(), &mut found);
        }
    }
    found
}

fn assert_none(problems: Vec<String>) {
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn crates_depend_only_on_what_the_table_allows() {
    let mut problems = Vec::new();
    for (name, ours, forbidden) in CRATES {
        let path = folder_of(name).join("Cargo.toml");
        let manifest = fs::read_to_string(&path).unwrap();
        if !manifest.contains("\n[lints]\nworkspace = true\n") {
            problems.push(format!("{} does not inherit the lints of the workspace", path.display()));
        }
        let dependencies = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        for line in dependencies.lines().filter(|line| !line.starts_with('#')) {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            let is_allowed = match dependency.strip_prefix("posebook-") {
                Some(other) => ours.contains(&other),
                None => !forbidden.contains(&dependency),
            };
            if !is_allowed {
                problems.push(format!("{} may not depend on {dependency}", path.display()));
            }
        }
    }
    assert_none(problems);
}

#[test]
fn external_crates_are_used_where_the_table_allows() {
    let mut problems = Vec::new();
    for (name, ..) in CRATES {
        for source in sources_of(name) {
            let own = [vec![name.to_string()], source.module.clone()].concat();
            let is_within =
                |user: &&str| own.starts_with(&user.split("::").map(String::from).collect::<Vec<_>>());
            for (external, users) in USERS {
                if !users.iter().any(is_within) && paths_from(&source.code, external).next().is_some() {
                    problems.push(format!("{} may not use {external}", source.file.display()));
                }
            }
        }
    }
    assert_none(problems);
}

#[test]
fn modules_of_the_root_import_only_from_lower_ranks() {
    let rank = |module: &str| RANKS.iter().find(|(name, _)| *name == module).map(|(_, rank)| *rank);
    let mut problems = Vec::new();
    for source in sources_of("root") {
        let Some(module) = source.module.first().filter(|module| *module != "main") else { continue };
        let Some(own) = rank(module) else {
            problems.push(format!("{} is in no module of the table", source.file.display()));
            continue;
        };
        let others: BTreeSet<String> =
            internal_paths(&source).into_iter().filter_map(|path| path.into_iter().next()).collect();
        for other in others.iter().filter(|other| *other != module) {
            if rank(other).is_none_or(|rank| rank >= own) {
                problems.push(format!("{} may not import {other}", source.file.display()));
            }
        }
    }
    assert_none(problems);
}

#[test]
fn sibling_modules_do_not_import_each_other_in_circles() {
    let mut problems = BTreeSet::new();
    for (name, ..) in CRATES {
        let sources = sources_of(name);
        // imports between the children of one module, by parent and importing child
        let mut imports: BTreeMap<(&[String], &str), BTreeSet<String>> = BTreeMap::new();
        let modules: BTreeSet<&[String]> = sources
            .iter()
            .flat_map(|source| (1..=source.module.len()).map(|end| &source.module[..end]))
            .collect();
        for source in &sources {
            let own = &source.module;
            for path in internal_paths(source) {
                let shared = own.iter().zip(&path).take_while(|(a, b)| a == b).count();
                let is_shared_state =
                    shared == 0 && path.first().is_some_and(|first| SHARED_STATE.contains(&(name, first)));
                if is_shared_state {
                    continue;
                }
                if shared < own.len() && shared < path.len() && modules.contains(&path[..=shared]) {
                    imports.entry((&own[..shared], &own[shared])).or_default().insert(path[shared].clone());
                }
            }
        }
        for (parent, start) in imports.keys() {
            // depth-first from each module; a path that returns to its start is a circle
            let mut paths = vec![vec![start.to_string()]];
            let mut visited = BTreeSet::new();
            while let Some(path) = paths.pop() {
                for next in imports.get(&(*parent, path[path.len() - 1].as_str())).into_iter().flatten() {
                    if next == start {
                        if path.iter().all(|module| module.as_str() >= *start) {
                            let parent = parent.join("::");
                            problems.insert(format!("{name}::{parent}: {} -> {start}", path.join(" -> ")));
                        }
                    } else if visited.insert(next.clone()) {
                        paths.push([path.clone(), vec![next.clone()]].concat());
                    }
                }
            }
        }
    }
    assert_none(problems.into_iter().collect());
}

#[test]
fn paths_are_read_in_every_form() {
    let code =
        "use crate::frame::Frame;\nuse crate::{body::{Body, tensor as t}, nn};\nlet x = super::open();";
    let source = Source { file: PathBuf::new(), module: vec!["a".into(), "b".into()], code: code.into() };
    let paths: Vec<String> = internal_paths(&source).into_iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["frame::Frame", "body::Body", "body::tensor", "nn", "a::open"]);
}

#[test]
fn private_words_do_not_return() {
    let mut problems = Vec::new();
    for path in all_files() {
        for (index, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let mut words = line.split(|letter: char| !is_word(letter));
            if let Some(word) = words.find(|word| PRIVATE_WORDS.contains(&word.to_lowercase().as_str())) {
                problems.push(format!("{}:{}: {word}", path.display(), index + 1));
            }
        }
    }
    assert_none(problems);
}

#[test]
fn no_file_is_longer_than_600_lines() {
    let lines = |path: &PathBuf| fs::read_to_string(path).unwrap().lines().count();
    let long = all_files().into_iter().map(|path| (lines(&path), path)).filter(|(lines, _)| *lines > 600);
    assert_none(long.map(|(lines, path)| format!("{lines} lines: {}", path.display())).collect());
}
