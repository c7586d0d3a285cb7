//! Child processes: starts programs that are killed when this process ends, even if this process is killed, and whose memory
//! is limited; and says whether a program exists and a process lives.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::thread;

mod marked;

pub use marked::{MarkedProcess, marked_processes};

/// What a child process may do, and which signals reach it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChildLimits {
    /// Maximum size of its data segment (heap and stacks, not mapped files).
    pub max_data_bytes: Option<u64>,
    /// Whether it and its descendants can never gain privileges, by a setuid program for example.
    pub no_new_privileges: bool,
    /// Whether it leads a process group of its own: signals of the terminal do not reach it, and its group can be killed as one.
    pub own_group: bool,
}

/// Starts `command` with `stdio` as its standard input, output and error. On Linux with util-linux, the child is killed when
/// this process ends, even by `kill -9`, and its data segment (heap and stacks, not mapped files) is limited to
/// `max_data_bytes`. Variables of the environment that the command sets or removes, and its working directory, are kept;
/// `Command::env_clear` is not.
///
/// # Errors
/// If the program cannot be started.
pub fn spawn(command: &Command, stdio: [Stdio; 3], max_data_bytes: Option<u64>) -> io::Result<Child> {
    spawn_limited(command, stdio, ChildLimits { max_data_bytes, ..ChildLimits::default() })
}

/// [`spawn`] with more limits, as far as the system has them.
///
/// # Errors
/// If the program cannot be started.
pub fn spawn_limited(command: &Command, stdio: [Stdio; 3], limits: ChildLimits) -> io::Result<Child> {
    let mut command = with_limits(command, limits)?;
    let [stdin, stdout, stderr] = stdio;
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    let Some(spawner) = spawner() else { return command.spawn() };
    let (reply, started) = sync_channel(1);
    let thread_ended = || io::Error::other("the thread that starts child processes has ended");
    spawner.send((command, reply)).map_err(|_| thread_ended())?;
    started.recv().map_err(|_| thread_ended())?
}

/// A command to start, and where to send the result.
type SpawnRequest = (Command, SyncSender<io::Result<Child>>);

/// The thread that starts child processes. Linux kills a child (`PR_SET_PDEATHSIG`) with the *thread* that started it, so
/// this thread lives as long as the process. `None` if it cannot be created.
fn spawner() -> Option<&'static Sender<SpawnRequest>> {
    static SPAWNER: OnceLock<Option<Sender<SpawnRequest>>> = OnceLock::new();
    let start = || {
        let (send, requests) = channel::<SpawnRequest>();
        let work = move || {
            while let Ok((mut command, reply)) = requests.recv() {
                // fails if the requesting thread has ended
                let _ = reply.send(command.spawn());
            }
        };
        thread::Builder::new().name("children".into()).spawn(work).ok().map(|_| send)
    };
    SPAWNER.get_or_init(start).as_ref()
}

/// The same command with the limits of [`spawn`], set by two programs of util-linux that replace themselves by the next
/// program. Setting them between fork and exec would copy this process' page tables at every start, about 50 ms per GiB.
fn with_limits(command: &Command, limits: ChildLimits) -> io::Result<Command> {
    let mut arguments: Vec<OsString> = Vec::new();
    if cfg!(target_os = "linux") && has_limit_tools() {
        // otherwise `setpriv` would report the missing program
        if !is_program(command) {
            return Err(io::ErrorKind::NotFound.into());
        }
        arguments.extend(["setpriv", "--pdeathsig", "KILL"].map(OsString::from));
        if limits.no_new_privileges {
            arguments.push("--no-new-privs".into());
        }
        arguments.push("--".into());
        if let Some(limit) = limits.max_data_bytes.and_then(data_limit) {
            arguments.extend(["prlimit", &format!("--data={limit}:"), "--"].map(OsString::from));
        }
    }
    arguments.push(command.get_program().to_owned());
    arguments.extend(command.get_args().map(OsStr::to_owned));
    let mut with_limits = Command::new(&arguments[0]);
    with_limits.args(&arguments[1..]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => with_limits.env(name, value),
            None => with_limits.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        with_limits.current_dir(folder);
    }
    #[cfg(unix)]
    if limits.own_group {
        std::os::unix::process::CommandExt::process_group(&mut with_limits, 0);
    }
    Ok(with_limits)
}

/// Whether the program of `command` exists. A relative path with a folder starts at the command's working directory.
fn is_program(command: &Command) -> bool {
    let program = Path::new(command.get_program());
    match command.get_current_dir() {
        Some(folder) if program.components().count() > 1 => folder.join(program).is_file(),
        _ => is_on_path(program),
    }
}

/// Whether `setpriv` and `prlimit` are installed and recent enough.
fn has_limit_tools() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let mut probe = Command::new("setpriv");
        probe.args(["--pdeathsig", "KILL", "--", "prlimit", "--data", "--raw", "--noheadings"]);
        probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    })
}

