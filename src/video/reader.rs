//! What the modes have in common: frames are read one by one into buffers, here or ahead in a thread.
//!
//! Must not know which modes there are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::child::Slot;
use super::error::VideoError;
use super::probe::Probe;
use super::range::Selection;

/// How a mode gets at its frames. It may work in another thread than the one that takes the frames.
pub(super) trait Reader: Send {
    /// What must be done before the first frame can be read; `spare` has room for one frame.
    fn prepare(&mut self, _spare: &mut [u8]) -> Result<(), VideoError> {
        Ok(())
    }

    /// Fills `rgb` with frame `n` of the clip. Selected frames are asked for in their order, none twice.
    fn read(&mut self, n: usize, rgb: &mut [u8]) -> Result<(), VideoError>;

    /// Checks, after the last frame, that all is well.
    fn finish(&mut self) -> Result<(), VideoError> {
        Ok(())
    }
}

/// What is read, and what is known of the reading, in whatever thread it goes on.
#[derive(Clone)]
pub(super) struct Reading {
    pub probe: Arc<Probe>,
    pub selection: Selection,
    pub slot: Slot,
    pub account: Arc<Account>,
}

/// What a reader tells of itself while it works.
#[derive(Default)]
pub(super) struct Account {
    disk_bytes: AtomicU64,
    /// Bytes in buffers for pixels, beside those that become frames.
    own_bytes: AtomicU64,
    said: Mutex<String>,
}

impl Reading {
    pub fn new(probe: Probe, selection: Selection) -> Reading {
        Reading {
            probe: Arc::new(probe),
            selection,
            slot: Slot::default(),
            account: Arc::new(Account::default()),
        }
    }
}

impl Account {
    pub fn disk_bytes(&self) -> u64 {
        self.disk_bytes.load(Ordering::Relaxed)
    }

    pub fn set_disk_bytes(&self, bytes: u64) {
        self.disk_bytes.store(bytes, Ordering::Relaxed);
    }

    pub fn own_bytes(&self) -> u64 {
        self.own_bytes.load(Ordering::Relaxed)
    }

    /// Notes that at least so many bytes were held at once.
    pub fn note_own_bytes(&self, bytes: u64) {
        self.own_bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    /// What ffmpeg complained about.
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_said(&self, words: String) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = words;
    }
}
