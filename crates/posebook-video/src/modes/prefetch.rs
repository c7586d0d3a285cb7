//! Decodes ahead of the consumer in a background thread, through a fixed pool of frame buffers.
//!
//! ```text
//!               bytes                 frames (bounded queue)
//!   ffmpeg ---------------> reader ----------------------------> next_frame()
//!   process     pipe        thread <---------------------------- consumer thread
//!                                    buffers of dropped frames
//! ```
//!
//! In: a [`FrameReader`], which fills one buffer with one frame, and the queue's bound in bytes. Out: the frames,
//! in order.
//!
//! - **Bound.** `queue_bytes / frame_bytes` buffers, at least two, are allocated in [`PrefetchDelivery::new`] and
//!   reused for all frames. Every buffer is in one of four states: free, being filled, queued, or held
//!   by the consumer as a [`Frame`]. Memory depends neither on the video's length nor on which side is faster.
//! - **Back-pressure.** Without a free buffer the reader thread blocks until a [`Frame`] is dropped, which sends
//!   its buffer back. Meanwhile nothing is read from the pipe, it fills up, and ffmpeg blocks. The queue has a slot
//!   for every buffer and one for a final error, so sending a frame never blocks.
//! - **Consumer holds all buffers.** Then no frame can arrive, and [`FrameDelivery::next_frame`] fails with
//!   [`VideoErrorKind::BuffersExhausted`] instead of waiting forever. It can be called again after a frame was
//!   dropped.
//! - **Stall.** If ffmpeg writes nothing for the stall timeout while the reader thread waits for it, the watchdog
//!   ([`crate::ffmpeg::watchdog`]) kills it and the read fails
//!   ([`VideoErrorKind::Stalled`]).
//! - **Error.** A failed read (stall, ffmpeg's exit before the last frame, damaged data) is sent as the last item
//!   of the queue, after the frames before it. Then the thread ends, and later calls return `None`.
//! - **End of stream.** After the last frame the thread checks that ffmpeg has no more frames and waits for its exit
//!   ([`FrameReader::finish`]), then drops its sender. The consumer sees the closed queue, joins the thread, and
//!   returns `None`. A panic of the thread closes the queue as well; the join turns it into
//!   [`VideoErrorKind::ReaderPanicked`].
//! - **Drop.** Dropping the source kills ffmpeg, which ends a blocked read, and sends an empty buffer, which ends a
//!   wait for a buffer; then it joins the thread. Frames that the consumer still holds stay valid.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use posebook_core::frame::Frame;

use super::delivery::FrameDelivery;
use super::reader::{FrameReader, ReaderContext};
use crate::decode::buffers::{allocate_buffer, new_frame};
use crate::error::{VideoError, VideoErrorKind};

/// How long `next_frame` waits for the queue before it checks whether the consumer holds all buffers.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Failed checks within one call after which `next_frame` gives up. One is not enough: on a busy machine the reader
/// thread may not have run yet since a buffer was sent back.
const MAX_EXHAUSTED_POLLS: usize = 6;

/// Most buffers: those of frames of a few pixels take more memory than their pixels.
const MAX_BUFFERS: usize = 1 << 16;

/// Frames decoded in a background thread and received through a bounded queue.
pub struct PrefetchDelivery {
    context: ReaderContext,
    queue: Receiver<Result<Frame, VideoError>>,
    /// Sends buffers back to the reader thread; an empty one asks it to end.
    buffer_sender: Sender<Vec<u8>>,
    shared: Arc<SharedState>,
    /// Items taken from the queue.
    received: usize,
    buffer_count: usize,
    thread: ThreadState,
}

/// What the consumer reads of the reader thread's progress.
#[derive(Default)]
struct SharedState {
    /// How many buffers came back so far.
    returned_buffers: AtomicUsize,
    /// Whether the thread is blocked until a buffer comes back.
    is_waiting_for_buffer: AtomicBool,
}

/// Life cycle of the reader thread.
enum ThreadState {
    NotStarted(Box<ReaderThread>),
    Running(JoinHandle<Box<ReaderThread>>),
    /// Holds the reader, with its scratch files, and the unused buffers until the source is dropped. If they were
    /// freed earlier, a short video, which is read completely before its first frame is used, would have a lower
    /// memory peak than a long one.
    Finished {
        _reader: Option<Box<ReaderThread>>,
    },
}

/// What the reader thread owns.
struct ReaderThread {
    context: ReaderContext,
    reader: Box<dyn FrameReader>,
    /// Buffers that were never used.
    pool: Vec<Vec<u8>>,
    queue: Option<SyncSender<Result<Frame, VideoError>>>,
    /// Given to every frame, which sends its buffer back when it is dropped.
    buffer_sender: Sender<Vec<u8>>,
    returned: Receiver<Vec<u8>>,
    shared: Arc<SharedState>,
}

