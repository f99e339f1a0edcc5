//! Who is connected to a listener, and how many more may come.
//!
//! Whoever comes while a bound is reached waits: a stranger is gone after a few seconds at the latest,
//! and the next one is served. Beyond [`MAX_WAITING`] nobody is accepted, and the system's backlog
//! holds them.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moorline_core::Networks;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::listen::socket::Client;

/// The most clients that wait for a place, unread.
const MAX_WAITING: usize = 1_024;

/// The connections of one listener.
pub(super) struct Crowd {
    max_connections: usize,
    max_strangers: usize,
    /// Whose addresses stand for many clients.
    proxies: Networks,
    counts: Mutex<Counts>,
    freed: Notify,
}

#[derive(Default)]
struct Counts {
    connections: usize,
    /// By address; clients of a Unix socket have none.
    addresses: HashMap<Option<IpAddr>, Unproven>,
}

/// Connections of one address that have proved nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Unproven {
    strangers: usize,
    visitors: usize,
}

/// What a connection has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing yet.
    Stranger = 0,
    /// A whole request, or that the machine let it in.
    Visitor = 1,
    /// Who it is: the machine gave it other limits.
    Proven = 2,
}

impl Crowd {
    /// Makes an empty crowd.
    pub(super) fn new(
        max_connections: usize,
        max_strangers: usize,
        proxies: Networks,
    ) -> Arc<Self> {
        let (counts, freed) = (Mutex::default(), Notify::new());
        Arc::new(Self { max_connections, max_strangers, proxies, counts, freed })
    }

    /// Resolves when a place may be free since this was last asked.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// The most visitors of one address: others find a place, however many it opens.
    const fn max_visitors(&self) -> usize {
        self.max_connections - self.max_connections / 4
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among the limits; given back on drop.
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    address: Option<IpAddr>,
    standing: AtomicU8,
}

impl Place {
    /// Takes a place for a client at `address`; `None` if there is none.
    pub(super) fn take(crowd: &Arc<Crowd>, address: Option<IpAddr>) -> Option<Self> {
        let mut counts = crowd.lock();
        let own = counts.addresses.get(&address).copied().unwrap_or_default();
        let is_proxy = address.is_some_and(|address| crowd.proxies.contains(address));
        let is_full = own.strangers >= crowd.max_strangers
            || own.strangers + own.visitors >= crowd.max_visitors();
        if counts.connections >= crowd.max_connections || (is_full && !is_proxy) {
            return None;
        }
        counts.connections += 1;
        counts.addresses.entry(address).or_default().strangers += 1;
        let standing = AtomicU8::new(Standing::Stranger as u8);
        Some(Self { crowd: Arc::clone(crowd), address, standing })
    }

    /// Whether the client is no stranger any more.
    pub(super) fn is_admitted(&self) -> bool {
        self.standing.load(Ordering::Relaxed) != Standing::Stranger as u8
    }

    /// A whole request came, or the machine let the client in: no longer a stranger.
    pub(super) fn admit(&self) {
        self.rise(Standing::Visitor);
    }

    /// The machine knows who the client is.
    pub(crate) fn prove(&self) {
        self.rise(Standing::Proven);
    }

    fn rise(&self, standing: Standing) {
        let mut counts = self.crowd.lock();
        let before = self.standing.fetch_max(standing as u8, Ordering::Relaxed);
        if before < standing as u8 {
            self.leave(before, &mut counts);
            if standing == Standing::Visitor {
                counts.addresses.entry(self.address).or_default().visitors += 1;
            }
            drop(counts);
            self.crowd.freed.notify_one();
        }
    }

    fn leave(&self, standing: u8, counts: &mut Counts) {
        let Some(own) = counts.addresses.get_mut(&self.address) else { return };
        if standing == Standing::Stranger as u8 {
            own.strangers -= 1;
        } else if standing == Standing::Visitor as u8 {
            own.visitors -= 1;
        }
        if *own == Unproven::default() {
            counts.addresses.remove(&self.address);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.crowd.lock();
        counts.connections -= 1;
        self.leave(self.standing.load(Ordering::Relaxed), &mut counts);
        drop(counts);
        self.crowd.freed.notify_one();
    }
}

/// Clients that wait for a place, in the order in which they came.
#[derive(Default)]
pub(super) struct Queue(VecDeque<Client>, Told);

/// How long it is enough to have said once that clients wait: a stranger can have it happen at will.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// When it was said.
#[derive(Default)]
struct Told(Option<Instant>);

impl Told {
    /// Tells whether it is to be said now.
    fn is_news(&mut self, now: Instant) -> bool {
        let is_news = self.0.is_none_or(|told| now.duration_since(told) >= TELL_EVERY);
        if is_news {
            self.0 = Some(now);
        }
        is_news
    }
}

impl Queue {
    /// Tells whether no more should be accepted for now.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MAX_WAITING
    }

    /// Adds a client.
    pub(super) fn push(&mut self, client: Client) {
        if self.0.is_empty() && self.1.is_news(Instant::now()) {
            tracing::warn!(remote = client.remote, "too many connections: newcomers wait");
        }
        self.0.push_back(client);
    }

    /// Takes the first client for whom there is a place.
    pub(super) fn next(&mut self, crowd: &Arc<Crowd>) -> Option<(Client, Place)> {
        for index in 0..self.0.len() {
            let Some(place) = Place::take(crowd, self.0.get(index)?.address) else { continue };
            return self.0.remove(index).map(|client| (client, place));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ONE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    const OTHER: Option<IpAddr> = None;

    #[test]
    fn strangers_are_bounded_by_address_until_they_have_asked() {
        let crowd = Crowd::new(100, 2, Networks::default());
        let first = Place::take(&crowd, ONE).unwrap();
        let _second = Place::take(&crowd, ONE).unwrap();
        assert!(Place::take(&crowd, ONE).is_none());
        assert!(Place::take(&crowd, OTHER).is_some());
        first.admit();
        first.admit();
        assert!(first.is_admitted());
        assert!(Place::take(&crowd, ONE).is_some());
    }

    #[test]
    fn a_proxy_has_only_the_bounds_of_all() {
        let crowd = Crowd::new(4, 1, [String::from("127.0.0.0/8")].into_iter().collect());
        let places: Vec<_> = std::iter::repeat_with(|| Place::take(&crowd, ONE))
            .map_while(std::convert::identity)
            .collect();
        assert_eq!(places.len(), 4);
    }

    #[test]
    fn that_clients_wait_is_said_once_a_minute() {
        let (mut told, now) = (Told::default(), Instant::now());
        assert!(told.is_news(now) && !told.is_news(now + Duration::from_secs(59)));
        assert!(told.is_news(now + Duration::from_secs(60)));
    }

    #[test]
    fn an_address_leaves_a_quarter_of_the_places_to_others_until_it_has_proved_who_it_is() {
        let crowd = Crowd::new(8, 8, Networks::default());
        let places: Vec<_> = std::iter::repeat_with(|| Place::take(&crowd, ONE))
            .map_while(|place| place.inspect(Place::admit))
            .collect();
        assert_eq!(places.len(), 6);
        places[0].prove();
        let seventh = Place::take(&crowd, ONE).unwrap();
        assert!(Place::take(&crowd, ONE).is_none());
        assert!(Place::take(&crowd, OTHER).is_some());
        drop((places, seventh));
        assert!(crowd.lock().addresses.is_empty());
        assert_eq!(crowd.lock().connections, 0);
    }
}
