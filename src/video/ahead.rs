//! Reading in a thread of its own, ahead of whoever takes the frames, through a fixed pool of buffers.
//!
//! The pool is allocated at the start and neither grows nor shrinks until the source is dropped, not even
//! after the last frame was read: heap depends neither on the video's length nor on who is faster. A
//! frame's buffer goes back to the pool when the frame is dropped. Must not know how frames are read.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::FrameSource;
use super::buffers::{buffer, frame};
use super::error::{Fault, VideoError};
use super::probe::Probe;
use super::reader::{Reader, Reading};
use crate::frame::Frame;

/// How long to wait for a frame before asking whether one can still come, and how often the answer must
/// be no in a row: a busy machine lets the thread sleep on with a buffer at its door.
const PATIENCE: Duration = Duration::from_millis(50);
const DOUBTS: usize = 6;

/// Frames through a bounded queue.
pub(super) struct Ahead {
    reading: Reading,
    queue: Receiver<Result<Frame, VideoError>>,
    /// Where buffers go back to; an empty one tells the thread to end.
    home: Sender<Vec<u8>>,
    signs: Arc<Signs>,
    given: usize,
    buffers: usize,
    work: Work,
}

/// What the thread shows of where it is.
#[derive(Default)]
struct Signs {
    /// Buffers that it has taken back.
    returned: AtomicUsize,
    /// Whether it waits for one.
    waits: AtomicBool,
}

/// Where the reader is.
enum Work {
    /// Here, since it is not prepared.
    Waiting(Box<Errand>),
    Going(JoinHandle<Box<Errand>>),
    /// What was not in use at the end is kept, so that the peak of a short video, which is read before its
    /// first frame is used, is that of a long one; and with the reader its files.
    Ended {
        _errand: Option<Box<Errand>>,
    },
}

/// What the thread works with.
struct Errand {
    reading: Reading,
    reader: Box<dyn Reader>,
    pool: Vec<Vec<u8>>,
    send: Option<SyncSender<Result<Frame, VideoError>>>,
    home: Sender<Vec<u8>>,
    take_back: Receiver<Vec<u8>>,
    signs: Arc<Signs>,
}

impl Ahead {
    /// Allocates the pool: as many frames as fit into `queue_bytes`, two at least. Nothing is read yet.
    ///
    /// # Errors
    /// If the pool does not fit into memory.
    pub fn new(reading: Reading, reader: Box<dyn Reader>, queue_bytes: usize) -> Result<Ahead, VideoError> {
        let frame_bytes = reading.probe.frame_bytes();
        let buffers = (queue_bytes / frame_bytes).max(2);
        let pool = (0..buffers)
            .map(|_| buffer(frame_bytes))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|fault| VideoError::new(&reading.probe.path, fault))?;
        let (send, queue) = sync_channel(buffers + 1);
        let (home, take_back) = channel();
        let signs = Arc::new(Signs::default());
        let errand = Errand {
            reading: reading.clone(),
            reader,
            pool,
            send: Some(send),
            home: home.clone(),
            take_back,
            signs: Arc::clone(&signs),
        };
        let work = Work::Waiting(Box::new(errand));
        Ok(Ahead { reading, queue, home, signs, given: 0, buffers, work })
    }

    /// Begins to read, at the start and not when the first frame is asked for.
    pub fn begun(mut self) -> Result<Ahead, VideoError> {
        self.prepare()?;
        Ok(self)
    }

    fn wrong(&self, fault: Fault) -> VideoError {
        VideoError::new(&self.reading.probe.path, fault)
    }

    /// The thread has hung up: after the last frame, or because it died.
    fn hung_up(&mut self) -> Result<Option<Frame>, VideoError> {
        match std::mem::replace(&mut self.work, Work::Ended { _errand: None }) {
            Work::Going(thread) => {
                let errand = thread.join().map_err(|_| self.wrong(Fault::ThreadDied))?;
                self.work = Work::Ended { _errand: Some(errand) };
            }
            ended => self.work = ended,
        }
        Ok(None)
    }
}

impl FrameSource for Ahead {
    fn probe(&self) -> &Probe {
        &self.reading.probe
    }

    fn range(&self) -> Range<usize> {
        self.reading.selection.range.clone()
    }

