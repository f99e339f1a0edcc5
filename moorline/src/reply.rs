//! What handlers give and calls return: a reply, or why there is none.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_core::Stream;
use moorline_core::Raw;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::stream::{ByteSender, base64, channel};
use crate::{Error, ErrorCode, numbers};

/// The parts of a streamed reply.
pub(crate) type Parts = Pin<Box<dyn Stream<Item = Result<Bytes, Failure>> + Send>>;

/// A reply: what a handler gives, and what a call returns. It always has data, if only `null`; what
/// else it has depends on the dialect.
///
/// | | data | log | status, headers | body | stream |
/// |---|---|---|---|---|---|
/// | work item of a beacon | `Outputs` | yes | | | |
/// | command of a VOLT control plane or a hub | yes | | yes | if a buffer is asked for | if a stream is asked for, daemons only |
/// | administrative call | the whole answer | | | | |
#[derive(Default)]
pub struct Reply {
    status: Option<u16>,
    headers: BTreeMap<String, String>,
    data: Option<Result<Raw, Failure>>,
    body: Option<Bytes>,
    log: Vec<String>,
    parts: Option<Parts>,
    whole: Option<Raw>,
}

impl Reply {
    /// Begins a reply with nothing in it and status 200.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the data: any type of serde. `null` sends none; byte strings need
    /// [`with_raw`](Self::with_raw).
    #[must_use]
    pub fn with_data(mut self, data: &(impl Serialize + ?Sized)) -> Self {
        self.data = Some(write(data));
        self
    }

    /// Sets the data as they are, blobs included.
    #[must_use]
    pub fn with_raw(mut self, data: Raw) -> Self {
        self.data = Some(Ok(data));
        self
    }

    /// Sets the body, the answer to a command that asks for a buffer.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets the stream, the answer to a command that asks for one. It is read no faster than its parts
    /// leave, and dropped when nobody wants it any more. An error ends it with its message.
    #[must_use]
    pub fn with_stream(
        mut self,
        parts: impl Stream<Item = Result<Bytes, Failure>> + Send + 'static,
    ) -> Self {
        self.parts = Some(Box::pin(parts));
        self
    }

    /// Makes a streamed reply and the sender of its parts.
    #[must_use]
    pub fn channel() -> (ByteSender, Self) {
        let (sender, parts) = channel();
        (sender, Self::new().with_stream(parts))
    }

    /// Sets the status; 200 unless set. Whatever it is, the command counts as done: see
    /// [`Failure::rejected`].
    #[must_use]
    pub const fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds a header field.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Returns the status that the handler gave; 200 if it gave none.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status.unwrap_or(200)
    }

    /// Returns the header fields.
    #[must_use]
    pub const fn headers(&self) -> &BTreeMap<String, String> {
        &self.headers
    }

    /// Reads the data; `null` if there are none.
    ///
    /// # Errors
    /// `ARGUMENT_INVALID` if they are of another shape than `T`.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let read = match &self.data {
            Some(Ok(data)) if !data.is_absent() => data.read(),
            Some(Ok(_)) | None => Raw::null().read(),
            Some(Err(failure)) => {
                return Err(Error::new(ErrorCode::ArgumentInvalid, failure.message()));
            }
        };
        read.map_err(|e| Error::caused(ErrorCode::ArgumentInvalid, "the data of the reply", e))
    }

    /// Returns the bytes of a buffer; `None` if there are none.
    #[must_use]
    pub const fn body(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }

    /// Returns the lines that the handler logged.
    #[must_use]
    pub fn log(&self) -> &[String] {
        &self.log
    }

    /// Returns the whole answer of a call as it came, with its byte strings; absent in a reply that a
    /// handler makes.
    #[must_use]
    pub fn raw(&self) -> Raw {
        self.whole.clone().unwrap_or_else(Raw::absent)
    }

    /// Reads an answer that is data and nothing else.
    pub(crate) fn read(whole: Raw) -> Self {
        Self { data: Some(Ok(whole.clone())), whole: Some(whole), ..Self::default() }
    }

    /// Reads the answer to a work item, or to a command of a daemon that a hub was asked for.
    pub(crate) fn read_parts(whole: Raw) -> Self {
        let parts: Received = whole.read().unwrap_or_default();
        let data = parts.outputs.or(parts.data);
        Self {
            status: parts.status,
            headers: parts.headers,
            data: data.map(|data| Ok(data.with_blobs(whole.blobs().to_vec()))),
            body: parts.body.and_then(|body| STANDARD.decode(body).ok()).map(Bytes::from),
            log: parts.log,
            parts: None,
            whole: Some(whole),
        }
    }

    pub(crate) const fn is_stream(&self) -> bool {
        self.parts.is_some()
    }

    /// Takes the stream, and writes what precedes it.
    pub(crate) fn take_stream(&mut self) -> Result<(Raw, Parts), Failure> {
        #[derive(Serialize)]
        struct Opening<'a> {
            open: Head<'a>,
        }
        let opening = write(&Opening { open: self.head() })?;
        let parts = self.parts.take().ok_or_else(|| Failure::new("the reply has no stream"))?;
        Ok((opening, parts))
    }

    /// Writes the whole reply as an envelope.
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
        let body = self.body.as_deref().map(base64);
        let blobs = data.as_ref().map(|data| data.blobs().to_vec()).unwrap_or_default();
        let data = data.map(|data| data.with_blobs(Vec::new()));
        let envelope = write(&Envelope { head: self.head(), data: data.as_ref(), body })?;
        Ok(envelope.with_blobs(blobs))
    }

    /// Returns the data of a reply that can have nothing else.
    pub(crate) fn only_data(self) -> Result<Raw, Failure> {
        if self.status.is_some() || self.body.is_some() || self.is_stream() {
            return Err(Failure::new("a reply to a work item holds data and nothing else"));
        }
        self.data.unwrap_or_else(|| Ok(Raw::null()))
    }

    fn head(&self) -> Head<'_> {
        let headers = Some(&self.headers).filter(|headers| !headers.is_empty());
        Head { status: self.status, headers }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("status", &self.status()).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Head<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<&'a BTreeMap<String, String>>,
}

