//! Memory measurements: heap, process, GPU and disk, each separately.
//!
//! | measure | source | exact? |
//! |---|---|---|
//! | heap | [`heap::CountingAllocator`], the allocator of the measured process | yes, and repeatable |
//! | process | [`process::ProcessSampler`], from outside, and the kernel's own peak | to a few pages |
//! | GPU | [`gpu::GpuSampler`]: all that a process holds, as the driver reports it; [`live::GpuMemory`]: the pool that tensors are allocated from | the pool to the byte |
//! | disk | [`disk::folder_bytes`]: lengths of the scratch files | yes |
//!
//! [`process::ProcessSampler`] sums child processes separately: a video decoder that runs as a child and buffers the whole
//! video would not show in the heap. What cannot be read on a system is `None`, never zero.
//!
//! On a GPU, three values differ: *used* memory is held by tensors, *reserved* memory is what the pool has allocated from
//! the driver for them, and the process' total has the context and the libraries' workspaces, too.
//!
//! [`live`] publishes what only the measured process knows (heap, pool, frame) to the process that measures it.

pub mod disk;
pub mod gpu;
pub mod heap;
pub mod live;
pub mod process;
