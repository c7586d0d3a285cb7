//! What the programs of registries say when they fail, in one line for a person.
//!
//! Their texts are long, name servers and log files, and have the reason in the middle. Must not start programs.

/// Characters of a text that no rule knows.
const MOST_CHARACTERS: usize = 200;

/// Words that mean that the registry was not reached.
const NO_NETWORK: [&str; 16] = [
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "ENETUNREACH",
    "EHOSTUNREACH",
    "ERR_SOCKET_TIMEOUT",
    "NewConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "Temporary failure resolving",
    "Temporary failure in name resolution",
    "Could not resolve",
    "Could not connect",
];
/// Words that mean that the registry has no such package.
const NO_PACKAGE: [&str; 6] = [
    "E404",
    "ETARGET",
    "No matching distribution",
    "was not found",
    "Unable to locate package",
    "Can't select candidate version",
];
const REFUSED: [&str; 5] = ["E401", "E403", "401 ", "403 ", "407 "];

/// Why `program` gave no archive, from what it wrote to its error output.
pub(super) fn failure(program: &str, text: &str) -> String {
    let has = |words: &[&'static str]| words.iter().find(|word| text.contains(**word)).copied();
    let shown = if program == "python3" { "pip" } else { program };
    if text.contains("No module named pip") {
        return "python3 has no pip".into();
    }
    // before the rest: pip finds no version of a package where it cannot reach its registry
    if let Some(word) = has(&NO_NETWORK) {
        return format!("{shown} cannot reach its registry ({word})");
    }
    if has(&NO_PACKAGE).is_some() {
        let lists = if program == "apt-get" { "; `apt-get update` may bring newer lists" } else { "" };
        return format!("{shown} finds no such package or version in its registry{lists}");
    }
    if let Some(word) = has(&REFUSED) {
        return format!("{shown}'s registry refuses ({})", word.trim());
    }
    if has(&["ENOSPC", "No space left"]).is_some() {
        return format!("{shown} finds no space left on the disk");
    }
    let lines = text.lines().map(|line| {
        let line = line.trim().trim_start_matches("npm error").trim_start_matches("npm ERR!");
        line.trim_start_matches("ERROR:").trim_start_matches("E:").trim()
    });
    let is_of_use =
        |line: &&str| !line.is_empty() && !line.starts_with("WARNING") && !line.contains("log of this run");
    let line: String = lines.filter(is_of_use).take(1).collect();
    let line: String = line.chars().take(MOST_CHARACTERS).collect();
    let line: Vec<&str> = line.split(' ').filter(|word| !word.contains("://")).collect();
    match line.join(" ") {
        line if line.is_empty() => format!("{shown} gave no archive, and no reason"),
        line => format!("{shown} gave no archive: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_become_one_line() {
        let npm = "npm error code ECONNREFUSED\nnpm error syscall connect\nnpm error FetchError: request to \
                   http://127.0.0.1:9/a failed\nnpm error A complete log of this run can be found in: /x/y.log\n";
        let pip = "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)'\nERROR: \
                   Could not find a version that satisfies a==1 (from versions: none)\nERROR: No matching \
                   distribution found for a==1";
        for (program, text, line) in [
            ("npm", npm, "npm cannot reach its registry (ECONNREFUSED)"),
            ("python3", pip, "pip cannot reach its registry (NewConnectionError)"),
            ("npm", "npm error code ETARGET", "npm finds no such package or version in its registry"),
            (
                "python3",
                "ERROR: No matching distribution found for a==99",
                "pip finds no such package or version in its registry",
            ),
            ("python3", "/usr/bin/python3: No module named pip", "python3 has no pip"),
            (
                "apt-get",
                "E: Version '9' for 'a' was not found",
                "apt-get finds no such package or version in its registry; `apt-get update` may bring newer lists",
            ),
            ("npm", "npm error code E403\n", "npm's registry refuses (E403)"),
            ("npm", "", "npm gave no archive, and no reason"),
            (
                "npm",
                "\nnpm error bad thing at https://a.b/c today\n  at x.js",
                "npm gave no archive: bad thing at today",
            ),
        ] {
            assert_eq!(failure(program, text), line);
        }
        assert!(failure("npm", &"x".repeat(5000)).len() < 250);
    }
}
