//! Small clips for tests, made by ffmpeg, and what ffmpeg itself decodes them to.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

/// Runs ffmpeg in `folder` with words separated by spaces.
pub(super) fn ffmpeg(folder: &Path, words: &str) {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-loglevel", "error", "-y"])
        .args(words.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("tests need ffmpeg on the PATH");
    assert!(output.status.success(), "ffmpeg {words}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A clip that tries what videos do to a reader, and how many frames it must have.
pub(super) struct Clip {
    pub name: &'static str,
    pub frames: usize,
    /// ffmpeg's words, after the shared source `A` was made.
    words: &'static str,
}

/// Moving test pictures whose every frame differs: `size` pixels, `frames` of them.
fn source(size: &str, frames: usize) -> String {
    format!("-f lavfi -i testsrc2=size={size}:rate=25 -frames:v {frames}")
}

pub(super) const CLIPS: &[Clip] = &[
    Clip { name: "odd_gop.mp4", frames: 60, words: "SRC:128x72:60 -c:v libx264 -g 13 -bf 3 -preset fast" },
    Clip {
        name: "pyramid.mkv",
        frames: 45,
        words: "SRC:128x72:45 -c:v libx264 -g 17 -bf 4 -b_strategy 0 -x264-params b-pyramid=normal:keyint_min=17",
    },
    Clip {
        name: "open_gop.mp4",
        frames: 60,
        words: "SRC:128x72:60 -c:v libx264 -x264-params open-gop=1:keyint=12:bframes=3:b-adapt=0",
    },
    Clip {
        name: "open_gop.mkv",
        frames: 60,
        words: "SRC:128x72:60 -c:v libx264 -x264-params open-gop=1:keyint=12:bframes=3:b-adapt=0",
    },
    Clip {
        name: "vfr.mp4",
        frames: 40,
        words: "SRC:128x72:40 -vf settb=1/90000,select=not(eq(mod(n\\,3)\\,1)),setpts=PTS+if(gt(N\\,20)\\,0.37/TB\\,0) -vsync vfr -c:v libx264 -g 11 -bf 2 -enc_time_base 1/90000 -video_track_timescale 90000",
    },
    Clip {
        name: "vfr.mkv",
        frames: 40,
        words: "SRC:128x72:40 -vf settb=1/90000,select=not(eq(mod(n\\,3)\\,1)),setpts=PTS+if(gt(N\\,20)\\,0.37/TB\\,0) -vsync vfr -c:v libx264 -g 11 -bf 2",
    },
    Clip {
        name: "odd_size.mp4",
        frames: 20,
        words: "SRC:128x72:20 -vf scale=129:73 -pix_fmt yuv444p -c:v libx264 -g 7 -bf 2",
    },
    Clip {
        name: "odd_420.webm",
        frames: 20,
        words: "SRC:128x72:20 -vf scale=129:73 -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 7 -b:v 200k",
    },
    Clip {
        name: "hevc.mp4",
        frames: 30,
        words: "SRC:128x72:30 -c:v libx265 -tag:v hvc1 -preset ultrafast -x265-params log-level=none:info=0:keyint=10:min-keyint=10:bframes=3:open-gop=1",
    },
    Clip { name: "mpeg2.ts", frames: 40, words: "SRC:128x72:40 -c:v mpeg2video -g 9 -bf 2 -b:v 800k" },
    Clip { name: "h264.ts", frames: 40, words: "SRC:128x72:40 -c:v libx264 -g 9 -bf 2" },
    Clip {
        name: "hidden.webm",
        frames: 40,
        words: "SRC:128x72:40 -c:v libvpx -auto-alt-ref 1 -lag-in-frames 16 -g 15 -b:v 300k",
    },
    Clip {
        name: "fields.mkv",
        frames: 30,
        words: "SRC:128x72:30 -c:v libx264 -flags +ildct+ilme -x264-params tff=1 -g 12 -bf 2",
    },
    Clip { name: "mpeg4.avi", frames: 30, words: "SRC:128x72:30 -c:v mpeg4 -g 8 -bf 2" },
    Clip { name: "mjpeg.mov", frames: 12, words: "SRC:128x72:12 -c:v mjpeg -q:v 3" },
    Clip {
        name: "late_start.mp4",
        frames: 30,
        words: "SRC:128x72:30 -output_ts_offset 2.5 -c:v libx264 -g 8 -bf 2",
    },
    Clip {
        name: "fragmented.mp4",
        frames: 30,
        words: "SRC:128x72:30 -c:v libx264 -g 8 -bf 2 -movflags frag_keyframe+empty_moov",
    },
    Clip { name: "edit_list.mp4", frames: 49, words: "-ss 0.44 -i odd_gop.mp4 -c copy" },
    Clip { name: "turned.mp4", frames: 60, words: "TURN:90" },
    Clip { name: "upside_down.mp4", frames: 60, words: "TURN:180" },
    Clip {
        name: "with_sound.mp4",
        frames: 60,
        words: "-i odd_gop.mp4 -f lavfi -i sine=duration=3 -map 1:a -map 0:v -c:v copy -c:a aac",
    },
    Clip { name: "av1.mp4", frames: 24, words: "SRC:128x72:24 -c:v libsvtav1 -preset 12 -g 9" },
    Clip {
        name: "ten_bit.mp4",
        frames: 20,
        words: "SRC:128x72:20 -pix_fmt yuv420p10le -c:v libx265 -tag:v hvc1 -preset ultrafast -x265-params log-level=none:keyint=8:bframes=3",
    },
    Clip { name: "prores.mov", frames: 12, words: "SRC:128x72:12 -c:v prores_ks" },
    Clip { name: "lossless.mkv", frames: 12, words: "SRC:128x72:12 -vf scale=97:55 -c:v ffv1 -g 4" },
    Clip {
        name: "empty_edit.mp4",
        frames: 60,
        words: "-itsoffset 0.5 -i odd_gop.mp4 -f lavfi -i sine=duration=3 -map 0:v -map 1:a -c:v copy -c:a aac",
    },
    Clip {
        name: "two_tracks.mkv",
        frames: 60,
        words: "-i odd_gop.mp4 -f lavfi -i testsrc2=size=64x48:rate=25:duration=1 -map 0:v -map 1:v -c:v:0 copy -c:v:1 libx264",
    },
    Clip {
        name: "cover.mp4",
        frames: 60,
        words: "-f lavfi -i color=red:size=32x32:duration=0.04 -i odd_gop.mp4 -map 0:v -map 1:v -c:v:0 png -c:v:1 copy -disposition:v:0 attached_pic",
    },
    Clip { name: "bare.h264", frames: 60, words: "-i odd_gop.mp4 -c copy" },
    Clip {
        name: "negative.mp4",
        frames: 60,
        words: "-i odd_gop.mp4 -c copy -movflags negative_cts_offsets -use_editlist 0",
    },
    Clip { name: "mid_gop.mp4", frames: 42, words: "-ss 0.72 -i odd_gop.mp4 -c copy" },
    Clip { name: "turned_back.mp4", frames: 60, words: "TURN:270" },
];

impl Clip {
    /// Whether this ffmpeg has the encoder that the clip is made with; says so if it has not.
    pub fn can_be_made(&self) -> bool {
        static ENCODERS: OnceLock<String> = OnceLock::new();
        let ask = || {
            let output = Command::new("ffmpeg").args(["-hide_banner", "-encoders"]).output();
            String::from_utf8_lossy(&output.expect("tests need ffmpeg on the PATH").stdout).into_owned()
        };
        let encoders = ENCODERS.get_or_init(ask);
        let words: Vec<&str> = self.words.split(' ').collect();
        let wanted = words.windows(2).filter(|pair| pair[0].starts_with("-c:v") && pair[1] != "copy");
        let missing: Vec<&str> = wanted.map(|pair| pair[1]).filter(|name| !encoders.contains(name)).collect();
        if !missing.is_empty() {
            eprintln!("skipped: {}, for want of {}", self.name, missing.join(", "));
        }
        missing.is_empty()
    }

    /// Makes the clip in `folder`, with what it is made from.
    pub fn make(&self, folder: &Path) -> PathBuf {
        let path = folder.join(self.name);
        if path.exists() {
            return path;
        }
        if self.words.contains("odd_gop.mp4") || self.words.contains("TURN") {
            clip("odd_gop.mp4").make(folder);
        }
        let words = self.words.split(' ').map(|word| match word.split(':').collect::<Vec<_>>()[..] {
            ["SRC", size, frames] => source(size, frames.parse().unwrap()),
            ["TURN", degrees] => turn(degrees),
            _ => word.to_string(),
        });
        ffmpeg(folder, &format!("{} {}", words.collect::<Vec<_>>().join(" "), self.name));
        path
    }
}

/// A copy that asks to be turned for display. ffmpeg 5 does it by a tag, later ones by an option before
/// the input.
fn turn(degrees: &str) -> String {
    let version = Command::new("ffmpeg").arg("-version").output().expect("tests need ffmpeg on the PATH");
    let text = String::from_utf8_lossy(&version.stdout).to_string();
    let major = text.split_whitespace().nth(2).and_then(|version| version.split('.').next()?.parse().ok());
    match major.unwrap_or(99) {
        ..=5 => format!("-i odd_gop.mp4 -c copy -metadata:s:v rotate={degrees}"),
        _ => format!("-display_rotation:v:0 {degrees} -i odd_gop.mp4 -c copy"),
    }
}

pub(super) fn clip(name: &str) -> &'static Clip {
    CLIPS.iter().find(|clip| clip.name == name).unwrap()
}

/// Hashes of the frames that a plain ffmpeg gives, in order, and the size of each in bytes.
pub(super) fn frames_by_ffmpeg(path: &Path, frame_bytes: usize) -> Vec<String> {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "fatal", "-i"])
        .arg(path)
        .args(["-map", "0:V:0", "-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"])
        .output()
        .unwrap();
    assert_eq!(output.stdout.len() % frame_bytes, 0, "{}: frames of another size", path.display());
    output.stdout.chunks(frame_bytes).map(hash).collect()
}

pub(super) fn hash(rgb: &[u8]) -> String {
    Sha256::digest(rgb).iter().map(|byte| format!("{byte:02x}")).collect()
}
