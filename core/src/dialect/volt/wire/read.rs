//! What is read of a message.

use std::borrow::Cow;
use std::fmt;

use bytestring::ByteString;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::base::json::Raw;
use crate::base::json::scan::Scanner;

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
        let scanned = Self::scan(&mut scanner);
        if scanned.is_some() && scanner.is_at_end() {
            return scanned;
        }
        match serde_json::from_str::<Self>(argument) {
            Ok(message) => Some(message),
            // A text as `data` with a lone surrogate: it has no member `data`.
            Err(_) => serde_json::from_str::<Opaque<'a>>(argument).ok().map(|opaque| opaque.0),
        }
    }

    /// Reads an ordinary message; others are left to the parser.
    fn scan(scanner: &mut Scanner<'a>) -> Option<Self> {
        let mut message = Self::default();
        scanner.object(|key, scanner| {
            if key == "data" {
                message.result = None;
                if scanner.is_at_object() {
                    return scanner.object(|key, scanner| {
                        let value = scanner.value()?;
                        if key == "data" {
                            message.result = Some(value);
                        }
                        Some(())
                    });
                }
            }
            let value = scanner.value()?;
            if let Some(place) = message.place(key) {
                *place = Some(value);
            }
            Some(())
        })?;
        Some(message)
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
            _ => return None,
        })
    }

    pub(crate) fn is_kind(&self, kind: &str) -> bool {
        self.kind.is_some_and(|text| is_text(text, kind))
    }
}

/// Reads the message in an Engine.IO message that begins with `prefix`, such as
/// `2["team-cluster-daemon:message",`, in one pass: the argument and its members. `None` sends the
/// caller the general way.
pub(crate) fn message_of<'a>(text: &'a ByteString, prefix: &str) -> Option<(&'a str, Message<'a>)> {
    let rest = text.strip_prefix(prefix)?;
    let mut scanner = Scanner::new(rest);
    let message = Message::scan(&mut scanner)?;
    let (argument, end) = rest.split_at_checked(scanner.at())?;
    (end == "]" && argument.starts_with('{')).then_some((argument, message))
}

/// Compares a JSON string with a text that needs no escapes.
pub(crate) fn is_text(json: &str, text: &str) -> bool {
    let inner = json.strip_prefix('"').and_then(|json| json.strip_suffix('"'));
    inner.is_some_and(|inner| {
        inner == text
            || (inner.contains('\\')
                && serde_json::from_str::<String>(json).is_ok_and(|inner| inner == text))
    })
}

/// Reads a JSON string; one that is no Unicode text gives its escapes as they stand. `None` for
/// other values.
pub(crate) fn lenient_text(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    let text = serde_json::from_str::<String>(json);
    Some(text.map_or(Cow::Borrowed(inner), Cow::Owned))
}

/// Tells whether JavaScript takes a value for true.
pub(crate) fn is_truthy(json: &str) -> bool {
    match json {
        "false" | "null" | "\"\"" => false,
        text => !text.parse::<f64>().is_ok_and(|number| number == 0.0),
    }
}

/// Makes a payload of a part of a message.
impl Message<'_> {
    pub(crate) fn share(whole: &ByteString, part: Option<&str>) -> Raw {
        part.map_or_else(Raw::absent, |part| Raw::shared(whole, part))
    }
}

/// A message whose `data` is not looked into.
struct Opaque<'a>(Message<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Message<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members::<true>)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Opaque<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members::<false>).map(Opaque)
    }
}

struct Members<const INSIDE: bool>;

impl<'de, const INSIDE: bool> Visitor<'de> for Members<INSIDE> {
    type Value = Message<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut message = Message::default();
        while let Some(Key(key)) = map.next_key()? {
            if INSIDE && key == "data" {
                message.result = map.next_value::<Inner<'_>>()?.0;
            } else if let Some(place) = message.place(&key) {
                *place = Some(map.next_value::<&RawValue>()?.get());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(message)
    }
}

/// A member's name, borrowed unless it is escaped. One that is no Unicode text is nobody's.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl<'de> Visitor<'de> for Name {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }

            fn visit_borrowed_bytes<E>(self, name: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(std::str::from_utf8(name).unwrap_or_default())))
            }

            fn visit_bytes<E>(self, name: &[u8]) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(std::str::from_utf8(name).unwrap_or_default().to_owned())))
            }
        }

        // Asked for bytes, the parser lets lone surrogates pass.
        deserializer.deserialize_bytes(Name)
    }
}

/// The member `data` of a value of any kind.
struct Inner<'a>(Option<&'a str>);

impl<'de: 'a, 'a> Deserialize<'de> for Inner<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Inner<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut data = None;
                while let Some(Key(key)) = map.next_key()? {
                    if key == "data" {
                        data = Some(map.next_value::<&RawValue>()?.get());
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Inner(data))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Inner(None))
            }

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(Inner(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Inner(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Inner(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Inner(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Inner(None))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Inner(None))
            }
        }

        deserializer.deserialize_any(Any)
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
    fn what_is_no_object_is_no_message() {
        for argument in ["null", "[]", "\"x\"", "1"] {
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
