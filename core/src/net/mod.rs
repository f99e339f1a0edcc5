//! What transports carry and where they lead: frames, HTTP, targets, the codecs of Engine.IO and
//! Socket.IO.

#[doc(hidden)]
pub mod engineio;
pub(crate) mod frame;
pub(crate) mod http;
#[doc(hidden)]
pub mod socketio;
pub(crate) mod target;

pub use frame::Frame;
pub use http::{HeaderValue, Headers, HttpBody, HttpRequest, HttpResponse, Method};
