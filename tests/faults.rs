//! What becomes of videos that are damaged and of processes that are killed: errors in words or shorter
//! videos that say so, bounded memory, nothing left behind.

#[path = "common/ffmpeg.rs"]
mod made;

use made::ffmpeg;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use candle_core::Device;
use posebook::children::is_alive;
use posebook::random::{Stream, stream};
use posebook::scratch::Owner;
use posebook::video::{self, Fault, Settings};
use rayon::prelude::*;

const FRAMES: usize = 30;
/// What decoder and reader may hold each, whatever a small file says: a decoder's own code and buffers
/// come to some 60 MiB.
const MOST_BYTES: u64 = 512 << 20;

/// A small clip in two containers, one of them with its index in front and at the end.
fn clips(folder: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let source = format!("-f lavfi -i testsrc2=size=64x48:rate=25 -frames:v {FRAMES}");
    ffmpeg(folder, &format!("{source} -c:v libx264 -preset fast -g 8 -bf 2 end.mp4"));
    ffmpeg(folder, "-i end.mp4 -c copy -movflags +faststart front.mp4");
    ffmpeg(folder, "-i end.mp4 -c copy clip.mkv");
    ["end.mp4", "front.mp4", "clip.mkv"].map(|name| (name, fs::read(folder.join(name)).unwrap())).into()
}

/// Where a size stands that a reader believes, and how many bytes it has: of every box in an MP4 (they nest,
/// so every four letters that are a box's name count), of every element in a Matroska file that is longer
/// than a byte.
fn sizes(name: &str, bytes: &[u8]) -> Vec<(usize, usize)> {
    if name.ends_with(".mp4") {
        let is_name = |four: &[u8]| four.iter().all(u8::is_ascii_lowercase);
        return (4..bytes.len() - 4)
            .filter(|&at| is_name(&bytes[at..at + 4]))
            .map(|at| (at - 4, 4))
            .collect();
    }
    // the four-byte names of the parts that hold others: segment, cluster, tracks, cues, seek head, info
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

/// A damaged copy, and in which way.
fn damaged(name: &str, whole: &[u8], random: &mut Stream) -> (&'static str, Vec<u8>) {
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
            for (n, byte) in bytes[at..(at + length).min(whole.len())].iter_mut().enumerate() {
                *byte = match (kind, n) {
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

/// What came of a copy, in a word, and whether it was told.
fn outcome(path: &Path, scratch: &Path) -> String {
    let settings = Settings { patience_secs: Some(20.0), ..Settings::default() };
    let read = video::open(path, &settings, scratch, &Device::Cpu).and_then(|mut source| {
        let mut frames = 0;
        while source.next_frame()?.is_some() {
            frames += 1;
        }
        let told = !source.complaints().is_empty() || !source.probe().notes.is_empty();
        Ok((frames, told))
    });
    match read {
        Ok((FRAMES, false)) => "whole".into(),
        Ok((FRAMES, true)) => "whole, with a remark".into(),
        Ok((_, true)) => "shorter, with a remark".into(),
        Ok((_, false)) => "shorter, as its header says".into(),
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() < 4000 && message.starts_with(&path.display().to_string()), "{message}");
            format!("error: {}", word(&error.fault))
        }
    }
}

fn word(fault: &Fault) -> &'static str {
    match fault {
        Fault::EmptyFile => "empty",
        Fault::NotAVideo(_) | Fault::NotRead(_) => "not a video",
        Fault::NoVideoTrack(_) => "no video track",
        Fault::NoFrames => "no frames",
        Fault::Truncated { .. } => "cut short",
        Fault::EndedEarly { .. } => "ended early",
        Fault::GaveMore { .. } => "more frames than listed",
        Fault::TooLarge { .. } => "picture too large",
        Fault::SizeChanges { .. } | Fault::OtherSize { .. } => "another size",
        other => panic!("no error for a damaged file: {other}"),
    }
}

/// Peak of this process' own memory.
#[cfg(target_os = "linux")]
fn own_peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Reads `copies` damaged copies; how many had which outcome, by the kind of damage.
fn survive(copies: usize) -> BTreeMap<(String, String), usize> {
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
        assert!(decoder < MOST_BYTES && own_peak_bytes() < MOST_BYTES);
    }
    table
}

fn check(table: &BTreeMap<(String, String), usize>) {
    let with =
        |part: &str| table.iter().filter(|((_, o), _)| o.contains(part)).map(|(_, n)| n).sum::<usize>();
    // a test of damage in which nothing broke, or everything, would test nothing
    assert!(with("error") > 0 && with("whole") > 0, "{table:?}");
}

