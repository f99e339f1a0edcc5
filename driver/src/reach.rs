//! The way to a control plane, tried hop by hop: for whoever looks for what is in between.

use std::sync::Arc;
use std::time::Duration;

use moorline_core::options::RuntimeOptions;
use moorline_core::{Error, ErrorCode};
use tokio::net::TcpStream;
use url::Url;

use crate::connect::{Connector, Target, look_up, race};
use crate::tls::Tls;

/// One part of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// The host's name becomes addresses.
    LookUp,
    /// One of them accepts a connection.
    Tcp,
    /// A proxy is there and makes a tunnel.
    Proxy,
    /// The other side proves who it is.
    Tls,
}

/// How a hop went.
#[derive(Clone, Debug)]
pub struct Reached {
    /// The hop.
    pub hop: Hop,
    /// What was found, for people; nothing if there is no such hop on this way.
    pub result: Result<String, Error>,
}

/// Tries the way to an `http:`, `https:`, `ws:` or `wss:` URL; each hop has `limit`. The last one of the
/// list may have failed.
///
/// # Errors
/// `CONFIG_INVALID` for options that cannot work, `CONNECT_FAILED` for what is no such URL.
pub async fn reach(
    url: &str,
    runtime: &RuntimeOptions,
    limit: Duration,
) -> Result<Vec<Reached>, Error> {
    let url = Url::parse(url)
        .map_err(|e| Error::new(ErrorCode::ConnectFailed, format!("this is no URL: {e}")))?;
    let target = Target::of(&url)?;
    let tls = Arc::new(Tls::new(runtime)?);
    let proxy = Connector::new(runtime, Arc::clone(&tls), Arc::default())?.route(&target)?;
    let mut way = Vec::new();
    let place = proxy.as_ref().map_or(&target, |proxy| &proxy.place);
    // What is in the way of a proxy is the proxy's.
    let [first, second] = if proxy.is_some() { [Hop::Proxy; 2] } else { [Hop::LookUp, Hop::Tcp] };
    let found = bounded(limit, look_up(&place.host, place.port)).await;
    let Some(addresses) = note(&mut way, first, found, |addresses| {
        addresses.iter().map(|it| it.ip().to_string()).collect::<Vec<_>>().join(", ")
    }) else {
        return Ok(way);
    };
    let connected = bounded(limit, async {
        race(addresses, TcpStream::connect).await.map_err(|last| {
            let why = last.map_or_else(
                || String::from("it has no address"),
                |(address, e)| format!("{address}: {e}"),
            );
            let text = format!("{} accepts no connection: {why}", place.authority());
            Error::new(ErrorCode::ConnectFailed, text)
        })
    });
    let connected = connected.await;
    let address = |stream: &TcpStream| {
        stream.peer_addr().map(|address| address.to_string()).unwrap_or_default()
    };
    let Some(mut stream) = note(&mut way, second, connected, address) else { return Ok(way) };
    if let Some(proxy) = proxy {
        let tunnel = bounded(limit, proxy.tunnel(stream, &target)).await;
        let through = |_: &TcpStream| format!("a tunnel through {}", proxy.place.authority());
        let Some(tunnel) = note(&mut way, Hop::Proxy, tunnel, through) else { return Ok(way) };
        stream = tunnel;
    }
    if target.is_secure {
        let secured = bounded(limit, tls.connect(&target, stream)).await;
        note(&mut way, Hop::Tls, secured, |_| format!("a certificate for {}", target.host));
    }
    Ok(way)
}

/// Notes how a hop went; returns what it led to.
fn note<T>(
    way: &mut Vec<Reached>,
    hop: Hop,
    result: Result<T, Error>,
    shown: impl FnOnce(&T) -> String,
) -> Option<T> {
    // A proxy is one hop, however many steps it takes.
    way.retain(|before| before.hop != hop);
    way.push(Reached { hop, result: result.as_ref().map(shown).map_err(Clone::clone) });
    result.ok()
}

async fn bounded<T>(
    limit: Duration,
    hop: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(limit, hop).await.unwrap_or_else(|_| {
        let text = format!("nothing came back within {} s", limit.as_secs());
        Err(Error::new(ErrorCode::ConnectTimeout, text))
    })
}
