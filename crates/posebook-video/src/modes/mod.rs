//! The modes of reading: how frames get from the decoder to the consumer, and where they are stored in between.
//!
//! A mode is a [`reader::FrameReader`] ([`sequential`], [`seek`], [`indexed`], [`extract`]), which fills a buffer with one
//! frame at a time. A delivery ([`delivery::FrameDelivery`]) calls it: [`prefetch`] in a background thread, [`synchronous`] in
//! the consumer's thread. [`preloaded`] is both: it decodes all frames before it delivers the first.

pub mod delivery;
pub mod extract;
pub mod indexed;
pub mod prefetch;
pub mod preloaded;
pub mod reader;
pub mod seek;
pub mod sequential;
pub mod synchronous;
