//! Requests and answers of HTTP, ours and those of clients.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::base::secret::Secret;
use crate::words;

/// A header's value: plain, or one that must not show (cookies, credentials).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// A value that may appear in logs.
    Plain(String),
    /// A value that may not.
    Secret(Secret),
}

impl HeaderValue {
    /// Returns the value for the wire.
    #[must_use]
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.expose(),
        }
    }
}

/// Header fields in order. Names are lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, HeaderValue)>);

/// Headers whose values never show, whoever sent them.
const SECRET_HEADERS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "set-cookie"];

/// What an `ext-value` of RFC 8187 begins with.
const EXTENDED: &str = "UTF-8''";

impl Headers {
    /// Makes an empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends a field; the name is lowered; values of credential headers become secret.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        let name = name.to_ascii_lowercase();
        let value = value.into();
        let value = if SECRET_HEADERS.contains(&name.as_str()) {
            HeaderValue::Secret(Secret::new(value))
        } else {
            HeaderValue::Plain(value)
        };
        self.0.push((name, value));
    }

    /// Appends a field and returns the list.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.push(name, value);
        self
    }

    /// Returns the first value of a field; `name` must be lower case.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.expose())
    }

    /// Returns every value of a field; `name` must be lower case.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.expose())
    }

    /// Appends a field that any text fits into: what a field would not carry as it is, or what could be
    /// mistaken for it, is written as an `ext-value` of RFC 8187.
    pub(crate) fn push_text(&mut self, name: &str, text: &str) {
        let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
            && text.trim_matches(' ') == text
            && !text.starts_with(EXTENDED);
        if is_plain {
            return self.push(name, text);
        }
        self.push(name, format!("{EXTENDED}{}", utf8_percent_encode(text, NON_ALPHANUMERIC)));
    }

    /// Returns the text of a field that was written by `push_text`, or is plain.
    pub(crate) fn first_text(&self, name: &str) -> Option<Cow<'_, str>> {
        let value = self.first(name)?;
        Some(match value.strip_prefix(EXTENDED) {
            Some(text) => percent_decode_str(text).decode_utf8_lossy(),
            None => Cow::Borrowed(value),
        })
    }

    /// Returns all fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Returns how many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

words! {
    /// HTTP methods that the dialects use.
    #[derive(Hash)]
    pub enum Method {
        /// GET.
        Get = "GET",
        /// POST.
        Post = "POST",
        /// PUT.
        Put = "PUT",
        /// DELETE.
        Delete = "DELETE",
        /// Any other: answered 405 by servers, never sent.
        Other = "OTHER",
    }
}

/// A request: ours to a server, or a client's to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// Ours: an absolute `http:` or `https:` URL. A client's: path and query as sent.
    pub url: String,
    /// Header fields.
    pub headers: Headers,
    /// The whole body; empty when there is none.
    pub body: Bytes,
}

/// An answer: a server's to us, or ours to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// Header fields.
    pub headers: Headers,
    /// The body.
    pub body: HttpBody,
}

/// A response body.
#[derive(Clone, PartialEq, Eq)]
pub enum HttpBody {
    /// All of it.
    Full(Bytes),
    /// Parts follow as [`Output::HttpPart`](crate::Output::HttpPart) until
    /// [`Output::HttpEnd`](crate::Output::HttpEnd); of an answer to us they came before, as
    /// [`HttpInput::Part`](crate::HttpInput::Part).
    Streaming,
}

impl HttpResponse {
    /// Makes an `application/json` answer from JSON text.
    #[must_use]
    pub fn json(status: u16, text: impl Into<Bytes>) -> Self {
        Self::typed(status, "application/json", text)
    }

    /// Makes a `text/plain` answer.
    pub(crate) fn text(status: u16, text: impl Into<Bytes>) -> Self {
        Self::typed(status, "text/plain", text)
    }

    /// Makes an answer of a media type.
    pub(crate) fn typed(status: u16, content_type: &str, text: impl Into<Bytes>) -> Self {
        let headers = Headers::new().with("content-type", content_type);
        Self { status, headers, body: HttpBody::Full(text.into()) }
    }

    /// Makes the answer to a request that should have been for an upgrade.
    pub(crate) fn upgrade_required() -> Self {
        let mut answer = Self::text(426, "Upgrade Required");
        answer.headers.push("upgrade", "websocket");
        answer
    }

    /// Forbids everyone on the way to keep the answer.
    pub(crate) fn uncached(mut self) -> Self {
        self.headers.push("cache-control", "no-store");
        self
    }

    /// Asks the client to come back in a second.
    #[must_use]
    pub(crate) fn retry_later(mut self) -> Self {
        self.headers.push("retry-after", "1");
        self
    }

    /// Returns how many milliseconds it asks to wait.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        let seconds: u64 = self.headers.first("retry-after")?.trim().parse().ok()?;
        Some(seconds.saturating_mul(1_000))
    }

    /// Returns the whole body; empty for a streaming answer.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        if let HttpBody::Full(bytes) = &self.body { bytes } else { &[] }
    }
}

/// Why a request leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// Nothing is known under the path.
    Unknown,
    /// The path is known, but not with this method; the methods that are.
    Method(&'static str),
}

/// Returns `route` for a request by the one method that it has.
pub(crate) fn only<T>(method: Method, allowed: Method, route: T) -> Result<T, NoRoute> {
    if method == allowed { Ok(route) } else { Err(NoRoute::Method(allowed.as_str())) }
}

/// Returns the path of a request, without query and fragment.
pub(crate) fn path(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// Returns the decoded segments of a request's path; it may be percent-encoded or not.
pub(crate) fn segments(url: &str) -> Vec<String> {
    path(url)
        .trim_matches('/')
        .split('/')
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect()
}

impl fmt::Debug for HttpBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Streaming => f.write_str("Streaming"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_from_its_field() {
        for text in [
            "k",
            "a b",
            " a",
            "a ",
            "ü",
            "a\nb",
            "100%",
            "a%20b",
            "UTF-8''",
            "UTF-8''%41",
            "",
            "\u{1f30d}",
        ] {
            let mut headers = Headers::new();
            headers.push_text("x-key", text);
            assert!(
                headers.first("x-key").unwrap().bytes().all(|byte| matches!(byte, b' '..=b'~'))
            );
            assert_eq!(headers.first_text("x-key").unwrap(), text);
        }
        let plain = Headers::new().with("x-key", "a%20b");
        assert_eq!(plain.first_text("x-key").unwrap(), "a%20b");
        assert_eq!(plain.first_text("x-other"), None);
    }
}
