//! Where the control channel is: the URL that the application gives, taken apart.
//!
//! Peer: the path of the URL is the Socket.IO namespace, not an HTTP path; its query goes before that
//! of every request.

use crate::dialect::volt::options::DaemonOptions;
use crate::net::origin::{Origin, parameter};

/// The control channel's address.
#[derive(Clone, Debug)]
pub(super) struct Address {
    origin: Origin,
    /// The namespace, with its slash.
    pub(super) namespace: String,
    /// The HTTP path of the Socket.IO server, and the query before ours with its `&`.
    path: String,
}

impl Address {
    /// Reads `control_socket_url` and `path`; says which of them is wrong and how.
    pub(super) fn parse(options: &DaemonOptions) -> Result<Self, (&'static str, String)> {
        let url = options.control_socket_url.as_str();
        let wrong = |problem| ("control_socket_url", problem);
        let origin = Origin::parse(url).map_err(wrong)?;
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let rest = rest.find(['/', '?', '#']).and_then(|at| rest.get(at..)).unwrap_or_default();
        let rest = rest.split('#').next().unwrap_or_default();
        let (namespace, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !rest.chars().all(|c| c.is_ascii_graphic()) {
            return Err(wrong(String::from("must be percent-encoded ASCII")));
        }
        if namespace.contains(',') {
            return Err(wrong(String::from("must have no comma in its path, the namespace")));
        }
        let path = options.path.as_str();
        if !path.starts_with('/')
            || !path.chars().all(|c| c.is_ascii_graphic() && c != '?' && c != '#')
        {
            let problem = "must be an absolute HTTP path such as /socket.io/";
            return Err(("path", problem.to_owned()));
        }
        let query =
            if query.is_empty() { String::new() } else { format!("{}&", query.trim_matches('&')) };
        Ok(Self {
            origin,
            namespace: if namespace.is_empty() { String::from("/") } else { namespace.to_owned() },
            path: format!("{}/?{query}EIO=4", path.trim_end_matches('/')),
        })
    }

    /// Returns the URL to dial; with `sid` the one that upgrades a session.
    pub(super) fn web_socket(&self, sid: Option<&str>) -> String {
        let base = self.origin.web_socket();
        self.request(base.trim_end_matches('/'), "websocket", sid)
    }

    /// Returns the URL of a polling request; without `sid` the one that opens a session.
    pub(super) fn polling(&self, sid: Option<&str>) -> String {
        self.request(&self.origin.http(), "polling", sid)
    }

    fn request(&self, base: &str, transport: &str, sid: Option<&str>) -> String {
        let sid = sid.map_or_else(String::new, |sid| format!("&sid={}", parameter(sid)));
        format!("{base}{}&transport={transport}{sid}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> DaemonOptions {
        DaemonOptions { control_socket_url: url.to_owned(), ..DaemonOptions::default() }
    }

    #[test]
    fn the_path_is_the_namespace_and_the_query_comes_first() {
        let address = Address::parse(&options("wss://volt.test/control?a=1&b=2#x")).unwrap();
        assert_eq!(address.namespace, "/control");
        assert_eq!(
            address.web_socket(None),
            "wss://volt.test/socket.io/?a=1&b=2&EIO=4&transport=websocket"
        );
        assert_eq!(
            address.polling(Some("s1")),
            "https://volt.test/socket.io/?a=1&b=2&EIO=4&transport=polling&sid=s1"
        );
        assert!(address.polling(Some("a&b-_.~ü")).ends_with("&sid=a%26b-_.~%C3%BC"));
        let plain = Address::parse(&options("http://localhost:8080")).unwrap();
        assert_eq!(plain.namespace, "/");
        assert_eq!(
            plain.web_socket(Some("s")),
            "ws://localhost:8080/socket.io/?EIO=4&transport=websocket&sid=s"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(Address::parse(&options("volt.test/x")).unwrap_err().0, "control_socket_url");
        assert_eq!(Address::parse(&options("ws://v/a,b")).unwrap_err().0, "control_socket_url");
        let path = DaemonOptions { path: "socket.io".into(), ..options("ws://v") };
        assert_eq!(Address::parse(&path).unwrap_err().0, "path");
    }
}
