//! What workers and dispatchers read from the beacon wire.
//!
//! Source: `ultravisor-beacon` 1.0.5, `Ultravisor-Beacon-Client.cjs` and
//! `Ultravisor-Beacon-ConnectivityWebSocket.cjs`; `ultravisor` 1.3.24,
//! `Ultravisor-Beacon-Coordinator.cjs`. Fields named `Moorline` and `HostLagMs` … are extensions that
//! foreign peers ignore.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::base::error::{Error, ErrorCode};
use crate::net::HttpResponse;

/// A frame from the control plane. Frames with another discriminator have an empty `event_type`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct HubFrame<'a> {
    #[serde(borrow)]
    pub(crate) event_type: Text<'a>,
    pub(crate) work_item: Option<WireItem<'a>>,
    #[serde(rename = "BeaconID")]
    pub(crate) beacon_id: Text<'a>,
    pub(crate) work_item_hash: Text<'a>,
    pub(crate) reason: Text<'a>,
    pub(crate) why: Text<'a>,
    pub(crate) items: Vec<WireTaken>,
    pub(crate) moorline: Option<WireExtension>,
}

/// What a control plane says of its extensions.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct WireExtension {
    /// Whether it acknowledges outcomes by `WorkTaken`.
    pub(crate) acks: bool,
    /// The largest message that it takes, in bytes.
    pub(crate) max_message_bytes: Option<u64>,
}

/// One entry of `WorkTaken`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct WireTaken {
    pub(crate) work_item_hash: String,
    #[serde(default)]
    pub(crate) taken: bool,
    pub(crate) reason: Option<String>,
}

/// A work item. Absent fields have the meaning that section 7.1 of the protocol note gives them.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct WireItem<'a> {
    #[serde(rename = "WorkItemHash", borrow)]
    pub(crate) hash: Text<'a>,
    pub(crate) capability: Text<'a>,
    pub(crate) action: Text<'a>,
    pub(crate) settings: Option<&'a RawValue>,
    #[serde(rename = "RunID")]
    pub(crate) run: Text<'a>,
    pub(crate) operation_hash: Text<'a>,
    pub(crate) timeout_ms: Option<&'a RawValue>,
    pub(crate) attempt_number: Option<&'a RawValue>,
    pub(crate) queue_metadata: Option<WireQueue<'a>>,
}

/// How an item fared in the queue.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct WireQueue<'a> {
    #[serde(borrow)]
    pub(crate) enqueued_at: Text<'a>,
    pub(crate) queue_wait_ms: Option<&'a RawValue>,
}

/// The answer to a poll.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PollAnswer<'a> {
    #[serde(borrow)]
    pub(crate) work_item: Option<WireItem<'a>>,
}

/// The answer to a registration over HTTP: the record, of which only this counts.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RecordAnswer {
    #[serde(rename = "BeaconID")]
    pub(crate) beacon_id: String,
    pub(crate) moorline: Option<WireExtension>,
}

/// The answer to a login.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct LoginAnswer {
    pub(crate) logged_in: bool,
    pub(crate) error: Option<String>,
}

/// Reads the answer to a login. A control plane that is away, or says nothing of the sort, says nothing of
/// the credentials either.
pub(crate) fn login_answer(response: &HttpResponse) -> Result<LoginAnswer, Error> {
    let code = match response.status {
        ..=399 if response.bytes().is_empty() => {
            return Ok(LoginAnswer { logged_in: true, error: None });
        }
        ..=399 => {
            let message = "the control plane's answer to the login was not JSON";
            return serde_json::from_slice(response.bytes())
                .map_err(|_| Error::new(ErrorCode::PeerProtocol, message));
        }
        404 | 405 | 408 | 425 | 500.. => ErrorCode::ConnectFailed,
        429 => ErrorCode::RateLimited,
        _ => ErrorCode::AuthenticationFailed,
    };
    Err(Error::new(code, error_text(response)))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireError {
    error: Option<String>,
    #[serde(rename = "message")]
    message: Option<String>,
    reason: Option<String>,
}

/// Returns what an error answer says.
pub(crate) fn error_text(response: &HttpResponse) -> String {
    let said = serde_json::from_slice::<WireError>(response.bytes()).ok();
    let said = said.and_then(|body| body.error.or(body.message).or(body.reason));
    said.unwrap_or_else(|| format!("the control plane answered with status {}", response.status))
}

/// Text that may be absent, null or of another type, all of which count as empty.
#[derive(Debug, Default)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                IgnoredAny.visit_seq(list).map(|_| Text::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
                IgnoredAny.visit_map(object).map(|_| Text::default())
            }
        }
        deserializer.deserialize_any(Read)
    }
}

/// Reads a number the way JavaScript peers write them; anything else is absent.
pub(crate) fn number(raw: Option<&RawValue>) -> Option<f64> {
    serde_json::from_str(raw?.get()).ok()
}

/// Reads a whole number that is not negative.
pub(crate) fn count(raw: Option<&RawValue>) -> Option<u64> {
    let text = raw?.get();
    text.parse().ok().or_else(|| number(raw).filter(|n| *n >= 0.0).map(|n| n as u64))
}

/// Reads a whole number that may be written as text; 0 stands for none.
pub(crate) fn whole(raw: Option<&RawValue>) -> u64 {
    let said = || text(raw).and_then(|text| text.trim().parse().ok());
    count(raw).or_else(said).unwrap_or(0)
}

/// Reads text; anything else is absent.
pub(crate) fn text(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_said_in_the_words_of_the_other_side() {
        assert_eq!(error_text(&HttpResponse::json(400, r#"{"Error":"no"}"#)), "no");
        let invalid = r#"{"code":"InvalidContent","message":"bad"}"#;
        assert_eq!(error_text(&HttpResponse::json(400, invalid)), "bad");
        assert!(error_text(&HttpResponse::json(502, "<html>")).contains("502"));
    }

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        for (text, number) in [
            ("7", 7),
            ("1.5e3", 1_500),
            ("2.9", 2),
            ("-1", 0),
            ("-0.5", 0),
            ("\" 8 \"", 8),
            ("\"x\"", 0),
            ("true", 0),
            ("[1]", 0),
            ("1e300", u64::MAX),
        ] {
            let raw: &RawValue = serde_json::from_str(text).unwrap();
            assert_eq!(whole(Some(raw)), number, "{text}");
        }
        assert_eq!(whole(None), 0);
    }

    #[test]
    fn what_is_no_text_counts_as_empty_and_spoils_nothing() {
        for other in ["null", "true", "7", "-7", "1.5", "[[1],{}]", r#"{"a":[1]}"#] {
            let text = format!(r#"{{"EventType":{other},"Why":"x"}}"#);
            let frame: HubFrame<'_> = serde_json::from_str(&text).unwrap();
            assert!(frame.event_type.is_empty() && frame.why.as_str() == "x", "{other}");
        }
    }
}
