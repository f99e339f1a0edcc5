//! Seeded randomness: identifiers, jitter and tie-breaks come from here and nowhere else, so that a
//! run with the same seed and inputs is the same run.

use std::fmt;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Bytes that seed a machine. The driver takes them from the operating system.
pub type Seed = [u8; 32];

/// What seeds a machine: one seed for what may be known and one for what may not, so that a recording,
/// which begins with the first, gives nobody the second. Complete by nature.
#[derive(Clone, Copy)]
pub struct Seeds {
    /// For identifiers, jitter and tie-breaks. Recorded.
    pub run: Seed,
    /// For sessions, tokens and passwords. Never recorded.
    pub secrets: Seed,
}

impl From<Seed> for Seeds {
    /// Makes both of one seed: for replays and tests, whose secrets are none.
    fn from(run: Seed) -> Self {
        let mut secrets = ChaCha12Rng::from_seed(run);
        secrets.set_stream(1);
        Self { run, secrets: Entropy(secrets).seed() }
    }
}

impl fmt::Debug for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A deterministic generator owned by one machine.
#[derive(Clone, Debug)]
pub struct Entropy(ChaCha12Rng);

impl Entropy {
    /// Makes a generator from a seed.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// Returns 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Returns a number below `bound`, or 0 when `bound` is 0. The bias is below 2⁻³².
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// Returns a random (version 4) UUID.
    pub fn uuid(&mut self) -> uuid::Uuid {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// Returns a fresh seed for a child machine.
    pub fn seed(&mut self) -> Seed {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        seed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_run() {
        let mut one = Entropy::new([7; 32]);
        let mut two = Entropy::new([7; 32]);
        assert_eq!(one.uuid(), two.uuid());
        assert_eq!(one.uuid().get_version_num(), 4);
    }

    #[test]
    fn below_zero_is_zero() {
        assert_eq!(Entropy::new([0; 32]).below(0), 0);
    }
}
