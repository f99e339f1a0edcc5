//! Where a peer is: scheme, host and port of a URL, paths below them, and which pages may ask a server.

use std::fmt::Write as _;
use std::net::IpAddr;

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use crate::base::secret::Secret;
use crate::net::{Headers, HttpRequest, Method};

/// Everything that may not stand in one segment of a path.
const SEGMENT: &AsciiSet = &{
    let (mut set, mut signs) = (CONTROLS.add(b' '), b"\"#%/<>?[\\]^`{|}".as_slice());
    while let Some((sign, rest)) = signs.split_first() {
        (set, signs) = (set.add(*sign), rest);
    }
    set
};

/// Everything that may not stand in a parameter of a query.
const PARAMETER: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

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
        let (host, port) = host_and_port(authority);
        let port_is_good = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        let is_plain = authority.chars().all(|c| c.is_ascii_graphic() && c != '\\');
        if host.is_empty() || !port_is_good || !is_plain {
            return Err(String::from("must name a host and, if any, a port from 1 to 65535"));
        }
        Ok(Self { is_secure, authority: authority.to_owned() })
    }

    /// Tells whether nobody between can read what is sent there.
    pub(crate) fn is_private(&self) -> bool {
        self.is_secure || is_loopback(host_and_port(&self.authority).0)
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

/// Encodes a value for the query of a URL.
pub(crate) fn parameter(value: &str) -> PercentEncode<'_> {
    utf8_percent_encode(value, PARAMETER)
}

/// Divides `host:port`, of which the port may be missing; an IPv6 address loses its brackets.
pub(crate) fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    let (host, rest) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some(divided) => divided,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    match rest.strip_prefix(':') {
        None if !rest.is_empty() => ("", None),
        port => (host, port),
    }
}

/// Tells whether a host is this machine, whatever name servers say.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Tells whether a server at an address serves this machine only.
pub(crate) fn is_here(address: &str) -> bool {
    is_loopback(host_and_port(address).0)
}

/// By which names a server may be asked, and for which pages: a page of any site can make its visitor's
/// browser ask a server on loopback, also by the site's own name, once that leads to loopback (DNS
/// rebinding).
#[derive(Debug)]
pub(crate) struct Visitors {
    /// Whether the server speaks TLS.
    pub(crate) is_secure: bool,
    /// Names beside those of loopback; `None` lets every name pass.
    pub(crate) hosts: Option<Vec<String>>,
    /// Origins of others, such as `https://app.example`.
    pub(crate) origins: Vec<String>,
}

impl Visitors {
    /// Who may ask a server that listens on an address: on loopback, or with `hosts` given, by those
    /// names only.
    pub(crate) fn of(listen: &str, is_secure: bool, hosts: &[String], origins: &[String]) -> Self {
        let is_limited = is_here(listen) || !hosts.is_empty();
        let listen = host_and_port(listen).0.to_owned();
        let hosts = hosts.iter().cloned().chain([listen]).collect();
        Self { is_secure, hosts: is_limited.then_some(hosts), origins: origins.to_vec() }
    }

    /// Looks at a request.
    ///
    /// # Errors
    /// The status and the reason to refuse it with.
    pub(crate) fn check(&self, headers: &Headers) -> Result<(), (u16, &'static str)> {
        self.check_host(headers)?;
        let host = headers.first("host");
        let mut origins = headers.all("origin");
        let Some(origin) = origins.next() else {
            // A page that asks for an image or a script names no origin, but its browser tells.
            let site = headers.first("sec-fetch-site");
            let is_own = !matches!(site, Some("cross-site" | "same-site"));
            return if is_own { Ok(()) } else { Err((403, "Origin not allowed.")) };
        };
        if origins.next().is_some() {
            return Err((400, "More than one Origin."));
        }
        let own = if self.is_secure { "https://" } else { "http://" };
        let page = origin.strip_prefix(own);
        let is_own = page.zip(host).is_some_and(|(page, host)| page.eq_ignore_ascii_case(host));
        if is_own || self.origins.iter().any(|allowed| allowed == origin) {
            return Ok(());
        }
        Err((403, "Origin not allowed."))
    }

