//! The recorded application's handlers.

use bytes::Bytes;
use moorline_core::Raw;

/// Names of all handlers.
pub(crate) const NAMES: [&str; 16] = [
    "h.data",
    "h.async",
    "h.status",
    "h.status400",
    "h.empty",
    "h.throw",
    "h.reject",
    "h.buffer",
    "h.emptybuffer",
    "h.stream",
    "h.streamerr",
    "h.function",
    "h.void",
    "h.null",
    "h.bin",
    "h.wait",
];

/// What a handler does. Envelopes are text: their keys have an order.
pub(crate) enum Doing {
    Return {
        envelope: String,
        blobs: Vec<Bytes>,
    },
    Throw(&'static str),
    Stream {
        open: &'static str,
        chunks: Vec<&'static str>,
        failure: Option<&'static str>,
    },
    /// Returns its payload's `ms` as data after so many milliseconds.
    Wait(u64),
}

fn give(envelope: &str) -> Doing {
    Doing::Return { envelope: envelope.to_owned(), blobs: Vec::new() }
}

/// Runs a handler.
pub(crate) fn run(name: &str, request: &str, payload: &Raw) -> Doing {
    let given = if payload.is_absent() { "null" } else { payload.as_str() };
    match name {
        "h.data" => give(&format!(
            r#"{{"data":{{"echo":{given},"ctx":{{"command":"h.data","requestId":"{request}"}}}}}}"#
        )),
        "h.async" if request == "req-20" => give(r#"{"data":"replaced"}"#),
        "h.async" => give(r#"{"data":"later"}"#),
        "h.status" => give(r#"{"status":202,"headers":{"x-trace":"1"},"data":{"removed":true}}"#),
        "h.status400" => {
            give(r#"{"status":400,"data":{"status":"error","message":"bad payload"}}"#)
        }
        "h.empty" => give("{}"),
        "h.void" | "h.null" => give("null"),
        "h.function" => give(r#"{"data":{"data":1}}"#),
        "h.throw" => Doing::Throw("secret detail"),
        "h.reject" => Doing::Throw("plain string"),
        "h.buffer" => {
            give(r#"{"headers":{"content-type":"application/octet-stream"},"body":"AAEC/f7/"}"#)
        }
        "h.emptybuffer" => give(r#"{"body":""}"#),
        "h.stream" => Doing::Stream {
            open: r#"{"status":206,"headers":{"content-type":"text/plain"}}"#,
            chunks: vec!["aGVsbG8g", "d29ybGQ="],
            failure: None,
        },
        "h.streamerr" => {
            Doing::Stream { open: "{}", chunks: vec!["AQID"], failure: Some("disk gone") }
        }
        "h.bin" => Doing::Return {
            envelope: format!(
                r#"{{"data":{{"len":{},"isBuffer":true,"back":{{"_placeholder":true,"num":0}}}}}}"#,
                payload.blobs()[0].len()
            ),
            blobs: payload.blobs().to_vec(),
        },
        "h.wait" => {
            let given: serde_json::Value = serde_json::from_str(given).unwrap_or_default();
            Doing::Wait(given["ms"].as_u64().unwrap_or_default())
        }
        other => panic!("the handler {other:?}"),
    }
}
