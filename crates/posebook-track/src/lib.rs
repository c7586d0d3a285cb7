//! Tracks persons in video with PHALP's tracker, and computes the metrics of tracking and pose.
//!
//! All functions take plain values: boxes, persons, points. Nothing here decodes video, runs a network or writes a table:
//! of this workspace it depends on `posebook-core` only, and not on candle or polars. A tracker or metric can
//! therefore be used and tested without weights. Results equal those of the original Python code, ties of the assignment
//! included.
//!
//! | module | content | reference |
//! |---|---|---|
//! | [`phalp`] | assigns identities to the people of each frame | PHALP |
//! | [`motchallenge`] | reads MOTChallenge text, with the rules of its benchmarks | TrackEval |
//! | [`metrics::tracking`] | HOTA, CLEAR and identity scores of boxes | TrackEval |
//! | [`metrics::mot`] | the same scores of two MOTChallenge files | TrackEval |
//! | [`metrics::pose`] | MPJPE, PA-MPJPE, PVE, PCK, jitter of bodies | 4D-Humans |
//! | [`metrics::views`] | bodies against points triangulated from calibrated cameras | |
//! | [`metrics::agreement`] | differences of two runs on one clip | |
//! | [`assignment`] | linear assignment, by two algorithms with different ties | lap, scipy |

pub mod assignment;
pub mod metrics;
pub mod motchallenge;
pub mod phalp;
