//! What all crates of Posebook share: plain types of geometry, persons and frames, and helpers for files, processes,
//! downloads and memory measurements.
//!
//! Nothing here knows how frames are decoded, which networks run, how persons are tracked or what a report looks like. The
//! crate depends on no other crate of the workspace, and on no library for tensors (candle) or tables (polars). The feature
//! `nvml` adds the query of GPU memory by the driver ([`memory::gpu`]); without it that query answers `None`.
//!
//! | module | content |
//! |---|---|
//! | **values** | |
//! | [`geometry`] | vectors, rotations, pinhole projection on plain arrays |
//! | [`person`] | boxes, detections, SMPL parameters, recovered persons, masks |
//! | [`appearance`] | textures and embeddings of persons, and the networks that the tracker calls |
//! | [`landmarks`] | BlazePose's 33 points of one person |
//! | [`truth`] | ground truth of the people in a frame |
//! | [`frame`] | a decoded frame in host memory or on a device, and the traits that a GPU library implements |
//! | [`labels`] | closed sets of words in settings and tables: outcomes, precisions, video modes |
//! | [`random`] | random numbers that depend on seed, purpose and counters only |
//! | **files and processes** | |
//! | [`files`] | writes files completely or not at all |
//! | [`scratch`] | names of temporary files, and the removal of those that ended processes left |
//! | [`archive`] | reads and unpacks zip and tar archives, and refuses unsafe ones |
//! | [`npz`] | writes NumPy's `.npz` |
//! | [`children`] | starts child processes with limits, which end with this process |
//! | [`provenance`] | SHA-256, the source code's version, the machine |
//! | [`toml_error`] | messages of TOML errors: line, and the most similar known key |
//! | **network** | |
//! | [`download`] | one web address to one file, by `curl` |
//! | [`fetch`] | files listed in a manifest: downloaded once, verified, unpacked, cached |
//! | **measurements** | |
//! | [`memory`] | heap, resident memory, GPU memory, disk |

pub mod appearance;
pub mod archive;
pub mod children;
pub mod download;
pub mod fetch;
pub mod files;
pub mod frame;
pub mod geometry;
pub mod labels;
pub mod landmarks;
pub mod memory;
pub mod npz;
pub mod person;
pub mod provenance;
pub mod random;
pub mod scratch;
pub mod toml_error;
pub mod truth;

#[cfg(test)]
#[path = "../../../tests/common/skip.rs"]
mod test_skip;