    /// Looks at the name by which a request asks; enough for what says nothing of the server.
    ///
    /// # Errors
    /// Those of [`check`](Self::check).
    pub(crate) fn check_host(&self, headers: &Headers) -> Result<(), (u16, &'static str)> {
        // Only what is no browser names no host.
        if let (Some(host), Some(hosts)) = (headers.first("host"), &self.hosts) {
            let (name, port) = host_and_port(host);
            let name = name.strip_suffix('.').unwrap_or(name);
            let is_known =
                is_loopback(name) || hosts.iter().any(|known| known.eq_ignore_ascii_case(name));
            if !is_known || port.is_some_and(|port| port.parse::<u16>().is_err()) {
                return Err((403, "Host not allowed."));
            }
        }
        Ok(())
    }
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

    fn visitors(hosts: Option<&[&str]>) -> Visitors {
        let hosts = hosts.map(|hosts| hosts.iter().map(|&host| host.into()).collect());
        Visitors { is_secure: false, hosts, origins: vec!["https://app.example".into()] }
    }

    #[test]
    fn pages_of_other_sites_are_foreign_unless_allowed() {
        let visitors = visitors(None);
        let from = |origin: &str| {
            visitors.check(&Headers::new().with("host", "hub:1").with("origin", origin))
        };
        assert_eq!(visitors.check(&Headers::new().with("host", "hub:1")), Ok(()));
        assert_eq!(from("http://hub:1"), Ok(()));
        assert_eq!(from("https://app.example"), Ok(()));
        for other in
            ["https://evil.example", "https://hub:1", "ftp://hub:1", "hub:1", "null", "", "http://"]
        {
            assert_eq!(from(other), Err((403, "Origin not allowed.")), "{other}");
        }
        let own = Headers::new().with("host", "hub:1").with("origin", "http://hub:1");
        let secure = Visitors { is_secure: true, ..self::visitors(None) };
        assert!(secure.check(&own).is_err(), "a page without TLS is not the server's own");
        for second in ["http://hub:1", "https://evil.example"] {
            let two = own.clone().with("origin", second);
            assert_eq!(visitors.check(&two), Err((400, "More than one Origin.")));
        }
        assert!(visitors.check(&Headers::new().with("origin", "http://")).is_err());
        let image = |site: &str| visitors.check(&Headers::new().with("sec-fetch-site", site));
        assert!(image("same-origin").is_ok() && image("none").is_ok());
        assert!(image("cross-site").is_err() && image("same-site").is_err());
    }

    #[test]
    fn a_server_on_loopback_goes_by_names_of_loopback_and_those_allowed() {
        let visitors = visitors(Some(&["Hub.example"]));
        let asked = |host: &str| visitors.check(&Headers::new().with("host", host)).is_ok();
        for known in [
            "localhost",
            "LOCALHOST:54321",
            "localhost.:1",
            "127.0.0.1:54321",
            "127.1.2.3",
            "[::1]:1",
            "[::ffff:127.0.0.1]",
            "hub.example:1",
            "hub.example.",
        ] {
            assert!(asked(known), "{known}");
        }
        for stranger in [
            "evil.example",
            "evil.example:54321",
            "",
            ":54321",
            "localhost.evil.example",
            "127.0.0.1.evil.example:1",
            "[::1].evil.example",
            "localhost:evil",
            "10.0.0.1:1",
            "[::2]",
            "[::1",
            "0.0.0.0:54321",
            "localhost@evil.example",
            "x.hub.example",
        ] {
            assert!(!asked(stranger), "{stranger}");
        }
        let rebound = Headers::new()
            .with("host", "evil.example:54321")
            .with("origin", "http://evil.example:54321");
        assert_eq!(visitors.check(&rebound), Err((403, "Host not allowed.")));
    }
}
