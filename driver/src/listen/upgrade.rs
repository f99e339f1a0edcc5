//! What a request must say to be heard, and to become a WebSocket (RFC 9112, RFC 6455).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};

use crate::ws;

/// What is wrong with a wish to upgrade.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Another version of the protocol.
    Version,
    /// Something else.
    Request(&'static str),
}

/// Returns what is wrong with the host of a request: without exactly one, two programs on its way can
/// take it for requests to two hosts.
pub(super) fn wrong_host(version: Version, headers: &HeaderMap) -> Option<&'static str> {
    match headers.get_all(header::HOST).iter().count() {
        1 => None,
        0 if version < Version::HTTP_11 => None,
        0 => Some("the request names no Host"),
        _ => Some("the request names more than one Host"),
    }
}

/// Tells whether a request wants to become a WebSocket.
pub(super) fn is_wanted(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::GET && has_token(headers, &header::UPGRADE, "websocket")
}

/// Returns the key that accepts a wish to upgrade.
pub(super) fn accept(version: Version, headers: &HeaderMap) -> Result<HeaderValue, Wrong> {
    if only(headers, &header::SEC_WEBSOCKET_VERSION).is_none_or(|it| it.as_bytes() != b"13") {
        return Err(Wrong::Version);
    }
    if version != Version::HTTP_11 {
        return Err(Wrong::Request("a WebSocket needs HTTP/1.1"));
    }
    if !has_token(headers, &header::CONNECTION, "upgrade") {
        return Err(Wrong::Request("the request lacks Connection: Upgrade"));
    }
    let key = only(headers, &header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let key = key.filter(|key| STANDARD.decode(key).is_ok_and(|key| key.len() == 16));
    key.and_then(|key| HeaderValue::try_from(ws::derive_accept_key(key)).ok())
        .ok_or(Wrong::Request("the request needs one Sec-WebSocket-Key of 16 bytes in base64"))
}

/// Returns the first subprotocol that is offered.
pub(super) fn first_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.as_bytes();
    let first = offered.split(|byte| *byte == b',').next()?.trim_ascii();
    HeaderValue::from_bytes(first).ok().filter(|first| !first.is_empty())
}

/// Returns a field that stands there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Looks for a word in the list that a field is, over however many lines.
fn has_token(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    let lines = headers.get_all(name).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 5] = [
        ("host", "hub.example"),
        ("upgrade", "h2c, WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        fields.collect()
    }

    fn without(name: &str) -> HeaderMap {
        let mut headers = headers(&GOOD);
        headers.remove(name);
        headers
    }

    fn with(name: &'static str, value: &'static str) -> HeaderMap {
        let mut headers = headers(&GOOD);
        headers.append(name, HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn a_good_request_is_accepted_with_the_key_of_the_standard() {
        let headers = headers(&GOOD);
        assert!(is_wanted(&Method::GET, &headers) && !is_wanted(&Method::POST, &headers));
        assert_eq!(accept(Version::HTTP_11, &headers).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn whatever_is_missing_doubled_or_malformed_is_refused() {
        let version = |headers| accept(Version::HTTP_11, &headers).unwrap_err();
        assert_eq!(version(without("sec-websocket-version")), Wrong::Version);
        assert_eq!(version(with("sec-websocket-version", "13")), Wrong::Version);
        let is_refused = |version, headers| {
            assert!(matches!(accept(version, &headers), Err(Wrong::Request(_))), "{headers:?}");
        };
        is_refused(Version::HTTP_10, headers(&GOOD));
        is_refused(Version::HTTP_11, without("connection"));
        is_refused(Version::HTTP_11, without("sec-websocket-key"));
        is_refused(Version::HTTP_11, with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="));
        for key in ["", "short", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSBpcyBsb25n"] {
            let mut headers = without("sec-websocket-key");
            headers.append("sec-websocket-key", HeaderValue::from_static(key));
            is_refused(Version::HTTP_11, headers);
        }
    }

    #[test]
    fn of_subprotocols_the_first_is_taken() {
        for (offered, first) in [("a, b", Some("a")), (" chat ", Some("chat")), (",b", None)] {
            let headers = headers(&[("sec-websocket-protocol", offered)]);
            let found = first_protocol(&headers);
            assert_eq!(found.as_ref().and_then(|it| it.to_str().ok()), first, "{offered:?}");
        }
        assert!(first_protocol(&headers(&GOOD)).is_none());
    }

    #[test]
    fn a_request_names_one_host() {
        assert_eq!(wrong_host(Version::HTTP_11, &headers(&GOOD)), None);
        assert_eq!(wrong_host(Version::HTTP_10, &without("host")), None);
        assert!(wrong_host(Version::HTTP_11, &without("host")).is_some());
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert!(wrong_host(version, &with("host", "hub.example")).is_some());
        }
    }
}
