//! The bytes that a streaming dispatch sends apart from the outputs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::wire::OUTPUT_DATA;
use crate::api::options::Fields;
use crate::base::json::Raw;
use crate::base::json::object::Object;

/// Decodes base64 inside a JSON string; anything else is absent.
pub(super) fn decode(raw: &RawValue) -> Option<Vec<u8>> {
    let text: String = serde_json::from_str(raw.get()).ok()?;
    STANDARD.decode(text).ok()
}

/// Takes the bytes out of the outputs, leaving the rest as it is.
pub(super) fn split(outputs: &Raw) -> (Option<Vec<u8>>, String) {
    let whole = || outputs.as_str().to_owned();
    if !outputs.as_str().contains(OUTPUT_DATA) {
        return (None, whole());
    }
    let Ok(fields) = outputs.read::<Fields<'_>>() else { return (None, whole()) };
    let mut bytes = None;
    let mut rest = Object::new();
    for (key, value) in fields.0 {
        if key == OUTPUT_DATA {
            bytes = decode(value);
        } else {
            rest = rest.foreign(&key, value.get());
        }
    }
    if bytes.is_some() { (bytes, rest.end()) } else { (None, whole()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_bytes_leave_the_outputs() {
        let outputs = Raw::parse(r#"{"Result":"ok","OutputData":"aGk=","n":1.0}"#).unwrap();
        let (bytes, rest) = split(&outputs);
        assert_eq!(bytes.as_deref(), Some(&b"hi"[..]));
        assert_eq!(rest, r#"{"Result":"ok","n":1.0}"#);
        let plain = Raw::parse(r#"{"OutputData":7}"#).unwrap();
        assert_eq!(split(&plain), (None, r#"{"OutputData":7}"#.to_owned()));
    }
}
