//! Repeatable random numbers: a stream for each address, which is a seed, a purpose and counters.
//!
//! A stream depends only on its address, not on the order of calls or the number of threads: the noise of frame 7 of person 3
//! is the same whatever is drawn before. The generator is ChaCha8, its key the SHA-256 of the address; the transcendental
//! functions are those of `libm`, so that every machine gives the same bits.

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// The random numbers at one address.
pub struct RandomStream(ChaCha8Rng);

/// The stream at the address (`seed`, `purpose`, `counters`). Equal addresses give equal streams on every machine.
pub fn stream(seed: u64, purpose: &str, counters: &[u64]) -> RandomStream {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update((purpose.len() as u64).to_le_bytes());
    hash.update(purpose.as_bytes());
    for counter in counters {
        hash.update(counter.to_le_bytes());
    }
    RandomStream(ChaCha8Rng::from_seed(hash.finalize().into()))
}

impl RandomStream {
    /// 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `[0, 1)`, with 53 random bits.
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `[low, high)`.
    #[inline]
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// True with probability `p`.
    #[inline]
    pub fn bernoulli(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Uniform in `0..n`.
    ///
    /// # Panics
    /// If `n` is zero.
    #[inline]
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "`below(0)` has an empty range");
        ((self.next_u64() as u128 * n as u128) >> 64) as usize
    }

    /// Normal with mean 0 and standard deviation 1 (Box-Muller transform), the same on every machine.
    #[inline]
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        radius * libm::cos(std::f64::consts::TAU * self.uniform())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_addresses_give_equal_streams() {
        let draw = |seed, purpose, counters: &[u64]| stream(seed, purpose, counters).next_u64();
        assert_eq!(draw(1, "jitter", &[7, 3]), draw(1, "jitter", &[7, 3]));
        let others = [draw(2, "jitter", &[7, 3]), draw(1, "miss", &[7, 3]), draw(1, "jitter", &[3, 7])];
        assert!(others.iter().all(|&other| other != draw(1, "jitter", &[7, 3])));
    }

    #[test]
    fn draws_have_the_expected_moments() {
        let mut source = stream(5, "moments", &[]);
        let n = 20_000;
        let normals: Vec<f64> = (0..n).map(|_| source.normal()).collect();
        let mean = normals.iter().sum::<f64>() / n as f64;
        let variance = normals.iter().map(|x| x * x).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
        assert!((0..1000).all(|_| source.below(7) < 7));
    }
}
