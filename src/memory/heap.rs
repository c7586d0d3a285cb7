//! The heap: an allocator that counts, and refuses beyond a limit.
//!
//! `main.rs` installs it: `#[global_allocator] static HEAP: Counting = Counting;`. What it counts is
//! what was asked for, not what the system's allocator rounds it up to or keeps back when it is
//! freed; that is why the count is the same on every run, and why it is not the resident set.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static CURRENT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// The peak of a stretch of work, apart from that of the whole run.
static STRETCH_PEAK: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

thread_local! {
    /// What this thread took more than it gave; negative where it frees what others made.
    static HERE: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counted.
pub struct Counting;

/// Bytes held now; 0 in a program that does not install [`Counting`].
pub fn current_bytes() -> u64 {
    CURRENT.load(Relaxed) as u64
}

/// The most bytes held at once since the start or the last [`reset_peak`].
pub fn peak_bytes() -> u64 {
    PEAK.load(Relaxed) as u64
}

/// Lets the peak begin again from what is held now, and gives the peak so far.
pub fn reset_peak() -> u64 {
    PEAK.swap(CURRENT.load(Relaxed), Relaxed) as u64
}

/// A stretch of work whose own peak is wanted, beside that of the run. Stretches do not nest: the newest
/// counts.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    held_bytes: usize,
}

impl Stretch {
    /// The stretch begins with what is held now.
    pub fn begin() -> Stretch {
        let held_bytes = CURRENT.load(Relaxed);
        STRETCH_PEAK.store(held_bytes, Relaxed);
        Stretch { held_bytes }
    }

    /// The most bytes held since it began, beyond those held then.
    pub fn peak_bytes(self) -> u64 {
        STRETCH_PEAK.load(Relaxed).saturating_sub(self.held_bytes) as u64
    }
}

/// Bytes that this thread has allocated so far, less those that it has freed. The difference of two calls
/// is what the code between them holds on to, if it frees nothing that another thread made.
pub fn here_bytes() -> i64 {
    HERE.with(Cell::get) as i64
}

/// From now on an allocation that would bring the heap beyond `bytes` fails, which aborts the
/// process with the words "memory allocation of N bytes failed" on its standard error.
pub fn set_limit_bytes(bytes: u64) {
    LIMIT.store(usize::try_from(bytes).unwrap_or(usize::MAX), Relaxed);
}

/// Whether [`Counting`] is this program's allocator.
pub fn is_counting() -> bool {
    current_bytes() > 0
}

fn take(bytes: usize) -> bool {
    let held = CURRENT.fetch_add(bytes, Relaxed) + bytes;
    if held > LIMIT.load(Relaxed) {
        CURRENT.fetch_sub(bytes, Relaxed);
        return false;
    }
    PEAK.fetch_max(held, Relaxed);
    STRETCH_PEAK.fetch_max(held, Relaxed);
    count_here(bytes as isize);
    true
}

fn give(bytes: usize) {
    CURRENT.fetch_sub(bytes, Relaxed);
    count_here(-(bytes as isize));
}

fn count_here(bytes: isize) {
    // a thread that is ending has no cell any more, and nobody asks it
    let _ = HERE.try_with(|here| here.set(here.get() + bytes));
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe by nature; every call goes on to the system's unchanged"
)]
// SAFETY: memory comes from and returns to `System` with the layout given; the counters own nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        counted(layout.size(), || unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        counted(layout.size(), || unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) };
        give(layout.size());
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if new_size <= layout.size() {
            let moved = unsafe { System.realloc(pointer, layout, new_size) };
            if !moved.is_null() {
                give(layout.size() - new_size);
            }
            return moved;
        }
        counted(new_size - layout.size(), || unsafe { System.realloc(pointer, layout, new_size) })
    }
}

/// Counts `bytes` if the limit allows them and `allocate` gives them.
fn counted(bytes: usize, allocate: impl FnOnce() -> *mut u8) -> *mut u8 {
    if !take(bytes) {
        return std::ptr::null_mut();
    }
    let pointer = allocate();
    if pointer.is_null() {
        give(bytes);
    }
    pointer
}

#[cfg(test)]
#[expect(unsafe_code, reason = "the allocator is called as the compiler would call it")]
mod tests {
    use super::*;

    /// One test, since the counters are the process' own.
    #[test]
    fn it_counts_to_the_byte_and_refuses_beyond_the_limit() {
        let layout = Layout::from_size_align(1000, 8).unwrap();
        let base = current_bytes();
        let here = here_bytes();
        let stretch = Stretch::begin();
        unsafe {
            let first = Counting.alloc(layout);
            let second = Counting.alloc_zeroed(layout);
            assert_eq!(current_bytes(), base + 2000);
            let first = Counting.realloc(first, layout, 5000);
            assert_eq!((current_bytes(), peak_bytes()), (base + 6000, base + 6000));
            let grown = Layout::from_size_align(5000, 8).unwrap();
            let first = Counting.realloc(first, grown, 1000);
            assert_eq!((current_bytes(), peak_bytes()), (base + 2000, base + 6000));
            assert_eq!(reset_peak(), base + 6000);
            assert_eq!(peak_bytes(), base + 2000);
            assert_eq!((stretch.peak_bytes(), here_bytes() - here), (6000, 2000));
            assert_eq!(Stretch::begin().peak_bytes(), 0);

            set_limit_bytes(base + 2500);
            assert!(Counting.alloc(layout).is_null());
            assert!(Counting.realloc(first, layout, 2000).is_null());
            assert_eq!(current_bytes(), base + 2000);
            set_limit_bytes(u64::MAX);
            Counting.dealloc(first, layout);
            Counting.dealloc(second, layout);
        }
        assert_eq!((current_bytes(), here_bytes()), (base, here));
        // what another thread frees is missing there and not here
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let before = here_bytes();
                give(7);
                here_bytes() - before
            });
            take(7);
            assert_eq!((other.join().unwrap(), here_bytes() - here), (-7, 7));
        });
    }
}
