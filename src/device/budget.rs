//! How much ballast makes a large card a small one: the arithmetic of `limits.device_mib`.
//!
//! A limit of N MiB means a card of N MiB: whatever the process holds on it counts, its context and its
//! libraries' workspaces too. What is free beyond that is taken before the run, so that memory ends
//! where it would end on the small card, and the driver itself says so.
//!
//! Must not know how memory is taken.

use super::DeviceError;

/// The unit in which the driver hands out large pieces: less than one can be neither taken nor missed.
pub const GRAIN_BYTES: u64 = 2 << 20;

/// The largest piece of ballast asked for at once: one of many gigabytes may fail where several fit.
const LARGEST_BYTES: u64 = 1 << 30;

/// How a limit is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// Ballast leaves this many bytes free for the run to take.
    Leave { bytes: u64 },
    /// Less is free than the limit allows: the card itself, or what others hold of it, is the limit.
    Already { free_bytes: u64, allowed_bytes: u64 },
}

/// How a limit of `limit_mib` is kept by a process that holds `held_bytes` already, with `free_bytes`
/// free on the card. Unknown holdings count as none, so that the run may have that much more.
///
/// # Errors
/// If the process holds the limit already.
pub fn budget(limit_mib: u64, held_bytes: Option<u64>, free_bytes: u64) -> Result<Budget, DeviceError> {
    let limit_bytes = limit_mib.saturating_mul(1 << 20);
    let held_bytes = held_bytes.unwrap_or(0);
    let allowed_bytes = limit_bytes.saturating_sub(held_bytes);
    if allowed_bytes < GRAIN_BYTES {
        return Err(DeviceError::NoRoom { limit_mib, held_bytes });
    }
    if free_bytes < allowed_bytes {
        return Ok(Budget::Already { free_bytes, allowed_bytes });
    }
    Ok(Budget::Leave { bytes: allowed_bytes })
}

/// The next piece of ballast to take, of at most `at_most` bytes, where `free_bytes` are free and
/// `leave_bytes` are to stay so; `None` when it is done.
pub fn next_piece(free_bytes: u64, leave_bytes: u64, at_most: u64) -> Option<u64> {
    let over = free_bytes.saturating_sub(leave_bytes).min(at_most).min(LARGEST_BYTES);
    let piece = over / GRAIN_BYTES * GRAIN_BYTES;
    (piece > 0).then_some(piece)
}

/// Takes pieces with `take` until no more than `leave_bytes` (and less than a grain) are `free`. A piece
/// that is refused, which `take` says by `false`, is asked for at half its size.
///
/// # Errors
/// What `free` or `take` say.
pub fn fill<E>(
    leave_bytes: u64,
    mut free: impl FnMut() -> Result<u64, E>,
    mut take: impl FnMut(u64) -> Result<bool, E>,
) -> Result<(), E> {
    let mut at_most = u64::MAX;
    while let Some(bytes) = next_piece(free()?, leave_bytes, at_most) {
        if !take(bytes)? {
            at_most = bytes / 2;
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
    fn the_context_counts_within_the_limit() {
        let of = |limit, held, free| budget(limit, held, free).unwrap();
        assert_eq!(of(2048, Some(500 * MIB), 79_000 * MIB), Budget::Leave { bytes: 1548 * MIB });
        assert_eq!(of(2048, None, 79_000 * MIB), Budget::Leave { bytes: 2048 * MIB });
        let crowded = Budget::Already { free_bytes: 700 * MIB, allowed_bytes: 1548 * MIB };
        assert_eq!(of(2048, Some(500 * MIB), 700 * MIB), crowded);
        // a limit beyond all bounds is none
        assert!(matches!(of(u64::MAX, Some(0), MIB), Budget::Already { .. }));
        let error = budget(400, Some(500 * MIB), 79_000 * MIB).unwrap_err();
        assert!(error.is_out_of_memory());
        assert!(error.to_string().contains("500 MiB"), "{error}");
    }

    #[test]
    fn pieces_are_whole_grains_and_leave_what_is_to_be_left() {
        assert_eq!(next_piece(10 * MIB, 10 * MIB, u64::MAX), None);
        assert_eq!(next_piece(10 * MIB, 20 * MIB, u64::MAX), None);
        assert_eq!(next_piece(11 * MIB, 10 * MIB, u64::MAX), None);
        assert_eq!(next_piece(15 * MIB, 10 * MIB, u64::MAX), Some(4 * MIB));
        assert_eq!(next_piece(15 * MIB, 10 * MIB, 3 * MIB), Some(2 * MIB));
        assert_eq!(next_piece(80 << 30, 2 << 30, u64::MAX), Some(1 << 30));
    }

    /// A card that gives no piece larger than its largest hole.
    #[test]
    fn a_fragmented_card_is_filled_to_the_grain() {
        let (free, hole) = (Cell::new(5000 * MIB + 12_345), 300 * MIB);
        let take = |bytes| {
            let fits = bytes <= hole;
            free.set(free.get() - if fits { bytes } else { 0 });
            Ok(fits)
        };
        fill(1000 * MIB, || Ok::<_, ()>(free.get()), take).unwrap();
        assert!((1000 * MIB..1000 * MIB + GRAIN_BYTES).contains(&free.get()), "{}", free.get());
    }

    #[test]
    fn a_card_that_gives_nothing_ends_the_filling() {
        let mut asked = 0;
        let take = |_| {
            asked += 1;
            Ok(false)
        };
        fill(0, || Ok::<_, ()>(8 << 30), take).unwrap();
        // halved from the largest piece to the grain
        assert_eq!(asked, 10);
        assert_eq!(fill(0, || Err("lost"), |_| Ok(true)), Err("lost"));
    }
}
