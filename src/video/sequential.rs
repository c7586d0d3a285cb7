//! The stream as it should be: one decoder beside the consumer, and a fixed pool of buffers.
//!
//! The pool is allocated at the start, within the bound that the settings give (two frames at least), and
//! neither grows nor shrinks until the source is dropped, not even after the last frame was decoded: heap
//! depends neither on the video's length nor on who is faster. A frame's buffer goes back to the pool when
//! the frame is dropped. Must not know who takes the frames.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::FrameSource;
use super::buffers::{buffer, frame};
use super::child::Slot;
use super::decoder::Decoder;
use super::error::{Fault, VideoError};
use super::probe::Probe;
use crate::frame::Frame;

/// How long to wait for a frame before asking whether one can still come.
const PATIENCE: Duration = Duration::from_millis(50);

/// Frames of a range through a bounded queue.
pub(super) struct Sequential {
    probe: Arc<Probe>,
    range: Range<usize>,
    slot: Slot,
    queue: Receiver<Result<Frame, VideoError>>,
    /// Where buffers go back to; an empty one tells the decoder's thread to end.
    home: Sender<Vec<u8>>,
    /// Buffers that the decoder's thread has taken back.
    returned: Arc<AtomicUsize>,
    given: usize,
    buffers: usize,
    thread: Option<JoinHandle<Ended>>,
    ended: Option<Ended>,
}

/// What the decoder's thread leaves behind.
struct Ended {
    /// What ffmpeg complained about.
    said: String,
    /// Buffers that were not in use at the end, and those that still come back: kept, so that the peak of
    /// a short video, which is decoded before its first frame is used, is that of a long one.
    _pool: Vec<Vec<u8>>,
    _take_back: Receiver<Vec<u8>>,
}

impl Sequential {
    /// Allocates the pool and starts decoding.
    ///
    /// # Errors
    /// If ffmpeg cannot be started or the pool does not fit into memory.
    pub fn start(probe: Probe, range: Range<usize>, queue_bytes: usize) -> Result<Sequential, VideoError> {
        let probe = Arc::new(probe);
        let buffers = (queue_bytes / probe.frame_bytes()).max(2);
        let pool = (0..buffers)
            .map(|_| buffer(probe.frame_bytes()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|fault| VideoError::new(&probe.path, fault))?;
        let slot = Slot::default();
        let decoder = Decoder::start(&probe, range.clone(), slot.clone())?;
        let (send, queue) = sync_channel(buffers + 1);
        let (home, take_back) = channel();
        let returned = Arc::new(AtomicUsize::new(0));
        let work = Work {
            probe: Arc::clone(&probe),
            decoder,
            pool,
            send,
            home: home.clone(),
            take_back,
            returned: Arc::clone(&returned),
        };
        let thread =
            thread::Builder::new().name("video-decoder".into()).spawn(|| work.run()).map_err(|source| {
                VideoError::new(&probe.path, Fault::Start { program: "a thread".into(), source })
            })?;
        let (thread, ended) = (Some(thread), None);
        Ok(Sequential { probe, range, slot, queue, home, returned, given: 0, buffers, thread, ended })
    }

    /// The thread has hung up: after the last frame, or because it died.
    fn hung_up(&mut self) -> Result<Option<Frame>, VideoError> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => Err(VideoError::new(&self.probe.path, Fault::ThreadDied)),
            Some(Ok(ended)) => {
                self.ended = Some(ended);
                Ok(None)
            }
            None => Ok(None),
        }
    }
}

impl FrameSource for Sequential {
    fn probe(&self) -> &Probe {
        &self.probe
    }

    fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, VideoError> {
        loop {
            match self.queue.recv_timeout(PATIENCE) {
                Ok(frame) => {
                    self.given += 1;
                    return frame.map(Some);
                }
                Err(RecvTimeoutError::Disconnected) => return self.hung_up(),
                Err(RecvTimeoutError::Timeout) => {
                    // the thread waits for a buffer, and the caller holds them all while it waits here
                    if self.given - self.returned.load(Ordering::Acquire) == self.buffers {
                        let fault = Fault::QueueHeld { buffers: self.buffers };
                        return Err(VideoError::new(&self.probe.path, fault));
                    }
                }
            }
        }
    }

    fn frame_buffer_bytes(&self) -> u64 {
        (self.buffers * self.probe.frame_bytes()) as u64
    }

    fn decoder_pids(&self) -> Vec<u32> {
        self.slot.pids()
    }

    fn decoder_starts(&self) -> usize {
        self.slot.started()
    }

    fn complaints(&self) -> String {
        self.ended.as_ref().map_or_else(String::new, |ended| ended.said.clone())
    }
}

impl Drop for Sequential {
    fn drop(&mut self) {
        // wakes the thread wherever it waits: on the pipe, or for a buffer
        self.slot.close();
        let _ = self.home.send(Vec::new());
        if let Some(thread) = self.thread.take() {
            // a panic there has been told by its own message
            let _ = thread.join();
        }
    }
}

/// What the decoder's thread works with.
struct Work {
    probe: Arc<Probe>,
    decoder: Decoder,
    pool: Vec<Vec<u8>>,
    send: SyncSender<Result<Frame, VideoError>>,
    home: Sender<Vec<u8>>,
    take_back: Receiver<Vec<u8>>,
    returned: Arc<AtomicUsize>,
}

impl Work {
    /// Decodes until the range ends or the consumer is gone.
    fn run(mut self) -> Ended {
        let mut stopped = false;
        while let Some(mut rgb) = self.free_buffer() {
            let began = Instant::now();
            let decoded = match self.decoder.read(&mut rgb) {
                Ok(Some(n)) => Ok(frame(&self.probe, n, rgb).pooled(self.home.clone()).decoded_since(began)),
                Ok(None) => {
                    self.pool.push(rgb);
                    break;
                }
                Err(error) => Err(error),
            };
            stopped = decoded.is_err();
            if self.send.send(decoded).is_err() || stopped {
                stopped = true;
                break;
            }
        }
        let mut said = String::new();
        if !stopped {
            match self.decoder.finish() {
                Ok(complaints) => said = complaints,
                // the consumer may be gone by now
                Err(error) => drop(self.send.send(Err(error))),
            }
        }
        Ended { said, _pool: self.pool, _take_back: self.take_back }
    }

    /// A buffer of the pool, waiting for one if need be; `None` when the consumer is gone.
    fn free_buffer(&mut self) -> Option<Vec<u8>> {
        if let Some(buffer) = self.pool.pop() {
            return Some(buffer);
        }
        let buffer = self.take_back.recv().ok().filter(|buffer| !buffer.is_empty())?;
        self.returned.fetch_add(1, Ordering::Release);
        Some(buffer)
    }
}
