//! What a handler of a command gives back, and the answer that it becomes: one convention for the
//! daemon's handlers and the hub's.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::wire::{self, Reply};
use crate::api::options::ResponseForm;
use crate::base::json::Raw;

/// Reads what the caller wants back. Peer: what is missing or unknown counts as JSON.
pub(super) fn lenient_form(word: Option<&str>) -> ResponseForm {
    let form = word.and_then(wire::lenient_text).and_then(|word| ResponseForm::find(&word));
    form.unwrap_or(ResponseForm::Json)
}

/// What a handler's result carries beside its data.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Envelope<'a> {
    status: Option<u16>,
    #[serde(borrow)]
    headers: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    body: Option<Cow<'a, str>>,
    pub(super) reject: Option<Reject>,
}

/// A key with `null` is there; one left out is not.
pub(super) fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// An answer that says no.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reject {
    pub(super) status: u16,
    pub(super) message: String,
}

impl<'a> Envelope<'a> {
    /// Reads the value of an outcome.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(value: &'a Raw) -> Result<Self, String> {
        match value.as_str() {
            "null" | "" => Ok(Self::default()),
            text => serde_json::from_str(text).map_err(|e| e.to_string()),
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.status.unwrap_or(200)
    }

    /// Returns the headers as JSON; empty for none.
    pub(super) fn headers(&self) -> &str {
        self.headers.map(RawValue::get).filter(|json| *json != "null").unwrap_or_default()
    }

    /// Chooses what fits the form.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn reply(&self, form: ResponseForm) -> Result<Reply<'_>, String> {
        match &self.body {
            Some(body) if form == ResponseForm::Buffer => {
                if !is_base64(body) {
                    return Err(String::from("its body is not base64"));
                }
                Ok(Reply::Body(body))
            }
            Some(_) | None => Ok(Reply::Data(self.data.map_or("", RawValue::get))),
        }
    }
}

/// What is answered when a handler came to nothing. Peer: what it threw is not disclosed.
pub(super) fn unhandled(name: &str) -> String {
    format!("Handler for command \"{name}\" threw an unhandled error")
}

/// Tells whether text is safe to stand in a message as base64.
pub(super) fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    text.len() - body.len() <= 2
        && body.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}
