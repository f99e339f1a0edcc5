//! How often each client may ask: a bucket of tokens per client.

use std::collections::BTreeMap;

use crate::base::time::Instant;

/// The most clients told apart; beyond, newcomers share one bucket.
const MAX_CLIENTS: usize = 10_000;

/// Buckets by client.
#[derive(Debug)]
pub(super) struct RateLimit {
    per_second: u64,
    burst: u64,
    buckets: BTreeMap<String, Bucket>,
}

/// Thousandths of a token, so that a millisecond counts.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    milli_tokens: u64,
    at: Instant,
}

impl RateLimit {
    /// Allows `burst` at once and `per_second` in the long run; 0 per second does not limit.
    pub(super) const fn new(per_second: u64, burst: u64) -> Self {
        Self { per_second, burst, buckets: BTreeMap::new() }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// Milliseconds until there is one.
    pub(super) fn take(&mut self, client: &str, now: Instant) -> Result<(), u64> {
        self.check(client, now)?;
        let bucket = self.bucket(client, now);
        bucket.milli_tokens = bucket.milli_tokens.saturating_sub(1_000);
        Ok(())
    }

    /// Looks whether there is a token, without taking it.
    ///
    /// # Errors
    /// Milliseconds until there is one.
    pub(super) fn check(&mut self, client: &str, now: Instant) -> Result<(), u64> {
        if self.per_second == 0 {
            return Ok(());
        }
        let per_second = self.per_second;
        let bucket = self.bucket(client, now);
        let missing = 1_000u64.saturating_sub(bucket.milli_tokens);
        if missing == 0 { Ok(()) } else { Err(missing.div_ceil(per_second)) }
    }

    fn bucket(&mut self, client: &str, now: Instant) -> &mut Bucket {
        let full = self.burst.saturating_mul(1_000);
        let per_second = self.per_second;
        let refill = |bucket: &mut Bucket| {
            let gained = now.since(bucket.at).saturating_mul(per_second);
            bucket.milli_tokens = bucket.milli_tokens.saturating_add(gained).min(full);
            bucket.at = now;
        };
        if !self.buckets.contains_key(client) && self.buckets.len() >= MAX_CLIENTS {
            self.buckets.retain(|_, bucket| {
                refill(bucket);
                bucket.milli_tokens < full
            });
        }
        let known = self.buckets.len() < MAX_CLIENTS || self.buckets.contains_key(client);
        let client = if known { client } else { "" };
        let bucket =
            self.buckets.entry(client.to_owned()).or_insert(Bucket { milli_tokens: full, at: now });
        refill(bucket);
        bucket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut rate = RateLimit::new(10, 3);
        let at = Instant::from_millis;
        for _ in 0..3 {
            assert_eq!(rate.take("a", at(0)), Ok(()));
        }
        assert_eq!(rate.take("a", at(0)), Err(100));
        assert_eq!(rate.take("b", at(0)), Ok(()), "clients do not share");
        assert_eq!(rate.take("a", at(100)), Ok(()));
        assert!(rate.take("a", at(150)).is_err());
    }

    #[test]
    fn zero_does_not_limit() {
        let mut rate = RateLimit::new(0, 1);
        for _ in 0..100 {
            assert_eq!(rate.take("a", Instant::from_millis(0)), Ok(()));
        }
    }

    #[test]
    fn the_table_of_clients_is_bounded() {
        let mut rate = RateLimit::new(1, 1);
        for client in 0..MAX_CLIENTS + 50 {
            let _ = rate.take(&client.to_string(), Instant::from_millis(0));
        }
        assert!(rate.buckets.len() <= MAX_CLIENTS + 1);
    }
}
