//! What only the measured process knows, shown to the one that watches it.
//!
//! A thread of the measured process writes one record of fixed size over and over into a small file;
//! the watcher reads it whenever it samples the rest, so that one row holds one moment. Publishing
//! allocates nothing after its start, whatever the length of the video.

use super::heap;
use crate::device::{Handle, Pool, Room};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the record is renewed.
const EVERY: Duration = Duration::from_millis(5);
/// How many renewals pass before the driver is asked again what is free on the card: it answers slower
/// than the pool.
const ROOM_EVERY: u64 = 4;
const FIELDS: usize = 14;
const NONE: u64 = u64::MAX;

/// One moment of the measured process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    /// The frame being worked on; `None` before the first.
    pub frame: Option<u64>,
    /// Frames that were begun, this one included.
    pub frames_begun: Option<u64>,
    /// Frames that will be begun in all; `None` before the video is open.
    pub frames: Option<u64>,
    /// `None` in a program without a counting allocator.
    pub heap_bytes: Option<u64>,
    pub heap_peak_bytes: Option<u64>,
    /// Scratch files, as far as the process knows.
    pub disk_bytes: Option<u64>,
    /// The card's pool; all of these are `None` without a card.
    pub device_used_bytes: Option<u64>,
    pub device_reserved_bytes: Option<u64>,
    pub device_used_peak_bytes: Option<u64>,
    pub device_reserved_peak_bytes: Option<u64>,
    /// Free on the card, ballast taken away.
    pub device_free_bytes: Option<u64>,
    /// What is kept from the run, so that the card is as small as its limit.
    pub device_ballast_bytes: Option<u64>,
}

#[derive(Default)]
struct Shared {
    frame: AtomicU64,
    frames_begun: AtomicU64,
    frames: AtomicU64,
    disk_bytes: AtomicU64,
    ballast_bytes: AtomicU64,
    card: OnceLock<Handle>,
    stop: AtomicBool,
}

/// Publishes this process' memory until dropped.
pub struct Publisher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    /// Starts publishing into the file at `path`.
    ///
    /// # Errors
    /// If the file or the thread cannot be made.
    pub fn start(path: &Path) -> io::Result<Publisher> {
        let file = File::create(path)?;
        let shared = Arc::new(Shared::default());
        shared.frame.store(NONE, Relaxed);
        shared.frames.store(NONE, Relaxed);
        shared.disk_bytes.store(NONE, Relaxed);
        shared.ballast_bytes.store(NONE, Relaxed);
        let seen = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("memory sampler".into()).spawn(move || {
            let mut room = None;
            for count in 0.. {
                if count % ROOM_EVERY == 0 {
                    room = seen.card.get().and_then(Handle::room);
                }
                // a record that cannot be written is a sample less, and no reason to end the run
                let _ = write_record(&file, count, &seen, room);
                if seen.stop.load(Relaxed) {
                    return;
                }
                std::thread::park_timeout(EVERY);
            }
        })?;
        Ok(Publisher { shared, thread: Some(thread) })
    }

    /// Says which frame is being worked on.
    pub fn frame(&self, frame: u64) {
        self.shared.frames_begun.fetch_add(1, Relaxed);
        self.shared.frame.store(frame, Relaxed);
    }

    /// Says how many frames there will be.
    pub fn frames(&self, frames: u64) {
        self.shared.frames.store(frames, Relaxed);
    }

    /// Has the card's memory published too. The first card counts.
    pub fn card(&self, card: &Handle) {
        self.shared.card.get_or_init(|| card.clone());
    }

    /// Says how much of the card is kept from the run.
    pub fn ballast_bytes(&self, bytes: u64) {
        self.shared.ballast_bytes.store(bytes, Relaxed);
    }

    /// Says how large the scratch files are.
    pub fn disk_bytes(&self, bytes: u64) {
        self.shared.disk_bytes.store(bytes, Relaxed);
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // a sampler that panicked has said so itself
            let _ = thread.join();
        }
    }
}

fn write_record(file: &File, count: u64, shared: &Shared, room: Option<Room>) -> io::Result<()> {
    let counting = heap::is_counting();
    let heap = |bytes: u64| if counting { bytes } else { NONE };
    let pool = shared.card.get().and_then(Handle::pool);
    let of_pool = |bytes: fn(&Pool) -> u64| pool.as_ref().map_or(NONE, bytes);
    let fields: [u64; FIELDS] = [
        count,
        shared.frame.load(Relaxed),
        heap(heap::current_bytes()),
        heap(heap::peak_bytes()),
        shared.disk_bytes.load(Relaxed),
        of_pool(|pool| pool.used_bytes),
        of_pool(|pool| pool.reserved_bytes),
        of_pool(|pool| pool.used_peak_bytes),
        of_pool(|pool| pool.reserved_peak_bytes),
        room.map_or(NONE, |room| room.free_bytes),
        shared.ballast_bytes.load(Relaxed),
        shared.frames_begun.load(Relaxed),
        shared.frames.load(Relaxed),
        // the count again: a record read while it was being written shows two different ones
        count,
    ];
    let mut bytes = [0; FIELDS * 8];
    for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
        place.copy_from_slice(&field.to_le_bytes());
    }
    write_at_start(file, &bytes)
}

#[cfg(unix)]
fn write_at_start(file: &File, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, 0)
}

#[cfg(not(unix))]
fn write_at_start(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(0))?;
    file.write_all(bytes)
}

/// The newest record at `path`; `None` before the first one, or if it was caught half-written.
pub fn read(path: &Path) -> Option<Live> {
    let bytes = std::fs::read(path).ok()?;
    let mut fields = [0; FIELDS];
    if bytes.len() != FIELDS * 8 {
        return None;
    }
    for (field, place) in fields.iter_mut().zip(bytes.chunks_exact(8)) {
        *field = u64::from_le_bytes(place.try_into().ok()?);
    }
    let known = |field: u64| (field != NONE).then_some(field);
    (fields[0] == fields[FIELDS - 1]).then(|| Live {
        frame: known(fields[1]),
        heap_bytes: known(fields[2]),
        heap_peak_bytes: known(fields[3]),
        disk_bytes: known(fields[4]),
        device_used_bytes: known(fields[5]),
        device_reserved_bytes: known(fields[6]),
        device_used_peak_bytes: known(fields[7]),
        device_reserved_peak_bytes: known(fields[8]),
        device_free_bytes: known(fields[9]),
        device_ballast_bytes: known(fields[10]),
        frames_begun: known(fields[11]),
        frames: known(fields[12]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("live");
        assert_eq!(read(&path), None);
        let publisher = Publisher::start(&path).unwrap();
        publisher.frames(2);
        publisher.frame(4);
        publisher.frame(7);
        publisher.disk_bytes(1000);
        drop(publisher);
        let live = read(&path).unwrap();
        assert_eq!((live.frame, live.disk_bytes), (Some(7), Some(1000)));
        assert_eq!((live.frames_begun, live.frames), (Some(2), Some(2)));
        // no card: unknown, and not zero
        assert_eq!((live.device_used_bytes, live.device_reserved_peak_bytes), (None, None));
        assert_eq!((live.device_free_bytes, live.device_ballast_bytes), (None, None));
        std::fs::write(&path, [0; 11]).unwrap();
        assert_eq!(read(&path), None);
    }
}
