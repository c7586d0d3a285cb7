//! Summarizes the error output of npm, pip and apt-get in one line.
//!
//! Their output is long, names servers and log files, and has the reason in the middle.

/// Most characters of an unrecognized message.
const MAX_CHARACTERS: usize = 200;

/// Messages that the registry cannot be reached.
const NETWORK_ERRORS: [&str; 16] = [
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
/// Messages that the registry does not have the package.
const NOT_FOUND_ERRORS: [&str; 6] = [
    "E404",
    "ETARGET",
    "No matching distribution",
    "was not found",
    "Unable to locate package",
    "Can't select candidate version",
];
/// Messages that the registry denies access.
const ACCESS_ERRORS: [&str; 5] = ["E401", "E403", "401 ", "403 ", "407 "];

/// Why `program` gave no archive, by its error output.
pub fn summarize(program: &str, text: &str) -> String {
    let has = |errors: &[&'static str]| errors.iter().find(|error| text.contains(**error)).copied();
    let shown = if program == "python3" { "pip" } else { program };
    if text.contains("No module named pip") {
        return "python3 has no pip".into();
    }
    // checked first: without a network pip also reports that there is no such version
    if let Some(error) = has(&NETWORK_ERRORS) {
        return format!("{shown} cannot reach its registry ({error})");
    }
    if has(&NOT_FOUND_ERRORS).is_some() {
        let lists = if program == "apt-get" { "; `apt-get update` may bring newer lists" } else { "" };
        return format!("{shown} finds no such package or version in its registry{lists}");
    }
    if let Some(error) = has(&ACCESS_ERRORS) {
        return format!("{shown}'s registry refuses ({})", error.trim());
    }
    if has(&["ENOSPC", "No space left"]).is_some() {
        return format!("{shown} finds no space left on the disk");
    }
    let lines = text.lines().map(|line| {
        let line = line.trim().trim_start_matches("npm error").trim_start_matches("npm ERR!");
        line.trim_start_matches("ERROR:").trim_start_matches("E:").trim()
    });
    let is_informative =
        |line: &&str| !line.is_empty() && !line.starts_with("WARNING") && !line.contains("log of this run");
    let line: String = lines.filter(is_informative).take(1).collect();
    let line: String = line.chars().take(MAX_CHARACTERS).collect();
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
    fn long_messages_become_one_line() {
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
            (
                "apt-get",
                "Err:1 x\n  Temporary failure resolving 'mirror.example'",
                "apt-get cannot reach its registry (Temporary failure resolving)",
            ),
            ("npm", "npm error code E403\n", "npm's registry refuses (E403)"),
            ("npm", "", "npm gave no archive, and no reason"),
            (
                "npm",
                "\nnpm error bad thing at https://a.b/c today\n  at x.js",
                "npm gave no archive: bad thing at today",
            ),
        ] {
            assert_eq!(summarize(program, text), line);
        }
        assert!(summarize("npm", &"x".repeat(5000)).len() < 250);
    }
}
