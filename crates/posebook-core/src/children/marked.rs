//! Finds the processes that a program has started, by a variable of their environment, which descendants inherit. Processes
//! that have left their parent, process group or session are found as well.

use std::path::Path;

/// A living process with the marker in its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkedProcess {
    /// Process id.
    pub process: u32,
    /// Value of the marker; `None` for a member of the group that does not have it.
    pub value: Option<String>,
}

/// Processes whose environment had the variable `marker` when their program started, and members of the process group `group`.
/// Processes that have ended and wait for their parent (zombies) are left out, and those of other users, which cannot be read.
/// Empty on systems without `/proc`.
pub fn marked_processes(marker: &str, group: Option<u32>) -> Vec<MarkedProcess> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let prefix = format!("{marker}=");
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let path = entry.path();
        let Some((state, its_group)) = state_and_group(&path) else { continue };
        if matches!(state, 'Z' | 'X' | 'x') {
            continue;
        }
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        let variables = environment.split(|&byte| byte == 0);
        let value = variables.filter_map(|variable| variable.strip_prefix(prefix.as_bytes())).next();
        if value.is_some() || group == Some(its_group) {
            let value = value.map(|value| String::from_utf8_lossy(value).into_owned());
            found.push(MarkedProcess { process, value });
        }
    }
    found
}

/// The state's letter and the process group from `/proc/N/stat`. The program's name before them may contain anything.
fn state_and_group(process: &Path) -> Option<(char, u32)> {
    let stat = std::fs::read(process.join("stat")).ok()?;
    let after_name = stat.iter().rposition(|&byte| byte == b')')? + 1;
    let mut fields = std::str::from_utf8(&stat[after_name..]).ok()?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let group = fields.nth(1)?.parse().ok()?;
    Some((state, group))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    #[test]
    fn descendants_are_found_even_in_a_session_of_their_own() {
        let marker = format!("POSEBOOK_TEST_MARKER_{}", std::process::id());
        let mut command = Command::new("sh");
        // the shell ends at once, the grandchild has neither its group nor its session
        command.args(["-c", "setsid sleep 60 & exit 0"]).env(&marker, "a/b c").stdin(Stdio::null());
        assert!(command.status().unwrap().success());
        let began = Instant::now();
        let found = loop {
            let found = marked_processes(&marker, None);
            if !found.is_empty() || began.elapsed() > Duration::from_secs(10) {
                break found;
            }
        };
        for process in &found {
            let id = nix::unistd::Pid::from_raw(process.process.cast_signed());
            nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        assert!(
            found.iter().all(|process| process.value.as_deref() == Some("a/b c")) && !found.is_empty(),
            "{found:?}"
        );
        while !marked_processes(&marker, None).is_empty() {
            assert!(began.elapsed() < Duration::from_secs(20), "it lives on");
        }
    }

    #[test]
    fn members_of_a_group_are_found_without_the_marker_and_zombies_are_not() {
        let mut command = Command::new("sleep");
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.arg("60").spawn().unwrap();
        let found = marked_processes("POSEBOOK_TEST_NO_SUCH_MARKER", Some(child.id()));
        child.kill().unwrap();
        let began = Instant::now();
        // it has not been waited for
        while !marked_processes("POSEBOOK_TEST_NO_SUCH_MARKER", Some(child.id())).is_empty() {
            assert!(began.elapsed() < Duration::from_secs(10));
        }
        child.wait().unwrap();
        assert_eq!(found.iter().map(|process| process.process).collect::<Vec<_>>(), [child.id()]);
    }
}
