//! Prints PHALP's settings: as YAML (`--cfg job`), as a list (`--info`), and as the document `docs/PHALP_SETTINGS.md`.

use super::table::CACHE;
use super::{CommandLine, Handling, KEYS, PhalpKey};
use std::fmt::Write;

/// The configuration of a command line as YAML, in PHALP's order.
pub(super) fn yaml(line: &CommandLine) -> String {
    let mut text = String::new();
    let mut open_groups: Vec<&str> = Vec::new();
    for known in KEYS {
        let mut parts: Vec<&str> = known.key.split('.').collect();
        let name = parts.pop().unwrap_or_default();
        let common = parts.iter().zip(&open_groups).take_while(|(part, open)| part == open).count();
        for (depth, group) in parts.iter().enumerate().skip(common) {
            // writing to a string does not fail
            let _ = writeln!(text, "{}{group}:", "  ".repeat(depth));
        }
        let value = line.values.user(known.key).map_or_else(|| default_value(line, known), yaml_scalar);
        let _ = writeln!(text, "{}{name}: {value}", "  ".repeat(parts.len()));
        open_groups = parts;
    }
    text
}

/// The default of a setting without a user's value: the preset's, or posebook's in PHALP's terms.
fn default_value(line: &CommandLine, known: &PhalpKey) -> String {
    let plain = known.plain.unwrap_or(known.phalp);
    let value = line.preset.map_or(plain, |preset| preset.default_of(known));
    if is_path(known) { format!("{CACHE}{value}") } else { value.to_string() }
}

/// Whether the default is a path in PHALP's cache.
fn is_path(known: &PhalpKey) -> bool {
    known.phalp.starts_with("phalp/")
}

/// A value of the user as YAML: with quotes where it would mean something else.
fn yaml_scalar(text: &str) -> String {
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./[],+ ".contains(c))
        && text.trim() == text
        && !text.is_empty();
    if is_plain || text == "???" { text.to_string() } else { format!("'{}'", text.replace('\'', "''")) }
}

/// What happens with a value, in one sentence.
fn what_happens(known: &PhalpKey) -> String {
    match known.handling {
        Handling::Setting(key) => format!("`{key}`"),
        Handling::Translated(_, to) | Handling::Frames(to) => to.to_string(),
        Handling::Fixed(reason) => format!("another value is refused: {reason}"),
        Handling::File(how) => format!("another path is refused: {how}"),
        Handling::Dead(reason) => format!("no effect: {reason}"),
    }
}

/// The list of all settings for `--info`: key, default, what happens.
pub fn info() -> String {
    let mut text =
        "Settings of PHALP and 4D-Humans in `posebook track`, with PHALP's defaults (`preset=phalp`):\n\n"
            .to_string();
    for known in KEYS {
        // writing to a string does not fail
        let _ = writeln!(text, "{}={}\n    {}", known.key, known.phalp, what_happens(known));
    }
    text
}

/// The document `docs/PHALP_SETTINGS.md`.
pub fn markdown() -> String {
    let mut text = "# PHALP's settings\n\nGenerated from `src/experiment/phalp_settings/table.rs`; `UPDATE_DOCS=1 cargo test \
                    --release --lib phalp_settings` writes it.\n\n\
                    `posebook track` accepts every setting of PHALP and of 4D-Humans' `track.py` in their spelling: `key=value`, \
                    `+key=value`, `++key=value`, `~key` (the default again), lists `[1,2]`, `null`, and quotes. \
                    `preset=phalp` and `preset=4dhumans` set the defaults of the two programs; without a preset the \
                    defaults are posebook's. `--cfg job` prints the configuration in PHALP's keys, `--info` lists the settings. \
                    `-m` is refused: a sweep is an experiment. An unknown key is an error.\n\n\
                    A value that posebook cannot honor is refused with what to do instead. A setting without effect is \
                    accepted, and a note says why it has none. Paths are relative to `~/.cache`.\n\n\
                    | setting | PHALP | 4D-Humans | no preset | what posebook does |\n|---|---|---|---|---|\n"
        .to_string();
    for known in KEYS {
        let other = |value: Option<&str>| value.map_or(String::new(), |value| format!("`{value}`"));
        let _ = writeln!(
            text,
            "| `{}` | `{}` | {} | {} | {} |",
            known.key,
            known.phalp,
            other(known.humans),
            other(known.plain),
            what_happens(known)
        );
    }
    text
}
