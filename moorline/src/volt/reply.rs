//! What handlers give: data, an answer with more than data, or why there is none.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use futures_core::Stream;
use moorline_core::Raw;
use serde::Serialize;
use serde_json::{Map, Value};

use super::stream::{ByteSender, channel};

/// The parts of a streamed answer.
pub(super) type Parts = Pin<Box<dyn Stream<Item = Result<Bytes, Failure>> + Send>>;

/// An answer with more than data. Which part is sent depends on what the control plane asked for: a
/// buffer is the body, a stream the stream, anything else the data.
#[derive(Default)]
pub struct Reply {
    status: Option<u16>,
    headers: Map<String, Value>,
    data: Option<Result<Raw, Failure>>,
    body: Option<Bytes>,
    pub(super) parts: Option<Parts>,
}

impl Reply {
    /// Begins an answer with nothing in it and status 200.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the data: any type of serde. `null` sends none; byte strings need [`raw`](Self::raw).
    #[must_use]
    pub fn data(mut self, data: &(impl Serialize + ?Sized)) -> Self {
        let written = Raw::from_value(data);
        self.data = Some(written.map_err(|e| Failure::new(format!("the data are not JSON: {e}"))));
        self
    }

    /// Sets the data as they are, blobs included.
    #[must_use]
    pub fn raw(mut self, data: Raw) -> Self {
        self.data = Some(Ok(data));
        self
    }

    /// Sets the body, the answer to a command that asks for a buffer.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets the stream, the answer to a command that asks for one. It is read no faster than its parts
    /// leave, and dropped when nobody wants it any more. An error ends it with its message.
    #[must_use]
    pub fn stream(
        mut self,
        parts: impl Stream<Item = Result<Bytes, Failure>> + Send + 'static,
    ) -> Self {
        self.parts = Some(Box::pin(parts));
        self
    }

    /// Makes a streamed answer and the sender of its parts.
    #[must_use]
    pub fn channel() -> (ByteSender, Self) {
        let (sender, parts) = channel();
        (sender, Self::new().stream(parts))
    }

    /// Sets the status; 200 unless set. Whatever it is, the command counts as done: see [`Rejection`].
    #[must_use]
    pub const fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), Value::from(value));
        self
    }

    /// Writes what precedes a stream.
    pub(super) fn opening(&self) -> Result<Raw, Failure> {
        #[derive(Serialize)]
        struct Opening<'a> {
            open: Head<'a>,
        }
        write(&Opening { open: self.head() })
    }

    /// Writes the whole answer.
    pub(crate) fn envelope(mut self) -> Result<Raw, Failure> {
        #[derive(Serialize)]
        struct Envelope<'a> {
            #[serde(flatten)]
            head: Head<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<&'a Raw>,
            #[serde(skip_serializing_if = "Option::is_none")]
            body: Option<String>,
        }
        let data = self.data.take().transpose()?;
        let data = data.filter(|data| !data.is_absent() && data.as_str() != "null");
        let body = self.body.as_deref().map(super::stream::base64);
        let envelope = write(&Envelope { head: self.head(), data: data.as_ref(), body })?;
        let blobs = data.map(|data| data.blobs().to_vec()).unwrap_or_default();
        Ok(envelope.with_blobs(blobs))
    }

    fn head(&self) -> Head<'_> {
        let headers = Some(&self.headers).filter(|headers| !headers.is_empty());
        Head { status: self.status, headers }
    }
}

#[derive(Serialize)]
struct Head<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<&'a Map<String, Value>>,
}

fn write(value: &impl Serialize) -> Result<Raw, Failure> {
    Raw::from_value(value).map_err(|e| Failure::new(format!("the answer is not JSON: {e}")))
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).finish_non_exhaustive()
    }
}

/// What a handler may return: data of any type of serde, or a [`Reply`].
pub trait IntoReply {
    /// Makes the answer.
    fn into_reply(self) -> Reply;
}

impl<T: Serialize> IntoReply for T {
    fn into_reply(self) -> Reply {
        Reply::new().data(&self)
    }
}

impl IntoReply for Reply {
    fn into_reply(self) -> Reply {
        self
    }
}

/// An answer that says no, with a status and a message for the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The status, such as 409.
    pub status: u16,
    /// The message.
    pub message: String,
}

impl Rejection {
    /// Makes a rejection.
    #[must_use]
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

/// Why a handler has no answer.
///
/// A [`Rejection`] is the control plane's to see. Anything else, such as an error that `?` converts, is
/// told to [`events`](super::DaemonClient::events), and the control plane learns only that it happened.
pub struct Failure(Why);

enum Why {
    Rejected(Rejection),
    Failed(String),
}

impl Failure {
    /// Makes a failure with a message of your own.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self(Why::Failed(message.into()))
    }

    /// Splits it.
    pub(crate) fn into_parts(self) -> Result<Rejection, String> {
        match self.0 {
            Why::Rejected(rejection) => Ok(rejection),
            Why::Failed(message) => Err(message),
        }
    }
}

impl<E: StdError> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self(Why::Rejected(rejection))
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Why::Rejected(Rejection { status, message }) => write!(f, "{status} {message}"),
            Why::Failed(message) => f.write_str(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_holds_what_was_given_and_nothing_else() {
        assert_eq!(().into_reply().envelope().unwrap().as_str(), "{}");
        assert_eq!(7.into_reply().envelope().unwrap().as_str(), r#"{"data":7}"#);
        let blob = Raw::parse(r#"{"_placeholder":true,"num":0}"#).unwrap();
        let reply = Reply::new()
            .raw(blob.with_blobs(vec![Bytes::from_static(b"x")]))
            .body(&b"\x00\xff"[..])
            .status(201)
            .header("a", "b");
        let envelope = reply.envelope().unwrap();
        assert_eq!(
            envelope.as_str(),
            r#"{"status":201,"headers":{"a":"b"},"data":{"_placeholder":true,"num":0},"body":"AP8="}"#
        );
        assert_eq!(envelope.blobs(), [Bytes::from_static(b"x")]);
        assert_eq!(
            Reply::new().status(206).opening().unwrap().as_str(),
            r#"{"open":{"status":206}}"#
        );
    }
}
