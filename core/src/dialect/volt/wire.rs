//! VOLT messages as text: what is read of those that come, and how ours are written.
//!
//! Payloads are spans, never trees. The key order of what we write is that of the original, since
//! recorded transcripts compare text; what we read may have any order, and of a key that stands twice
//! the last counts, as with the peers' parser.

mod bytes;
mod read;
mod write;

pub(super) use crate::base::json::lenient_text;
pub(super) use bytes::{Generation, PLACEHOLDER, attached, read_chunk};
pub(super) use read::{Message, channel, message_of};
pub(super) use write::{
    Reply, beat_message, beat_payload, command, command_len, credentials, enrollment, ok_reply,
    refusal, register, stream_end, stream_part,
};
