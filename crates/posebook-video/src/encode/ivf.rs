//! Writes uncompressed frames with their timestamps for ffmpeg to read from a pipe, in the IVF container: a header of 32
//! bytes, and 12 bytes before every frame. IVF has no codec tag for uncompressed RGB, so the codec is given as an input
//! option ([`INPUT_ARGS`]).
//!
//! Layout: <https://wiki.multimedia.cx/index.php/Duck_IVF>, and `libavformat/ivfdec.c`.

use std::io::{self, Write};

/// ffmpeg's options before the input: the container, the decoder and its layout (`RGB` and 24 bits as a little-endian tag),
/// and no probing.
pub const INPUT_ARGS: [&str; 10] =
    ["-f", "ivf", "-c:v", "rawvideo", "-tag:v", "0x18424752", "-probesize", "32", "-fpsprobesize", "0"];
const TAG: [u8; 4] = *b"RGB\x18";

/// Longest side in pixels: the header has 16 bits for it.
pub const MAX_SIDE: usize = u16::MAX as usize;

/// The header of a video of `width` x `height` pixels whose timestamps are in units of `1 / clock` seconds.
///
/// # Errors
/// If a side is longer than [`MAX_SIDE`].
pub fn header(width: usize, height: usize, clock: u32) -> io::Result<[u8; 32]> {
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
    // time base 1 / clock; the number of frames may stay 0
    rest.write_all(&clock.to_le_bytes())?;
    rest.write_all(&1u32.to_le_bytes())?;
    Ok(header)
}

/// Writes one frame of `height * width * 3` bytes with the PTS `ticks`.
pub fn write_frame(to: &mut impl Write, ticks: i64, rgb: &[u8]) -> io::Result<()> {
    let bytes = u32::try_from(rgb.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut head = [0; 12];
    head[..4].copy_from_slice(&bytes.to_le_bytes());
    head[4..].copy_from_slice(&ticks.to_le_bytes());
    to.write_all(&head)?;
    to.write_all(rgb)
}
