//! The device: the one place that decides where networks run, and says why not elsewhere.
//!
//! candle's own `cuda_if_available` looks at the build and not at the machine, so that nothing here
//! calls it. What is asked for is text (`auto`, `cpu`, `cuda:0`); [`resolve`] makes a [`Choice`] of it
//! without opening anything, so that a plan can be refused before its first run; [`open`] opens it.
//!
//! | part | what it holds |
//! |---|---|
//! | [`card`] | what the driver answers, judged: which cards there are and whether this build runs on them |
//! | [`kernels`] | what this build holds and what was left out of it |
//! | [`fault`] | an error's text, told apart: no memory left, the card lost, the wrong card |
//! | [`budget`] | how much ballast makes a large card a small one |
//!
//! All calls of the driver lie in `cuda.rs`, which a build without the feature `cuda` has not; its
//! place is taken by `no_cuda.rs`, of the same form. So everything that is plain logic is tested in
//! every build.
//!
//! Must not know which network runs, nor what a run is.

pub mod budget;
pub mod card;
mod error;
pub mod fault;
pub mod kernels;

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(not(feature = "cuda"))]
#[path = "no_cuda.rs"]
mod cuda;

pub use card::Card;
pub use cuda::{Ballast, Handle, target};
pub use error::DeviceError;
pub use fault::Fault;

use std::fmt;

/// Where networks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Cpu,
    /// The graphics card of this number, as the driver counts them.
    Cuda(usize),
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Choice::Cpu => write!(f, "cpu"),
            Choice::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// What the pool of an opened card holds. *Used* is held by tensors; *reserved* is what the pool took
/// from the card for them, some of it free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    pub used_bytes: u64,
    pub reserved_bytes: u64,
    /// The most since the marks were set back.
    pub used_peak_bytes: u64,
    pub reserved_peak_bytes: u64,
}

/// The memory of a whole card, all processes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    pub free_bytes: u64,
    pub total_bytes: u64,
}

/// What a person asked for; `None` is `auto`.
///
/// # Errors
/// If it is neither `auto` nor `cpu` nor a card such as `cuda:0`.
pub fn parse(text: &str) -> Result<Option<Choice>, DeviceError> {
    let unknown = || DeviceError::Unknown { device: text.to_string() };
    match text {
        "auto" => Ok(None),
        "cpu" => Ok(Some(Choice::Cpu)),
        _ => {
            let number = text.strip_prefix("cuda:").ok_or_else(unknown)?;
            // the driver counts in 31 bits; a sign or a space is a slip of the finger
            let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            let index = number.parse::<i32>().ok().filter(|_| plain).ok_or_else(unknown)?;
            Ok(Some(Choice::Cuda(index as usize)))
        }
    }
}

/// Where a network runs that is asked to run on `text`, and the card there; `auto` takes the first card
/// that this build runs on, and the CPU where there is none. Nothing is opened, and no memory taken.
///
/// # Errors
/// If a card was asked for by its number and cannot be had. The message says why.
pub fn resolve(text: &str) -> Result<(Choice, Option<Card>), DeviceError> {
    match parse(text)? {
        Some(Choice::Cpu) => Ok((Choice::Cpu, None)),
        Some(Choice::Cuda(index)) => cuda::card(index).map(|card| (Choice::Cuda(index), Some(card))),
        None => {
            Ok(first_usable(cards())
                .map_or((Choice::Cpu, None), |card| (Choice::Cuda(card.index), Some(card))))
        }
    }
}

/// Every card of this machine, and for those that this build cannot use, why not.
///
/// # Errors
/// If the build knows no cards, or there is no driver to ask for them.
pub fn cards() -> Result<Vec<Result<Card, DeviceError>>, DeviceError> {
    cuda::cards()
}

fn first_usable(cards: Result<Vec<Result<Card, DeviceError>>, DeviceError>) -> Option<Card> {
    cards.ok()?.into_iter().find_map(Result::ok)
}

/// Opens the device. On a card all work goes to one stream, from whichever thread it comes, and memory
/// once taken stays in the pool until the process ends or [`Handle::trim`] gives it back.
///
/// # Errors
/// If the card cannot be had, has no memory left for a context, or a library is missing.
pub fn open(choice: &Choice) -> Result<candle_core::Device, DeviceError> {
    match choice {
        Choice::Cpu => Ok(candle_core::Device::Cpu),
        Choice::Cuda(index) => cuda::open(*index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(index: usize) -> Card {
        Card {
            index,
            name: "NVIDIA H100 80GB HBM3".into(),
            uuid: "GPU-0".into(),
            capability: card::Capability { major: 9, minor: 0 },
            total_bytes: 80 << 30,
            driver: None,
            cuda: card::Version { major: 13, minor: 0 },
        }
    }

    #[test]
    fn devices_are_read_and_written_alike() {
        assert_eq!(parse("auto"), Ok(None));
        for choice in [Choice::Cpu, Choice::Cuda(0), Choice::Cuda(7)] {
            assert_eq!(parse(&choice.to_string()), Ok(Some(choice)));
        }
        for wrong in
            ["", "gpu", "cuda", "cuda:", "cuda:-1", "cuda:+1", "cuda: 0", "cuda:x", "cuda:99999999999", "CPU"]
        {
            assert_eq!(parse(wrong), Err(DeviceError::Unknown { device: wrong.into() }), "{wrong}");
        }
    }

    #[test]
    fn auto_takes_the_first_card_that_can_be_used() {
        let other = || Err(DeviceError::NoCard { index: 0, cards: 0 });
        assert_eq!(first_usable(Ok(vec![other(), Ok(card(1)), Ok(card(2))])), Some(card(1)));
        assert_eq!(first_usable(Ok(vec![other()])), None);
        assert_eq!(first_usable(Err(DeviceError::NoDriver { said: "nothing".into() })), None);
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_build_for_the_cpu_says_so_in_one_line() {
        assert_eq!(resolve("auto"), Ok((Choice::Cpu, None)));
        assert!(matches!(open(&Choice::Cpu), Ok(candle_core::Device::Cpu)));
        let message = resolve("cuda:0").unwrap_err().to_string();
        assert!(message.contains("cuda:0") && message.contains("just build-cuda"), "{message}");
        assert_eq!(message.lines().count(), 1);
        assert_eq!(open(&Choice::Cuda(0)).unwrap_err().to_string(), message);
    }
}
