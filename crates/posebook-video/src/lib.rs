//! Reads videos: probes a file, selects a range of frames, and decodes them to RGB in one of several modes; writes
//! overlay videos.
//!
//! [`open`] takes a path and [`Settings`] and gives a [`FrameSource`], whose frames are read one after the other.
//! [`probe`](fn@probe) gives what is known before decoding: size, rate, and the time of every frame. [`Encoder`] writes an
//! overlay.
//!
//! | mode | stores | purpose |
//! |---|---|---|
//! | `extract { store = "jpeg" }` | all frames as files, lossy | PHALP's `extract_video=True` |
//! | `extract { store = "png" }` | all frames as files, lossless | separates the effect of JPEG from that of extraction |
//! | `extract { store = "memory" }` | all decoded frames in host memory | what users assume extraction does |
//! | `extract { store = "device" }` | all decoded frames on the GPU | reproduces the reported out-of-memory errors |
//! | `stream { access = "seek" }` | timestamps; opens, seeks and decodes for each frame | PHALP's `extract_video=False` |
//! | `stream { access = "sequential" }` | timestamps; one decoder, a queue bounded in bytes | the recommended mode |
//! | `stream { access = "indexed" }` | timestamps; one decoder, restarted where that is faster | frames far apart |
//!
//! In every mode, frames can be prefetched in a background thread (`overlap`), only every N-th frame be
//! read (`every`), a file be read repeatedly as one long video (`loops`), and frames be decoded by other hardware
//! (`hwaccel`).
//!
//! A video is a file, decoded by ffmpeg, or a folder of images or a single image, read by [`still`]: one frame per
//! image, at a constant rate.
//!
//! Frame `n` is the `n`-th frame, counted from 0, that ffmpeg decodes from the first video track, in presentation order.
//! Cover images are no video tracks. Edit lists and rotation are applied; the frame rate is not converted. Every mode
//! gives the same frames, and the lossless modes give the same bytes.
//!
//! # Modules
//! A module uses only those above it.
//!
//! | module | content |
//! |---|---|
//! | `error` | [`VideoError`] |
//! | `ffmpeg` | child processes and their watchdog; [`file_args`] |
//! | `settings` | [`Settings`], [`Mode`]: the `video` table of an experiment |
//! | `images` | JPEG and PNG: [`still`], [`encode_jpeg`] |
//! | [`sources`] | from what a user names to a local path: files, folders of images, web addresses |
//! | `probe` | [`Probe`], [`Selection`], [`Timeline`] |
//! | `decode` | the selected frames of a video as RGB, in order |
//! | `encode` | [`Encoder`], [`AudioSegment`] |
//! | `modes` | how frames get from the decoder to the consumer |
//! | `frame_source`, `open` | [`FrameSource`], [`open`] |
//! | [`shots`] | where a new shot starts: [`shots::ShotDetector`], [`shots::scan_file`] |
//!
//! The crate depends on `posebook-core` and on no other crate of Posebook. It knows neither models nor tables; frames are
//! copied to a GPU through the trait [`FrameUploader`](posebook_core::frame::FrameUploader). The programs `ffmpeg` and
//! `ffprobe` must be on the `PATH`.

pub mod sources;

mod decode;
mod encode;
mod error;
mod ffmpeg;
mod frame_source;
#[doc(hidden)]
pub mod fuzzing;
mod images;
mod modes;
mod open;
mod probe;
mod settings;
pub mod shots;

#[cfg(test)]
#[path = "../../../tests/common/skip.rs"]
mod test_skip;
#[cfg(test)]
mod tests;

pub use encode::audio::AudioSegment;
pub use encode::encoder::{Encoder, EncoderSettings, FrameGeometry};
pub use error::{VideoError, VideoErrorKind};
pub use ffmpeg::file_args;
pub use frame_source::FrameSource;
pub use images::jpeg::{JpegSizeError, encode_jpeg};
pub use images::still;
pub use open::{open, open_probed, open_with_fps, select_frames};
pub use probe::inspect::{probe, probe_with_fps};
pub use probe::range::Selection;
pub use probe::timeline::{FrameRate, Timeline};
pub use probe::{Probe, TimestampSource};
pub use settings::Settings;
pub use settings::mode::{Access, Extract, Mode, Preset, Store, Stream};
pub use settings::seconds::Seconds;
