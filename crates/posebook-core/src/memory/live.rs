//! Publishes the state of the measured process in a small file, for the process that measures it.
//!
//! Some values are known only inside the measured process: its heap, its GPU pool, its current frame. The thread of a
//! [`Publisher`] writes them as one record of fixed size into a file, every 5 ms. The measuring process calls [`read`]
//! with each of its own samples, so that heap, pool and resident set are of one moment. Publishing allocates nothing
//! after the start.

use super::heap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// Time between two records.
const RECORD_INTERVAL: Duration = Duration::from_millis(5);
/// Free memory of the GPU is queried for every fourth record: the driver answers more slowly than the pool.
const GPU_QUERY_PERIOD: u64 = 4;
/// Numbers in a record, 8 bytes each, little-endian.
const FIELDS: usize = 14;
/// In a record: the value is unknown.
const NONE: u64 = u64::MAX;

/// The memory pool of an opened GPU. *Used* memory is held by tensors; *reserved* memory is what the pool has
/// allocated from the driver for them, including blocks that no tensor uses now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPool {
    /// Held by tensors now.
    pub used_bytes: u64,
    /// Held by the pool now.
    pub reserved_bytes: u64,
    /// Largest `used_bytes` since the peaks were reset.
    pub used_peak_bytes: u64,
    /// Largest `reserved_bytes` since the peaks were reset.
    pub reserved_peak_bytes: u64,
}

/// The memory of a whole GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Used by no process.
    pub free_bytes: u64,
    /// Size of the memory.
    pub total_bytes: u64,
}

/// Reads the memory of a GPU that this process has opened. The library that opens GPUs implements it, so that this
/// crate does not depend on one. A [`Publisher`] calls both methods from its own thread.
pub trait GpuMemory: Send + Sync {
    /// The pool that tensors are allocated from; `None` if it cannot be queried. Called for every record: it has to
    /// answer within microseconds.
    fn pool(&self) -> Option<MemoryPool>;
    /// The memory of the whole GPU, all processes counted; `None` if it cannot be queried.
    fn memory(&self) -> Option<DeviceMemory>;
}

/// One record of the measured process. `None`: unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveRecord {
    /// Index of the current frame, as given to [`Publisher::begin_frame`]; `None` before the first.
    pub frame: Option<u64>,
    /// Number of frames begun, the current one included.
    pub frames_begun: Option<u64>,
    /// Number of frames to process; `None` before the video is open.
    pub frames: Option<u64>,
    /// Heap bytes now; `None` in a program without the counting allocator.
    pub heap_bytes: Option<u64>,
    /// Peak of the heap since the last reset, bytes.
    pub heap_peak_bytes: Option<u64>,
    /// Size of the scratch files, bytes.
    pub disk_bytes: Option<u64>,
    /// Bytes of the GPU's pool used by tensors; this and the following are `None` without a GPU.
    pub device_used_bytes: Option<u64>,
    /// Bytes the pool reserved on the GPU.
    pub device_reserved_bytes: Option<u64>,
    /// Peak of the used bytes.
    pub device_used_peak_bytes: Option<u64>,
    /// Peak of the reserved bytes.
    pub device_reserved_peak_bytes: Option<u64>,
    /// Free memory of the GPU, the reservation counted as used.
    pub device_free_bytes: Option<u64>,
    /// Bytes that a run took from the GPU at its start to emulate a smaller one.
    pub device_reservation_bytes: Option<u64>,
}

#[derive(Default)]
struct SharedState {
    frame: AtomicU64,
    frames_begun: AtomicU64,
    frames: AtomicU64,
    disk_bytes: AtomicU64,
    reservation_bytes: AtomicU64,
    gpu: OnceLock<Box<dyn GpuMemory>>,
    stop: AtomicBool,
}

/// Publishes this process' state from a background thread until it is dropped.
pub struct Publisher {
    shared: Arc<SharedState>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    /// Starts publishing to the file at `path`.
    ///
    /// # Errors
    /// If the file or the thread cannot be created.
    pub fn start(path: &Path) -> io::Result<Publisher> {
        let file = File::create(path)?;
        let shared = Arc::new(SharedState::default());
        shared.frame.store(NONE, Relaxed);
        shared.frames.store(NONE, Relaxed);
        shared.disk_bytes.store(NONE, Relaxed);
        shared.reservation_bytes.store(NONE, Relaxed);
        let shared_state = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("memory sampler".into()).spawn(move || {
            let mut gpu_memory = None;
            for count in 0.. {
                if count % GPU_QUERY_PERIOD == 0 {
                    gpu_memory = shared_state.gpu.get().and_then(|gpu| gpu.memory());
                }
                // a record that cannot be written is one sample less; the run goes on
                let _ = write_record(&file, count, &shared_state, gpu_memory);
                if shared_state.stop.load(Relaxed) {
                    return;
                }
                std::thread::park_timeout(RECORD_INTERVAL);
            }
        })?;
        Ok(Publisher { shared, thread: Some(thread) })
    }

