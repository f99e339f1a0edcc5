//! The byte stream under a connection: TCP, TLS over it, or a Unix socket; counted.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_rustls::TlsStream;

use crate::counters::Counting;

/// A connected byte stream.
pub(crate) struct Io {
    stream: Stream,
    counting: Arc<Counting>,
    held: Option<Arc<dyn Send + Sync>>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Io {
    /// Wraps a TCP stream.
    pub(crate) fn plain(stream: TcpStream, counting: Arc<Counting>) -> Self {
        Self { stream: Stream::Plain(stream), counting, held: None }
    }

    /// Wraps a TLS stream.
    pub(crate) fn tls(stream: impl Into<TlsStream<TcpStream>>, counting: Arc<Counting>) -> Self {
        Self { stream: Stream::Tls(Box::new(stream.into())), counting, held: None }
    }

    /// Wraps a Unix socket.
    #[cfg(unix)]
    pub(crate) fn unix(stream: UnixStream, counting: Arc<Counting>) -> Self {
        Self { stream: Stream::Unix(stream), counting, held: None }
    }

    /// Has what was read acknowledged at once, where the system can.
    ///
    /// A peer without `TCP_NODELAY` sends the second of two small writes only when the first is
    /// acknowledged, which the system delays by 40 ms. It returns to delaying by itself: to be said
    /// after each read.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn acknowledge(&self) {
        let tcp = match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
            Stream::Unix(_) => return,
        };
        if let Err(error) = socket2::SockRef::from(tcp).set_tcp_quickack(true) {
            tracing::trace!(%error, "TCP_QUICKACK not set");
        }
    }

    /// Has what was read acknowledged at once, where the system can.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) const fn acknowledge(&self) {}

    /// Keeps something, such as a place among a listener's limits, as long as the stream lives.
    pub(crate) fn holding(mut self, held: Arc<dyn Send + Sync>) -> Self {
        self.held = Some(held);
        self
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
            #[cfg(unix)]
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        })?;
        if buf.filled().len() > before {
            this.counting.reads.tick();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
            #[cfg(unix)]
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        })?;
        this.counting.writes.tick();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
            #[cfg(unix)]
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        })?;
        this.counting.writes.tick();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            #[cfg(unix)]
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            #[cfg(unix)]
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
