//! What is read of a message.

use std::borrow::Cow;

use bytestring::ByteString;
use serde::Deserialize;

use crate::base::json::scan::Scanner;
use crate::base::json::{Raw, lenient_text, unescaped};

/// A message, as far as it is looked at. Every member is as it stands in the text.
#[derive(Debug, Default)]
pub(crate) struct Message<'a> {
    pub(crate) kind: Option<&'a str>,
    pub(crate) request_id: Option<&'a str>,
    pub(crate) command: Option<&'a str>,
    pub(crate) response_type: Option<&'a str>,
    pub(crate) payload: Option<&'a str>,
    pub(crate) ok: Option<&'a str>,
    pub(crate) status: Option<&'a str>,
    pub(crate) message: Option<&'a str>,
    pub(crate) headers: Option<&'a str>,
    pub(crate) body_base64: Option<&'a str>,
    pub(crate) stream_id: Option<&'a str>,
    pub(crate) chunk_base64: Option<&'a str>,
    pub(crate) chunk: Option<&'a str>,
    pub(crate) session_id: Option<&'a str>,
    /// The member `data` of the member `data`.
    pub(crate) result: Option<&'a str>,
}

impl<'a> Message<'a> {
    /// Reads an argument; `None` if it is no object.
    pub(crate) fn read(argument: &'a str) -> Option<Self> {
        if !argument.starts_with('{') {
            return None;
        }
        let mut scanner = Scanner::new(argument);
        Self::scan(&mut scanner).filter(|_| scanner.is_at_end())
    }

    fn scan(scanner: &mut Scanner<'a>) -> Option<Self> {
        let mut message = Self::default();
        scanner.object(|key, scanner| {
            if key == "data" {
                message.result = None;
                if scanner.ahead() == Some(b'{') {
                    return message.scan_result(scanner);
                }
            }
            let value = scanner.value()?;
            match message.place(key) {
                Some(place) => *place = Some(value),
                None if key.contains('\\') => message.take_escaped(key, value),
                None => {}
            }
            Some(())
        })?;
        Some(message)
    }

    fn scan_result(&mut self, scanner: &mut Scanner<'a>) -> Option<()> {
        scanner.object(|key, scanner| {
            let value = scanner.value()?;
            if reads(key, "data") {
                self.result = Some(value);
            }
            Some(())
        })
    }

    /// Takes a member whose name has escapes.
    fn take_escaped(&mut self, key: &str, value: &'a str) {
        let key = unescaped(key);
        if key == "data" {
            self.result = None;
            // What is no object has no members.
            let _ = self.scan_result(&mut Scanner::new(value));
        } else if let Some(place) = self.place(&key) {
            *place = Some(value);
        }
    }

    fn place(&mut self, key: &str) -> Option<&mut Option<&'a str>> {
        Some(match key {
            "type" => &mut self.kind,
            "requestId" => &mut self.request_id,
            "command" => &mut self.command,
            "responseType" => &mut self.response_type,
            "payload" => &mut self.payload,
            "ok" => &mut self.ok,
            "status" => &mut self.status,
            "message" => &mut self.message,
            "headers" => &mut self.headers,
            "bodyBase64" => &mut self.body_base64,
            "streamId" => &mut self.stream_id,
            "chunkBase64" => &mut self.chunk_base64,
            "chunk" => &mut self.chunk,
            "sessionId" => &mut self.session_id,
            _ => return None,
        })
    }

    pub(crate) fn is_kind(&self, kind: &str) -> bool {
        let inner = self.kind.and_then(|json| json.strip_prefix('"')?.strip_suffix('"'));
        inner.is_some_and(|inner| reads(inner, kind))
    }

    /// Tells whether an answer says yes: what JavaScript takes for true.
    pub(crate) fn is_ok(&self) -> bool {
        self.ok.is_some_and(is_truthy)
    }

    /// Returns the reason that an answer or a stream's end gives, if it gives one.
    pub(crate) fn explanation(&self) -> Option<Cow<'a, str>> {
        lenient_text(self.message?).filter(|text| !text.is_empty())
    }

    /// Makes a payload of a part of a message.
    pub(crate) fn share(whole: &ByteString, part: Option<&str>) -> Raw {
        part.map_or_else(Raw::absent, |part| Raw::shared(whole, part))
    }
}

/// Returns what a confirmed registration says the connection is for. Peer: the first generation says nothing.
pub(crate) fn channel(argument: &Raw) -> Option<String> {
    #[derive(Deserialize)]
    struct Registered {
        channel: String,
    }
    argument.read::<Registered>().ok().map(|registered| registered.channel)
}

