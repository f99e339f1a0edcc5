//! Packets as frames, with Engine.IO's digit for a message.

use std::fmt::Write as _;

use bytes::Bytes;

use super::{MAX_ATTACHMENTS, Malformed, ROOT};
use crate::base::json::{Raw, push_text};
use crate::net::Frame;

/// The bytes around name and argument of an event.
const AROUND: usize = 40;

/// Asks for a namespace, or says that it was joined; `data` may be absent.
#[must_use]
pub fn connect(namespace: &str, data: &Raw) -> Frame {
    plain("40", namespace, data.as_str())
}

/// Leaves a namespace.
#[must_use]
pub fn disconnect(namespace: &str) -> Frame {
    plain("41", namespace, "")
}

/// Refuses a namespace; `json` is an object with the member `message`.
#[must_use]
pub fn connect_error(namespace: &str, json: &str) -> Frame {
    plain("44", namespace, json)
}

fn plain(digits: &str, namespace: &str, json: &str) -> Frame {
    let mut text = String::with_capacity(digits.len() + namespace.len() + 1 + json.len());
    text.push_str(digits);
    push_namespace(&mut text, namespace);
    text.push_str(json);
    Frame::Text(text.into())
}

/// Appends an event with one argument, or none if it is absent, and the argument's attachments.
///
/// # Errors
/// [`Malformed::TooManyAttachments`]; then nothing is appended.
pub fn event(
    namespace: &str,
    id: Option<u64>,
    name: &str,
    argument: &Raw,
    out: &mut Vec<Frame>,
) -> Result<(), Malformed> {
    let text = argument.as_str();
    if argument.is_absent() {
        return packet(['2', '5'], namespace, id, name.len(), &[], out, |json| {
            json.push('[');
            push_text(json, name);
            json.push(']');
        });
    }
    event_with(namespace, id, name, text.len(), argument.blobs(), out, |json| json.push_str(text))
}

/// Appends an event whose argument `write` appends as JSON: about `size` bytes, in which
/// placeholders refer to `blobs`.
///
/// # Errors
/// [`Malformed::TooManyAttachments`]; then nothing is appended.
pub fn event_with(
    namespace: &str,
    id: Option<u64>,
    name: &str,
    size: usize,
    blobs: &[Bytes],
    out: &mut Vec<Frame>,
    write: impl FnOnce(&mut String),
) -> Result<(), Malformed> {
    packet(['2', '5'], namespace, id, name.len() + size, blobs, out, |json| {
        json.push('[');
        push_text(json, name);
        json.push(',');
        write(json);
        json.push(']');
    })
}

/// Appends an acknowledgement; `arguments` is an array and may hold attachments.
///
/// # Errors
/// [`Malformed::TooManyAttachments`]; then nothing is appended.
pub fn ack(
    namespace: &str,
    id: u64,
    arguments: &Raw,
    out: &mut Vec<Frame>,
) -> Result<(), Malformed> {
    let text = arguments.as_str();
    packet(['3', '6'], namespace, Some(id), text.len(), arguments.blobs(), out, |json| {
        json.push_str(if arguments.is_absent() { "[]" } else { text });
    })
}

fn packet(
    [plain, binary]: [char; 2],
    namespace: &str,
    id: Option<u64>,
    size: usize,
    blobs: &[Bytes],
    out: &mut Vec<Frame>,
    write: impl FnOnce(&mut String),
) -> Result<(), Malformed> {
    if blobs.len() > MAX_ATTACHMENTS {
        return Err(Malformed::TooManyAttachments);
    }
    let mut text = String::with_capacity(size + namespace.len() + AROUND);
    text.push('4');
    if blobs.is_empty() {
        text.push(plain);
    } else {
        text.push(binary);
        let _ = write!(text, "{}-", blobs.len());
    }
    push_namespace(&mut text, namespace);
    if let Some(id) = id {
        let _ = write!(text, "{id}");
    }
    write(&mut text);
    out.push(Frame::Text(text.into()));
    out.extend(blobs.iter().cloned().map(Frame::Binary));
    Ok(())
}

fn push_namespace(text: &mut String, namespace: &str) {
    if namespace != ROOT && !namespace.is_empty() {
        text.push_str(namespace);
        text.push(',');
    }
}
