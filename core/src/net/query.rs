//! Parameters in the queries of URLs, as JavaScript programs write and read them, and what an application
//! is told of the request that they come with.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::base::json::Raw;
use crate::base::json::object::{Object, list};
use crate::base::secret::Secret;
use crate::net::HttpRequest;
use crate::net::http::path;

/// What `encodeURIComponent` encodes.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// A parameter; without `=` it has no value.
pub(crate) type Parameter = (String, Option<Secret>);

/// Adds parameters to a URL that has none.
pub(crate) fn add<'a>(
    mut url: String,
    parameters: impl Iterator<Item = (&'a str, &'a str)>,
) -> String {
    for (index, (name, value)) in parameters.enumerate() {
        let [name, value] = [name, value].map(|text| utf8_percent_encode(text, COMPONENT));
        // Writing to a string cannot fail.
        let _ = write!(url, "{}{name}={value}", if index == 0 { '?' } else { '&' });
    }
    url
}

/// Reads the parameters of a URL, by name; those of one name in the order of the query.
///
/// Peer: as the npm package query-string 7 does it.
pub(crate) fn parameters(url: &str) -> Vec<Parameter> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8().map_or_else(|_| text.clone(), Into::into)
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut parameters: Vec<Parameter> = pairs
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) => (decoded(name), Some(Secret::new(decoded(value)))),
            None => (decoded(pair), None),
        })
        .collect();
    parameters.sort_by(|(one, _), (other, _)| one.cmp(other));
    parameters
}

/// Writes where a peer is and what it came with.
pub(crate) fn describe_peer(ip: &str, parameters: &[Parameter]) -> Raw {
    let known = Object::new().text("ip", ip).raw("parameters", &pairs(parameters));
    Raw::trusted(known.end())
}

/// Writes a request that the application decides about.
pub(crate) fn describe(request: &HttpRequest, ip: &str, parameters: &[Parameter]) -> Raw {
    let headers = request.headers.iter().map(|(name, value)| pair(name, Some(value.expose())));
    let cookies = request.headers.first("cookie").unwrap_or_default().split(';');
    let cookies = cookies.filter_map(|cookie| cookie.split_once('='));
    let cookies = cookies.map(|(name, value)| pair(name.trim(), Some(value.trim())));
    let query = request.url.split_once('?').map_or("", |(_, query)| query);
    let written = Object::with_capacity(512)
        .text("method", request.method.as_str())
        .text("url", &request.url)
        .text("path", path(&request.url))
        .text("query", query)
        .text("ip", ip)
        .raw("headers", &list(headers))
        .raw("cookies", &list(cookies))
        .raw("parameters", &pairs(parameters));
    Raw::trusted(written.end())
}

fn pairs(parameters: &[Parameter]) -> String {
    list(parameters.iter().map(|(name, value)| pair(name, value.as_ref().map(Secret::expose))))
}

fn pair(name: &str, value: Option<&str>) -> String {
    Object::new().text("name", name).text_or_null("value", value).end()
}
