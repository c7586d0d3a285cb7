//! Signals that ask the program to stop, as a flag that is looked at where it is safe to stop.
//!
//! Ctrl-C, SIGTERM and SIGHUP come by the crate `ctrlc`; a second one ends the program at once. Clusters send a
//! notice some time before they end a job: SIGUSR1 (Slurm's `--signal`, Grid Engine), SIGUSR2 (Grid Engine) or
//! SIGXCPU (a limit of processor time). A notice sets the same flag, however often it comes. Schedulers send it to
//! all processes of a job: child processes inherit that it is blocked, so that a decoder does not die of it.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the program was asked to stop.
static ASKED: AtomicBool = AtomicBool::new(false);
/// Whether that was by Ctrl-C, SIGTERM or SIGHUP.
static PRESSED: AtomicBool = AtomicBool::new(false);

/// Blocks the signals by which clusters give notice, for this thread and all that it starts from now on, and
/// for child processes. Without this, or before [`listen`], they end the program, or stay unanswered. Call it
/// before there are other threads.
pub fn block_notices() {
    #[cfg(unix)]
    // where the system refuses, notices end the program as before
    let _ = notices().thread_block();
}

/// Turns Ctrl-C, the signals that ask a program to end, and notices of clusters into a flag. The second Ctrl-C,
/// SIGTERM or SIGHUP ends the program at once.
pub fn listen() -> &'static AtomicBool {
    let ask = || ASKED.store(true, Ordering::SeqCst);
    wait_for_notices(ask);
    // a second call finds the handler in its place, which is what is wanted
    let _ = ctrlc::set_handler(move || {
        ask();
        if PRESSED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    });
    &ASKED
}

/// The flag that [`listen`] sets.
pub fn flag() -> &'static AtomicBool {
    &ASKED
}

/// Calls `end` at every signal that [`listen`] turns into a flag: for a command that ends at once and cleans up
/// before.
///
/// # Errors
/// If there is a handler already, or the system refuses.
pub fn end_with(end: impl Fn() + Clone + Send + 'static) -> Result<(), ctrlc::Error> {
    wait_for_notices(end.clone());
    ctrlc::set_handler(end)
}

#[cfg(unix)]
fn notices() -> nix::sys::signal::SigSet {
    use nix::sys::signal::Signal::{SIGUSR1, SIGUSR2, SIGXCPU};
    [SIGUSR1, SIGUSR2, SIGXCPU].into_iter().collect()
}

/// Starts a thread that calls `act` at every notice; at most one such thread.
fn wait_for_notices(act: impl Fn() + Send + 'static) {
    #[cfg(unix)]
    {
        static STARTED: AtomicBool = AtomicBool::new(false);
        if STARTED.swap(true, Ordering::SeqCst) {
            return;
        }
        block_notices();
        // where there can be no thread, a notice stays unanswered and the signal that follows it ends the program
        let _ = std::thread::Builder::new().name("notices".into()).spawn(move || {
            while notices().wait().is_ok() {
                act();
            }
        });
    }
    #[cfg(not(unix))]
    let _ = act;
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use nix::sys::signal::Signal::{SIGUSR1, SIGUSR2, SIGXCPU};
    use nix::sys::signal::raise;
    use std::time::{Duration, Instant};

    #[test]
    fn a_notice_waits_until_it_is_asked_for() {
        let ask = || {
            block_notices();
            for signal in [SIGUSR1, SIGUSR2, SIGXCPU] {
                // to this thread alone
                raise(signal).unwrap();
                assert_eq!(notices().wait().unwrap(), signal);
            }
        };
        std::thread::spawn(ask).join().unwrap();
    }

    #[test]
    fn child_processes_do_not_die_of_a_notice() {
        block_notices();
        let began = Instant::now();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let number = nix::unistd::Pid::from_raw(child.id().cast_signed());
        nix::sys::signal::kill(number, SIGUSR1).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        let ended = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(ended.is_none() && began.elapsed() < Duration::from_secs(50), "{ended:?}");
    }
}
