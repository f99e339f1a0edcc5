//! What a client says first, held before there is an HTTP connection: the buffers of the HTTP library cost
//! more than a stranger is worth.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::ready;

use bytes::Bytes;
use http::header;
use httparse::{EMPTY_HEADER, Request, Status};
use moorline_core::HttpLimits;
use tokio::io::{AsyncRead, ReadBuf};

use crate::io::Io;

/// The most that one read takes, in bytes.
const READ: usize = 4_096;
/// The most fields that are looked at; about more of them the HTTP library has its word.
const MAX_FIELDS: usize = 128;

/// Waits for the first request and returns what has come.
///
/// That is less than all of it where the HTTP library has to go on: with a body that is long, too long, in
/// chunks or to be asked for, and with a head that is wrong or too long.
///
/// # Errors
/// When the client is gone.
pub(super) async fn first(io: &mut Io, limits: &HttpLimits) -> io::Result<Bytes> {
    let (mut said, mut wanted) = (Vec::new(), None);
    loop {
        let before = said.len();
        poll_fn(|cx| {
            let mut space = [MaybeUninit::uninit(); READ];
            let mut read = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut *io).poll_read(cx, &mut read))?;
            said.reserve_exact(read.filled().len());
            said.extend_from_slice(read.filled());
            io::Result::Ok(()).into()
        })
        .await?;
        let new = said.get(before..).unwrap_or_default();
        if new.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // A head ends with a line; what is not HTTP shows at its beginning.
        if wanted.is_none() && (before == 0 || new.contains(&b'\n')) {
            wanted = needed(&said, limits);
        }
        if said.len() > limits.max_head || wanted.is_some_and(|wanted| said.len() >= wanted) {
            return Ok(said.into());
        }
    }
}

/// Returns how many bytes to wait for: 0 if the HTTP library is to go on, `None` as long as the head is not
/// complete.
fn needed(said: &[u8], limits: &HttpLimits) -> Option<usize> {
    let mut fields = [EMPTY_HEADER; MAX_FIELDS];
    let mut request = Request::new(&mut fields);
    let head = match request.parse(said) {
        Ok(Status::Complete(head)) => head,
        Ok(Status::Partial) => return None,
        Err(_) => return Some(0),
    };
    let mut whole = head;
    for field in &*request.headers {
        let is = |name: header::HeaderName| field.name.eq_ignore_ascii_case(name.as_str());
        if is(header::EXPECT) || is(header::TRANSFER_ENCODING) {
            return Some(0);
        }
        if is(header::CONTENT_LENGTH) {
            let length = std::str::from_utf8(field.value).ok().and_then(|it| it.parse().ok());
            let length: usize = length.unwrap_or_default();
            if length > limits.max_body {
                return Some(0);
            }
            whole = head.saturating_add(length);
        }
    }
    Some(if whole > limits.max_head { 0 } else { whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HttpLimits = HttpLimits {
        max_head: 200,
        max_headers: 64,
        max_body: 100,
        request_timeout_ms: 10_000,
        max_connections: 1,
        max_unadmitted_per_address: 1,
        max_held: 0,
    };

    #[test]
    fn a_request_is_waited_for_unless_the_library_has_to_go_on() {
        let of = |said: &str| needed(said.as_bytes(), &LIMITS);
        for partial in ["", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nhost: h\r\n"] {
            assert_eq!(of(partial), None, "{partial:?}");
        }
        let get = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
        assert_eq!(of(get), Some(get.len()));
        let post = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(
            (of(post), of(&format!("{post}abc"))),
            (Some(post.len() + 5), Some(post.len() + 5))
        );
        for other in [
            "\x16\x03\x01\x02",
            "NONSENSE\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 101\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 18446744073709551615\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n",
        ] {
            assert_eq!(of(other), Some(0), "{other:?}");
        }
    }
}
