//! Where a peer is: scheme, host and port of a URL, paths below them, and which pages may ask a server.

use std::fmt::Write as _;

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::base::secret::Secret;
use crate::net::{Headers, HttpRequest, Method};

/// Everything that may not stand in one segment of a path.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Scheme, host and port of a peer. Path, query and user information of its URL are no part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    is_secure: bool,
    authority: String,
}

impl Origin {
    /// Reads an `http:`, `https:`, `ws:` or `wss:` URL; says what is wrong with it.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| String::from("must be a URL such as http://localhost:54321"))?;
        let is_secure = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => false,
            "https" | "wss" => true,
            _ => return Err(String::from("must begin with http:// or https://")),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = match authority.strip_prefix('[') {
            Some(rest) => rest.split_once(']').map_or("", |(host, _)| host),
            None => authority.split(':').next().unwrap_or_default(),
        };
        let port = authority.get(host.len()..).and_then(|rest| rest.rsplit_once(':'));
        let port_is_good = match port {
            Some((_, port)) => port.parse::<u16>().is_ok_and(|port| port > 0),
            None => true,
        };
        let is_plain = authority.chars().all(|c| c.is_ascii_graphic() && c != '\\');
        if host.is_empty() || !port_is_good || !is_plain {
            return Err(String::from("must name a host and, if any, a port from 1 to 65535"));
        }
        Ok(Self { is_secure, authority: authority.to_owned() })
    }

    /// Returns the URL to dial: the root path.
    pub(crate) fn web_socket(&self) -> String {
        format!("{}://{}/", if self.is_secure { "wss" } else { "ws" }, self.authority)
    }

    /// Returns the address of HTTP requests, without a path.
    pub(crate) fn http(&self) -> String {
        format!("{}://{}", if self.is_secure { "https" } else { "http" }, self.authority)
    }

    /// Makes a request with a body of JSON, or none; `path` begins with a slash and is encoded already.
    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        cookie: Option<&Secret>,
        body: impl Into<Bytes>,
    ) -> HttpRequest {
        let body = body.into();
        let mut headers = Headers::new();
        if !body.is_empty() {
            headers.push("content-type", "application/json");
        }
        if let Some(cookie) = cookie {
            headers.push("cookie", cookie.expose());
        }
        HttpRequest { method, url: format!("{}{path}", self.http()), headers, body }
    }
}

/// Builds a path from segments, encoding each: ids are chosen by the other side and may hold
/// anything.
pub(crate) fn path(segments: &[&str]) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        // `.` and `..` would be resolved away by URL parsers on the way.
        match *segment {
            "." => path.push_str("%2E"),
            ".." => path.push_str("%2E%2E"),
            segment => {
                let _ = write!(path, "{}", utf8_percent_encode(segment, SEGMENT));
            }
        }
    }
    path
}

/// Tells whether a browser asks for a page of another site, which must not use a visitor's browser to
/// reach a server on loopback. `allowed` are origins such as `https://app.example`.
pub(crate) fn is_foreign_page(headers: &Headers, allowed: &[String]) -> bool {
    let Some(origin) = headers.first("origin") else { return false };
    let host = headers.first("host").unwrap_or_default();
    let origin_host = origin.split_once("://").map_or(origin, |(_, host)| host);
    origin_host != host && !allowed.iter().any(|allowed| allowed == origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_host_and_port_count() {
        let origin = Origin::parse("https://user:pw@hub.example:8443/some/path?x#y").unwrap();
        assert_eq!(origin.web_socket(), "wss://hub.example:8443/");
        let origin = Origin::parse("ws://[::1]:54321").unwrap();
        let request = origin.request(Method::Get, "/Beacon", None, Bytes::new());
        assert_eq!(request.url, "http://[::1]:54321/Beacon");
        for bad in
            ["", "localhost:1", "ftp://x", "http://", "http://:1", "http://h:0", "http://h:x"]
        {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hostile_ids_stay_inside_their_segment() {
        assert_eq!(path(&["Beacon", "a/../b?c#d"]), "/Beacon/a%2F..%2Fb%3Fc%23d");
        assert_eq!(path(&["Beacon", ".."]), "/Beacon/%2E%2E");
        assert_eq!(path(&["Work", "wi-é-1"]), "/Work/wi-%C3%A9-1");
    }

    #[test]
    fn pages_of_other_sites_are_foreign_unless_allowed() {
        let allowed = [String::from("https://app.example")];
        let from = |origin: &str| Headers::new().with("host", "hub:1").with("origin", origin);
        assert!(!is_foreign_page(&Headers::new().with("host", "hub:1"), &allowed));
        assert!(!is_foreign_page(&from("http://hub:1"), &allowed));
        assert!(!is_foreign_page(&from("https://app.example"), &allowed));
        assert!(is_foreign_page(&from("https://evil.example"), &allowed));
    }
}
