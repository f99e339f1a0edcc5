//! HTTP of the beacon dialect: origin, paths, requests, what a status means.

use std::fmt::Write as _;

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;

use crate::base::secret::Secret;
use crate::net::{Headers, HttpRequest, HttpResponse, Method};

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

/// Scheme, host and port of a control plane.
///
/// Peer: the original uses these three only; path, query and user information are ignored.
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

    /// Returns the URL to dial.
    pub(crate) fn web_socket(&self) -> String {
        format!("{}://{}/", if self.is_secure { "wss" } else { "ws" }, self.authority)
    }

    /// Returns the address of HTTP requests, without a path.
    pub(crate) fn http(&self) -> String {
        format!("{}://{}", if self.is_secure { "https" } else { "http" }, self.authority)
    }

    /// Makes a request; `path` begins with a slash and is encoded already.
    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        session: Option<&Secret>,
        body: impl Into<Bytes>,
    ) -> HttpRequest {
        let body = body.into();
        let mut headers = Headers::new();
        if !body.is_empty() {
            headers.push("content-type", "application/json");
        }
        if let Some(session) = session {
            headers.push("cookie", session.expose());
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

/// Returns the session cookie of an answer: the first `Set-Cookie`, cut at the first `;`.
pub(crate) fn session_of(response: &HttpResponse) -> Option<Secret> {
    let cookie = response.headers.first("set-cookie")?;
    let cookie = cookie.split(';').next().unwrap_or_default().trim();
    (!cookie.is_empty()).then(|| Secret::new(cookie))
}

#[derive(Deserialize)]
struct WireError {
    #[serde(rename = "Error")]
    error: Option<String>,
    message: Option<String>,
    #[serde(rename = "Reason")]
    reason: Option<String>,
}

/// Returns what an error answer says.
pub(crate) fn error_text(response: &HttpResponse) -> String {
    let said = serde_json::from_slice::<WireError>(response.bytes()).ok();
    let said = said.and_then(|body| body.error.or(body.message).or(body.reason));
    said.unwrap_or_else(|| format!("the control plane answered with status {}", response.status))
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
    fn the_first_cookie_counts_up_to_its_semicolon() {
        let mut response = HttpResponse::json(200, "{}");
        response.headers.push("set-cookie", "SessionID=1; Path=/; HttpOnly");
        response.headers.push("set-cookie", "Other=2");
        assert_eq!(session_of(&response).unwrap().expose(), "SessionID=1");
        assert!(session_of(&HttpResponse::json(200, "{}")).is_none());
    }

    #[test]
    fn errors_are_said_in_the_words_of_the_other_side() {
        assert_eq!(error_text(&HttpResponse::json(400, r#"{"Error":"no"}"#)), "no");
        let invalid = r#"{"code":"InvalidContent","message":"bad"}"#;
        assert_eq!(error_text(&HttpResponse::json(400, invalid)), "bad");
        assert!(error_text(&HttpResponse::json(502, "<html>")).contains("502"));
    }
}
