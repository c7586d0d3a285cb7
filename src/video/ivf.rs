//! Uncompressed frames with their times, as ffmpeg reads them from a pipe: the IVF container, a header of 32
//! bytes and 12 bytes before every frame. IVF has no name for uncompressed RGB, so ffmpeg is told of it beside
//! the input ([`INPUT`]).
//!
//! Layout: <https://wiki.multimedia.cx/index.php/Duck_IVF>, and `libavformat/ivfdec.c`.

use std::io::{self, Write};

/// ffmpeg's options for the input: the container, the decoder and its layout (`RGB` and 24 bits, as a tag of
/// little-endian bytes), and nothing read ahead to guess what is known.
pub(super) const INPUT: [&str; 10] =
    ["-f", "ivf", "-c:v", "rawvideo", "-tag:v", "0x18424752", "-probesize", "32", "-fpsprobesize", "0"];
const TAG: [u8; 4] = *b"RGB\x18";

/// Longest side: the header has 16 bits for it.
pub(super) const MOST_SIDE: usize = u16::MAX as usize;

/// The header of a video of `width` x `height` pixels whose times are counted in `clock` ticks a second.
/// Sides beyond [`MOST_SIDE`] are an error.
pub(super) fn header(width: usize, height: usize, clock: u32) -> io::Result<[u8; 32]> {
    let side =
        |pixels: usize| u16::try_from(pixels).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let mut header = [0; 32];
    let mut rest = header.as_mut_slice();
    rest.write_all(b"DKIF")?;
    // version 0, and the header's own length
    rest.write_all(&[0, 0, 32, 0])?;
    rest.write_all(&TAG)?;
    rest.write_all(&side(width)?.to_le_bytes())?;
    rest.write_all(&side(height)?.to_le_bytes())?;
    // a tick is 1 / clock seconds; the number of frames may stay 0
    rest.write_all(&clock.to_le_bytes())?;
    rest.write_all(&1u32.to_le_bytes())?;
    Ok(header)
}

/// Writes one frame of `height * width * 3` bytes that is shown from `ticks` on.
pub(super) fn write_frame(to: &mut impl Write, ticks: i64, rgb: &[u8]) -> io::Result<()> {
    let bytes = u32::try_from(rgb.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut head = [0; 12];
    head[..4].copy_from_slice(&bytes.to_le_bytes());
    head[4..].copy_from_slice(&ticks.to_le_bytes());
    to.write_all(&head)?;
    to.write_all(rgb)
}