/// All 200 with `--ignored`, in half a minute; `cargo test --test faults -- --nocapture` prints the table.
#[test]
fn damaged_copies_are_errors_or_say_what_they_lack() {
    check(&survive(60));
}

#[test]
#[ignore = "half a minute: 200 copies, of which the test above reads 60"]
fn two_hundred_damaged_copies() {
    check(&survive(200));
}

/// The program at work on a long video, in a place for temporary files of its own.
#[cfg(target_os = "linux")]
struct AtWork {
    program: Child,
    decoder: u32,
    temporary: PathBuf,
    video: PathBuf,
}

#[cfg(target_os = "linux")]
impl AtWork {
    fn start(folder: &Path) -> AtWork {
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
        AtWork { program, decoder, temporary, video }
    }

    /// What the next invocation leaves.
    fn left_after_the_next(&self) -> usize {
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

/// A child of `parent` that runs `program`, by `/proc`.
#[cfg(target_os = "linux")]
fn child_of(parent: u32, program: &str) -> Option<u32> {
    let about = |entry: fs::DirEntry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (head, tail) = stat.rsplit_once(')')?;
        let (pid, name) = head.split_once(" (")?;
        let of = tail.split_whitespace().nth(1)?.parse::<u32>().ok()?;
        (name == program && of == parent).then(|| pid.parse().ok())?
    };
    fs::read_dir("/proc").unwrap().flatten().find_map(about)
}

/// Gone, or a zombie that waits for whoever adopts orphans here.
#[cfg(target_os = "linux")]
fn ends(process: u32) -> bool {
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
fn a_decoder_dies_with_a_parent_that_is_killed_and_the_next_start_sweeps() {
    use nix::sys::signal::Signal::{SIGKILL, SIGSTOP};
    let folder = tempfile::tempdir().unwrap();
    let mut work = AtWork::start(folder.path());
    // a decoder that is stopped cannot notice that nobody reads any more
    send(work.decoder, SIGSTOP);
    send(work.program.id(), SIGKILL);
    work.program.wait().unwrap();
    assert!(ends(work.decoder), "the decoder lives on");
    assert_eq!(fs::read_dir(&work.temporary).unwrap().count(), 1, "the killed one had no time to clean up");
    assert_eq!(work.left_after_the_next(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupt_leaves_neither_decoder_nor_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut work = AtWork::start(folder.path());
    send(work.program.id(), nix::sys::signal::Signal::SIGINT);
    assert!(!work.program.wait().unwrap().success());
    assert!(ends(work.decoder), "the decoder lives on");
    assert_eq!(work.left_after_the_next(), 0);
}

/// Schedulers send their notice to every process of a job, some time before they end it.
#[cfg(target_os = "linux")]
#[test]
fn a_notice_of_a_cluster_ends_the_program_in_order() {
    use nix::sys::signal::Signal::{SIGUSR1, SIGUSR2, SIGXCPU};
    for notice in [SIGUSR1, SIGUSR2, SIGXCPU] {
        let folder = tempfile::tempdir().unwrap();
        let mut work = AtWork::start(folder.path());
        send(work.decoder, notice);
        std::thread::sleep(Duration::from_millis(50));
        assert!(work.program.try_wait().unwrap().is_none(), "the decoder died of {notice}");
        send(work.program.id(), notice);
        assert_eq!(work.program.wait().unwrap().code(), Some(130), "{notice}");
        assert!(ends(work.decoder), "the decoder lives on");
        assert_eq!(fs::read_dir(&work.temporary).unwrap().count(), 0, "{notice}");
    }
}

/// What another host or container does in the same folder is not known to be over.
#[cfg(target_os = "linux")]
#[test]
fn work_of_other_hosts_and_containers_is_not_swept() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("short.mp4");
    ffmpeg(folder.path(), "-f lavfi -i testsrc2=size=64x48:rate=25 -frames:v 3 short.mp4");
    let ended = Owner { process: 99_999_999, ..Owner::this().clone() };
    let host = Owner { host: "node-7-0123abcd".into(), ..ended.clone() };
    let container = Owner { namespace: "f0000123".into(), ..ended.clone() };
    let names = [&ended, &host, &container].map(|owner| owner.name("posebook-frames"));
    let temporary = folder.path().join("tmp");
    for name in &names {
        fs::create_dir_all(temporary.join(name).join("frames")).unwrap();
    }
    assert!(frames(&temporary, &video).output().unwrap().status.success());
    assert_eq!(names.map(|name| temporary.join(name).exists()), [false, true, true]);
}
