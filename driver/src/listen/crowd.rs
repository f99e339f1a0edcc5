//! Who is connected to a listener, and how many more may come.
//!
//! Whoever comes while a bound is reached waits: a stranger is gone after a few seconds at the latest,
//! and the next one is served. One address has a quarter of that queue, beyond which its clients are closed.
//! Beyond [`MAX_WAITING`] nobody is accepted, and the system's backlog holds them. Large bodies wait for
//! room, too, unread.

mod held;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moorline_core::Networks;
use tokio::sync::Notify;
use tokio::time::Instant;

pub(crate) use held::Share;

use crate::listen::crowd::held::Sum;
use crate::listen::socket::Client;

/// The most clients that wait for a place, unread.
const MAX_WAITING: usize = 1_024;

/// The most of them from one address: others are taken up beside them.
const MAX_WAITING_OF_ONE: usize = MAX_WAITING / 4;

/// The most bytes of large bodies that are read at a time, or four of the largest; one address has a quarter.
const MAX_BODIES: usize = 256 * 1024 * 1024;

/// The connections of one listener.
pub(super) struct Crowd {
    max_connections: usize,
    max_strangers: usize,
    /// Whose addresses stand for many clients.
    proxies: Networks,
    max_bodies: usize,
    counts: Mutex<Counts>,
    freed: Notify,
    room: Notify,
    sum: Arc<Sum>,
}

#[derive(Default)]
struct Counts {
    connections: usize,
    /// Bytes of large bodies that are being read.
    bodies: usize,
    /// By address; clients of a Unix socket have none.
    addresses: HashMap<Option<IpAddr>, Unproven>,
}

/// Connections of one address that have proved nothing, and bytes of its large bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Unproven {
    strangers: usize,
    visitors: usize,
    bodies: usize,
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
        max_body: usize,
        max_held: usize,
        proxies: Networks,
    ) -> Arc<Self> {
        Arc::new(Self {
            max_connections,
            max_strangers,
            proxies,
            max_bodies: MAX_BODIES.max(max_body.saturating_mul(4)),
            counts: Mutex::default(),
            freed: Notify::new(),
            room: Notify::new(),
            sum: Sum::new(max_held),
        })
    }

    fn is_proxy(&self, address: Option<IpAddr>) -> bool {
        address.is_some_and(|address| self.proxies.contains(address))
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
    share: Share,
}

impl Place {
    /// Takes a place for a client at `address`; `None` if there is none.
    pub(super) fn take(crowd: &Arc<Crowd>, address: Option<IpAddr>) -> Option<Self> {
        let mut counts = crowd.lock();
        let own = counts.addresses.get(&address).copied().unwrap_or_default();
        let is_proxy = crowd.is_proxy(address);
        let is_full = own.strangers >= crowd.max_strangers
            || own.strangers + own.visitors >= crowd.max_visitors();
        if counts.connections >= crowd.max_connections || (is_full && !is_proxy) {
            return None;
        }
        counts.connections += 1;
        counts.addresses.entry(address).or_default().strangers += 1;
        let standing = AtomicU8::new(Standing::Stranger as u8);
        let share = crowd.sum.share();
        Some(Self { crowd: Arc::clone(crowd), address, standing, share })
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

    /// What the connection holds.
    pub(crate) const fn share(&self) -> &Share {
        &self.share
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

    /// Takes room for a large body, once there is some.
    pub(super) async fn hold(&self, bytes: usize) -> Room<'_> {
        loop {
            let mut freed = std::pin::pin!(self.crowd.room.notified());
            freed.as_mut().enable();
            if let Some(room) = self.try_hold(bytes) {
                return room;
            }
            freed.await;
        }
    }

    fn try_hold(&self, bytes: usize) -> Option<Room<'_>> {
        let most = self.crowd.max_bodies;
        let mut counts = self.crowd.lock();
        let own = counts.addresses.get(&self.address).map_or(0, |own| own.bodies);
        let most_of_one = if self.crowd.is_proxy(self.address) { most } else { most / 4 };
        if counts.bodies + bytes > most || own + bytes > most_of_one {
            return None;
        }
        counts.bodies += bytes;
        counts.addresses.entry(self.address).or_default().bodies += bytes;
        Some(Room { place: self, bytes })
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

/// Room for a large body; given back on drop.
pub(super) struct Room<'a> {
    place: &'a Place,
    bytes: usize,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let crowd = &self.place.crowd;
        let mut counts = crowd.lock();
        counts.bodies -= self.bytes;
        if let Some(own) = counts.addresses.get_mut(&self.place.address) {
            own.bodies -= self.bytes;
            if *own == Unproven::default() {
                counts.addresses.remove(&self.place.address);
            }
        }
        drop(counts);
        crowd.room.notify_waiters();
    }
}

