//! An allocator that counts heap bytes and refuses allocations beyond a limit.
//!
//! A program installs it by `#[global_allocator] static HEAP: CountingAllocator = CountingAllocator;`. It counts requested
//! sizes, not what the system's allocator rounds them up to or retains after a free. The count is therefore the same
//! on every run, and differs from the resident set. In a program that does not install it, all counts are 0
//! ([`is_counting`]).

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static CURRENT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// Peak within the current [`HeapInterval`].
static INTERVAL_PEAK: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

thread_local! {
    /// Bytes this thread allocated minus those it freed; negative where it frees other threads' allocations.
    static THREAD_BALANCE: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator with counters.
pub struct CountingAllocator;

/// Bytes allocated now; 0 in a program that does not install [`CountingAllocator`].
pub fn current_bytes() -> u64 {
    CURRENT.load(Relaxed) as u64
}

/// The most bytes allocated at once since the start or the last [`reset_peak`].
pub fn peak_bytes() -> u64 {
    PEAK.load(Relaxed) as u64
}

/// Restarts the peak from the current value and returns the peak so far.
pub fn reset_peak() -> u64 {
    PEAK.swap(CURRENT.load(Relaxed), Relaxed) as u64
}

/// Measures the peak of a part of the program, independent of the peak of the whole run. Intervals do not nest: only
/// the most recent one is valid.
#[derive(Debug, Clone, Copy)]
pub struct HeapInterval {
    held_bytes: usize,
}

impl HeapInterval {
    /// Starts an interval at the current value.
    pub fn start() -> HeapInterval {
        let held_bytes = CURRENT.load(Relaxed);
        INTERVAL_PEAK.store(held_bytes, Relaxed);
        HeapInterval { held_bytes }
    }

    /// The most bytes allocated since the start of the interval, beyond those allocated then.
    pub fn peak_bytes(self) -> u64 {
        INTERVAL_PEAK.load(Relaxed).saturating_sub(self.held_bytes) as u64
    }
}

/// Bytes that this thread has allocated minus those it has freed. The difference of two calls is what the code
/// between them retains, provided it frees nothing that another thread allocated.
pub fn thread_balance_bytes() -> i64 {
    THREAD_BALANCE.with(Cell::get) as i64
}

/// Sets the limit: an allocation that would exceed it fails, which aborts the process with "memory allocation of N
/// bytes failed" on standard error.
pub fn set_limit_bytes(bytes: u64) {
    LIMIT.store(usize::try_from(bytes).unwrap_or(usize::MAX), Relaxed);
}

/// Whether [`CountingAllocator`] is this program's allocator.
pub fn is_counting() -> bool {
    current_bytes() > 0
}

fn try_add(bytes: usize) -> bool {
    let held = CURRENT.fetch_add(bytes, Relaxed) + bytes;
    if held > LIMIT.load(Relaxed) {
        CURRENT.fetch_sub(bytes, Relaxed);
        return false;
    }
    PEAK.fetch_max(held, Relaxed);
    INTERVAL_PEAK.fetch_max(held, Relaxed);
    add_to_thread_balance(bytes as isize);
    true
}

fn subtract(bytes: usize) {
    CURRENT.fetch_sub(bytes, Relaxed);
    add_to_thread_balance(-(bytes as isize));
}

fn add_to_thread_balance(bytes: isize) {
    // a thread that is ending has no cell any more
    let _ = THREAD_BALANCE.try_with(|cell| cell.set(cell.get() + bytes));
}

#[expect(
    unsafe_code,
    reason = "implementing GlobalAlloc is unsafe; every call is forwarded to the system's allocator"
)]
// SAFETY: memory comes from and returns to `System` with the caller's layout; the counters own no memory.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `alloc`.
        allocate_counted(layout.size(), || unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `alloc_zeroed`.
        allocate_counted(layout.size(), || unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) };
        subtract(layout.size());
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if new_size <= layout.size() {
            // SAFETY: `pointer` came from `System` with this layout; the caller guarantees a valid `new_size`.
            let moved = unsafe { System.realloc(pointer, layout, new_size) };
            if !moved.is_null() {
                subtract(layout.size() - new_size);
            }
            return moved;
        }
        // SAFETY: as above.
        allocate_counted(new_size - layout.size(), || unsafe { System.realloc(pointer, layout, new_size) })
    }
}

/// Calls `allocate` if the limit allows `bytes` more, and counts them if it succeeds.
fn allocate_counted(bytes: usize, allocate: impl FnOnce() -> *mut u8) -> *mut u8 {
    if !try_add(bytes) {
        return std::ptr::null_mut();
    }
    let pointer = allocate();
    if pointer.is_null() {
        subtract(bytes);
    }
    pointer
}

#[cfg(test)]
#[expect(unsafe_code, reason = "calls the allocator as compiled code would")]
mod tests {
    use super::*;

    /// One test, since the counters are global.
    #[test]
    fn it_counts_to_the_byte_and_refuses_beyond_the_limit() {
        let layout = Layout::from_size_align(1000, 8).unwrap();
        let base = current_bytes();
        let balance = thread_balance_bytes();
        let interval = HeapInterval::start();
        // SAFETY: every pointer is used with the layout of its last allocation and freed once.
        unsafe {
            let first = CountingAllocator.alloc(layout);
            let second = CountingAllocator.alloc_zeroed(layout);
            assert_eq!(current_bytes(), base + 2000);
            let first = CountingAllocator.realloc(first, layout, 5000);
            assert_eq!((current_bytes(), peak_bytes()), (base + 6000, base + 6000));
            let grown = Layout::from_size_align(5000, 8).unwrap();
            let first = CountingAllocator.realloc(first, grown, 1000);
            assert_eq!((current_bytes(), peak_bytes()), (base + 2000, base + 6000));
            assert_eq!(reset_peak(), base + 6000);
            assert_eq!(peak_bytes(), base + 2000);
            assert_eq!((interval.peak_bytes(), thread_balance_bytes() - balance), (6000, 2000));
            assert_eq!(HeapInterval::start().peak_bytes(), 0);

            set_limit_bytes(base + 2500);
            assert!(CountingAllocator.alloc(layout).is_null());
            assert!(CountingAllocator.realloc(first, layout, 2000).is_null());
            assert_eq!(current_bytes(), base + 2000);
            set_limit_bytes(u64::MAX);
            CountingAllocator.dealloc(first, layout);
            CountingAllocator.dealloc(second, layout);
        }
        assert_eq!((current_bytes(), thread_balance_bytes()), (base, balance));
        // a free by another thread counts for that thread
        try_add(7);
        let other = std::thread::spawn(|| {
            let before = thread_balance_bytes();
            subtract(7);
            thread_balance_bytes() - before
        });
        assert_eq!((other.join().unwrap(), thread_balance_bytes() - balance), (-7, 7));
    }
}
