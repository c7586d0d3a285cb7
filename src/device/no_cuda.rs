//! A build without CUDA: there is no card, and nothing to be read from one. The form is `cuda.rs`'s.

use super::card::{Card, Target};
use super::{Choice, DeviceError};
use std::convert::Infallible;

fn not_built(index: usize) -> DeviceError {
    DeviceError::NotBuilt { device: Choice::Cuda(index).to_string() }
}

pub fn cards() -> Result<Vec<Result<Card, DeviceError>>, DeviceError> {
    Err(not_built(0))
}

pub fn card(index: usize) -> Result<Card, DeviceError> {
    Err(not_built(index))
}

pub fn open(index: usize) -> Result<candle_core::Device, DeviceError> {
    Err(not_built(index))
}

/// What the kernels of this build are for: it has none.
pub fn target() -> Option<Target> {
    None
}

/// An opened card; there is none in this build.
#[derive(Clone)]
pub struct Handle {
    none: Infallible,
}

impl Handle {
    pub fn of(_: &candle_core::Device) -> Option<Handle> {
        None
    }

    pub fn pool(&self) -> Option<super::Pool> {
        match self.none {}
    }

    pub fn reset_marks(&self) {
        match self.none {}
    }

    pub fn room(&self) -> Option<super::Room> {
        match self.none {}
    }

    pub fn synchronize(&self) {
        match self.none {}
    }

    pub fn trim(&self) {
        match self.none {}
    }

    pub fn ballast(&self, _: u64) -> Result<Ballast, DeviceError> {
        match self.none {}
    }
}

/// Memory of a card that is kept from the run; there is none in this build.
pub struct Ballast {
    none: Infallible,
}

impl Ballast {
    pub fn bytes(&self) -> u64 {
        match self.none {}
    }
}
