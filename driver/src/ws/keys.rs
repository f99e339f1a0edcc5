//! Keys of masks: nobody can foretell them, so that no script can choose what bytes are on the wire.

use moorline_core::{Error, ErrorCode};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::frames::mask::Key;

/// Makes keys; seeded by the system.
pub(crate) struct Keys(ChaCha8Rng);

impl Keys {
    /// Seeds a generator.
    ///
    /// # Errors
    /// `INTERNAL` where the system has no random bytes.
    pub(crate) fn new() -> Result<Self, Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)
            .map_err(|e| Error::new(ErrorCode::Internal, format!("no random bytes: {e}")))?;
        Ok(Self(ChaCha8Rng::from_seed(seed)))
    }

    /// Makes a key.
    pub(crate) fn next(&mut self) -> Key {
        self.0.next_u32().to_ne_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ() {
        let (mut ours, mut theirs) = (Keys::new().unwrap(), Keys::new().unwrap());
        let keys: std::collections::BTreeSet<Key> =
            (0..100).flat_map(|_| [ours.next(), theirs.next()]).collect();
        assert!(keys.len() > 190, "{}", keys.len());
    }
}
