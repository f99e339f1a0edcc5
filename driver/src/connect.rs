//! The one connector of WebSocket and HTTP: name look-up, proxy, TCP, TLS.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use moorline_core::options::RuntimeOptions;
use moorline_core::{Error, ErrorCode};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use url::{Host, Url};

use crate::counters::Counting;
use crate::io::Io;
use crate::proxy::{Proxies, Proxy};
use crate::tls::Tls;

/// How long an address has before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);

/// Where a connection goes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// Whether TLS is spoken.
    pub(crate) is_secure: bool,
    /// The host: a name, or an address without brackets.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
}

impl Target {
    /// Reads the target of an `http:`, `https:`, `ws:` or `wss:` URL.
    pub(crate) fn of(url: &Url) -> Result<Self, Error> {
        let (is_secure, default_port) = match url.scheme() {
            "http" | "ws" => (false, 80),
            "https" | "wss" => (true, 443),
            other => return Err(failed(format!("the scheme {other} is not one of http and ws"))),
        };
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(failed("the URL names no host")),
        };
        Ok(Self { is_secure, host, port: url.port().unwrap_or(default_port) })
    }

    /// Writes `host:port`, with brackets around an IPv6 address.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// How far a connection has come: what a time-out names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hop {
    /// Name look-up and TCP.
    Connect = 0,
    /// The way through a proxy.
    Proxy = 1,
    /// TLS.
    Tls = 2,
    /// The request that follows.
    Request = 3,
}

/// Remembers the present hop for whoever gives up waiting.
#[derive(Debug, Default)]
pub(crate) struct Progress(AtomicU8);

impl Progress {
    /// Notes a hop that begins.
    pub(crate) fn reach(&self, hop: Hop) {
        self.0.store(hop as u8, Ordering::Relaxed);
    }

    /// Tells whether the connection stands and the request is under way.
    pub(crate) fn is_connected(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Hop::Request as u8
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.load(Ordering::Relaxed) {
            0 => "while connecting",
            1 => "at the proxy",
            2 => "during the TLS handshake",
            _ => "while waiting for the answer",
        })
    }
}

/// Connects to control planes.
pub(crate) struct Connector {
    tls: Arc<Tls>,
    proxies: Proxies,
    counting: Arc<Counting>,
}

impl Connector {
    /// Makes a connector.
    ///
    /// # Errors
    /// `CONFIG_INVALID` for a proxy that is none.
    pub(crate) fn new(
        options: &RuntimeOptions,
        tls: Arc<Tls>,
        counting: Arc<Counting>,
    ) -> Result<Self, Error> {
        Ok(Self { tls, proxies: Proxies::new(&options.proxy)?, counting })
    }

    /// Returns the proxy on the way to `target`.
    pub(crate) fn route(&self, target: &Target) -> Result<Option<Proxy>, Error> {
        self.proxies.route(target)
    }

    /// Connects to `target`. The caller bounds the time.
    pub(crate) async fn connect(&self, target: &Target, progress: &Progress) -> Result<Io, Error> {
        self.connect_over(self.route(target)?, target, progress).await
    }

    /// Connects to `target` for a stream that is not HTTP: only a proxy for everything leads there.
    pub(crate) async fn connect_stream(
        &self,
        target: &Target,
        progress: &Progress,
    ) -> Result<Io, Error> {
        self.connect_over(self.proxies.route_stream(target)?, target, progress).await
    }

    /// Connects to a Unix socket.
    #[cfg(unix)]
    pub(crate) async fn connect_unix(&self, path: &str) -> Result<Io, Error> {
        match tokio::net::UnixStream::connect(path).await {
            Ok(stream) => Ok(Io::unix(stream, Arc::clone(&self.counting))),
            Err(e) => Err(failed(format!("cannot connect to unix:{path}: {e}"))),
        }
    }

    /// Fails: this system's runtime has no Unix sockets.
    #[cfg(not(unix))]
    pub(crate) async fn connect_unix(&self, path: &str) -> Result<Io, Error> {
        let message = format!("there are no Unix sockets here to dial {path}");
        Err(Error::new(ErrorCode::Unsupported, message))
    }

