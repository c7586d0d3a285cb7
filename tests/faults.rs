//! Killed and interrupted processes leave nothing behind.

#[path = "common/ffmpeg.rs"]
mod ffmpeg_clips;

use ffmpeg_clips::ffmpeg;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use posebook_core::children::is_alive;
use posebook_core::scratch::Owner;

/// The program while it extracts a long video, with its own folder for temporary files.
#[cfg(target_os = "linux")]
struct RunningProgram {
    program: Child,
    decoder: u32,
    temporary: PathBuf,
    video: PathBuf,
}

#[cfg(target_os = "linux")]
impl RunningProgram {
    fn start(folder: &Path) -> RunningProgram {
        ffmpeg(
            folder,
            "-f lavfi -i testsrc2=size=640x360:rate=25 -frames:v 400 -c:v libx264 -preset ultrafast long.mp4",
        );
        let (temporary, video) = (folder.join("tmp"), folder.join("long.mp4"));
        fs::create_dir(&temporary).unwrap();
        let program = frames(&temporary, &video).stdout(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        let decoder = loop {
            let extracting = fs::read_dir(&temporary).unwrap().count() > 0;
            if let (true, Some(decoder)) = (extracting, child_of(program.id(), "ffmpeg")) {
                break decoder;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "no decoder was started");
            std::thread::sleep(Duration::from_millis(5));
        };
        RunningProgram { program, decoder, temporary, video }
    }

    /// Number of temporary files after another invocation.
    fn files_after_next_run(&self) -> usize {
        let next = frames(&self.temporary, &self.video).arg("video.end_frame=2").output().unwrap();
        assert!(next.status.success(), "{}", String::from_utf8_lossy(&next.stderr));
        fs::read_dir(&self.temporary).unwrap().count()
    }
}

#[cfg(target_os = "linux")]
fn frames(temporary: &Path, video: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_posebook"));
    command.arg("frames").arg(video).args(["--sha256", "video.mode=extract-png"]).env("TMPDIR", temporary);
    command
}

/// Id of a child of `parent` that runs `program`, from `/proc`.
#[cfg(target_os = "linux")]
fn child_of(parent: u32, program: &str) -> Option<u32> {
    let matching_pid = |entry: fs::DirEntry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (head, tail) = stat.rsplit_once(')')?;
        let (pid, name) = head.split_once(" (")?;
        let parent_id = tail.split_whitespace().nth(1)?.parse::<u32>().ok()?;
        (name == program && parent_id == parent).then(|| pid.parse().ok())?
    };
    fs::read_dir("/proc").unwrap().flatten().find_map(matching_pid)
}

/// Whether the process ends soon: it is gone, or a zombie that its new parent has not reaped yet.
#[cfg(target_os = "linux")]
fn ends_soon(process: u32) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(')').map(|(_, tail)| tail.trim_start().starts_with('Z'));
        if !is_alive(process) || state == Some(true) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

#[cfg(target_os = "linux")]
fn send(process: u32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(process.cast_signed()), signal).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_decoder_ends_with_its_killed_parent_and_the_next_run_cleans_up() {
    use nix::sys::signal::Signal::{SIGKILL, SIGSTOP};
    let folder = tempfile::tempdir().unwrap();
    let mut work = RunningProgram::start(folder.path());
    // a stopped decoder cannot notice that its pipe is closed
    send(work.decoder, SIGSTOP);
    send(work.program.id(), SIGKILL);
    work.program.wait().unwrap();
    assert!(ends_soon(work.decoder), "the decoder is still alive");
    assert_eq!(fs::read_dir(&work.temporary).unwrap().count(), 1, "the killed process could not clean up");
    assert_eq!(work.files_after_next_run(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupt_leaves_neither_decoder_nor_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut work = RunningProgram::start(folder.path());
    send(work.program.id(), nix::sys::signal::Signal::SIGINT);
    assert!(!work.program.wait().unwrap().success());
    assert!(ends_soon(work.decoder), "the decoder is still alive");
    assert_eq!(work.files_after_next_run(), 0);
}

/// Schedulers send a signal to every process of a job some time before they end it.
#[cfg(target_os = "linux")]
#[test]
fn a_schedulers_signal_ends_the_program_cleanly() {
    use nix::sys::signal::Signal::{SIGUSR1, SIGUSR2, SIGXCPU};
    for signal in [SIGUSR1, SIGUSR2, SIGXCPU] {
        let folder = tempfile::tempdir().unwrap();
        let mut work = RunningProgram::start(folder.path());
        send(work.decoder, signal);
        std::thread::sleep(Duration::from_millis(50));
        assert!(work.program.try_wait().unwrap().is_none(), "the decoder was ended by {signal}");
        send(work.program.id(), signal);
        assert_eq!(work.program.wait().unwrap().code(), Some(130), "{signal}");
        assert!(ends_soon(work.decoder), "the decoder is still alive");
        assert_eq!(fs::read_dir(&work.temporary).unwrap().count(), 0, "{signal}");
    }
}

/// Whether a process of another host or container still runs is unknown.
#[cfg(target_os = "linux")]
#[test]
fn files_of_other_hosts_and_containers_are_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("short.mp4");
    ffmpeg(folder.path(), "-f lavfi -i testsrc2=size=64x48:rate=25 -frames:v 3 short.mp4");
    let ended = Owner { process: 99_999_999, ..Owner::current().clone() };
    let host = Owner { host: "node-7-0123abcd".into(), ..ended.clone() };
    let container = Owner { namespace: "f0000123".into(), ..ended.clone() };
    let names = [&ended, &host, &container].map(|owner| owner.temporary_name("posebook-frames"));
    let temporary = folder.path().join("tmp");
    for name in &names {
        fs::create_dir_all(temporary.join(name).join("frames")).unwrap();
    }
    assert!(frames(&temporary, &video).output().unwrap().status.success());
    assert_eq!(names.map(|name| temporary.join(name).exists()), [false, true, true]);
}
