//! How often each address may do something within a fixed window, as the original counts it.

use std::collections::BTreeMap;

use crate::base::time::Instant;

/// The most addresses told apart; beyond, newcomers share one count.
const MAX_ADDRESSES: usize = 10_000;

/// Counts by address.
#[derive(Debug)]
pub(crate) struct Window {
    limit: u64,
    length_ms: u64,
    counts: BTreeMap<String, (Instant, u64)>,
}

impl Window {
    pub(crate) const fn new(limit: u64, length_ms: u64) -> Self {
        Self { limit, length_ms, counts: BTreeMap::new() }
    }

    /// Counts one.
    ///
    /// # Errors
    /// Milliseconds until the window ends, if it is one too many.
    pub(crate) fn count(&mut self, address: &str, now: Instant) -> Result<(), u64> {
        let length = self.length_ms;
        if !self.counts.contains_key(address) && self.counts.len() >= MAX_ADDRESSES {
            self.counts.retain(|_, (since, _)| now.since(*since) < length);
        }
        let known = self.counts.len() < MAX_ADDRESSES || self.counts.contains_key(address);
        let address = if known { address } else { "" };
        let (since, count) = self.counts.entry(address.to_owned()).or_insert((now, 0));
        if now.since(*since) >= length {
            (*since, *count) = (now, 0);
        }
        if *count >= self.limit {
            return Err(length - now.since(*since));
        }
        *count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_counts_and_ends() {
        let mut window = Window::new(2, 1_000);
        let at = Instant::from_millis;
        assert_eq!(window.count("a", at(0)), Ok(()));
        assert_eq!(window.count("a", at(400)), Ok(()));
        assert_eq!(window.count("a", at(600)), Err(400));
        assert_eq!(window.count("b", at(600)), Ok(()), "addresses do not share");
        assert_eq!(window.count("a", at(1_000)), Ok(()));
    }

    #[test]
    fn the_table_of_addresses_is_bounded() {
        let mut window = Window::new(1, 1_000);
        for address in 0..MAX_ADDRESSES + 50 {
            let _ = window.count(&address.to_string(), Instant::from_millis(0));
        }
        assert!(window.counts.len() <= MAX_ADDRESSES + 1);
    }
}
