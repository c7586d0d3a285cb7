//! Makes the clips of drawn people.
//!
//! In: a [`WalkersClip`](posebook_synth::walkers::WalkersClip). Out: a folder in the cache, named by the hash of everything
//! that determines the clip ([`cache_key`]), with the video ([`encode`]), the ground truth and a record ([`create`](create())).

mod create;
mod encode;

pub use create::{cache_key, create};
