//! A device opened, and what its memory is made of.
//!
//! What a process holds on a card has three parts: the *pool*, which tensors come from and which tells
//! what of it is used and what merely reserved; the *context*, a fixed cost paid for opening the card at
//! all; and the *workspaces*: what libraries take for themselves and the code of kernels, both as they
//! are first used. Only the pool tells its own size. The others are differences, by [`parts`].
//!
//! Must not know what runs on the device.

use super::driver::{CardWatch, Look};
use crate::device::{self, Card, Choice, DeviceError, Handle};
use candle_core::Device;

/// A device, opened and measured.
pub struct Opened {
    pub device: Device,
    /// To ask the card about its memory; `None` for the CPU.
    pub handle: Option<Handle>,
    /// The card seen from outside; `None` for the CPU and where the driver does not tell.
    pub watch: Option<CardWatch>,
    /// What opening the card took of its memory; `None` for the CPU and where the driver does not tell.
    pub context_bytes: Option<u64>,
    /// Who held memory of the card before, in words.
    pub others: Option<String>,
}

/// Opens `choice` and measures what that costs. `card` is what [`device::resolve`] gave beside it.
///
/// # Errors
/// As [`device::open`].
pub fn open(choice: &Choice, card: Option<&Card>) -> Result<Opened, DeviceError> {
    let watch = card.and_then(|card| CardWatch::of(&card.uuid));
    let before = watch.as_ref().map(CardWatch::look).unwrap_or_default();
    let device = device::open(choice)?;
    let handle = Handle::of(&device);
    if let Some(handle) = &handle {
        handle.synchronize();
    }
    let after = watch.as_ref().map(CardWatch::look).unwrap_or_default();
    let reserved_bytes = handle.as_ref().and_then(Handle::pool).map(|pool| pool.reserved_bytes);
    let context_bytes = reserved_bytes.and_then(|reserved| context(&before, &after, reserved));
    Ok(Opened { device, handle, watch, context_bytes, others: before.others_in_words(&choice.to_string()) })
}

/// What opening a card took, by the driver's number for this process where it tells one, and else by
/// what is used of the card more than before.
fn context(before: &Look, after: &Look, reserved_bytes: u64) -> Option<u64> {
    let own = after.bytes_of(std::process::id());
    let more = || after.used_bytes?.checked_sub(before.used_bytes?);
    own.or_else(more)?.checked_sub(reserved_bytes)
}

/// What a process holds on a card, in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// All of it, without ballast.
    pub process_bytes: Option<u64>,
    /// What is neither the pool's nor the context's.
    pub workspace_bytes: Option<u64>,
}

/// Takes the driver's number for a process apart. Ballast is not the run's, and is left out; a number
/// smaller than its parts was read while they changed, and says nothing.
pub fn parts(
    driver_bytes: Option<u64>,
    ballast_bytes: u64,
    reserved_bytes: Option<u64>,
    context_bytes: Option<u64>,
) -> Parts {
    let process_bytes = driver_bytes.and_then(|bytes| bytes.checked_sub(ballast_bytes));
    let beside_pool = process_bytes.zip(reserved_bytes).and_then(|(process, pool)| process.checked_sub(pool));
    let workspace_bytes =
        beside_pool.zip(context_bytes).and_then(|(beside, context)| beside.checked_sub(context));
    Parts { process_bytes, workspace_bytes }
}

#[cfg(test)]
mod tests {
    use super::super::driver::Holder;
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_cpu_has_no_card_to_measure() {
        let opened = open(&Choice::Cpu, None).unwrap();
        assert!(matches!(opened.device, Device::Cpu));
        assert!(opened.handle.is_none() && opened.watch.is_none());
        assert_eq!((opened.context_bytes, opened.others), (None, None));
    }

    #[test]
    fn the_context_is_measured_by_the_best_number_there_is() {
        let own = Holder { process: std::process::id(), bytes: Some(520 * MIB) };
        let look = |holders: Option<Vec<Holder>>, used: Option<u64>| Look { holders, used_bytes: used };
        let before = look(Some(vec![]), Some(10 * MIB));
        let told = look(Some(vec![own]), Some(700 * MIB));
        assert_eq!(context(&before, &told, 2 * MIB), Some(518 * MIB));
        let untold = look(Some(vec![]), Some(530 * MIB));
        assert_eq!(context(&before, &untold, 0), Some(520 * MIB));
        assert_eq!(context(&Look::default(), &Look::default(), 0), None);
        // somebody else gave memory back meanwhile: nothing can be said
        assert_eq!(context(&look(None, Some(600 * MIB)), &look(None, Some(500 * MIB)), 0), None);
    }

    #[test]
    fn parts_add_up_to_the_process() {
        let whole = parts(Some(3000 * MIB), 500 * MIB, Some(1900 * MIB), Some(520 * MIB));
        assert_eq!((whole.process_bytes, whole.workspace_bytes), (Some(2500 * MIB), Some(80 * MIB)));
        assert_eq!(
            parts(None, 500 * MIB, Some(1), Some(1)),
            Parts { process_bytes: None, workspace_bytes: None }
        );
        assert_eq!(parts(Some(5), 0, Some(1), None).workspace_bytes, None);
        // the ballast went before the process did
        assert_eq!(parts(Some(5), 7, None, None).process_bytes, None);
    }
}
