//! Bodies of answers in constant memory: a part of a file, and what blocking code writes.
//!
//! [`FileBody`] reads a file in pieces as the client takes them. [`stream`] runs a function that writes, on a thread of its own,
//! behind a channel of [`PIECES_AHEAD`] pieces; it stops when the client is gone or takes nothing for [`SEND_TIMEOUT`].

use crate::service::Service;
use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use std::fs::File;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Size of a piece in bytes.
const PIECE: usize = 64 * 1024;
/// Capacity of the channel from the writing thread to the connection, in pieces.
const PIECES_AHEAD: usize = 4;
/// How long the writing thread waits for a client that takes nothing.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// A part of a file as a body.
struct FileBody {
    file: tokio::fs::File,
    remaining: u64,
    buffer: Vec<u8>,
}

/// The next `length` bytes of `file` as a body. If the file ends earlier, the connection is closed with an error.
pub(super) fn file_body(file: File, length: u64) -> Body {
    Body::new(FileBody { file: tokio::fs::File::from_std(file), remaining: length, buffer: Vec::new() })
}

impl hyper::body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let body = self.get_mut();
        if body.remaining == 0 {
            return Poll::Ready(None);
        }
        let wanted = usize::try_from(body.remaining).unwrap_or(PIECE).min(PIECE);
        body.buffer.resize(wanted, 0);
        let mut buffer = ReadBuf::new(&mut body.buffer);
        ready!(Pin::new(&mut body.file).poll_read(context, &mut buffer))?;
        let piece = Bytes::copy_from_slice(buffer.filled());
        if piece.is_empty() {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        body.remaining -= piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

/// A message from the writing thread to the body.
enum Piece {
    Data(Bytes),
    End(io::Result<()>),
}

/// The body that receives what a thread writes.
struct ChannelBody {
    first: Option<Bytes>,
    pieces: mpsc::Receiver<Piece>,
    ended: bool,
}

impl hyper::body::Body for ChannelBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let body = self.get_mut();
        if body.ended {
            return Poll::Ready(None);
        }
        if let Some(first) = body.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let piece = ready!(body.pieces.poll_recv(context));
        if let Some(Piece::Data(data)) = piece {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        body.ended = true;
        Poll::Ready(end(piece).err().map(Err))
    }
}

/// What the last piece says. A thread that panicked sends none.
fn end(piece: Option<Piece>) -> io::Result<()> {
    match piece {
        Some(Piece::End(result)) => result,
        _ => Err(io::Error::other("the thread that writes the answer ended without finishing it")),
    }
}

/// Collects pieces and hands them to the body.
struct ChannelWriter {
    buffer: Vec<u8>,
    pieces: mpsc::Sender<Piece>,
    runtime: Handle,
}

impl ChannelWriter {
    fn send(&self, piece: Piece) -> io::Result<()> {
        self.runtime.block_on(self.pieces.send_timeout(piece, SEND_TIMEOUT)).map_err(|_gone_or_full| {
            io::Error::new(io::ErrorKind::BrokenPipe, "the client does not take the answer")
        })
    }
}

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.buffer.len());
        let (taken, _) = bytes.split_at(taken);
        self.buffer.extend_from_slice(taken);
        if self.buffer.len() == PIECE {
            self.flush()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE));
        self.send(Piece::Data(piece.into()))
    }
}

/// What `work` writes, as a body. `permit` is held until it has ended.
///
/// # Errors
/// If `work` fails before it has written a piece. A later failure breaks the connection off, so that the client sees that the
/// answer is not whole.
pub(super) async fn stream(
    service: &Arc<Service>,
    permit: OwnedSemaphorePermit,
    work: impl FnOnce(&Service, &mut dyn Write) -> io::Result<()> + Send + 'static,
) -> io::Result<Body> {
    let service = Arc::clone(service);
    stream_from(permit, move |out| work(&service, out)).await
}

