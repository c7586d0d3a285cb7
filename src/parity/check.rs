//! The result of a comparison with a golden: what was compared, the deviation, and the tolerance.

use super::ParityError;
use super::golden::{Deviation, Golden, GoldenSet};
use posebook_models::hmr2::Precision;
use serde::Serialize;

/// The part that is compared, in the order of the goldens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// 01: rotations, projections, cameras of crop and image.
    Geometry,
    /// 02: SMPL's forward pass.
    Smpl,
    /// 03: the vision transformer.
    Backbone,
    /// 04: the decoder and its outputs.
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
    /// The golden's number and topic.
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

/// The size of a golden network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkSize {
    /// Three blocks of 64 values; runs in a second.
    Small,
    /// HMR2 as published, ViT-H; 2.7 GB in single precision.
    Full,
}

impl NetworkSize {
    /// The name in the goldens' file names.
    pub fn name(self) -> &'static str {
        match self {
            NetworkSize::Small => "small",
            NetworkSize::Full => "full",
        }
    }
}

/// The result of one comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Name of the golden set.
    pub set: String,
    /// The part that was compared.
    pub stage: Stage,
    /// Size of the network; `None` where no network is involved.
    pub size: Option<NetworkSize>,
    /// Precision of the network; `None` where no network is involved.
    pub precision: Option<Precision>,
    /// What was compared, mostly the name of a golden tensor.
    pub what: String,
    /// Number of values that were compared.
    pub values: usize,
    /// Largest deviation, in `unit`; infinite where only one of two values is NaN.
    pub largest: f64,
    /// Largest accepted deviation, in `unit`.
    pub tolerance: f64,
    /// The unit of both; empty for plain numbers.
    pub unit: &'static str,
    /// Root mean square of the differences, divided by that of the golden's values.
    pub relative: f64,
}

impl Check {
    /// Whether the deviation is within the tolerance.
    pub fn passed(&self) -> bool {
        self.largest <= self.tolerance
    }

    /// `largest` divided by `tolerance`; infinite where an exact comparison failed.
    pub fn tolerance_fraction(&self) -> f64 {
        if self.largest == 0.0 { 0.0 } else { self.largest / self.tolerance }
    }
}

/// Largest accepted deviation of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Tolerance {
    /// In the unit of the values.
    Absolute(f64),
    /// Relative to the expected value, or to 1 if that is larger.
    Relative(f64),
}

/// No deviation.
pub(super) const EXACT: Tolerance = Tolerance::Absolute(0.0);

/// Performs the comparisons of one set, collects their results, and reports each to a callback.
pub(super) struct CheckRecorder<'a> {
    set: String,
    network: Option<(NetworkSize, Precision)>,
    on_check: &'a mut dyn FnMut(&Check),
    checks: Vec<Check>,
}

impl<'a> CheckRecorder<'a> {
    /// Starts without results.
    pub fn new(set: &GoldenSet, on_check: &'a mut dyn FnMut(&Check)) -> CheckRecorder<'a> {
        CheckRecorder { set: set.name.clone(), network: None, on_check, checks: Vec::new() }
    }

    /// Notes the size and precision of the network in the following results.
    pub fn with_network(mut self, size: NetworkSize, precision: Precision) -> CheckRecorder<'a> {
        self.network = Some((size, precision));
        self
    }

    /// Compares `got` with the golden's tensor `key`.
    ///
    /// # Errors
    /// If there is no such tensor, or it has another number of values.
    pub fn compare_tensor(
        &mut self,
        golden: &Golden,
        key: &str,
        got: &[f32],
        tolerance: Tolerance,
        unit: &'static str,
    ) -> Result<(), ParityError> {
        let got: Vec<f64> = got.iter().copied().map(f64::from).collect();
        self.compare(golden, key, &got, &golden.f64(key)?, tolerance, unit)
    }

    /// Compares `got` with expected values; `what` names them in the result.
    ///
    /// # Errors
    /// If their number differs.
    pub fn compare(
        &mut self,
        golden: &Golden,
        what: &str,
        got: &[f64],
        expected: &[f64],
        tolerance: Tolerance,
        unit: &'static str,
    ) -> Result<(), ParityError> {
        if got.len() != expected.len() {
            let (golden, key) = (golden.name().to_string(), what.to_string());
            return Err(ParityError::Count { golden, key, found: got.len(), expected: expected.len() });
        }
        let (deviation, tolerance, unit) = match tolerance {
            Tolerance::Absolute(tolerance) => (Deviation::between(got, expected, |_| 1.0), tolerance, unit),
            Tolerance::Relative(tolerance) => {
                (Deviation::between(got, expected, |value| value.abs().max(1.0)), tolerance, "of the value")
            }
        };
        self.add(golden, what, got.len(), deviation, tolerance, unit);
        Ok(())
    }

    /// Records an exact comparison of which `mismatches` of `all` values failed.
    pub fn record_mismatches(&mut self, golden: &Golden, what: &str, mismatches: usize, all: usize) {
        let largest = mismatches as f64;
        let relative = if all == 0 { 0.0 } else { (largest / all as f64).sqrt() };
        self.add(golden, what, all, Deviation { largest, relative }, 0.0, "differ");
    }

    fn add(
        &mut self,
        golden: &Golden,
        what: &str,
        values: usize,
        deviation: Deviation,
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
            largest: deviation.largest,
            tolerance,
            unit,
            relative: deviation.relative,
        };
        (self.on_check)(&check);
        self.checks.push(check);
    }

    /// The results.
    pub fn into_checks(self) -> Vec<Check> {
        self.checks
    }
}
