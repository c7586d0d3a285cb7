//! All randomness of Posebook: one counter-based generator, addressed by seed, purpose and counters.
//!
//! A draw depends on its address alone and never on the order of calls or the number of threads, so
//! that frame 7 of person 3 looks the same whoever asks first. Must not know what it is used for.

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// A stream of random numbers at one address.
pub struct Stream(ChaCha8Rng);

/// The stream of `purpose` at `counters` under `seed`. Equal addresses give equal streams on every machine.
pub fn stream(seed: u64, purpose: &str, counters: &[u64]) -> Stream {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update((purpose.len() as u64).to_le_bytes());
    hash.update(purpose.as_bytes());
    for counter in counters {
        hash.update(counter.to_le_bytes());
    }
    Stream(ChaCha8Rng::from_seed(hash.finalize().into()))
}

impl Stream {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `[0, 1)`, 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `[low, high)`.
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Uniform in `0..n`.
    ///
    /// # Panics
    /// If `n` is zero.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "a draw from nothing");
        ((self.bits() as u128 * n as u128) >> 64) as usize
    }

    /// Normal with mean 0 and deviation 1 (Box and Muller), the same on every machine.
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_one_stream() {
        let draw = |seed, purpose, counters: &[u64]| stream(seed, purpose, counters).bits();
        assert_eq!(draw(1, "jitter", &[7, 3]), draw(1, "jitter", &[7, 3]));
        let others = [draw(2, "jitter", &[7, 3]), draw(1, "miss", &[7, 3]), draw(1, "jitter", &[3, 7])];
        assert!(others.iter().all(|&other| other != draw(1, "jitter", &[7, 3])));
    }

    #[test]
    fn draws_have_the_moments_they_should() {
        let mut source = stream(5, "moments", &[]);
        let n = 20_000;
        let normals: Vec<f64> = (0..n).map(|_| source.normal()).collect();
        let mean = normals.iter().sum::<f64>() / n as f64;
        let variance = normals.iter().map(|x| x * x).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
        assert!((0..1000).all(|_| source.below(7) < 7));
    }
}
