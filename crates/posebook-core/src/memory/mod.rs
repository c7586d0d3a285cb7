//! Memory measurements: heap, process, GPU and disk, each separately.
//!
//! | measure | source | exact? |
//! |---|---|---|
//! | heap | [`heap::CountingAllocator`], the allocator of the measured process | yes, and repeatable |
//! | process | [`process::ProcessSampler`], from outside, and the kernel's own peak | to a few pages |
//! | GPU | the pool of the GPU ([`posebook_models::device::DeviceHandle`]); [`gpu`] reports all that the process holds | the pool to the byte |
//! | disk | [`disk::folder_bytes`]: lengths of the scratch files | yes |
//!
//! The decoder is a child process: [`process::ProcessSampler`] sums the children separately, since a decoder that
//! buffers the whole video would not show in the heap. What cannot be read on a system is `None`, never zero.
//!
//! On a GPU, *used*, *reserved* and the process' total are three different values; [`device`] explains their parts.
//! [`live`] publishes what only the measured process knows (heap, pool, frame) to the supervisor.

pub mod disk;
pub mod gpu;
pub mod heap;
pub mod live;
pub mod process;
