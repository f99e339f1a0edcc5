//! Which proxy a connection goes through, and the way through it.
//!
//! HTTP proxies are asked for a tunnel by CONNECT whatever runs inside, so that WebSocket and HTTP
//! take the same path. SOCKS5 proxies look up names themselves.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use moorline_core::{Error, ErrorCode, Secret};
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;
use tokio_socks::tcp::Socks5Stream;
use url::Url;

use crate::connect::Target;

/// The proxies of one handle.
pub(crate) enum Proxies {
    /// No proxy for anything.
    None,
    /// One proxy for everything.
    Fixed(Proxy),
    /// What the environment says.
    Environment(Environment),
}

/// One proxy.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    kind: Kind,
    /// Where it is.
    pub(crate) place: Target,
    user: String,
    password: Secret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Http,
    Socks5,
}

/// The proxy variables, read once. Lower-case names win, as with other programs.
#[derive(Default)]
pub(crate) struct Environment {
    http: Option<Secret>,
    https: Option<Secret>,
    all: Option<Secret>,
    direct: Vec<String>,
}

impl Proxies {
    /// Reads the option `runtime.proxy`.
    ///
    /// # Errors
    /// `CONFIG_INVALID` if it is neither a word nor the URL of a proxy.
    pub(crate) fn new(option: &Secret) -> Result<Self, Error> {
        match option.expose() {
            "" | "none" => Ok(Self::None),
            "environment" => Ok(Self::Environment(Environment::read(|name| {
                std::env::var(name).ok().filter(|value| !value.is_empty())
            }))),
            url => Proxy::parse(url).map(Self::Fixed).map_err(|e| {
                let message = format!("runtime.proxy: {}", e.message());
                Error::new(ErrorCode::ConfigInvalid, message)
            }),
        }
    }

    /// Returns the proxy for `target`, or `None` for a direct connection.
    pub(crate) fn route(&self, target: &Target) -> Result<Option<Proxy>, Error> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(proxy) => Ok(Some(proxy.clone())),
            Self::Environment(environment) => environment.route(target),
        }
    }

    /// Returns the proxy for a stream to `target` that is not HTTP.
    pub(crate) fn route_stream(&self, target: &Target) -> Result<Option<Proxy>, Error> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(proxy) => Ok(Some(proxy.clone())),
            Self::Environment(environment) => environment.via(environment.all.as_ref(), target),
        }
    }
}

impl Environment {
    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| variable(&name.to_ascii_lowercase()).or_else(|| variable(name));
        // A web server's CGI passes the request's header `Proxy` under this name.
        let is_cgi = variable("REQUEST_METHOD").is_some();
        let http = if is_cgi { variable("http_proxy") } else { either("HTTP_PROXY") };
        let direct = either("NO_PROXY").unwrap_or_default();
        Self {
            http: http.map(Secret::new),
            https: either("HTTPS_PROXY").map(Secret::new),
            all: either("ALL_PROXY").map(Secret::new),
            direct: direct
                .split(|c: char| c == ',' || c.is_whitespace())
                .map(|entry| entry.trim_end_matches('.'))
                .filter(|entry| !entry.is_empty())
                .map(str::to_ascii_lowercase)
                .collect(),
        }
    }

    fn route(&self, target: &Target) -> Result<Option<Proxy>, Error> {
        let own = if target.is_secure { &self.https } else { &self.http };
        self.via(own.as_ref().or(self.all.as_ref()), target)
    }

    fn via(&self, proxy: Option<&Secret>, target: &Target) -> Result<Option<Proxy>, Error> {
        match proxy {
            Some(url) if !self.is_direct(target) => Proxy::parse(url.expose()).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    fn is_direct(&self, target: &Target) -> bool {
        let host = target.host.to_ascii_lowercase();
        let host = host.trim_end_matches('.');
        let address: Option<IpAddr> = host.parse().ok();
        if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return true;
        }
        self.direct.iter().any(|entry| is_match(entry, host, address, target.port))
    }
}

/// Tells whether one entry of NO_PROXY names the host: `*`, a name, a domain with or without a dot,
/// an address, a network `10.0.0.0/8`; all but networks may carry a port.
fn is_match(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        return match (address, network.parse(), bits.parse()) {
            (Some(address), Ok(network), Ok(bits)) => is_inside(address, network, bits),
            _ => false,
        };
    }
    let (name, its_port) = split_port(entry);
    if its_port.is_some_and(|its| its != port) {
        return false;
    }
    if let Some(address) = address {
        return name.parse() == Ok(address);
    }
    let name = name.trim_start_matches("*.").trim_matches('.');
    let is_under =
        host.strip_suffix(name).is_some_and(|head| head.is_empty() || head.ends_with('.'));
    is_under && !name.is_empty()
}

