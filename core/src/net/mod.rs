//! What transports carry and where they lead: frames, HTTP, cookies, origins, targets, frames in
//! streams of bytes, the codecs of Engine.IO and Socket.IO.

pub(crate) mod binary_frames;
pub(crate) mod cookies;
#[doc(hidden)]
pub mod engineio;
pub(crate) mod frame;
pub(crate) mod http;
pub(crate) mod origin;
pub(crate) mod proxies;
pub(crate) mod query;
#[doc(hidden)]
pub mod socketio;
pub(crate) mod split;
pub(crate) mod target;

pub use frame::Frame;
pub use http::{HeaderValue, Headers, HttpBody, HttpRequest, HttpResponse, Method};
pub use proxies::Networks;
pub use split::{Framing, Splitter};
