//! Dials: connector, then for a WebSocket the upgrade over HTTP/1.1.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use moorline_core::{
    CloseCause, ConnId, ConnInput, Deflate, DialAddress, DialTarget, Error, ErrorCode, Headers,
    Input,
};
use url::Url;

use crate::connect::{Connector, Progress, Target};
use crate::inbox::{Arrival, Inbox};
use crate::io::Io;
use crate::transport::Carrier;
use crate::ws::{self, Role};

/// Dials `target` and reports `Dialed` or `Closed`.
pub(crate) async fn dial(
    conn: ConnId,
    target: DialTarget,
    connector: Arc<Connector>,
    inbox: Arc<Inbox>,
) {
    let limit = Duration::from_millis(target.timeout_ms);
    let progress = Progress::default();
    let open = open(&target.address, &connector, &progress);
    let outcome = tokio::time::timeout(limit, open).await;
    inbox.arrive(match outcome {
        Ok(Ok(carrier)) => Arrival::Dialed { conn, carrier, limits: target.limits },
        Ok(Err(cause)) => Arrival::Input(Input::Conn(ConnInput::Closed { conn, cause })),
        Err(_) => Arrival::Input(Input::Conn(ConnInput::Closed {
            conn,
            cause: CloseCause::Failed(Error::new(
                ErrorCode::ConnectTimeout,
                format!(
                    "no connection to {} within {} ms: gave up {progress}",
                    named(&target.address),
                    target.timeout_ms
                ),
            )),
        })),
    });
}

async fn open(
    address: &DialAddress,
    connector: &Connector,
    progress: &Progress,
) -> Result<Carrier, CloseCause> {
    match address {
        DialAddress::WebSocket { url, headers, deflate } => {
            upgrade(url, headers, deflate.as_ref(), connector, progress).await
        }
        DialAddress::Tcp { host, port, tls, framing } => {
            let place = Target { is_secure: *tls, host: host.clone(), port: *port };
            let io = connector.connect_stream(&place, progress).await;
            let io = io.map_err(CloseCause::Failed)?;
            Ok(Carrier::Stream { io, framing: *framing })
        }
        DialAddress::Unix { path, framing } => {
            let io = connector.connect_unix(path).await.map_err(CloseCause::Failed)?;
            Ok(Carrier::Stream { io, framing: *framing })
        }
    }
}

async fn upgrade(
    url: &str,
    headers: &Headers,
    deflate: Option<&Deflate>,
    connector: &Connector,
    progress: &Progress,
) -> Result<Carrier, CloseCause> {
    let url = Url::parse(url).map_err(|e| failed(format!("{} is not a URL: {e}", shown(url))))?;
    let place = Target::of(&url).map_err(CloseCause::Failed)?;
    let io = connector.connect(&place, progress).await.map_err(CloseCause::Failed)?;
    let lost =
        |e: hyper::Error| failed(format!("the upgrade at {} failed: {e}", place.authority()));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(lost)?;
    let driving = tokio::spawn(connection.with_upgrades());
    let key = key()?;
    let mut response =
        sender.send_request(request(headers, deflate, &url, &key)?).await.map_err(lost)?;
    if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
        driving.abort();
        return Err(CloseCause::Refused { status: response.status().as_u16() });
    }
    let accept = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
    if accept.is_none_or(|accept| accept.as_bytes() != ws::derive_accept_key(&key).as_bytes()) {
        return Err(failed("the answer to the upgrade is not of a WebSocket server"));
    }
    let answers = response.headers().get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter();
    let answers: Vec<_> = answers.filter_map(|answer| answer.to_str().ok()).collect();
    let agreed = ws::accept(&answers.join(","), deflate).map_err(failed)?;
    let upgraded = hyper::upgrade::on(&mut response).await.map_err(lost)?;
    match upgraded.downcast::<TokioIo<Io>>() {
        Ok(parts) => Ok(Carrier::WebSocket {
            io: parts.io.into_inner(),
            rest: parts.read_buf,
            role: Role::Client,
            agreed,
        }),
        Err(_) => Err(failed("the upgraded transport is of another kind")),
    }
}

fn request(
    headers: &Headers,
    deflate: Option<&Deflate>,
    url: &Url,
    key: &[u8],
) -> Result<http::Request<Empty<Bytes>>, CloseCause> {
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let mut request = http::Request::builder()
        .method(http::Method::GET)
        .uri(path)
        .header(header::HOST, host)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, key);
    if let Some(deflate) = deflate {
        request = request.header(header::SEC_WEBSOCKET_EXTENSIONS, ws::offer(deflate));
    }
    for (name, value) in headers.iter() {
        request = request.header(name, value.expose().as_bytes());
    }
    request.body(Empty::new()).map_err(|e| failed(format!("the upgrade request is invalid: {e}")))
}

fn key() -> Result<Vec<u8>, CloseCause> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| failed(format!("no random bytes: {e}")))?;
    Ok(STANDARD.encode(bytes).into_bytes())
}

/// An address as it may stand in a message.
fn named(address: &DialAddress) -> String {
    match address {
        DialAddress::WebSocket { url, .. } => shown(url),
        DialAddress::Tcp { .. } | DialAddress::Unix { .. } => address.url().into_owned(),
    }
}

/// A URL without user, password and query: what may stand in a message.
pub(crate) fn shown(url: &str) -> String {
    Url::parse(url).map_or_else(
        |_| String::from("the URL"),
        |url| {
            let host = url.host_str().unwrap_or_default();
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{host}{port}", url.scheme())
        },
    )
}

fn failed(message: impl AsRef<str>) -> CloseCause {
    CloseCause::Failed(Error::new(ErrorCode::ConnectFailed, message))
}