/// Splits `host:port`, `[v6]:port`, `[v6]`, or a host without a port.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (address, rest.strip_prefix(':').and_then(|digits| digits.parse().ok()));
    }
    match entry.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') => (name, digits.parse().ok()),
        // An address of version 6 without brackets has no port.
        Some(_) | None => (entry, None),
    }
}

fn is_inside(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(address), IpAddr::V6(network)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V4(_) | IpAddr::V6(_), IpAddr::V4(_) | IpAddr::V6(_)) => false,
    }
}

impl Proxy {
    fn parse(text: &str) -> Result<Self, Error> {
        let with_scheme;
        let text = if text.contains("://") {
            text
        } else {
            with_scheme = format!("http://{text}");
            &with_scheme
        };
        let url = Url::parse(text).map_err(|e| failed(format!("the proxy is not a URL: {e}")))?;
        let (kind, default_port) = match url.scheme() {
            "http" => (Kind::Http, 80),
            "socks5" | "socks5h" => (Kind::Socks5, 1080),
            other => {
                let message =
                    format!("a proxy of the scheme {other} is not one of http and socks5");
                return Err(failed(message));
            }
        };
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(failed("the proxy's URL names no host"));
        }
        let port = url.port().unwrap_or(default_port);
        let plain = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        Ok(Self {
            kind,
            place: Target { is_secure: false, host, port },
            user: plain(url.username()),
            password: Secret::new(plain(url.password().unwrap_or_default())),
        })
    }

    /// Makes a tunnel to `target` over `stream`, which is connected to the proxy.
    pub(crate) async fn tunnel(
        &self,
        stream: TcpStream,
        target: &Target,
    ) -> Result<TcpStream, Error> {
        let outcome = match self.kind {
            Kind::Http => self.connect(stream, target).await,
            Kind::Socks5 => self.socks(stream, target).await,
        };
        outcome.map_err(|e| {
            let (proxy, target) = (self.place.authority(), target.authority());
            failed(format!("the proxy {proxy} made no way to {target}: {e}"))
        })
    }

    /// A token is a password without a user.
    fn has_login(&self) -> bool {
        !self.user.is_empty() || !self.password.expose().is_empty()
    }

    async fn socks(&self, stream: TcpStream, target: &Target) -> Result<TcpStream, String> {
        let place = (target.host.as_str(), target.port);
        let tunnel = if !self.has_login() {
            Socks5Stream::connect_with_socket(stream, place).await
        } else {
            let password = self.password.expose();
            Socks5Stream::connect_with_password_and_socket(stream, place, &self.user, password)
                .await
        };
        tunnel.map(Socks5Stream::into_inner).map_err(|e| e.to_string())
    }

    async fn connect(&self, stream: TcpStream, target: &Target) -> Result<TcpStream, String> {
        let told = |e: hyper::Error| e.to_string();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(told)?;
        let driving = tokio::spawn(connection.with_upgrades());
        let authority = target.authority();
        let mut request = http::Request::connect(&authority).header(header::HOST, &authority);
        if self.has_login() {
            let login = STANDARD.encode(format!("{}:{}", self.user, self.password.expose()));
            request = request.header(header::PROXY_AUTHORIZATION, format!("Basic {login}"));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
        let mut response = sender.send_request(request).await.map_err(told)?;
        if !response.status().is_success() {
            driving.abort();
            return Err(format!("it answered {}", response.status()));
        }
        let upgraded = hyper::upgrade::on(&mut response).await.map_err(told)?;
        match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io.into_inner()),
            Ok(_) | Err(_) => Err(String::from("it sent more than its answer")),
        }
    }
}

