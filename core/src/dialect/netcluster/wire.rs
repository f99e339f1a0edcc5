//! Texts of the protocol, URLs and queries, requests and answers over HTTP.
//!
//! Source: `src/components/Consumer.js`, `src/components/Provider.js` of `network-cluster` 1.0.4.

use bytestring::ByteString;

use super::options::{ConsumerOptions, ParameterOption, bracketed};
use super::words::{ANNOUNCEMENT, PING, PONG};
use crate::base::content::Content;
use crate::base::time::UnixMillis;
use crate::net::query::{self, Parameter};
use crate::net::target::Pulses;
use crate::net::{Frame, HttpResponse};

/// What a provider asks by.
pub(super) const PINGS: Pulses = &[PING.as_bytes()];
/// What a consumer answers.
pub(super) const PONGS: Pulses = &[PONG.as_bytes()];

/// Where a provider says that it lives.
pub(super) const ALIVE: &str = "/alive";

/// The longest heartbeat interval that a consumer believes, and the shortest, in milliseconds.
const INTERVALS: (f64, f64) = (1_000.0, 86_400_000.0);

/// What the protocol itself says to a consumer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Ping,
    /// How often the provider beats, in milliseconds; `None` if that is no usable number.
    Announced(Option<u64>),
}

/// Reads what the protocol itself says to a consumer.
///
/// Peer: binary frames count as text.
pub(super) fn said(bytes: &[u8]) -> Option<Said> {
    if bytes == PING.as_bytes() {
        return Some(Said::Ping);
    }
    let interval = bytes.strip_prefix(ANNOUNCEMENT.as_bytes())?.split(|byte| *byte == b'|').next();
    let interval = std::str::from_utf8(interval?).ok()?.trim().parse::<f64>().ok();
    let interval = interval.filter(|interval| interval.is_finite() && *interval > 0.0);
    Some(Said::Announced(interval.map(|it| it.clamp(INTERVALS.0, INTERVALS.1) as u64)))
}

/// Tells whether a consumer would take a message for one of the protocol.
pub(super) fn is_said(content: &Content) -> bool {
    said(content.as_bytes()).is_some()
}

/// Tells whether a provider would take a message for one of the protocol: bytes it passes on.
pub(super) fn is_pong(content: &Content) -> bool {
    matches!(content, Content::Text(text) if text == PONG)
}

pub(super) const fn ping() -> Frame {
    Frame::Text(ByteString::from_static(PING))
}

pub(super) const fn pong() -> Frame {
    Frame::Text(ByteString::from_static(PONG))
}

pub(super) fn announcement(interval_ms: u64) -> Frame {
    Frame::Text(format!("{ANNOUNCEMENT}{interval_ms}").into())
}

/// Returns where a consumer finds its provider, without the parameters.
pub(super) fn place(options: &ConsumerOptions) -> String {
    let scheme = if options.ssl { "wss" } else { "ws" };
    format!("{scheme}://{}:{}{}", bracketed(&options.host), options.port, options.path)
}

/// Returns the URL that a consumer dials.
pub(super) fn url(options: &ConsumerOptions) -> String {
    let parameters = options.parameters.iter();
    query::add(place(options), parameters.map(|it| (it.name.as_str(), it.value.expose())))
}

/// Tells whether every wanted parameter is there, once and with its value. It takes as long whichever
/// is wrong.
pub(super) fn fit(wanted: &[ParameterOption], given: &[Parameter]) -> bool {
    let mut fits = true;
    for ParameterOption { name, value } in wanted {
        let mut found = given.iter().filter(|(given, _)| given == name);
        let first = found.next().and_then(|(_, value)| value.as_ref());
        fits &= first.is_some_and(|first| first == value) & found.next().is_none();
    }
    fits
}

/// The answer to a consumer that is not let in; the only one that it takes for final.
pub(super) fn unauthorized() -> HttpResponse {
    HttpResponse::text(403, "Unauthorized")
}

/// The answer to a consumer that may come back.
pub(super) fn overloaded() -> HttpResponse {
    HttpResponse::text(503, "Service Unavailable").retry_later()
}

pub(super) fn not_found() -> HttpResponse {
    HttpResponse::text(404, "Not Found")
}

pub(super) fn alive(now: UnixMillis) -> HttpResponse {
    HttpResponse::text(200, format!("Hello World @ {}", now.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::options::read;
    use crate::base::secret::Secret;

    #[test]
    fn announcements_are_read_as_the_original_does_within_reason() {
        let announced = |text: &str| said(text.as_bytes());
        assert_eq!(announced("PROVIDER_HEARTBEAT|30000"), Some(Said::Announced(Some(30_000))));
        assert_eq!(announced("PROVIDER_HEARTBEAT|7000|junk"), Some(Said::Announced(Some(7_000))));
        assert_eq!(announced("PROVIDER_HEARTBEAT|1"), Some(Said::Announced(Some(1_000))));
        assert_eq!(announced("PROVIDER_HEARTBEAT|1e99"), Some(Said::Announced(Some(86_400_000))));
        for useless in ["", "0", "-5", "x", "NaN", "Infinity"] {
            let text = format!("PROVIDER_HEARTBEAT|{useless}");
            assert_eq!(announced(&text), Some(Said::Announced(None)), "{text}");
        }
        for ordinary in ["PROVIDER_HEARTBEAT", "PING ", "ping", "", "PONG"] {
            assert_eq!(announced(ordinary), None, "{ordinary}");
        }
    }

    #[test]
    fn parameters_are_encoded_keys_and_all() {
        let text = r#"{"host":"::1","port":9,"parameters":[{"name":"a b&c","value":"-_.!~*'()+ä/"},
            {"name":"e","value":""}]}"#;
        let options: ConsumerOptions = read(text).unwrap();
        assert_eq!(url(&options), "ws://[::1]:9/connect?a%20b%26c=-_.!~*'()%2B%C3%A4%2F&e=");
    }

    #[test]
    fn a_parameter_must_be_there_once_and_with_its_value() {
        let wanted = [ParameterOption { name: "key".into(), value: Secret::new("s 1") }];
        for (query, expected) in [
            ("key=s%201", true),
            ("key=s+1&other=2", true),
            ("k%65y=s%201", true),
            ("key=s", false),
            ("key", false),
            ("KEY=s%201", false),
            ("key=s%201&key=s%201", false),
            ("", false),
        ] {
            assert_eq!(
                fit(&wanted, &query::parameters(&format!("/connect?{query}"))),
                expected,
                "{query}"
            );
        }
    }
}