async fn stream_from(
    permit: OwnedSemaphorePermit,
    work: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> io::Result<Body> {
    let (sender, mut pieces) = mpsc::channel(PIECES_AHEAD);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let _held = permit;
        let mut writer = ChannelWriter { buffer: Vec::with_capacity(PIECE), pieces: sender, runtime };
        let result = work(&mut writer).and_then(|()| writer.flush());
        // fails if the client is gone, and then nobody waits for it
        let _ = writer.send(Piece::End(result));
    });
    let (first, ended) = match pieces.recv().await {
        Some(Piece::Data(data)) => (Some(data), false),
        last => {
            end(last)?;
            (None, true)
        }
    };
    Ok(Body::new(ChannelBody { first, pieces, ended }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::io::{Seek, SeekFrom};
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::sync::Semaphore;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
            .block_on(work)
    }

    async fn permit() -> OwnedSemaphorePermit {
        Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap()
    }

    #[test]
    fn a_part_of_a_file_is_read_in_pieces() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..300_000_u32).map(|index| (index % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        run(async {
            let mut part = file.try_clone().unwrap();
            part.seek(SeekFrom::Start(1000)).unwrap();
            let mut body = file_body(part, 200_000);
            let mut got = Vec::new();
            while let Some(frame) = body.frame().await {
                let piece = frame.unwrap().into_data().unwrap();
                assert!(piece.len() <= PIECE);
                got.extend_from_slice(&piece);
            }
            assert!(got == bytes[1000..201_000]);

            let mut end = file;
            end.seek(SeekFrom::Start(299_000)).unwrap();
            let error = file_body(end, 2000).collect().await.unwrap_err();
            assert!(error.to_string().contains("end of file"), "{error}");
        });
    }

    #[test]
    fn what_a_thread_writes_arrives_whole_and_its_errors_are_seen() {
        run(async {
            let text: Vec<u8> = (0..1_000_000_u32).map(|index| (index % 253) as u8).collect();
            let copy = text.clone();
            let body = stream_from(permit().await, move |out| out.write_all(&copy)).await.unwrap();
            assert!(body.collect().await.unwrap().to_bytes() == text);

            let body = stream_from(permit().await, |_| Ok(())).await.unwrap();
            assert!(body.collect().await.unwrap().to_bytes().is_empty());

            let failed = stream_from(permit().await, |_| Err(io::ErrorKind::NotFound.into())).await;
            assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::NotFound);

            let late = |out: &mut dyn Write| {
                out.write_all(&vec![0; 3 * PIECE])?;
                Err(io::Error::other("torn table"))
            };
            let body = stream_from(permit().await, late).await.unwrap();
            assert!(body.collect().await.unwrap_err().to_string().contains("torn table"));

            let panics = stream_from(permit().await, |_| panic!("a bug")).await;
            assert!(panics.unwrap_err().to_string().contains("without finishing"));
        });
    }

    #[test]
    fn a_client_that_leaves_stops_the_thread_and_a_slow_one_bounds_it() {
        run(async {
            let written = Arc::new(AtomicU64::new(0));
            let count = Arc::clone(&written);
            let slots = Arc::new(Semaphore::new(1));
            let endless = move |out: &mut dyn Write| {
                loop {
                    out.write_all(&[0; 1000])?;
                    count.fetch_add(1000, Ordering::SeqCst);
                }
            };
            let permit = Arc::clone(&slots).acquire_owned().await.unwrap();
            let mut body = stream_from(permit, endless).await.unwrap();
            body.frame().await.unwrap().unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
            let ahead = written.load(Ordering::SeqCst);
            assert!(ahead <= ((PIECES_AHEAD + 3) * PIECE) as u64, "{ahead} bytes ahead of the client");
            drop(body);
            // the permit comes back when the thread has ended
            let ended = tokio::time::timeout(Duration::from_secs(5), slots.acquire());
            drop(ended.await.unwrap().unwrap());
        });
    }
}