impl PrefetchDelivery {
    /// Allocates as many buffers as fit into `queue_bytes`, at least two and at most 65,536. Starts no thread yet.
    ///
    /// # Errors
    /// [`VideoErrorKind::OutOfMemory`] if the buffers cannot be allocated.
    pub fn new(
        context: ReaderContext,
        reader: Box<dyn FrameReader>,
        queue_bytes: usize,
    ) -> Result<PrefetchDelivery, VideoError> {
        let frame_bytes = context.probe.frame_bytes();
        let buffer_count = (queue_bytes / frame_bytes).clamp(2, MAX_BUFFERS);
        let pool = (0..buffer_count)
            .map(|_| allocate_buffer(frame_bytes))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|kind| VideoError::new(&context.probe.path, kind))?;
        let (queue_sender, queue) = sync_channel(buffer_count + 1);
        let (buffer_sender, returned) = channel();
        let shared = Arc::new(SharedState::default());
        let thread = ReaderThread {
            context: context.clone(),
            reader,
            pool,
            queue: Some(queue_sender),
            buffer_sender: buffer_sender.clone(),
            returned,
            shared: Arc::clone(&shared),
        };
        let thread = ThreadState::NotStarted(Box::new(thread));
        Ok(PrefetchDelivery { context, queue, buffer_sender, shared, received: 0, buffer_count, thread })
    }

    fn error(&self, kind: VideoErrorKind) -> VideoError {
        VideoError::new(&self.context.probe.path, kind)
    }

    /// Joins the reader thread after it closed the queue: `None`, or an error if it panicked.
    fn join(&mut self) -> Result<Option<Frame>, VideoError> {
        match std::mem::replace(&mut self.thread, ThreadState::Finished { _reader: None }) {
            ThreadState::Running(thread) => {
                let reader = thread.join().map_err(|_| self.error(VideoErrorKind::ReaderPanicked))?;
                self.thread = ThreadState::Finished { _reader: Some(reader) };
            }
            other => self.thread = other,
        }
        Ok(None)
    }

    /// Whether the consumer holds every buffer while the reader thread waits for one.
    fn are_buffers_exhausted(&self) -> bool {
        let held = self.received - self.shared.returned_buffers.load(Ordering::Acquire);
        held == self.buffer_count && self.shared.is_waiting_for_buffer.load(Ordering::Acquire)
    }
}

impl FrameDelivery for PrefetchDelivery {
    fn prepare(&mut self) -> Result<(), VideoError> {
        if !matches!(self.thread, ThreadState::NotStarted(_)) {
            return Ok(());
        }
        // finished first: after a failure there are no frames
        let finished = ThreadState::Finished { _reader: None };
        let ThreadState::NotStarted(mut reader) = std::mem::replace(&mut self.thread, finished) else {
            return Ok(());
        };
        reader.prepare()?;
        let thread = thread::Builder::new().name("video-reader".into()).spawn(move || reader.run());
        let cannot_start =
            |source| self.error(VideoErrorKind::CannotStart { program: "a thread".into(), source });
        self.thread = ThreadState::Running(thread.map_err(cannot_start)?);
        Ok(())
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, VideoError> {
        self.prepare()?;
        let mut exhausted_polls = 0;
        loop {
            match self.queue.recv_timeout(POLL_INTERVAL) {
                Ok(frame) => {
                    self.received += 1;
                    return frame.map(Some);
                }
                Err(RecvTimeoutError::Disconnected) => return self.join(),
                Err(RecvTimeoutError::Timeout) => {
                    exhausted_polls += usize::from(self.are_buffers_exhausted());
                    if exhausted_polls == MAX_EXHAUSTED_POLLS {
                        return Err(
                            self.error(VideoErrorKind::BuffersExhausted { buffers: self.buffer_count })
                        );
                    }
                }
            }
        }
    }

    fn frame_buffer_bytes(&self) -> u64 {
        (self.buffer_count * self.context.probe.frame_bytes()) as u64
    }
}

impl Drop for PrefetchDelivery {
    fn drop(&mut self) {
        self.context.child.close();
        let _ = self.buffer_sender.send(Vec::new());
        // a panic of the thread was printed when it happened
        let _ = self.join();
    }
}

impl ReaderThread {
    /// Runs in the consumer's thread, before the reader thread starts.
    fn prepare(&mut self) -> Result<(), VideoError> {
        match self.pool.last_mut() {
            Some(spare) => self.reader.prepare(spare),
            None => Ok(()),
        }
    }

    /// Reads until the last frame, an error, or the source is dropped.
    fn run(mut self: Box<ReaderThread>) -> Box<ReaderThread> {
        // dropped on return, which closes the queue
        let Some(queue) = self.queue.take() else { return self };
        for index in self.context.selection.frame_indices() {
            let Some(rgb) = self.free_buffer() else { return self };
            let frame = self.read(index, rgb);
            let has_failed = frame.is_err();
            if queue.send(frame).is_err() || has_failed {
                return self;
            }
        }
        if let Err(error) = self.reader.finish() {
            // fails only if the source was dropped
            let _ = queue.send(Err(error));
        }
        self
    }

    fn read(&mut self, index: usize, mut rgb: Vec<u8>) -> Result<Frame, VideoError> {
        let began = Instant::now();
        match self.reader.read(index, &mut rgb) {
            Ok(()) => Ok(new_frame(&self.context.probe, index, rgb)
                .pooled(self.buffer_sender.clone())
                .with_decode_start(began)),
            Err(error) => {
                self.pool.push(rgb);
                Err(error)
            }
        }
    }

    /// A free buffer; blocks until there is one. `None` if the source was dropped. Buffers that came back are used
    /// before unused ones, because they are likely still in the CPU cache.
    fn free_buffer(&mut self) -> Option<Vec<u8>> {
        let returned = match self.returned.try_recv() {
            Ok(buffer) => buffer,
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => {
                if let Some(buffer) = self.pool.pop() {
                    return Some(buffer);
                }
                self.shared.is_waiting_for_buffer.store(true, Ordering::Release);
                let buffer = self.returned.recv().ok()?;
                self.shared.is_waiting_for_buffer.store(false, Ordering::Release);
                buffer
            }
        };
        self.shared.returned_buffers.fetch_add(1, Ordering::Release);
        // an empty buffer means that the source was dropped
        Some(returned).filter(|buffer| !buffer.is_empty())
    }
}
