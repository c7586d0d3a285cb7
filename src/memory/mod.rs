//! Memory: bytes over seconds, in four measures that are never mixed.
//!
//! | measure | where it comes from | exact? |
//! |---|---|---|
//! | heap | [`heap::Counting`], the allocator of the measured process itself | yes, and repeatable |
//! | process | [`process::Watch`], read from outside; the kernel's own peak | to a few pages |
//! | device | the graphics card's pool ([`crate::device::Handle`]); [`driver`] says what the process holds of the card in all | the pool's to the byte |
//! | disk | [`disk::bytes_in`]: lengths of the scratch files | yes |
//!
//! The decoder is another process: [`process::Watch`] finds the children and sums them apart, since
//! a decoder that swallows the video would leave the heap as flat as ever. What cannot be read on
//! this system is `None`, never zero.
//!
//! On a card, *used*, *reserved* and what the process holds are three numbers: [`device`] says what each
//! is made of. Without a card all are null.
//!
//! [`live`] carries what only the measured process knows (its heap, its pool, its frame) to the one that
//! watches, without allocating.
//!
//! Must not know what is measured.

pub mod device;
pub mod disk;
pub mod driver;
pub mod heap;
pub mod live;
pub mod process;