    /// Sets the current frame and counts it as begun.
    pub fn begin_frame(&self, frame: u64) {
        self.shared.frames_begun.fetch_add(1, Relaxed);
        self.shared.frame.store(frame, Relaxed);
    }

    /// Sets the number of frames to process.
    pub fn set_frame_count(&self, frames: u64) {
        self.shared.frames.store(frames, Relaxed);
    }

    /// Publishes the memory of this GPU, too. Only the first call has an effect.
    pub fn set_gpu(&self, gpu: Box<dyn GpuMemory>) {
        self.shared.gpu.get_or_init(|| gpu);
    }

    /// Sets the bytes taken from the GPU at the start to emulate a smaller one.
    pub fn set_reservation_bytes(&self, bytes: u64) {
        self.shared.reservation_bytes.store(bytes, Relaxed);
    }

    /// Sets the size of the scratch files, bytes.
    pub fn set_disk_bytes(&self, bytes: u64) {
        self.shared.disk_bytes.store(bytes, Relaxed);
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // a panic of the thread was reported when it happened
            let _ = thread.join();
        }
    }
}

fn write_record(
    file: &File,
    count: u64,
    shared: &SharedState,
    gpu_memory: Option<DeviceMemory>,
) -> io::Result<()> {
    let counting = heap::is_counting();
    let heap = |bytes: u64| if counting { bytes } else { NONE };
    let pool = shared.gpu.get().and_then(|gpu| gpu.pool());
    let pool_bytes = |bytes: fn(&MemoryPool) -> u64| pool.as_ref().map_or(NONE, bytes);
    let fields: [u64; FIELDS] = [
        count,
        shared.frame.load(Relaxed),
        heap(heap::current_bytes()),
        heap(heap::peak_bytes()),
        shared.disk_bytes.load(Relaxed),
        pool_bytes(|pool| pool.used_bytes),
        pool_bytes(|pool| pool.reserved_bytes),
        pool_bytes(|pool| pool.used_peak_bytes),
        pool_bytes(|pool| pool.reserved_peak_bytes),
        gpu_memory.map_or(NONE, |memory| memory.free_bytes),
        shared.reservation_bytes.load(Relaxed),
        shared.frames_begun.load(Relaxed),
        shared.frames.load(Relaxed),
        // the count again: a record read during a write has two different counts
        count,
    ];
    let mut bytes = [0; FIELDS * 8];
    for (slot, field) in bytes.chunks_exact_mut(8).zip(fields) {
        slot.copy_from_slice(&field.to_le_bytes());
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

/// The latest record at `path`; `None` before the first one, or if it was read during a write.
pub fn read(path: &Path) -> Option<LiveRecord> {
    let bytes = std::fs::read(path).ok()?;
    let mut fields = [0; FIELDS];
    if bytes.len() != FIELDS * 8 {
        return None;
    }
    for (field, slot) in fields.iter_mut().zip(bytes.chunks_exact(8)) {
        *field = u64::from_le_bytes(slot.try_into().ok()?);
    }
    let known = |field: u64| (field != NONE).then_some(field);
    (fields[0] == fields[FIELDS - 1]).then(|| LiveRecord {
        frame: known(fields[1]),
        heap_bytes: known(fields[2]),
        heap_peak_bytes: known(fields[3]),
        disk_bytes: known(fields[4]),
        device_used_bytes: known(fields[5]),
        device_reserved_bytes: known(fields[6]),
        device_used_peak_bytes: known(fields[7]),
        device_reserved_peak_bytes: known(fields[8]),
        device_free_bytes: known(fields[9]),
        device_reservation_bytes: known(fields[10]),
        frames_begun: known(fields[11]),
        frames: known(fields[12]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_record_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("live");
        assert_eq!(read(&path), None);
        let publisher = Publisher::start(&path).unwrap();
        publisher.set_frame_count(2);
        publisher.begin_frame(4);
        publisher.begin_frame(7);
        publisher.set_disk_bytes(1000);
        drop(publisher);
        let live = read(&path).unwrap();
        assert_eq!((live.frame, live.disk_bytes), (Some(7), Some(1000)));
        assert_eq!((live.frames_begun, live.frames), (Some(2), Some(2)));
        // without a GPU: unknown, not zero
        assert_eq!((live.device_used_bytes, live.device_reserved_peak_bytes), (None, None));
        assert_eq!((live.device_free_bytes, live.device_reservation_bytes), (None, None));
        std::fs::write(&path, [0; 11]).unwrap();
        assert_eq!(read(&path), None);
    }
}
