//! A full disk while clients upload and queue, and while jobs run and end. The disk is a small one in memory, which only root may
//! mount.

#[path = "../../../tests/common/skip.rs"]
mod skip;
mod support;

use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::{TestServer, request, wait_until};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// A disk of a few MiB, unmounted at the end.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// `None`, after a message, without the right to mount.
    fn mount(mebibytes: u64) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"]).arg(folder.path());
        match command.output() {
            Ok(output) if output.status.success() => Some(SmallDisk { folder }),
            _ => {
                skip::skip("a full disk: a small disk cannot be mounted without root", false);
                None
            }
        }
    }

    fn server(&self, floor: u64) -> TestServer {
        let mut options = TestServer::options(&self.folder);
        options.disk_floor_bytes = Some(floor);
        TestServer::start(options)
    }

    /// Writes a file until `left` bytes are free.
    fn fill(&self, left: u64) -> PathBuf {
        let path = self.folder.path().join("filler");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        while free(self.folder.path()) > left {
            let bytes = (free(self.folder.path()) - left).min(MIB);
            if file.write_all(&vec![1; bytes as usize]).is_err() {
                break;
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // lazily: a server that ends may still have a file open
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

fn free(folder: &Path) -> u64 {
    posebook_core::memory::disk::free_bytes(folder).unwrap()
}

#[test]
fn an_upload_that_fills_the_disk_is_refused_and_its_bytes_are_removed() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let server = disk.server(4 * MIB);
    let before = free(disk.folder.path());
    let bytes = vec![1; 40 << 20];
    // the size is known: refused before a byte is read
    let answer = server.request("PUT", "/v1/uploads?name=a.mp4", &[], &bytes);
    assert_eq!(answer.status, 507, "{}", answer.text());
    // the size is not known
    let mut chunks = Vec::new();
    for chunk in bytes.chunks(MIB as usize) {
        chunks.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunks.extend_from_slice(chunk);
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    let headers = [("Transfer-Encoding", "chunked")];
    if let Ok(answer) = request(server.address, "PUT", "/v1/uploads?name=a.mp4", &headers, &chunks) {
        assert!(answer.status == 507 || answer.status == 411, "{} {}", answer.status, answer.text());
    }
    wait_until("its bytes are removed", || free(disk.folder.path()) + MIB > before);
    let id = server.upload("small.mp4", b"fits");
    assert!(server.service.store.upload(&id).unwrap().is_some());
}

#[test]
fn a_job_that_does_not_fit_is_refused_with_the_bytes_needed_and_free() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let server = disk.server(4 * MIB);
    let body = json!({ "kind": "experiment", "experiment": "simulated", "settings": { "predicted_bytes": 100 * MIB } });
    let answer = server.post("/v1/jobs", &body);
    assert_eq!(answer.status, 507, "{}", answer.text());
    let problem = answer.json();
    assert_eq!(problem["needed_bytes"], 100 * MIB);
    assert!(problem["free_bytes"].as_u64().unwrap() < 21 * MIB, "{problem:#}");
}

#[test]
fn a_running_job_ends_before_the_disk_is_full_and_later_jobs_wait_for_space() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let server = disk.server(4 * MIB);
    let id = server.queue(json!({ "frames": 1000, "frame_seconds": 0.05 }));
    let waiting = server.queue(json!({}));
    server.wait_for(&id, "running");
    let filler = disk.fill(2 * MIB);
    let job = server.wait_for(&id, "failed");
    assert_eq!(job["failure"]["kind"], "disk_full", "{job:#}");
    assert!(job["failure"]["message"].as_str().unwrap().contains("the disk has"), "{job:#}");
    assert!(
        job["files"].as_array().unwrap().iter().any(|file| file["name"] == "people.csv"),
        "rows are kept"
    );
    wait_until("the server is not ready", || server.get("/readyz").status == 503);
    assert_eq!(server.job(&waiting)["state"], "queued");
    fs::remove_file(filler).unwrap();
    server.wait_for(&waiting, "succeeded");
    wait_until("the server is ready", || server.get("/readyz").status == 200);
}

#[test]
fn the_end_of_a_job_is_recorded_as_soon_as_there_is_space() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    // no floor: nothing is stopped before the disk is full to the last byte
    let server = disk.server(0);
    let settings = json!({ "frames": 30, "frame_seconds": 0.05, "bytes": 3 * MIB, "predicted_bytes": 0 });
    let id = server.queue(settings);
    server.wait_for(&id, "running");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        // whatever becomes free is taken
        threads.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                disk.fill(0);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        // long enough for the process to end without space for its rows and its outcome
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(server.get("/healthz").status, 200);
        is_over.store(true, Ordering::Relaxed);
    });
    fs::remove_file(disk.folder.path().join("filler")).unwrap();
    let job = server.wait_for(&id, "failed");
    assert_eq!(job["failure"]["kind"], "disk_full", "{job:#}");
    let events = server.service.store.events(Some(id.parse().unwrap()), 0, 1000).unwrap();
    assert_eq!(events.iter().filter(|event| event.kind == "end").count(), 1);
    let next = server.queue(json!({}));
    server.wait_for(&next, "succeeded");
}
