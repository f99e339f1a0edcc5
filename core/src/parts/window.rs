//! How often each client may do something: a fixed window that counts, or a bucket of tokens.

use std::collections::{BTreeMap, VecDeque};

use crate::api::event::SessionEvent;
use crate::base::error::Error;
use crate::base::time::{Instant, Now};
use crate::machine::Output;

/// The most clients told apart; beyond, newcomers share one count.
const MAX_CLIENTS: usize = 10_000;

/// Something of each client, such as an address.
#[derive(Debug)]
struct Clients<T>(BTreeMap<String, T>);

impl<T> Clients<T> {
    /// Returns the client's own, which begins as `new`; `is_idle` says whose can be forgotten.
    fn get(&mut self, client: &str, new: T, is_idle: impl Fn(&T) -> bool) -> &mut T {
        let mut is_known = self.0.contains_key(client);
        if !is_known && self.0.len() >= MAX_CLIENTS {
            self.0.retain(|_, own| !is_idle(own));
        }
        is_known |= self.0.len() < MAX_CLIENTS;
        self.0.entry(if is_known { client } else { "" }.to_owned()).or_insert(new)
    }
}

/// Counts within fixed windows, each of which begins with its first.
#[derive(Debug)]
pub(crate) struct Window {
    limit: u64,
    length_ms: u64,
    counts: Clients<(Instant, u64)>,
}

impl Window {
    /// Allows `limit` within `length_ms`.
    pub(crate) const fn new(limit: u64, length_ms: u64) -> Self {
        Self { limit, length_ms, counts: Clients(BTreeMap::new()) }
    }

    /// Allows what is told of refusals to one address: 5 a minute.
    pub(crate) const fn of_warnings() -> Self {
        Self::new(5, 60_000)
    }

    /// Counts one.
    ///
    /// # Errors
    /// Milliseconds until the window ends, if it is one too many.
    pub(crate) fn count(&mut self, client: &str, now: Instant) -> Result<(), u64> {
        let length = self.length_ms;
        let is_over = |(since, _): &(Instant, u64)| now.since(*since) >= length;
        let own = self.counts.get(client, (now, 0), is_over);
        if is_over(own) {
            *own = (now, 0);
        }
        if own.1 >= self.limit {
            return Err(length - now.since(own.0));
        }
        own.1 += 1;
        Ok(())
    }

    /// Tells of something that a client did, unless there was too much of it.
    pub(crate) fn warn(
        &mut self,
        client: &str,
        error: Error,
        now: Now,
        out: &mut VecDeque<Output>,
    ) {
        if self.count(client, now.mono).is_ok() {
            out.push_back(Output::Event(SessionEvent::Notice { error }.into()));
        }
    }
}

/// Buckets of tokens: a burst passes, then a rate holds.
#[derive(Debug)]
pub(crate) struct Buckets {
    per_second: u64,
    burst: u64,
    buckets: Clients<Bucket>,
}

/// Thousandths of a token, so that a millisecond counts.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    milli_tokens: u64,
    at: Instant,
}

impl Buckets {
    /// Allows `burst` at once and `per_second` in the long run; 0 per second does not limit.
    pub(crate) const fn new(per_second: u64, burst: u64) -> Self {
        Self { per_second, burst, buckets: Clients(BTreeMap::new()) }
    }

    /// Allows the guesses at passwords and secrets that one address has: 50 at once, then 2 a second.
    pub(crate) const fn of_guesses() -> Self {
        Self::new(2, 50)
    }

    /// Takes a token.
    ///
    /// # Errors
    /// Milliseconds until there is one.
    pub(crate) fn take(&mut self, client: &str, now: Instant) -> Result<(), u64> {
        self.check(client, now)?;
        let bucket = self.bucket(client, now);
        bucket.milli_tokens = bucket.milli_tokens.saturating_sub(1_000);
        Ok(())
    }

    /// Looks whether there is a token, without taking it.
    ///
    /// # Errors
    /// Milliseconds until there is one.
    pub(crate) fn check(&mut self, client: &str, now: Instant) -> Result<(), u64> {
        if self.per_second == 0 {
            return Ok(());
        }
        let per_second = self.per_second;
        let bucket = self.bucket(client, now);
        let missing = 1_000u64.saturating_sub(bucket.milli_tokens);
        if missing == 0 { Ok(()) } else { Err(missing.div_ceil(per_second)) }
    }

    /// Gives back a token that was taken.
    pub(crate) fn give_back(&mut self, client: &str, now: Instant) {
        let full = self.burst.saturating_mul(1_000);
        let bucket = self.bucket(client, now);
        bucket.milli_tokens = bucket.milli_tokens.saturating_add(1_000).min(full);
    }

    fn bucket(&mut self, client: &str, now: Instant) -> &mut Bucket {
        let full = self.burst.saturating_mul(1_000);
        let per_second = self.per_second;
        let refilled = |bucket: &Bucket| {
            let gained = now.since(bucket.at).saturating_mul(per_second);
            bucket.milli_tokens.saturating_add(gained).min(full)
        };
        let new = Bucket { milli_tokens: full, at: now };
        let bucket = self.buckets.get(client, new, |bucket| refilled(bucket) >= full);
        *bucket = Bucket { milli_tokens: refilled(bucket), at: now };
        bucket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_counts_and_ends() {
        let mut window = Window::new(2, 1_000);
        assert_eq!(window.count("a", at(0)), Ok(()));
        assert_eq!(window.count("a", at(400)), Ok(()));
        assert_eq!(window.count("a", at(600)), Err(400));
        assert_eq!(window.count("b", at(600)), Ok(()), "clients do not share");
        assert_eq!(window.count("a", at(1_000)), Ok(()));
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut buckets = Buckets::new(10, 3);
        for _ in 0..3 {
            assert_eq!(buckets.take("a", at(0)), Ok(()));
        }
        assert_eq!(buckets.take("a", at(0)), Err(100));
        assert_eq!(buckets.take("b", at(0)), Ok(()), "clients do not share");
        assert_eq!(buckets.take("a", at(100)), Ok(()));
        assert!(buckets.take("a", at(150)).is_err());
        buckets.give_back("a", at(150));
        assert_eq!(buckets.take("a", at(150)), Ok(()));
        for _ in 0..9 {
            buckets.give_back("c", at(150));
        }
        assert_eq!((0..9).filter(|_| buckets.take("c", at(150)).is_ok()).count(), 3);
    }

    #[test]
    fn zero_does_not_limit() {
        let mut buckets = Buckets::new(0, 1);
        for _ in 0..100 {
            assert_eq!(buckets.take("a", at(0)), Ok(()));
        }
    }

    #[test]
    fn the_tables_of_clients_are_bounded() {
        let (mut window, mut buckets) = (Window::new(1, 1_000), Buckets::new(1, 1));
        for client in 0..MAX_CLIENTS + 50 {
            let _ = window.count(&client.to_string(), at(0));
            let _ = buckets.take(&client.to_string(), at(0));
        }
        assert!(window.counts.0.len() <= MAX_CLIENTS + 1);
        assert!(buckets.buckets.0.len() <= MAX_CLIENTS + 1);
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }
}
