//! The arithmetic of `limits.device_mib`: how much memory to reserve so that a large GPU behaves like a small one.
//!
//! A limit of N MiB simulates a GPU of N MiB: all that the process holds counts, its CUDA context and the libraries'
//! workspaces included. Free memory beyond the limit is reserved before the run, so that an allocation fails where it
//! would fail on the small GPU, with the driver's own error. Does not depend on how memory is allocated.

use super::DeviceError;

/// The unit in which the driver allocates large blocks.
const GRANULARITY_BYTES: u64 = 2 << 20;

/// Largest block of a reservation: a single block of many gigabytes may fail where several fit.
const MAX_BLOCK_BYTES: u64 = 1 << 30;

/// How a memory limit is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservationPlan {
    /// Reserve all but some of the free memory.
    LeaveFree {
        /// Bytes that stay free for the run.
        bytes: u64,
    },
    /// Less is free than the limit allows: the GPU's size, or other processes, are the limit.
    NotNeeded {
        /// Bytes that are free.
        free_bytes: u64,
        /// Bytes that the limit would allow.
        allowed_bytes: u64,
    },
}

/// Plans how to enforce a limit of `limit_mib` for a process that already holds `held_bytes`, with `free_bytes` free
/// on the GPU. Where `held_bytes` is unknown it counts as 0, which allows the run that much more.
///
/// # Errors
/// If the process already holds as much as the limit.
pub fn plan_reservation(
    limit_mib: u64,
    held_bytes: Option<u64>,
    free_bytes: u64,
) -> Result<ReservationPlan, DeviceError> {
    let limit_bytes = limit_mib.saturating_mul(1 << 20);
    let held_bytes = held_bytes.unwrap_or(0);
    let allowed_bytes = limit_bytes.saturating_sub(held_bytes);
    if allowed_bytes < GRANULARITY_BYTES {
        return Err(DeviceError::LimitTooSmall { limit_mib, held_bytes });
    }
    if free_bytes < allowed_bytes {
        return Ok(ReservationPlan::NotNeeded { free_bytes, allowed_bytes });
    }
    Ok(ReservationPlan::LeaveFree { bytes: allowed_bytes })
}

/// Size of the next block to reserve, at most `max_bytes`, where `free_bytes` are free and `leave_bytes` have to stay
/// free; `None` when enough is reserved.
fn next_block(free_bytes: u64, leave_bytes: u64, max_bytes: u64) -> Option<u64> {
    let excess = free_bytes.saturating_sub(leave_bytes).min(max_bytes).min(MAX_BLOCK_BYTES);
    let block = excess / GRANULARITY_BYTES * GRANULARITY_BYTES;
    (block > 0).then_some(block)
}

/// Allocates blocks until `free` reports at most `leave_bytes` plus less than `GRANULARITY_BYTES`. `allocate`
/// returns whether a block was allocated; after a failure half its size is tried.
///
/// # Errors
/// Those of `free` and `allocate`.
pub fn reserve_until<E>(
    leave_bytes: u64,
    mut free: impl FnMut() -> Result<u64, E>,
    mut allocate: impl FnMut(u64) -> Result<bool, E>,
) -> Result<(), E> {
    let mut max_bytes = u64::MAX;
    while let Some(bytes) = next_block(free()?, leave_bytes, max_bytes) {
        if !allocate(bytes)? {
            max_bytes = bytes / 2;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_context_counts_towards_the_limit() {
        let plan = |limit, held, free| plan_reservation(limit, held, free).unwrap();
        assert_eq!(
            plan(2048, Some(500 * MIB), 79_000 * MIB),
            ReservationPlan::LeaveFree { bytes: 1548 * MIB }
        );
        assert_eq!(plan(2048, None, 79_000 * MIB), ReservationPlan::LeaveFree { bytes: 2048 * MIB });
        let crowded = ReservationPlan::NotNeeded { free_bytes: 700 * MIB, allowed_bytes: 1548 * MIB };
        assert_eq!(plan(2048, Some(500 * MIB), 700 * MIB), crowded);
        // a limit above any size is no limit
        assert!(matches!(plan(u64::MAX, Some(0), MIB), ReservationPlan::NotNeeded { .. }));
        let error = plan_reservation(400, Some(500 * MIB), 79_000 * MIB).unwrap_err();
        assert!(error.is_out_of_memory());
        assert!(error.to_string().contains("500 MiB"), "{error}");
    }

    #[test]
    fn blocks_are_multiples_of_the_granularity_and_leave_enough_free() {
        assert_eq!(next_block(10 * MIB, 10 * MIB, u64::MAX), None);
        assert_eq!(next_block(10 * MIB, 20 * MIB, u64::MAX), None);
        assert_eq!(next_block(11 * MIB, 10 * MIB, u64::MAX), None);
        assert_eq!(next_block(15 * MIB, 10 * MIB, u64::MAX), Some(4 * MIB));
        assert_eq!(next_block(15 * MIB, 10 * MIB, 3 * MIB), Some(2 * MIB));
        assert_eq!(next_block(80 << 30, 2 << 30, u64::MAX), Some(1 << 30));
    }

    /// A GPU whose largest free block is 300 MiB.
    #[test]
    fn a_fragmented_gpu_is_filled_to_the_granularity() {
        let (free, largest_block) = (Cell::new(5000 * MIB + 12_345), 300 * MIB);
        let allocate = |bytes| {
            let fits = bytes <= largest_block;
            free.set(free.get() - if fits { bytes } else { 0 });
            Ok(fits)
        };
        reserve_until(1000 * MIB, || Ok::<_, ()>(free.get()), allocate).unwrap();
        assert!((1000 * MIB..1000 * MIB + GRANULARITY_BYTES).contains(&free.get()), "{}", free.get());
    }

    #[test]
    fn a_gpu_that_allocates_nothing_ends_the_loop() {
        let mut attempts = 0;
        let allocate = |_| {
            attempts += 1;
            Ok(false)
        };
        reserve_until(0, || Ok::<_, ()>(8 << 30), allocate).unwrap();
        // halved from the largest block to the granularity
        assert_eq!(attempts, 10);
        assert_eq!(reserve_until(0, || Err("lost"), |_| Ok(true)), Err("lost"));
    }
}
