//! Programs that this one starts: they end when it ends, however that is, and hold no more memory than
//! they may.
//!
//! Must not know which programs, nor what they are for.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::thread;

pub use crate::scratch::is_alive;

/// Starts `command` with `stdio` (input, output, complaints) in the place of its own. Where the system can
/// (Linux), the program is killed when this process is gone, even by `kill -9`, and its own data (heap and
/// stacks, not files mapped) are limited to `most_bytes`.
///
/// # Errors
/// If the program cannot be started.
pub fn spawn(command: &Command, stdio: [Stdio; 3], most_bytes: Option<u64>) -> io::Result<Child> {
    let mut command = bound(command, most_bytes)?;
    let [stdin, stdout, stderr] = stdio;
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    let Some(starter) = starter() else { return command.spawn() };
    let (answer, started) = sync_channel(1);
    let lost = || io::Error::other("the thread that starts programs is gone");
    starter.send((command, answer)).map_err(|_| lost())?;
    started.recv().map_err(|_| lost())?
}

type Wish = (Command, SyncSender<io::Result<Child>>);

/// The thread in which programs are started. Linux lets a program end with the *thread* that started it, so
/// it has to be one that lives as long as the process. `None` if there can be no such thread.
fn starter() -> Option<&'static Sender<Wish>> {
    static STARTER: OnceLock<Option<Sender<Wish>>> = OnceLock::new();
    let start = || {
        let (send, wishes) = channel::<Wish>();
        let work = move || {
            while let Ok((mut command, answer)) = wishes.recv() {
                // whoever asked may have given up
                let _ = answer.send(command.spawn());
            }
        };
        thread::Builder::new().name("children".into()).spawn(work).ok().map(|_| send)
    };
    STARTER.get_or_init(start).as_ref()
}

/// The same program with the same arguments, bound to this process. That is done by two programs of
/// util-linux, each of which becomes the next: to do it between fork and exec would cost a copy of this
/// process' page tables, some 50 ms for each GiB that it holds, at every start.
fn bound(command: &Command, most_bytes: Option<u64>) -> io::Result<Command> {
    let mut words: Vec<OsString> = Vec::new();
    if cfg!(target_os = "linux") && has_binders() {
        // they would say in words of their own that it is not there
        if !is_there(command.get_program()) {
            return Err(io::ErrorKind::NotFound.into());
        }
        words.extend(["setpriv", "--pdeathsig", "KILL", "--"].map(OsString::from));
        if let Some(limit) = most_bytes.and_then(data_limit) {
            words.extend(["prlimit", &format!("--data={limit}:"), "--"].map(OsString::from));
        }
    }
    words.push(command.get_program().to_owned());
    words.extend(command.get_args().map(OsStr::to_owned));
    let mut bound = Command::new(&words[0]);
    bound.args(&words[1..]);
    Ok(bound)
}

/// Whether the programs that bind another one are there, and new enough.
fn has_binders() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| {
        let mut try_out = Command::new("setpriv");
        try_out.args(["--pdeathsig", "KILL", "--", "prlimit", "--data", "--raw", "--noheadings"]);
        try_out.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        try_out.status().is_ok_and(|status| status.success())
    })
}

/// Whether a program is found, by its path or on the PATH.
fn is_there(program: &OsStr) -> bool {
    let path = Path::new(program);
    if path.components().count() > 1 {
        return path.is_file();
    }
    std::env::var_os("PATH").is_some_and(|all| std::env::split_paths(&all).any(|at| at.join(path).is_file()))
}

/// The limit that may be set: not above the one that is in force.
#[cfg(target_os = "linux")]
fn data_limit(bytes: u64) -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit};
    getrlimit(Resource::RLIMIT_DATA).ok().map(|(_, hard)| bytes.min(hard))
}

#[cfg(not(target_os = "linux"))]
fn data_limit(_: u64) -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs;
    use std::process::Stdio;

    /// Waits until the programs that bind it have become the program.
    fn settled(child: &Child, name: &str) {
        let began = std::time::Instant::now();
        while fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap().trim() != name {
            assert!(began.elapsed().as_secs() < 20, "no {name}");
            thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    #[test]
    fn a_child_outlives_the_thread_that_wanted_it_and_is_bound_to_the_process() {
        let stdio = [Stdio::piped(), Stdio::null(), Stdio::null()];
        let wanted = thread::spawn(|| spawn(&Command::new("cat"), stdio, Some(1 << 30)).unwrap());
        let mut child = wanted.join().unwrap();
        settled(&child, "cat");
        let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
        let data = limits.lines().find(|line| line.starts_with("Max data size")).unwrap();
        assert!(!has_binders() || data.contains("1073741824"), "{data}");
        assert!(child.try_wait().unwrap().is_none(), "it ended with the thread");
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn memory_beyond_the_bound_is_refused() {
        let mut command = Command::new("sh");
        command.args(["-c", "x=$(head -c 50000000 /dev/zero | tr '\\0' x)"]);
        let bounded = |bytes| {
            let stdio = [Stdio::null(), Stdio::null(), Stdio::null()];
            spawn(&command, stdio, bytes).unwrap().wait().unwrap().success()
        };
        assert!(bounded(None));
        assert!(!has_binders() || !bounded(Some(20 << 20)));
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        for program in ["no-such-program", "./no/such/program"] {
            let stdio = [Stdio::null(), Stdio::null(), Stdio::null()];
            let error = spawn(&Command::new(program), stdio, None).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }
}
