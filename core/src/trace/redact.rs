//! Secrets in a recording: numbered by first appearance, so that equal ones stay equal.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use crate::api::options::{Field, Kind};
use crate::base::json::scan::string_end;
use crate::net::http;

/// JSON fields of the wires whose text is secret, wherever they stand.
const WIRE_FIELDS: [&str; 6] =
    ["password", "joinSecret", "sessionID", "token", "daemonPassword", "enrollmentToken"];

/// The id of an Engine.IO session, in the packet that opens it and in URLs: as good as a password while it
/// lives.
const SID: &str = "sid";

/// Fields of a request that the application is told, where queries are secret.
const REQUEST_FIELDS: [&str; 3] = ["url", "query", "value"];

/// Where the wire of beacons takes logins.
const LOGIN: &str = "/1.0/Authenticate";

/// The most secrets that are told apart; further ones are all the same.
const MAX_SECRETS: usize = 100_000;

const OPEN: &str = "[redacted ";
const CLOSE: char = ']';

/// Replaces secrets by numbers.
#[derive(Debug, Default)]
pub(super) struct Redactor {
    numbers: BTreeMap<[u8; 32], usize>,
    /// What this process itself has redacted, by number, to be restored in a replay.
    values: BTreeMap<usize, String>,
    next: usize,
    /// Nothing is replaced.
    reveals: bool,
    /// Every parameter of a query is secret.
    hides_queries: bool,
}

impl Redactor {
    /// Makes one that leaves secrets as they are.
    pub(super) fn revealing() -> Self {
        Self { reveals: true, ..Self::default() }
    }

    /// Makes one for a machine whose queries are secret, or not.
    pub(super) fn hiding(hides_queries: bool) -> Self {
        Self { hides_queries, ..Self::default() }
    }

    /// Replaces a secret.
    pub(super) fn secret(&mut self, value: &str) -> String {
        if self.reveals || value.is_empty() || number_of(value).is_some() {
            return value.to_owned();
        }
        let digest: [u8; 32] = Sha256::digest(value.as_bytes()).into();
        let number = match self.numbers.get(&digest) {
            Some(number) => *number,
            None if self.numbers.len() >= MAX_SECRETS => MAX_SECRETS,
            None => {
                let number = self.next;
                self.next += 1;
                self.numbers.insert(digest, number);
                self.values.insert(number, value.to_owned());
                number
            }
        };
        format!("{OPEN}{number}{CLOSE}")
    }