/// Clients that wait for a place, in the order in which they came.
#[derive(Default)]
pub(super) struct Queue(VecDeque<Client>, Told);

/// How long it is enough to have said once that clients wait: a stranger can have it happen at will.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// When it was said.
#[derive(Default)]
pub(super) struct Told(Option<Instant>);

impl Told {
    /// Tells whether it is to be said now.
    pub(super) fn is_news(&mut self, now: Instant) -> bool {
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

    /// Adds a client, unless too many of its address wait: that one is closed.
    pub(super) fn push(&mut self, client: Client, crowd: &Crowd) {
        if self.0.is_empty() && self.1.is_news(Instant::now()) {
            tracing::warn!(remote = client.remote, "too many connections: newcomers wait");
        }
        let own = self.0.iter().filter(|other| other.address == client.address).count();
        if own < MAX_WAITING_OF_ONE || crowd.is_proxy(client.address) {
            self.0.push_back(client);
        }
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
        let crowd = Crowd::new(100, 2, 0, 0, Networks::default());
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
        let crowd = Crowd::new(4, 1, 0, 0, [String::from("127.0.0.0/8")].into_iter().collect());
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
        let crowd = Crowd::new(8, 8, 0, 0, Networks::default());
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

    #[test]
    fn large_bodies_of_one_address_leave_room_to_others() {
        let crowd = Crowd::new(8, 8, 0, 0, Networks::default());
        let (own, other) = (Place::take(&crowd, ONE).unwrap(), Place::take(&crowd, OTHER).unwrap());
        let quarter = own.try_hold(MAX_BODIES / 4).unwrap();
        assert!(own.try_hold(1).is_none());
        let held = other.try_hold(MAX_BODIES / 4);
        assert!(held.is_some());
        drop(quarter);
        assert!(own.try_hold(1).is_some());
        drop(held);
        drop((own, other));
        assert_eq!(crowd.lock().bodies, 0);
        assert!(crowd.lock().addresses.is_empty());
        let large = Crowd::new(8, 8, MAX_BODIES, 0, Networks::default());
        let place = Place::take(&large, ONE).unwrap();
        assert!(place.try_hold(MAX_BODIES).is_some(), "the largest body always passes");
    }

    #[tokio::test]
    async fn a_body_waits_until_another_has_been_read() {
        let crowd = Crowd::new(8, 8, 0, 0, Networks::default());
        let place = Place::take(&crowd, ONE).unwrap();
        let first = place.hold(MAX_BODIES / 4).await;
        let second = std::pin::pin!(place.hold(1));
        let both = tokio::join!(second, async move { drop(first) });
        assert_eq!(both.0.bytes, 1);
    }

    #[tokio::test]
    async fn an_address_has_a_quarter_of_the_queue() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let crowd = Crowd::new(8, 8, 0, 0, [String::from("10.0.0.0/8")].into_iter().collect());
        let mut queue = Queue::default();
        let proxy = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
        let crowds = [(ONE, MAX_WAITING_OF_ONE), (OTHER, 3), (proxy, MAX_WAITING_OF_ONE + 1)];
        for (address, kept) in crowds {
            let before = queue.0.len();
            let many = if address == OTHER { 3 } else { MAX_WAITING_OF_ONE + 1 };
            for _ in 0..many {
                let (client, _) =
                    tokio::join!(tokio::net::TcpStream::connect(at), listener.accept());
                let peer = crate::listen::socket::Peer::Tcp(client.unwrap());
                queue.push(Client { peer, remote: String::new(), address }, &crowd);
            }
            assert_eq!(queue.0.len() - before, kept);
        }
    }
}
