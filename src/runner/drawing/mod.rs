//! Draws the results of a run over its frames.
//!
//! In: frames and the rows of the table `people`. Out: the overlay video ([`overlay`], whose images `painter` draws as the
//! settings `render` say), or a few images for the report ([`contact_sheets`]). Both draw a frame with [`people`].

pub mod contact_sheets;
mod lost;
pub mod overlay;
mod painter;
pub mod people;
