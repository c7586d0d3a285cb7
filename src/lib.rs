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
//! A stage takes plain values and returns plain values; it knows neither the stage before nor the one after. The stages
//! are crates of this workspace, this crate connects them:
//!
//! | crate | content | uses |
//! |---|---|---|
//! | [`posebook_core`] | plain values (frames, people, ground truth), files, child processes, downloads, memory | |
//! | [`posebook_video`] | reads and writes videos and images frame by frame, in six modes | core |
//! | [`posebook_track`] | PHALP's tracker, MOTChallenge text, metrics of tracks and bodies | core |
//! | [`posebook_models`] | networks on candle: HMR2, BlazePose, NanoDet; the body, its fit, import of weights | core |
//! | [`posebook_synth`] | draws walking people with ground truth; trains the built-in network on them | core, models, track |
//! | [`posebook_notebook`] | tables of rows on disk, and reports with figures and claims over them | core |
//! | [`posebook_serve`] | the HTTP service: queue, uploads, results, page | core |
//! | `posebook` | datasets, experiments, their execution, the command line | all |
//!
//! Modules of this crate. A module imports only from modules of lower rank, and two modules of one rank do not import each
//! other; `tests/architecture.rs` checks it.
//!
//! | rank | module | in | out |
//! |---|---|---|---|
//! | 3 | [`cli`] | arguments | printed results, exit status |
//! | 2 | [`service`] | requests for jobs, and folders of results | checked settings, the process of a job, people and tracks as JSON |
//! | 2 | [`gpu_report`] | a GPU | parity, experiments and speed on it as one report |
//! | 1 | [`runner`] | an experiment, a video or images | tables, overlays, a report folder |
//! | 0 | [`experiment`] | a TOML file and overrides | settings of every run, cells of the report |
//! | 0 | [`dataset`] | a TOML file | clips on disk, ground truth, boxes |
//! | 0 | [`parity`] | recorded outputs of the original implementation | differences from them |
//! | 0 | [`speed`] | a device | crops per second |
//! | 0 | [`mod@reference`] | committed and new reports | whether they agree |

pub mod cli;
pub mod dataset;
pub mod experiment;
pub mod gpu_report;
pub mod parity;
pub mod reference;
pub mod runner;
pub mod service;
pub mod speed;
