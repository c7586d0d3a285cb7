//! Posebook: experiments on human mesh recovery and tracking in video that anyone can run again.
//!
//! # A tour of the house
//!
//! An experiment is one TOML file, written like a notebook. The data flows one way:
//!
//! ```text
//! experiment -> dataset -> video {extract | stream} -> detect -> recovery {hmr2 | blazepose + fit} -> phalp
//!                  |                                                                                    |
//!                  +-- truth ------------> metrics <----------------------------------------------------+
//! memory (samples all along) --> tables <-- metrics
//! report  <--  tables (files) + the experiment's prose
//! ```
//!
//! A stage takes plain values and gives plain values; it knows neither the stage before nor the
//! one after. [`runner`] alone joins them. A module imports only from strictly lower ranks, and
//! two of one rank never see each other; `tests/architecture.rs` holds the table and checks it.
//!
//! | rank | rooms |
//! |---|---|
//! | 7 | [`cli`]: one file per subcommand |
//! | 6 | [`runner`]: sweep to runs; a process for each; the stages joined; [`survey`]: what a graphics card was put through; [`mod@reference`]: reports that git keeps, compared with new ones |
//! | 5 | [`report`]: tables and prose to a page and figures |
//! | 4 | [`experiment`]: TOML as written to a checked [`experiment::Experiment`]; [`speed`]: crops a second; [`train`]: the tiny model's weights; [`import`]: other people's files to a model set |
//! | 3 | [`tables`]: columns and files; [`dataset`]: clips with their truth; [`parity`]: the original's numbers against ours; [`recovery`]: frames with detections to persons, whichever network; model sets |
//! | 2 | [`video`], [`detect`], [`hmr2`], [`blazepose`], [`fit`]: a body fitted to landmarks; [`phalp`], [`metrics`], [`memory`]; [`fetch`]: files that others publish |
//! | 1 | [`body`], [`render`], [`nn`]; [`pickle`]: data out of Python's pickles; [`device`]: the one place that decides where networks run; [`sources`]: what is called a video, as a file or a folder of pictures; [`motchallenge`]: boxes as MOTChallenge's text; [`landmarks`]: points of a person; [`tflite`] and [`tfjs`]: readers of published networks; [`warp`]: crops as OpenCV cuts them |
//! | 0 | [`frame`], [`person`], [`provenance`], [`random`], [`files`], [`npz`], [`children`], [`assignment`]; [`ffmpeg`]: how a path is given to it; [`archive`]: zips and tars that nobody has to trust; [`geometry`] and [`scratch`] (names of work in progress) below them: the vocabulary |

pub mod archive;
pub mod assignment;
pub mod children;
pub mod ffmpeg;
pub mod files;
pub mod frame;
pub mod geometry;
pub mod npz;
pub mod person;
pub mod provenance;
pub mod random;
pub mod scratch;

pub mod body;
pub mod device;
pub mod landmarks;
pub mod motchallenge;
pub mod nn;
pub mod pickle;
pub mod render;
pub mod sources;
pub mod tfjs;
pub mod tflite;
pub mod warp;

pub mod blazepose;
pub mod dataset;
pub mod detect;
pub mod fetch;
pub mod fit;
pub mod hmr2;
pub mod memory;
pub mod metrics;
pub mod phalp;
pub mod video;

pub mod import;
pub mod parity;
pub mod recovery;
pub mod tables;
pub mod train;

pub mod experiment;
pub mod reference;
pub mod report;
pub mod runner;
pub mod speed;
pub mod survey;

pub mod cli;
