//! Comparisons: what was compared, how far it was off, and what is allowed.

use super::ParityError;
use super::golden::{Distance, Golden, Set};
use crate::hmr2::Precision;
use serde::Serialize;

/// What is compared, in the order of the goldens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// 01: rotations, projections, from a crop's camera to the picture's.
    Geometry,
    /// 02: SMPL's forward pass.
    Smpl,
    /// 03: the vision transformer.
    Backbone,
    /// 04: the decoder and its read-outs.
    Head,
    /// 05: from a crop to vertices.
    Network,
    /// 06: crops, masks, blur.
    Crops,
    /// 07: PHALP's camera and vectors.
    Camera,
    /// 08: pose metrics.
    Metrics,
}

impl Stage {
    /// The golden's number and what it is about.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Geometry => "01 geometry",
            Stage::Smpl => "02 smpl",
            Stage::Backbone => "03 backbone",
            Stage::Head => "04 head",
            Stage::Network => "05 network",
            Stage::Crops => "06 crops",
            Stage::Camera => "07 camera",
            Stage::Metrics => "08 metrics",
        }
    }
}

/// Which of the goldens' networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// Three blocks of 64: a second.
    Small,
    /// HMR2 as published, ViT-H: 2.7 GB of single precision.
    Full,
}

impl Size {
    /// As it stands in the goldens' names.
    pub fn name(self) -> &'static str {
        match self {
            Size::Small => "small",
            Size::Full => "full",
        }
    }
}

/// One comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub set: String,
    pub stage: Stage,
    /// `None` where no network had a part in it.
    pub size: Option<Size>,
    /// `None` where it is always the same: single or double precision, or bytes.
    pub precision: Option<Precision>,
    /// What was compared, by the golden's own name for it.
    pub what: String,
    /// Values that were compared.
    pub values: usize,
    /// Largest difference, in `unit`; infinite where one is no number and the other is.
    pub largest: f64,
    /// What `largest` may be.
    pub tolerance: f64,
    /// What both are counted in; empty for plain numbers.
    pub unit: &'static str,
    /// Root mean square of the differences, over that of the golden's values.
    pub relative: f64,
}

impl Check {
    pub fn passed(&self) -> bool {
        self.largest <= self.tolerance
    }

    /// `largest` as a share of what is allowed; nothing is allowed where it has to be exact.
    pub fn share(&self) -> f64 {
        if self.largest == 0.0 { 0.0 } else { self.largest / self.tolerance }
    }
}

/// How far a value may be off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    Absolute(f64),
    /// Of the value itself, and never less than of 1.
    Relative(f64),
}

/// Not at all.
pub(super) const EXACT: Bound = Bound::Absolute(0.0);

/// Keeps the comparisons of one set as they are made, and tells them.
pub(super) struct Ledger<'a> {
    set: String,
    network: Option<(Size, Precision)>,
    told: &'a mut dyn FnMut(&Check),
    checks: Vec<Check>,
}

impl<'a> Ledger<'a> {
    pub fn new(set: &Set, told: &'a mut dyn FnMut(&Check)) -> Ledger<'a> {
        Ledger { set: set.name.clone(), network: None, told, checks: Vec::new() }
    }

    /// From now on a network of this size and precision has a part in what is compared.
    pub fn of_network(mut self, size: Size, precision: Precision) -> Ledger<'a> {
        self.network = Some((size, precision));
        self
    }

    /// Holds `got` against the golden's tensor `key`.
    ///
    /// # Errors
    /// If there is no such tensor, or it has another number of values.
    pub fn close(
        &mut self,
        golden: &Golden,
        key: &str,
        got: &[f32],
        bound: Bound,
        unit: &'static str,
    ) -> Result<(), ParityError> {
        let got: Vec<f64> = got.iter().copied().map(f64::from).collect();
        self.numbers(golden, key, &got, &golden.f64(key)?, bound, unit)
    }

    /// Holds `got` against numbers that were told in another way than as a tensor of this name.
    ///
    /// # Errors
    /// If there is another number of them.
    pub fn numbers(
        &mut self,
        golden: &Golden,
        what: &str,
        got: &[f64],
        wanted: &[f64],
        bound: Bound,
        unit: &'static str,
    ) -> Result<(), ParityError> {
        if got.len() != wanted.len() {
            let (golden, key) = (golden.name().to_string(), what.to_string());
            return Err(ParityError::Count { golden, key, found: got.len(), wanted: wanted.len() });
        }
        let (distance, tolerance, unit) = match bound {
            Bound::Absolute(tolerance) => (Distance::between(got, wanted, |_| 1.0), tolerance, unit),
            Bound::Relative(tolerance) => {
                (Distance::between(got, wanted, |value| value.abs().max(1.0)), tolerance, "of the value")
            }
        };
        self.add(golden, what, got.len(), distance, tolerance, unit);
        Ok(())
    }

    /// Notes how many of `all` are not exactly what they have to be.
    pub fn exact(&mut self, golden: &Golden, what: &str, wrong: usize, all: usize) {
        let largest = wrong as f64;
        let relative = if all == 0 { 0.0 } else { (largest / all as f64).sqrt() };
        self.add(golden, what, all, Distance { largest, relative }, 0.0, "differ");
    }

    fn add(
        &mut self,
        golden: &Golden,
        what: &str,
        values: usize,
        distance: Distance,
        tolerance: f64,
        unit: &'static str,
    ) {
        let check = Check {
            set: self.set.clone(),
            stage: golden.stage(),
            size: self.network.map(|network| network.0),
            precision: self.network.map(|network| network.1),
            what: what.to_string(),
            values,
            largest: distance.largest,
            tolerance,
            unit,
            relative: distance.relative,
        };
        (self.told)(&check);
        self.checks.push(check);
    }

    pub fn finish(self) -> Vec<Check> {
        self.checks
    }
}