/// Whether `program` exists: a path with a folder, or a name on the PATH.
pub fn is_on_path(program: impl AsRef<OsStr>) -> bool {
    let path = Path::new(&program);
    if path.components().count() > 1 {
        return path.is_file();
    }
    std::env::var_os("PATH")
        .is_some_and(|folders| std::env::split_paths(&folders).any(|folder| folder.join(path).is_file()))
}

/// Whether a process with this id runs on this machine; true where that cannot be determined.
pub fn is_alive(process: u32) -> bool {
    #[cfg(unix)]
    {
        use nix::errno::Errno;
        let Ok(number) = i32::try_from(process) else { return false };
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(number), None) != Err(Errno::ESRCH)
    }
    #[cfg(not(unix))]
    {
        let _ = process;
        true
    }
}

/// `bytes`, but at most the hard limit in force.
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

    /// Waits until `setpriv` and `prlimit` have replaced themselves by the program.
    fn wait_for_exec(child: &Child, name: &str) {
        let began = std::time::Instant::now();
        while fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap().trim() != name {
            assert!(began.elapsed().as_secs() < 20, "no {name}");
            thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    #[test]
    fn a_child_outlives_the_thread_that_started_it_and_has_a_data_limit() {
        let stdio = [Stdio::piped(), Stdio::null(), Stdio::null()];
        let requester = thread::spawn(|| spawn(&Command::new("cat"), stdio, Some(1 << 30)).unwrap());
        let mut child = requester.join().unwrap();
        wait_for_exec(&child, "cat");
        let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
        let data = limits.lines().find(|line| line.starts_with("Max data size")).unwrap();
        if has_limit_tools() {
            assert!(data.contains("1073741824"), "{data}");
        } else {
            crate::test_skip::skip("limits of child processes: setpriv and prlimit are not installed", true);
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended with the thread");
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn memory_beyond_the_limit_is_refused() {
        let mut command = Command::new("sh");
        command.args(["-c", "x=$(head -c 50000000 /dev/zero | tr '\\0' x)"]);
        let runs_within = |bytes| {
            let stdio = [Stdio::null(), Stdio::null(), Stdio::null()];
            spawn(&command, stdio, bytes).unwrap().wait().unwrap().success()
        };
        assert!(runs_within(None));
        if has_limit_tools() {
            assert!(!runs_within(Some(20 << 20)));
        } else {
            crate::test_skip::skip("memory limits: setpriv and prlimit are not installed", true);
        }
    }

    #[test]
    fn running_processes_are_recognized() {
        // the second is beyond the largest process number there is
        assert!(is_alive(std::process::id()) && !is_alive(99_999_999) && !is_alive(u32::MAX));
    }

    /// What `script` prints, started with these limits by `change`.
    fn output(script: &str, limits: ChildLimits, change: impl FnOnce(&mut Command)) -> String {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        change(&mut command);
        let child =
            spawn_limited(&command, [Stdio::null(), Stdio::piped(), Stdio::inherit()], limits).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{:?}", output.status);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn working_directory_and_environment_of_the_command_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let change = |command: &mut Command| {
            command.current_dir(&folder).env("POSEBOOK_TEST_SET", "a b").env_remove("HOME");
        };
        let printed =
            output("pwd; echo \"$POSEBOOK_TEST_SET\" \"${HOME-removed}\"", ChildLimits::default(), change);
        assert_eq!(printed, format!("{}\na b removed", folder.display()));
    }

    #[test]
    fn a_relative_program_starts_at_the_working_directory_of_the_command() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        std::os::unix::fs::symlink("/bin/true", folder.path().join("bin/do")).unwrap();
        let mut command = Command::new("bin/do");
        command.current_dir(folder.path());
        let stdio = || [Stdio::null(), Stdio::null(), Stdio::null()];
        assert!(spawn(&command, stdio(), None).unwrap().wait().unwrap().success());
        command.current_dir("/");
        assert_eq!(spawn(&command, stdio(), None).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_child_with_limits_gains_no_privileges_and_leads_a_group() {
        let script = "grep NoNewPrivs /proc/self/status | cut -f2; echo $$; cut -d' ' -f5 /proc/$$/stat";
        let limits = ChildLimits { no_new_privileges: true, own_group: true, ..ChildLimits::default() };
        let printed = output(script, limits, |_| ());
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines[1], lines[2], "it leads its group");
        if has_limit_tools() {
            assert_eq!(lines[0], "1");
            assert!(output(script, ChildLimits::default(), |_| ()).starts_with('0'));
        } else {
            crate::test_skip::skip("privileges of child processes: setpriv is not installed", true);
        }
    }

    #[test]
    fn files_that_this_process_has_open_are_not_inherited() {
        let folder = tempfile::tempdir().unwrap();
        let _file = fs::File::create(folder.path().join("private")).unwrap();
        let _socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let printed = output("ls -l /proc/$$/fd", ChildLimits::default(), |_| ());
        assert!(!printed.contains("private") && !printed.contains("socket"), "{printed}");
    }

    #[test]
    fn a_missing_program_is_an_error() {
        for program in ["no-such-program", "./no/such/program"] {
            let stdio = [Stdio::null(), Stdio::null(), Stdio::null()];
            let error = spawn(&Command::new(program), stdio, None).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }
}