/// An answer with parts: of a work item, or of a command.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Received {
    outputs: Option<Raw>,
    log: Vec<String>,
    status: Option<u16>,
    headers: BTreeMap<String, String>,
    data: Option<Raw>,
    body: Option<String>,
}

/// Writes a value of the application. What JSON has no form for fails as in every language.
pub(crate) fn write(value: &(impl Serialize + ?Sized)) -> Result<Raw, Failure> {
    let code = ErrorCode::ArgumentInvalid.name();
    numbers::json(value).map_err(|e| Failure::caused(&format!("{code}: not JSON"), e))
}

/// What a handler may return: data of any type of serde, or a [`Reply`].
pub trait IntoReply {
    /// Makes the reply.
    fn into_reply(self) -> Reply;
}

impl<T: Serialize> IntoReply for T {
    fn into_reply(self) -> Reply {
        Reply::new().with_data(&self)
    }
}

impl IntoReply for Reply {
    fn into_reply(self) -> Reply {
        self
    }
}

/// Why a handler has no reply. Every error of the standard kind converts into it, so `?` works in
/// handlers; it stays its [`source`](Self::source).
///
/// A caller of a beacon sees the message. VOLT control planes and daemons see that of a
/// [`rejected`](Self::rejected) command alone; any other they learn to have happened, and the
/// application is told by [`Event::Notice`](crate::Event::Notice).
#[derive(Clone)]
pub struct Failure {
    message: String,
    status: Option<u16>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Failure {
    /// Makes a failure with a message of your own.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), status: None, source: None }
    }

    /// Makes an answer that says no, with a status such as 409 and a message for the other side.
    #[must_use]
    pub fn rejected(status: u16, message: impl Into<String>) -> Self {
        Self { status: Some(status), ..Self::new(message) }
    }

    /// Makes a failure of what failed and why.
    pub(crate) fn caused(what: &str, source: impl StdError + Send + Sync + 'static) -> Self {
        let message = format!("{what}: {source}");
        Self { message, status: None, source: Some(Arc::new(source)) }
    }

    /// Returns the message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the status of a rejected command.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        self.status
    }

    /// Returns the error that the failure was made of.
    #[must_use]
    pub fn source(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.source.as_deref()
    }

    pub(crate) fn into_source(self) -> Option<Arc<dyn StdError + Send + Sync>> {
        self.source
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { message: error.to_string(), status: None, source: Some(Arc::new(error)) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{status} {}", self.message),
            None => f.write_str(&self.message),
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
            .with_raw(blob.with_blobs(vec![Bytes::from_static(b"x")]))
            .with_body(&b"\x00\xff"[..])
            .with_status(201)
            .with_header("a", "b");
        let envelope = reply.envelope().unwrap();
        assert_eq!(
            envelope.as_str(),
            r#"{"status":201,"headers":{"a":"b"},"data":{"_placeholder":true,"num":0},"body":"AP8="}"#
        );
        assert_eq!(envelope.blobs(), [Bytes::from_static(b"x")]);
        let (mut stream, _sender) = {
            let (sender, reply) = Reply::channel();
            (reply.with_status(206), sender)
        };
        assert_eq!(stream.take_stream().unwrap().0.as_str(), r#"{"open":{"status":206}}"#);
    }

    #[test]
    fn an_answer_is_read_whatever_its_parts_are() {
        let read = |text: &str| Reply::read_parts(Raw::parse(text.to_owned()).unwrap());
        let item = read(r#"{"WorkItemHash":"h","Outputs":{"Text":"hi"},"Log":["heard"]}"#);
        assert_eq!(item.data::<serde_json::Value>().unwrap()["Text"], "hi");
        assert_eq!((item.log(), item.status()), (&["heard".to_owned()][..], 200));
        let command = read(r#"{"Status":201,"Headers":{"a":"b"},"Body":"AP8="}"#);
        assert_eq!((command.status(), command.headers()["a"].as_str()), (201, "b"));
        assert_eq!(command.body().unwrap().as_ref(), b"\x00\xff");
        assert_eq!(command.data::<Option<u8>>().unwrap(), None);
        assert_eq!(command.data::<u8>().unwrap_err().code(), ErrorCode::ArgumentInvalid);
    }

    #[test]
    fn a_work_item_is_answered_with_data_alone() {
        assert_eq!(Reply::new().only_data().unwrap().as_str(), "null");
        assert_eq!(7.into_reply().only_data().unwrap().as_str(), "7");
        assert!(Reply::new().with_body("x").only_data().is_err());
        assert!(Reply::channel().1.only_data().is_err());
    }
}
