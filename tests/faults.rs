//! Damaged videos give errors or shorter videos with a remark, in bounded memory; killed processes leave nothing behind.

#[path = "common/ffmpeg.rs"]
mod ffmpeg_clips;

use ffmpeg_clips::ffmpeg;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use posebook_core::children::is_alive;
use posebook_core::random::{RandomStream, stream};
use posebook_core::scratch::Owner;
use posebook_video as video;
use posebook_video::{Settings, VideoErrorKind};
use rayon::prelude::*;

const FRAMES: usize = 30;
/// Largest memory of decoder and reader each, whatever sizes a damaged file declares: a decoder's own code and buffers
/// take about 60 MiB.
const MAX_BYTES: u64 = 512 << 20;

/// A small clip in two containers, one of them with its index in front and at the end.
fn clips(folder: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let source = format!("-f lavfi -i testsrc2=size=64x48:rate=25 -frames:v {FRAMES}");
    ffmpeg(folder, &format!("{source} -c:v libx264 -preset fast -g 8 -bf 2 end.mp4"));
    ffmpeg(folder, "-i end.mp4 -c copy -movflags +faststart front.mp4");
    ffmpeg(folder, "-i end.mp4 -c copy clip.mkv");
    ["end.mp4", "front.mp4", "clip.mkv"].map(|name| (name, fs::read(folder.join(name)).unwrap())).into()
}

/// Offsets and lengths of the size fields that a reader trusts: of every box in an MP4 (boxes nest, so any four letters
/// that could be a box's name count), and of the master elements in a Matroska file.
fn sizes(name: &str, bytes: &[u8]) -> Vec<(usize, usize)> {
    if name.ends_with(".mp4") {
        let is_name = |four: &[u8]| four.iter().all(u8::is_ascii_lowercase);
        return (4..bytes.len() - 4)
            .filter(|&at| is_name(&bytes[at..at + 4]))
            .map(|at| (at - 4, 4))
            .collect();
    }
    // ids of the master elements: segment, cluster, tracks, cues, seek head, info
    let names: [[u8; 4]; 6] = [
        [0x18, 0x53, 0x80, 0x67],
        [0x1f, 0x43, 0xb6, 0x75],
        [0x16, 0x54, 0xae, 0x6b],
        [0x1c, 0x53, 0xbb, 0x6b],
        [0x11, 0x4d, 0x9b, 0x74],
        [0x15, 0x49, 0xa9, 0x66],
    ];
    let at_name = |at: &usize| names.iter().any(|name| bytes[*at..].starts_with(name));
    (0..bytes.len() - 12)
        .filter(at_name)
        .map(|at| (at + 4, 1 + bytes[at + 4].leading_zeros() as usize))
        .collect()
}

/// A damaged copy, and the kind of damage.
fn damaged(name: &str, whole: &[u8], random: &mut RandomStream) -> (&'static str, Vec<u8>) {
    let mut bytes = whole.to_vec();
    let kind = ["cut", "bytes flipped", "size changed", "size made huge"][random.below(4)];
    match kind {
        "cut" => bytes.truncate(random.below(whole.len())),
        "bytes flipped" => {
            for _ in 0..1 + random.below(16) {
                let at = random.below(whole.len());
                bytes[at] ^= 1 + random.below(255) as u8;
            }
        }
        _ => {
            let sizes = sizes(name, whole);
            let (at, length) = sizes[random.below(sizes.len())];
            for (index, byte) in bytes[at..(at + length).min(whole.len())].iter_mut().enumerate() {
                *byte = match (kind, index) {
                    ("size made huge", 0) if length != 4 => *byte | 0x0f >> (length - 1).min(3),
                    ("size made huge", _) => 0xff - random.below(2) as u8,
                    (_, 0) => *byte,
                    _ => random.below(256) as u8,
                };
            }
        }
    }
    (kind, bytes)
}

