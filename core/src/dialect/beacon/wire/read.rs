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
    pub(crate) dispatched_at: Text<'a>,
    pub(crate) queue_wait_ms: Option<&'a RawValue>,
}

/// The answer to a poll, to a heartbeat or to progress: each may ask to stop.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct HubAnswer<'a> {
    #[serde(borrow)]
    pub(crate) work_item: Option<WireItem<'a>>,
    pub(crate) cancels: Option<Vec<WireCancel<'a>>>,
    pub(crate) cancel_requested: Option<&'a RawValue>,
}

/// One entry of `Cancels`. Source: `ultravisor` 1.3.27.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct WireCancel<'a> {
    #[serde(borrow)]
    pub(crate) work_item_hash: Text<'a>,
}

/// Returns the settings of an item without what hubs of others add to them: their metadata, which stands
/// beside the settings too, as the last member.
pub(crate) fn plain_settings(settings: &str) -> Option<String> {
    const NAME: &str = "\"QueueMetadata\":";
    let (before, value) = settings.trim_end().strip_suffix('}')?.rsplit_once(NAME)?;
    let is_last =
        serde_json::from_str::<&RawValue>(value).is_ok_and(|raw| raw.get().starts_with('{'));
    let before = before.trim_end();
    let before = before.strip_suffix(',').or_else(|| before.ends_with('{').then_some(before))?;
    is_last.then(|| format!("{before}}}"))
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

/// Returns for how long an answer asks to stay away, in milliseconds: a hub of ours says it to the
/// millisecond and to each another time, others in whole seconds and to all the same.
pub(crate) fn stay_away(response: &HttpResponse) -> Option<(u64, bool)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Wait {
        retry_after_ms: u64,
    }
    if response.status < 400 {
        return None;
    }
    if let Ok(Wait { retry_after_ms }) = serde_json::from_slice(response.bytes()) {
        return Some((retry_after_ms, true));
    }
    Some((response.retry_after()?, false))
}

/// What the reason of a close ends with that says when to come back.
const RETRY_IN: &str = "retry in ";

/// Writes the reason of a close that says when to come back.
pub(crate) fn away_for(reason: &str, millis: u64) -> String {
    format!("{reason}; {RETRY_IN}{millis} ms")
}

/// Reads when to come back from the reason of a close.
pub(crate) fn away_until(reason: &str) -> Option<u64> {
    reason.rsplit_once(RETRY_IN)?.1.strip_suffix(" ms")?.parse().ok()
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
    fn only_the_hubs_metadata_leaves_the_settings() {
        for (settings, plain) in [
            (r#"{"a":1.0,"QueueMetadata":{"b":[1]}}"#, Some(r#"{"a":1.0}"#)),
            (r#"{"QueueMetadata":{}}"#, Some("{}")),
            (r#"{ "a":"}" , "QueueMetadata": {} } "#, Some(r#"{ "a":"}" }"#)),
            (r#"{"QueueMetadata":7,"QueueMetadata":{}}"#, Some(r#"{"QueueMetadata":7}"#)),
            (r#"{"QueueMetadata":{},"a":1}"#, None),
            (r#"{"a":{"QueueMetadata":{}}}"#, None),
            (r#"{"a":[{"QueueMetadata":{}}]}"#, None),
            (r#"{"a":"\"QueueMetadata\":{}"}"#, None),
            (r#"{"QueueMetadata":"x"}"#, None),
            ("{}", None),
        ] {
            assert_eq!(plain_settings(settings).as_deref(), plain, "{settings}");
        }
    }

    #[test]
    fn answers_and_closes_tell_when_to_come_back() {
        let answer = |status, text: &str, after: &str| {
            let mut response = HttpResponse::json(status, text.to_owned());
            response.headers.push("retry-after", after);
            stay_away(&response)
        };
        assert_eq!(answer(503, r#"{"RetryAfterMs":1234}"#, "2"), Some((1_234, true)));
        assert_eq!(answer(503, "<html>", "2"), Some((2_000, false)));
        assert_eq!(answer(429, "{}", "soon"), None);
        assert_eq!(answer(200, r#"{"RetryAfterMs":1}"#, "2"), None);
        assert_eq!(away_until(&away_for("the hub is going away", 77)), Some(77));
        for other in ["", "retry in ms", "retry in -1 ms", "retry in 5 s", "the hub is going away"]
        {
            assert_eq!(away_until(other), None, "{other}");
        }
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