fn failed(message: impl AsRef<str>) -> Error {
    Error::new(ErrorCode::ProxyFailed, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_chooses_by_scheme() {
        let environment = environment(&[
            ("HTTP_PROXY", "http://one.example:3128"),
            ("https_proxy", "two.example:8080"),
            ("ALL_PROXY", "socks5://three.example"),
        ]);
        assert_eq!(route(&environment, false, "hub.example"), Some(("one.example".into(), 3128)));
        assert_eq!(route(&environment, true, "hub.example"), Some(("two.example".into(), 8080)));
        let environment = self::environment(&[("ALL_PROXY", "socks5://three.example")]);
        assert_eq!(route(&environment, true, "hub.example"), Some(("three.example".into(), 1080)));
    }

    #[test]
    fn a_stream_goes_through_the_proxy_for_everything_alone() {
        let target = Target { is_secure: false, host: "runner.example".into(), port: 9 };
        let route = |variables| {
            let proxies = Proxies::Environment(environment(variables));
            proxies.route_stream(&target).unwrap().map(|proxy| proxy.place.host)
        };
        assert_eq!(route(&[("HTTP_PROXY", "http://one.example:3128")]), None);
        assert_eq!(route(&[("ALL_PROXY", "socks5://all.example")]).unwrap(), "all.example");
        assert_eq!(route(&[("ALL_PROXY", "socks5://all.example"), ("NO_PROXY", "*")]), None);
    }

    #[test]
    fn no_proxy_names_hosts_domains_addresses_and_networks() {
        let environment = environment(&[
            ("ALL_PROXY", "http://proxy.example"),
            (
                "NO_PROXY",
                "hub.example, .lab.example,10.1.0.0/16,192.0.2.7,[2001:db8::1],p.example:99",
            ),
        ]);
        for direct in [
            "hub.example",
            "a.hub.example",
            "HUB.example",
            "x.lab.example",
            "10.1.200.3",
            "192.0.2.7",
            "2001:db8::1",
            "localhost",
            "127.0.0.1",
            "::1",
        ] {
            assert_eq!(route(&environment, false, direct), None, "{direct}");
        }
        for routed in ["myhub.example", "10.2.0.1", "192.0.2.70", "p.example", "2001:db8::2"] {
            assert!(route(&environment, false, routed).is_some(), "{routed}");
        }
    }

    #[test]
    fn no_proxy_takes_ports_white_space_and_final_dots() {
        let list = "192.0.2.7:99\t[2001:db8::1]:99\r\nhub.example.,\n[2001:db8::2] 2001:db8::3";
        let environment = environment(&[("ALL_PROXY", "http://proxy.example"), ("NO_PROXY", list)]);
        let goes = |host: &str, port| {
            let target = Target { is_secure: false, host: host.to_owned(), port };
            environment.route(&target).unwrap().is_some()
        };
        for direct in ["192.0.2.7", "2001:db8::1", "hub.example", "hub.example."] {
            assert!(!goes(direct, 99), "{direct}");
        }
        assert!(!goes("2001:db8::2", 1) && !goes("2001:db8::3", 1));
        for (routed, port) in [("192.0.2.7", 98), ("2001:db8::1", 98), ("2001:db8::4", 99)] {
            assert!(goes(routed, port), "{routed}:{port}");
        }
    }

    #[test]
    fn a_token_alone_is_a_login() {
        assert!(Proxy::parse("http://:token@proxy.example").unwrap().has_login());
        assert!(Proxy::parse("http://user@proxy.example").unwrap().has_login());
        assert!(!Proxy::parse("http://proxy.example").unwrap().has_login());
    }

    #[test]
    fn a_web_servers_header_is_not_a_proxy() {
        let environment =
            environment(&[("HTTP_PROXY", "http://evil.example"), ("REQUEST_METHOD", "GET")]);
        assert_eq!(route(&environment, false, "hub.example"), None);
    }

    #[test]
    fn user_and_password_are_decoded() {
        let proxy = Proxy::parse("http://us%40er:p%3Aw@[2001:db8::5]:8080").unwrap();
        assert_eq!((proxy.user.as_str(), proxy.password.expose()), ("us@er", "p:w"));
        assert_eq!(proxy.place.authority(), "[2001:db8::5]:8080");
        assert!(!format!("{proxy:?}").contains("p:w"));
    }

    #[test]
    fn other_schemes_are_refused() {
        let error = Proxies::new(&Secret::new("https://proxy.example")).err().unwrap();
        assert_eq!(error.code(), ErrorCode::ConfigInvalid);
    }

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn route(environment: &Environment, is_secure: bool, host: &str) -> Option<(String, u16)> {
        let target = Target { is_secure, host: host.to_owned(), port: 80 };
        let proxy = environment.route(&target).unwrap()?;
        Some((proxy.place.host, proxy.place.port))
    }
}