/// The outcome of reading a copy, as a phrase.
fn outcome(path: &Path, scratch: &Path) -> String {
    let settings = Settings { stall_timeout_secs: Some(20.0), ..Settings::default() };
    let read = video::open(path, &settings, scratch, None).and_then(|mut source| {
        let mut frames = 0;
        while source.next_frame()?.is_some() {
            frames += 1;
        }
        let has_remark = !source.decoder_warnings().is_empty() || !source.probe().notes.is_empty();
        Ok((frames, has_remark))
    });
    match read {
        Ok((FRAMES, false)) => "whole".into(),
        Ok((FRAMES, true)) => "whole, with a remark".into(),
        Ok((_, true)) => "shorter, with a remark".into(),
        Ok((_, false)) => "shorter, as its header says".into(),
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() < 4000 && message.starts_with(&path.display().to_string()), "{message}");
            format!("error: {}", phrase(&error.kind))
        }
    }
}

fn phrase(kind: &VideoErrorKind) -> &'static str {
    match kind {
        VideoErrorKind::EmptyFile => "empty",
        VideoErrorKind::NotAVideo(_) | VideoErrorKind::RefusedFormat(_) => "not a video",
        VideoErrorKind::NoVideoTrack(_) => "no video track",
        VideoErrorKind::NoFrames => "no frames",
        VideoErrorKind::Truncated { .. } => "cut short",
        VideoErrorKind::EndedEarly { .. } => "ended early",
        VideoErrorKind::ExtraFrames { .. } => "more frames than listed",
        VideoErrorKind::TooLarge { .. } => "image too large",
        VideoErrorKind::SizeChanges { .. } | VideoErrorKind::SizeMismatch { .. } => "another size",
        other => panic!("no error for a damaged file: {other}"),
    }
}

/// Peak resident set of this process.
#[cfg(target_os = "linux")]
fn own_peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Reads `copies` damaged copies; counts them by kind of damage and outcome.
fn read_damaged(copies: usize) -> BTreeMap<(String, String), usize> {
    let folder = tempfile::tempdir().unwrap();
    let clips = clips(folder.path());
    let outcomes: Vec<(String, String)> = (0..copies)
        .into_par_iter()
        .map(|copy| {
            let mut random = stream(11, "damage", &[copy as u64]);
            let (name, whole) = &clips[copy % clips.len()];
            let (kind, bytes) = damaged(name, whole, &mut random);
            let path = folder.path().join(format!("{copy}-{name}"));
            fs::write(&path, bytes).unwrap();
            let began = Instant::now();
            let outcome = outcome(&path, folder.path());
            assert!(began.elapsed() < Duration::from_secs(60), "copy {copy} took {:?}", began.elapsed());
            (kind.to_string(), outcome)
        })
        .collect();
    let mut table = BTreeMap::new();
    outcomes.into_iter().for_each(|pair| *table.entry(pair).or_insert(0) += 1);
    for ((kind, outcome), count) in &table {
        println!("{kind:15} {outcome:30} {count}");
    }
    #[cfg(target_os = "linux")]
    {
        use nix::sys::resource::{UsageWho, getrusage};
        let decoder = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss() as u64 * 1024;
        println!("largest decoder {} MiB, this process {} MiB", decoder >> 20, own_peak_bytes() >> 20);
        assert!(decoder < MAX_BYTES && own_peak_bytes() < MAX_BYTES);
    }
    table
}

fn check(table: &BTreeMap<(String, String), usize>) {
    let with =
        |part: &str| table.iter().filter(|((_, o), _)| o.contains(part)).map(|(_, n)| n).sum::<usize>();
    // if all copies were readable, or none, the damage would test nothing
    assert!(with("error") > 0 && with("whole") > 0, "{table:?}");
}

/// All 200 with `--ignored`, in half a minute; `cargo test --test faults -- --nocapture` prints the table.
#[test]
fn damaged_copies_give_errors_or_shorter_videos() {
    check(&read_damaged(60));
}

#[test]
#[ignore = "half a minute: 200 copies, of which the test above reads 60"]
fn two_hundred_damaged_copies_give_errors_or_shorter_videos() {
    check(&read_damaged(200));
}

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
