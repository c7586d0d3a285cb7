//! The shape along a track: a running mean, since a person's proportions do not change from frame to frame.

use crate::body::BETAS;

/// Fits that the mean goes over at most; later ones replace a share of it.
const MOST: usize = 30;

/// The running mean of the betas of one track. Give it to [`super::Fitter::fit`] as the prior of the next frame.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrackBetas {
    mean: [f32; BETAS],
    fits: usize,
}

impl TrackBetas {
    /// A track without fits.
    pub fn new() -> TrackBetas {
        TrackBetas::default()
    }

    /// Takes one fit's betas. The mean is exact for the first 30 and then forgets: each new fit counts 1/30.
    /// Betas that are not finite are not taken.
    pub fn push(&mut self, betas: &[f32; BETAS]) {
        if betas.iter().any(|beta| !beta.is_finite()) {
            return;
        }
        self.fits = (self.fits + 1).min(MOST);
        for (mean, beta) in self.mean.iter_mut().zip(betas) {
            *mean += (beta - *mean) / self.fits as f32;
        }
    }

    /// The mean; `None` before the first fit.
    pub fn prior(&self) -> Option<&[f32; BETAS]> {
        (self.fits > 0).then_some(&self.mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_exact_and_then_forgets() {
        let mut track = TrackBetas::new();
        assert_eq!(track.prior(), None);
        for fit in 0..30 {
            track.push(&[fit as f32; BETAS]);
        }
        assert!((track.prior().unwrap()[0] - 14.5).abs() < 1e-4);
        track.push(&[f32::NAN; BETAS]);
        assert!((track.prior().unwrap()[3] - 14.5).abs() < 1e-4);
        track.push(&[44.5; BETAS]);
        assert!((track.prior().unwrap()[9] - 15.5).abs() < 1e-4);
    }
}