    /// Replaces the secrets of a header's value; parts of a cookie that are not secret stay.
    pub(super) fn header(&mut self, name: &str, value: &str) -> String {
        let pairs = match name {
            "cookie" => usize::MAX,
            "set-cookie" => 1,
            _ => return self.secret(value),
        };
        let parts = value.split(';').enumerate().map(|(index, part)| match part.split_once('=') {
            Some((name, value)) if index < pairs => format!("{name}={}", self.secret(value)),
            Some(_) | None => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join(";")
    }

    /// Replaces secret fields of the wires in JSON text.
    pub(super) fn text(&mut self, text: &str) -> String {
        let opening = if text.starts_with("0{") { text.split('\x1e').next() } else { None };
        let (opening, rest) = text.split_at(opening.map_or(0, str::len));
        self.fields(opening, &[SID]) + &self.fields(rest, &WIRE_FIELDS)
    }

    /// Replaces secrets in what an application is told of a request.
    pub(super) fn request(&mut self, text: &str) -> String {
        if !self.hides_queries {
            return self.text(text);
        }
        let names = [WIRE_FIELDS.as_slice(), &REQUEST_FIELDS].concat();
        self.fields(text, &names)
    }

    /// Replaces secrets in what is stored, and their hashes; `None` if it is no text.
    pub(super) fn stored(&mut self, bytes: &[u8]) -> Option<String> {
        // A replay has other secrets, and so other hashes of them.
        let names = [WIRE_FIELDS.as_slice(), &["hash", "digest"]].concat();
        Some(self.fields(std::str::from_utf8(bytes).ok()?, &names))
    }

    /// Replaces secrets in a request's body; `None` if it is no text. What is meant for a login and has
    /// not its shape is a secret.
    pub(super) fn body(&mut self, url: &str, bytes: &[u8]) -> Option<String> {
        let is_login = http::path(url).trim_end_matches('/') == LOGIN && !bytes.is_empty();
        if is_login && serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(bytes).is_err() {
            return Some(self.secret(&String::from_utf8_lossy(bytes)));
        }
        Some(self.text(std::str::from_utf8(bytes).ok()?))
    }

    /// Replaces the text of the named fields in JSON text, which need not be whole.
    pub(super) fn fields(&mut self, text: &str, names: &[&str]) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, value, after)) = next_field(rest, names) {
            out.push_str(before);
            out.push('"');
            out.push_str(&self.secret(value));
            out.push('"');
            rest = after;
        }
        out.push_str(rest);
        out
    }

    /// Replaces the secrets of a URL: parameters of its query, and what follows the path of a login.
    ///
    /// Peer: a login may come as `GET /1.0/Authenticate/:username/:password`.
    pub(super) fn url(&mut self, url: &str) -> String {
        if let Some((before, secret)) = url.split_once(LOGIN)
            && let Some(secret) = secret.strip_prefix('/')
        {
            return format!("{before}{LOGIN}/{}", self.secret(secret));
        }
        let Some((path, query)) = url.split_once('?') else { return url.to_owned() };
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, value)) if self.hides_queries => {
                let value = value.replace('+', " ");
                format!("{name}={}", self.secret(&percent_decode_str(&value).decode_utf8_lossy()))
            }
            Some((name, value)) if is_one_of(name, &WIRE_FIELDS) || name == SID => {
                format!("{name}={}", self.secret(&percent_decode_str(value).decode_utf8_lossy()))
            }
            Some(_) | None => pair.to_owned(),
        });
        format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
    }

    /// Notes the numbers that a recorded line uses, so that new secrets get later ones.
    pub(super) fn meet(&mut self, line: &str) {
        for tail in line.split(OPEN).skip(1) {
            if let Some(number) = tail.split(CLOSE).next().and_then(|text| text.parse().ok()) {
                self.next = self.next.max(usize::saturating_add(number, 1));
            }
        }
    }

    /// Puts back secrets that the machine itself has said.
    pub(super) fn restore(&self, line: &str) -> String {
        let mut parts = line.split(OPEN);
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let said = part.split_once(CLOSE).and_then(|(number, rest)| {
                Some((self.values.get(&number.parse().ok()?)?.as_str(), rest))
            });
            let (before, rest) = said.unwrap_or((OPEN, part));
            out.push_str(before);
            out.push_str(rest);
        }
        out
    }
}

/// Returns the names of secret options, at any depth.
pub(super) fn secret_names(fields: &[Field]) -> Vec<&'static str> {
    let mut names = Vec::new();
    for field in fields {
        if let Kind::Secret = field.kind {
            names.push(field.name);
        } else if let Kind::Table(fields) | Kind::TableList(fields) = field.kind {
            names.extend(secret_names(&fields()));
        }
    }
    names
}

fn number_of(value: &str) -> Option<usize> {
    value.strip_prefix(OPEN)?.strip_suffix(CLOSE)?.parse().ok()
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Finds the next of the named fields whose value is text or a number: what stands before the value, the
/// value without quotes, what follows. Text without an end is the whole rest.
fn next_field<'a>(text: &'a str, names: &[&str]) -> Option<(&'a str, &'a str, &'a str)> {
    let mut from = 0;
    loop {
        let quote = from + text.get(from..)?.find('"')?;
        let (name, after) = quoted(text, quote)?;
        from = after;
        let Some(value) = text.get(after..)?.trim_start().strip_prefix(':') else { continue };
        let value = value.trim_start();
        let start = text.len() - value.len();
        let is_text = value.starts_with('"');
        // A name may be written with escapes.
        let name = match text.get(quote..after) {
            Some(json) if name.contains('\\') => serde_json::from_str(json).unwrap_or_default(),
            _ => Cow::Borrowed(name),
        };
        if !is_one_of(&name, names) {
            if is_text {
                // The value itself is skipped: text inside it is not a field.
                from = quoted(text, start)?.1;
            }
            continue;
        }
        let before = text.get(..start)?;
        if is_text {
            return Some(match quoted(text, start) {
                Some((secret, end)) => (before, secret, text.get(end..)?),
                None => (before, text.get(start + 1..)?, ""),
            });
        }
        let length = value.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'));
        let (number, rest) = value.split_at(length.unwrap_or(value.len()));
        if !number.is_empty() {
            return Some((before, number, rest));
        }
    }
}

