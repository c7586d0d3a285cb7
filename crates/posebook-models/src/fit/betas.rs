//! The shape of a track: a running mean of the betas, since a person's proportions do not change between frames.

use crate::body::NUM_BETAS;

/// Number of fits in the mean; afterwards it is an exponential moving average.
const MAX_FITS: usize = 30;

/// The running mean of a track's betas: the prior of [`super::Fitter::fit`] in the next frame.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrackBetas {
    mean: [f32; NUM_BETAS],
    fits: usize,
}

impl TrackBetas {
    /// A track without fits.
    pub fn new() -> TrackBetas {
        TrackBetas::default()
    }

    /// Adds the betas of a fit. The mean is exact for the first 30 fits; later ones have a weight of 1/30. Betas that are not
    /// finite are ignored.
    pub fn push(&mut self, betas: &[f32; NUM_BETAS]) {
        if betas.iter().any(|beta| !beta.is_finite()) {
            return;
        }
        self.fits = (self.fits + 1).min(MAX_FITS);
        for (mean, beta) in self.mean.iter_mut().zip(betas) {
            *mean += (beta - *mean) / self.fits as f32;
        }
    }

    /// The mean; `None` before the first fit.
    pub fn prior(&self) -> Option<&[f32; NUM_BETAS]> {
        (self.fits > 0).then_some(&self.mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_exact_for_30_fits_and_then_exponential() {
        let mut track = TrackBetas::new();
        assert_eq!(track.prior(), None);
        for fit in 0..30 {
            track.push(&[fit as f32; NUM_BETAS]);
        }
        assert!((track.prior().unwrap()[0] - 14.5).abs() < 1e-4);
        track.push(&[f32::NAN; NUM_BETAS]);
        assert!((track.prior().unwrap()[3] - 14.5).abs() < 1e-4);
        track.push(&[44.5; NUM_BETAS]);
        assert!((track.prior().unwrap()[9] - 15.5).abs() < 1e-4);
    }
}
