//! Turns signals that ask the program to stop into a flag, which is checked where stopping is safe.
//!
//! Ctrl-C, SIGTERM and SIGHUP come through the crate `ctrlc`; a second one ends the program at once. Cluster schedulers
//! send a warning some time before they end a job: SIGUSR1 (Slurm's `--signal`, Grid Engine), SIGUSR2 (Grid Engine) or
//! SIGXCPU (limit of processor time). These set the same flag, however often they come. Schedulers send them to all
//! processes of a job: child processes inherit the blocked signals, so that they do not end a decoder.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the program was asked to stop.
static STOP_REQUESTED: AtomicBool = AtomicBool::new(false);
/// Whether Ctrl-C, SIGTERM or SIGHUP came before.
static SIGNALED_ONCE: AtomicBool = AtomicBool::new(false);

/// Blocks the schedulers' signals for this thread, for threads that it starts later, and for child processes. [`install`]
/// then handles them. Call it before other threads exist: unblocked threads would be ended by the signals.
pub fn block_cluster_signals() {
    #[cfg(unix)]
    // if the system refuses, the signals end the program, as by default
    let _ = cluster_signals().thread_block();
}

/// Installs the signal handlers and returns the flag that they set. A second Ctrl-C, SIGTERM or SIGHUP ends the program
/// at once.
pub fn install() -> &'static AtomicBool {
    let request_stop = || STOP_REQUESTED.store(true, Ordering::SeqCst);
    watch_cluster_signals(request_stop);
    // a second call finds the handler installed
    let _ = ctrlc::set_handler(move || {
        request_stop();
        if SIGNALED_ONCE.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    });
    &STOP_REQUESTED
}

/// The flag that [`install`] sets.
pub fn flag() -> &'static AtomicBool {
    &STOP_REQUESTED
}

/// Calls `exit` on every signal that [`install`] would turn into a flag: for commands that clean up and end at once.
///
/// # Errors
/// If a handler is installed already, or the system refuses.
pub fn exit_with(exit: impl Fn() + Clone + Send + 'static) -> Result<(), ctrlc::Error> {
    watch_cluster_signals(exit.clone());
    ctrlc::set_handler(exit)
}

#[cfg(unix)]
fn cluster_signals() -> nix::sys::signal::SigSet {
    use nix::sys::signal::Signal::{SIGUSR1, SIGUSR2, SIGXCPU};
    [SIGUSR1, SIGUSR2, SIGXCPU].into_iter().collect()
}

/// Starts a thread that calls `act` on every scheduler's signal; at most one such thread.
fn watch_cluster_signals(act: impl Fn() + Send + 'static) {
    #[cfg(unix)]
    {
        static STARTED: AtomicBool = AtomicBool::new(false);
        if STARTED.swap(true, Ordering::SeqCst) {
            return;
        }
        block_cluster_signals();
        // without a thread the signals stay pending; the scheduler's final signal then ends the program
        let _ = std::thread::Builder::new().name("signals".into()).spawn(move || {
            while cluster_signals().wait().is_ok() {
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
    fn a_blocked_signal_waits_until_it_is_received() {
        let receive = || {
            block_cluster_signals();
            for signal in [SIGUSR1, SIGUSR2, SIGXCPU] {
                // to this thread only
                raise(signal).unwrap();
                assert_eq!(cluster_signals().wait().unwrap(), signal);
            }
        };
        std::thread::spawn(receive).join().unwrap();
    }

    #[test]
    fn child_processes_survive_a_schedulers_signal() {
        block_cluster_signals();
        let began = Instant::now();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
        nix::sys::signal::kill(pid, SIGUSR1).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        let ended = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(ended.is_none() && began.elapsed() < Duration::from_secs(50), "{ended:?}");
    }
}