/// Returns the text between the quote at `at` and the one that closes it, and where that ends.
fn quoted(text: &str, at: usize) -> Option<(&str, usize)> {
    let end = string_end(text.as_bytes(), at + 1)?;
    Some((text.get(at + 1..end - 1)?, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_secrets_get_equal_numbers() {
        let mut redactor = Redactor::default();
        assert_eq!(redactor.secret("a"), "[redacted 0]");
        assert_eq!(redactor.secret("b"), "[redacted 1]");
        assert_eq!(redactor.secret("a"), "[redacted 0]");
        assert_eq!(redactor.secret(""), "");
        assert_eq!(redactor.secret("[redacted 7]"), "[redacted 7]");
    }

    #[test]
    fn fields_are_found_wherever_they_stand() {
        let mut redactor = Redactor::default();
        let text = r#"{"Name":"w","Settings":{ "Password" : "p\"w","n":1.0},"JoinSecret":"j","Note":"\"Password\":\"x\""}"#;
        let wanted = r#"{"Name":"w","Settings":{ "Password" : "[redacted 0]","n":1.0},"JoinSecret":"[redacted 1]","Note":"\"Password\":\"x\""}"#;
        assert_eq!(redactor.text(text), wanted);
        for (text, wanted) in [
            (r#"{"Password":null,"Password":"#, r#"{"Password":null,"Password":"#),
            (r#"{"pass\u0077ORD":"j"}"#, r#"{"pass\u0077ORD":"[redacted 1]"}"#),
            (r#"{"Password":-12.5e3,"n":1}"#, r#"{"Password":"[redacted 2]","n":1}"#),
            (r#"{"Password":"cut of"#, r#"{"Password":"[redacted 3]""#),
            (r#"{"Password":{"a":1}}"#, r#"{"Password":{"a":1}}"#),
            (
                "0{\"sid\":\"s\"}\x1e40{\"sid\":\"t\"}",
                "0{\"sid\":\"[redacted 4]\"}\x1e40{\"sid\":\"t\"}",
            ),
        ] {
            assert_eq!(redactor.text(text), wanted);
        }
    }

    #[test]
    fn a_login_in_any_shape_is_hidden() {
        let mut redactor = Redactor::default();
        for url in [LOGIN, "/1.0/Authenticate/", "/1.0/Authenticate?x=1"] {
            for text in [
                "UserName=ops&Password=hunter2",
                "{'Password':'hunter2'}",
                r#"{"UserName":"ops","Password":"hunter2"#,
                r#"{"UserName":"ops","Password":hunter2}"#,
                r#"["ops","hunter2"]"#,
                r#""hunter2""#,
                r#"{"UserName":"ops","PASSWORD":"hunter2"}"#,
            ] {
                assert!(
                    !redactor.body(url, text.as_bytes()).unwrap().contains("hunter2"),
                    "{text}"
                );
            }
            assert!(!redactor.body(url, b"\xffhunter2").unwrap().contains("hunter2"));
        }
        assert_eq!(redactor.body("/Beacon", b"[1]").unwrap(), "[1]");
        assert_eq!(redactor.body("/Beacon", b"\xff"), None);
        assert_eq!(redactor.url("/a?b=c&d"), "/a?b=c&d");
        assert_eq!(redactor.url("/1.0/Authenticate"), "/1.0/Authenticate");
        for url in [
            "/1.0/Authenticate/ops/hunter2",
            "http://h/1.0/Authenticate/ops/hunter2?x=1",
            "/1.0/Authenticate?UserName=ops&password=hunter2",
            "ws://h/?Password=hunter%32&x=1",
            "/socket.io/?EIO=4&sid=hunter2",
        ] {
            let shown = redactor.url(url);
            assert!(!shown.contains("hunter") && shown.contains("[redacted "), "{shown}");
        }
        assert_eq!(redactor.url("/?sid=%5Bredacted%203%5D"), "/?sid=[redacted 3]");
    }

    #[test]
    fn a_cookie_keeps_its_shape() {
        let mut redactor = Redactor::default();
        let set = redactor.header("set-cookie", "SessionID=abc; Path=/; HttpOnly");
        assert_eq!(set, "SessionID=[redacted 0]; Path=/; HttpOnly");
        assert_eq!(
            redactor.header("cookie", "SessionID=abc; b=c"),
            "SessionID=[redacted 0]; b=[redacted 1]"
        );
    }

    #[test]
    fn what_was_said_here_is_restored_and_nothing_else() {
        let mut redactor = Redactor::default();
        redactor.meet("x [redacted 4] y");
        assert_eq!(redactor.secret("said"), "[redacted 5]");
        assert_eq!(
            redactor.restore("[redacted 4] [redacted 5] [redacted"),
            "[redacted 4] said [redacted"
        );
    }
}