/// Reads the message in an Engine.IO message that begins with `prefix`, such as
/// `2["team-cluster-daemon:message",`, in one pass: the argument and its members. `None` sends the
/// caller the general way.
pub(crate) fn message_of<'a>(text: &'a ByteString, prefix: &str) -> Option<(&'a str, Message<'a>)> {
    let rest = text.strip_prefix(prefix)?;
    let mut scanner = Scanner::new(rest);
    let message = Message::scan(&mut scanner)?;
    let (argument, end) = rest.split_at_checked(scanner.at)?;
    (end == "]" && argument.starts_with('{')).then_some((argument, message))
}

/// Compares the inside of a JSON string with a text that needs no escapes.
fn reads(inner: &str, text: &str) -> bool {
    inner == text || (inner.contains('\\') && unescaped(inner) == text)
}

/// Tells whether JavaScript takes a value for true.
fn is_truthy(json: &str) -> bool {
    match json {
        "false" | "null" | "\"\"" => false,
        text => !text.parse::<f64>().is_ok_and(|number| number == 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(argument: &str) -> Option<String> {
        Message::read(argument).unwrap().result.map(str::to_owned)
    }

    #[test]
    fn the_result_is_the_member_data_of_data() {
        assert_eq!(
            result(r#"{"data":{"status":"success","data":{"a":[1.0]}}}"#).unwrap(),
            r#"{"a":[1.0]}"#
        );
        assert_eq!(result(r#"{"data":{"data":null}}"#).unwrap(), "null");
        assert_eq!(result(r#"{"data":{"data":1,"data":2}}"#).unwrap(), "2", "the last counts");
        for none in [
            r#"{"data":null}"#,
            r#"{"data":"text"}"#,
            r#"{"data":[{"data":1}]}"#,
            "{}",
            r#"{"data":{"status":"success"}}"#,
            r#"{"data":1.5e400}"#,
            r#"{"data":"\ud800"}"#,
        ] {
            assert_eq!(result(none), None, "{none}");
        }
    }

    #[test]
    fn members_are_found_under_escaped_names_and_behind_deep_values() {
        assert_eq!(result(r#"{"d\u0061ta":{"\u0064ata":1}}"#).unwrap(), "1");
        assert_eq!(result(r#"{"data":{"data":1},"d\u0061ta":2}"#), None, "the last counts");
        let deep =
            format!("{{\"x\":{}{},\"data\":{{\"data\":3}}}}", "[".repeat(200), "]".repeat(200));
        assert_eq!(result(&deep).unwrap(), "3");
    }

    #[test]
    fn what_is_no_object_is_no_message() {
        for argument in ["null", "[]", "\"x\"", "1", "", "{", "{}}", "{} 1"] {
            assert!(Message::read(argument).is_none());
        }
    }

    #[test]
    fn one_pass_finds_what_the_general_way_finds() {
        let prefix = "2[\"m\",";
        let text =
            ByteString::from("2[\"m\",{\"type\":\"response\",\"requestId\":\"r\",\"ok\":true}]");
        let (argument, message) = message_of(&text, prefix).unwrap();
        assert_eq!(argument, "{\"type\":\"response\",\"requestId\":\"r\",\"ok\":true}");
        assert!(message.is_kind("response"));
        for other in ["2[\"m\",{}] ", "2[\"m\",{},1]", "2[\"m\",{}", "2[\"n\",{}]", "2[\"m\",1]"] {
            assert!(message_of(&ByteString::from(other), prefix).is_none(), "{other}");
        }
    }

    #[test]
    fn truth_is_that_of_javascript() {
        let truthy = |text: &str| is_truthy(text);
        for yes in ["true", "1", "-1", "{}", "[]", "\"0\"", "1e-300"] {
            assert!(truthy(yes), "{yes}");
        }
        for no in ["false", "null", "0", "-0", "0.0", "0e5", "\"\""] {
            assert!(!truthy(no), "{no}");
        }
    }

    #[test]
    fn escaped_names_and_lone_surrogates_are_tolerated() {
        let message =
            Message::read(r#"{"\u0074ype":"\u0063ommand","\ud800":1,"message":"\udfff"}"#);
        let message = message.unwrap();
        assert!(message.is_kind("command"));
        assert_eq!(lenient_text(message.message.unwrap()).unwrap(), "\\udfff");
    }
}