    fn frames(&self) -> usize {
        self.reading.selection.frames()
    }

    fn prepare(&mut self) -> Result<(), VideoError> {
        if !matches!(self.work, Work::Waiting(_)) {
            return Ok(());
        }
        // whatever goes wrong, there are no frames then
        let Work::Waiting(mut errand) = std::mem::replace(&mut self.work, Work::Ended { _errand: None })
        else {
            return Ok(());
        };
        errand.prepare()?;
        let thread = thread::Builder::new().name("video-reader".into()).spawn(move || errand.run());
        let started = |source| self.wrong(Fault::Start { program: "a thread".into(), source });
        self.work = Work::Going(thread.map_err(started)?);
        Ok(())
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, VideoError> {
        self.prepare()?;
        let mut doubts = 0;
        loop {
            match self.queue.recv_timeout(PATIENCE) {
                Ok(frame) => {
                    self.given += 1;
                    return frame.map(Some);
                }
                Err(RecvTimeoutError::Disconnected) => return self.hung_up(),
                Err(RecvTimeoutError::Timeout) => {
                    // the thread waits for a buffer, and the caller holds them all while it waits here
                    let held = self.given - self.signs.returned.load(Ordering::Acquire) == self.buffers;
                    doubts += usize::from(held && self.signs.waits.load(Ordering::Acquire));
                    if doubts == DOUBTS {
                        return Err(self.wrong(Fault::QueueHeld { buffers: self.buffers }));
                    }
                }
            }
        }
    }

    fn frame_buffer_bytes(&self) -> u64 {
        (self.buffers * self.reading.probe.frame_bytes()) as u64 + self.reading.account.own_bytes()
    }

    fn disk_bytes(&self) -> u64 {
        self.reading.account.disk_bytes()
    }

    fn decoder_pids(&self) -> Vec<u32> {
        self.reading.slot.pids()
    }

    fn decoder_starts(&self) -> usize {
        self.reading.slot.started()
    }

    fn complaints(&self) -> String {
        self.reading.account.said()
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // wakes the thread wherever it waits: on the pipe, or for a buffer
        self.reading.slot.close();
        let _ = self.home.send(Vec::new());
        // a panic there has been told by its own message
        let _ = self.hung_up();
    }
}

impl Errand {
    fn prepare(&mut self) -> Result<(), VideoError> {
        match self.pool.last_mut() {
            Some(spare) => self.reader.prepare(spare),
            None => Ok(()),
        }
    }

    /// Reads until there are no more frames or the consumer is gone.
    fn run(mut self: Box<Errand>) -> Box<Errand> {
        // dropped at the end: that tells the consumer
        let Some(send) = self.send.take() else { return self };
        for n in self.reading.selection.numbers() {
            let Some(rgb) = self.free_buffer() else { return self };
            let read = self.read(n, rgb);
            let failed = read.is_err();
            if send.send(read).is_err() || failed {
                return self;
            }
        }
        if let Err(error) = self.reader.finish() {
            // the consumer may be gone by now
            let _ = send.send(Err(error));
        }
        self
    }

    fn read(&mut self, n: usize, mut rgb: Vec<u8>) -> Result<Frame, VideoError> {
        let began = Instant::now();
        match self.reader.read(n, &mut rgb) {
            Ok(()) => Ok(frame(&self.reading.probe, n, rgb).pooled(self.home.clone()).decoded_since(began)),
            Err(error) => {
                self.pool.push(rgb);
                Err(error)
            }
        }
    }

    /// A buffer, waiting for one if need be; `None` when the consumer is gone. One that came back just now is
    /// taken before one of the pool: it still lies in the processor's cache.
    fn free_buffer(&mut self) -> Option<Vec<u8>> {
        let returned = match self.take_back.try_recv() {
            Ok(buffer) => buffer,
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => {
                if let Some(buffer) = self.pool.pop() {
                    return Some(buffer);
                }
                self.signs.waits.store(true, Ordering::Release);
                let buffer = self.take_back.recv().ok()?;
                self.signs.waits.store(false, Ordering::Release);
                buffer
            }
        };
        self.signs.returned.fetch_add(1, Ordering::Release);
        // an empty one says that the consumer is gone
        Some(returned).filter(|buffer| !buffer.is_empty())
    }
}
