//! Secrets in a recording: numbered by first appearance, so that equal ones stay equal.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::api::options::{Field, Kind};
use crate::base::json::scan::string_end;

/// JSON fields of the wires whose text is secret, wherever they stand.
const WIRE_FIELDS: [&str; 8] = [
    "Password",
    "password",
    "JoinSecret",
    "SessionID",
    "daemonPassword",
    "enrollmentToken",
    "Token",
    "DaemonPassword",
];

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
}

impl Redactor {
    /// Makes one that leaves secrets as they are.
    pub(super) fn revealing() -> Self {
        Self { reveals: true, ..Self::default() }
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
        self.fields(text, &WIRE_FIELDS)
    }

    /// Replaces the text of the named fields in JSON text, which need not be whole.
    pub(super) fn fields(&mut self, text: &str, names: &[&str]) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, name, value)) = next_field(rest, names) {
            out.push_str(before);
            out.push_str(name);
            out.push_str(&self.secret(value));
            out.push('"');
            rest = rest.get(before.len() + name.len() + value.len() + 1..).unwrap_or_default();
        }
        out.push_str(rest);
        out
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
            let number = part.split_once(CLOSE).and_then(|(n, rest)| Some((n.parse().ok()?, rest)));
            match number.and_then(|(n, rest): (usize, _)| Some((self.values.get(&n)?, rest))) {
                Some((value, rest)) => {
                    out.push_str(value);
                    out.push_str(rest);
                }
                None => {
                    out.push_str(OPEN);
                    out.push_str(part);
                }
            }
        }
        out
    }
}

/// Returns the names of secret options, at any depth.
pub(super) fn secret_names(fields: &[Field]) -> Vec<&'static str> {
    let mut names = Vec::new();
    for field in fields {
        match field.kind {
            Kind::Secret => names.push(field.name),
            Kind::Table(fields) | Kind::TableList(fields) => names.extend(secret_names(&fields())),
            Kind::Integer
            | Kind::Boolean
            | Kind::Text
            | Kind::Word(_)
            | Kind::Json
            | Kind::TextList => {}
        }
    }
    names
}

fn number_of(value: &str) -> Option<usize> {
    value.strip_prefix(OPEN)?.strip_suffix(CLOSE)?.parse().ok()
}

/// Finds the next of the named fields whose value is text: what stands before it, the field up to the
/// opening quote, the text up to the closing one.
fn next_field<'a>(text: &'a str, names: &[&str]) -> Option<(&'a str, &'a str, &'a str)> {
    let mut from = 0;
    loop {
        let quote = from + text.get(from..)?.find('"')?;
        let (name, after) = quoted(text, quote)?;
        from = after;
        let tail = text.get(after..)?;
        let value = tail.trim_start().strip_prefix(':').map(str::trim_start);
        let Some(value) = value.filter(|value| value.starts_with('"')) else { continue };
        if !names.contains(&name) {
            // The value itself is skipped: text inside it is not a field.
            from = quoted(text, text.len() - value.len())?.1;
            continue;
        }
        let start = text.len() - value.len();
        let (secret, _) = quoted(text, start)?;
        return Some((text.get(..quote)?, text.get(quote..=start)?, secret));
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
        assert_eq!(
            redactor.text(r#"{"Password":null,"Password":"#),
            r#"{"Password":null,"Password":"#
        );
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
