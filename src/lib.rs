//! Posebook: reproducible experiments on human mesh recovery and tracking in video.
//!
//! An experiment is a TOML file, structured like a notebook. Data flows one way:
//!
//! ```text
//! experiment -> dataset -> video {extract | stream} -> detect -> recovery {hmr2 | blazepose + fit} -> phalp
//!                  |                                                                                    |
//!                  +-- ground truth -----> metrics <----------------------------------------------------+
//! memory (sampled throughout) --> tables <-- metrics
//! report  <--  tables (files) + the experiment's prose
//! ```
//!
//! A stage takes plain values and returns plain values; it knows neither the stage before nor the one after. [`runner`]
//! alone connects them. A module imports only from modules of lower rank, and two modules of one rank do not import
//! each other; `tests/architecture.rs` holds the ranks and checks them. `docs/ARCHITECTURE.md` says what goes in and
//! out of each module.
//!
//! | rank | modules |
//! |---|---|
//! | 7 | [`cli`] |
//! | 6 | [`runner`], [`gpu_report`], [`mod@reference`] |
//! | 5 | [`report`] |
//! | 4 | [`experiment`], [`import`], [`speed`], [`train`] |
//! | 3 | [`dataset`], [`parity`], [`recovery`], [`tables`] |
//! | 2 | [`blazepose`], [`detect`], [`fetch`], [`fit`], [`hmr2`], [`memory`], [`metrics`], [`phalp`], [`video`] |
//! | 1 | [`body`], [`device`], [`landmarks`], [`motchallenge`], [`nn`], [`pickle`], [`render`], [`sources`], [`tfjs`], [`tflite`], [`warp`] |
//! | 0 | [`archive`], [`assignment`], [`children`], [`mod@ffmpeg`], [`files`], [`frame`], [`npz`], [`person`], [`provenance`], [`random`] |
//! | -1 | [`geometry`], [`labels`], [`scratch`] |

pub mod dataset;

pub mod parity;

pub mod experiment;
pub mod gpu_report;
pub mod reference;
pub mod runner;
pub mod speed;

pub mod cli;