    async fn connect_over(
        &self,
        proxy: Option<Proxy>,
        target: &Target,
        progress: &Progress,
    ) -> Result<Io, Error> {
        progress.reach(Hop::Connect);
        let stream = match proxy {
            None => dial(&target.host, target.port).await?,
            Some(proxy) => {
                let stream = dial(&proxy.place.host, proxy.place.port).await.map_err(|e| {
                    let message = format!("the proxy is out of reach: {}", e.message());
                    Error::new(ErrorCode::ProxyFailed, message)
                })?;
                progress.reach(Hop::Proxy);
                proxy.tunnel(stream, target).await?
            }
        };
        let counting = Arc::clone(&self.counting);
        if !target.is_secure {
            progress.reach(Hop::Request);
            return Ok(Io::plain(stream, counting));
        }
        progress.reach(Hop::Tls);
        let stream = self.tls.connect(target, stream).await?;
        progress.reach(Hop::Request);
        Ok(Io::tls(stream, counting))
    }
}

/// Connects to the first address of `host` that answers.
async fn dial(host: &str, port: u16) -> Result<TcpStream, Error> {
    let addresses = look_up(host, port).await?;
    match race(addresses, TcpStream::connect).await {
        Ok(stream) => {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY not set");
            }
            Ok(stream)
        }
        Err(Some((address, e))) => {
            Err(failed(format!("cannot connect to {host} at {address}: {e}")))
        }
        Err(None) => Err(failed(format!("{host} has no address"))),
    }
}

/// Tries addresses one beside the other, as RFC 8305 has it: the next one begins when the one before
/// has failed, or has had its head start. Returns the last failure if none answers.
pub(crate) async fn race<T, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, Option<(SocketAddr, io::Error)>>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut addresses = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut last = None;
    loop {
        if let Some(address) = addresses.next() {
            let attempt = connect(address);
            attempts.spawn(async move { attempt.await.map_err(|e| (address, e)) });
        }
        let attempt = if addresses.len() == 0 {
            attempts.join_next().await
        } else {
            match tokio::time::timeout(HEAD_START, attempts.join_next()).await {
                Ok(attempt) => attempt,
                Err(_) => continue,
            }
        };
        match attempt {
            Some(Ok(Ok(connected))) => return Ok(connected),
            Some(Ok(Err(failure))) => last = Some(failure),
            Some(Err(_)) => {}
            None => return Err(last),
        }
    }
}

/// Looks a host up; families alternate, the system's first choice leads.
pub(crate) async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|e| failed(format!("cannot look up {host}: {e}")))?;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for address in found {
        let leads = first.first().is_none_or(|a: &SocketAddr| a.is_ipv4() == address.is_ipv4());
        if leads { first.push(address) } else { second.push(address) }
    }
    let mut addresses = Vec::with_capacity(first.len() + second.len());
    let mut second = second.into_iter();
    for address in first {
        addresses.push(address);
        addresses.extend(second.next());
    }
    addresses.extend(second);
    Ok(addresses)
}

fn failed(message: impl AsRef<str>) -> Error {
    Error::new(ErrorCode::ConnectFailed, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_default_ports_and_addresses_without_brackets() {
        let target = |url: &str| Target::of(&Url::parse(url).unwrap()).unwrap();
        assert_eq!(target("ws://hub.example/x").authority(), "hub.example:80");
        assert_eq!(target("https://hub.example").authority(), "hub.example:443");
        let literal = target("wss://[2001:db8::1]:9000/");
        assert_eq!((literal.host.as_str(), literal.is_secure), ("2001:db8::1", true));
        assert_eq!(literal.authority(), "[2001:db8::1]:9000");
    }

    fn addresses() -> Vec<SocketAddr> {
        ["[::1]:1", "127.0.0.1:1"].iter().map(|text| text.parse().unwrap()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_refuses_costs_no_head_start() {
        let begun = tokio::time::Instant::now();
        let outcome = race(addresses(), |address| async move {
            if address.is_ipv6() {
                Err(io::ErrorKind::ConnectionRefused.into())
            } else {
                Ok(address)
            }
        });
        assert!(outcome.await.unwrap().is_ipv4());
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_silent_delays_the_next_by_its_head_start() {
        let begun = tokio::time::Instant::now();
        let outcome = race(addresses(), |address| async move {
            if address.is_ipv6() {
                std::future::pending::<()>().await;
            }
            Ok(address)
        });
        assert!(outcome.await.unwrap().is_ipv4());
        assert_eq!(begun.elapsed(), HEAD_START);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_failure_is_told() {
        let outcome = race(addresses(), |address| async move {
            Err::<(), _>(io::Error::other(address.to_string()))
        });
        assert_eq!(outcome.await.unwrap_err().unwrap().0, addresses()[1]);
        assert!(race(Vec::new(), |_| async { Ok(()) }).await.unwrap_err().is_none());
    }

    #[test]
    fn other_schemes_are_refused() {
        let error = Target::of(&Url::parse("ftp://hub.example").unwrap()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConnectFailed);
    }
}
