//! Where a result comes from: SHA-256 digests, the source code's version, the machine.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::Command;

/// SHA-256 of `bytes`, 64 lower-case hexadecimal digits.
pub fn sha256_of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file, 64 lower-case hexadecimal digits. Reads the file in pieces.
///
/// # Errors
/// If the file cannot be read.
pub fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..read]);
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The version of the source code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceVersion {
    /// The commit; `None` outside a git checkout.
    pub git_hash: Option<String>,
    /// Whether tracked files differ from that commit; `None` outside a git checkout.
    pub git_dirty: Option<bool>,
}

impl SourceVersion {
    /// The version of the git checkout that contains `folder`, by `git`.
    pub fn from_checkout(folder: &Path) -> SourceVersion {
        let git = |arguments: &[&str]| -> Option<String> {
            let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
        };
        SourceVersion {
            git_hash: git(&["rev-parse", "HEAD"]),
            git_dirty: git(&["status", "--porcelain", "--untracked-files=no"]).map(|text| !text.is_empty()),
        }
    }
}

/// The machine of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The CPU's model name; `None` where it is unknown.
    pub cpu: Option<String>,
    /// CPU cores available to this process.
    pub cores: usize,
    /// Main memory; `None` where it is unknown.
    pub memory_bytes: Option<u64>,
    /// Operating system and architecture, such as `linux x86_64`.
    pub os: String,
    /// The first line of `ffmpeg -version`; `None` where there is no ffmpeg.
    pub ffmpeg: Option<String>,
}

impl Machine {
    /// This machine.
    pub fn current() -> Machine {
        let field = |path: &str, key: &str| -> Option<String> {
            let text = std::fs::read_to_string(path).ok()?;
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_string())
        };
        let kibibytes = field("/proc/meminfo", "MemTotal")
            .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        let ffmpeg = Command::new("ffmpeg").arg("-version").output().ok();
        Machine {
            cpu: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: kibibytes.map(|kib| kib * 1024),
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            ffmpeg: ffmpeg.and_then(|output| {
                String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_string)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_sha256() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256_of_bytes(b""), empty);
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(sha256_of_file(file.path()).unwrap(), empty);
    }
}
