//! The byte stream under a connection: TCP, TLS over it, or a Unix socket; counted, and given up when
//! the other side has read nothing for long.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::time::Sleep;
use tokio_rustls::TlsStream;

use crate::counters::Counting;
use crate::listen::{Place, Share};

/// How long the other side may read nothing of what waits for it. One that reads slowly is let be.
pub(crate) const STALL: Duration = Duration::from_secs(30);

/// A connected byte stream.
pub(crate) struct Io {
    stream: Stream,
    /// Runs while a write waits.
    stall: Option<Pin<Box<Sleep>>>,
    counting: Arc<Counting>,
    place: Option<Arc<Place>>,
    /// What is written was an answer that waited.
    is_answering: bool,
    /// What was read ahead and comes first.
    said: Bytes,
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
        Self::new(Stream::Plain(stream), counting)
    }

    /// Wraps a TLS stream.
    pub(crate) fn tls(stream: impl Into<TlsStream<TcpStream>>, counting: Arc<Counting>) -> Self {
        Self::new(Stream::Tls(Box::new(stream.into())), counting)
    }

    /// Wraps a Unix socket.
    #[cfg(unix)]
    pub(crate) fn unix(stream: UnixStream, counting: Arc<Counting>) -> Self {
        Self::new(Stream::Unix(stream), counting)
    }

    const fn new(stream: Stream, counting: Arc<Counting>) -> Self {
        Self { stream, stall: None, counting, place: None, is_answering: false, said: Bytes::new() }
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

    /// Looks at what a write gave: what waits must move.
    fn wrote(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            self.stall = None;
            self.counting.writes.tick();
            if self.is_answering
                && let (Some(place), Ok(written)) = (&self.place, &written)
            {
                place.share().hold_less(*written);
            }
            return Poll::Ready(written);
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL)));
        ready!(stall.as_mut().poll(cx));
        let message = format!("the other side has read nothing for {} s", STALL.as_secs());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }

    /// Lets what was read ahead be read again, before anything else.
    pub(crate) fn after(self, said: Bytes) -> Self {
        Self { said, ..self }
    }

    /// Keeps a place among a listener's limits as long as the stream lives.
    pub(crate) fn holding(mut self, place: Arc<Place>) -> Self {
        self.place = Some(place);
        self.is_answering = false;
        self
    }

    /// Keeps a place as long as the stream lives, and gives back there what is written of answers.
    pub(crate) fn visiting(self, place: Arc<Place>) -> Self {
        Self { is_answering: true, ..self.holding(place) }
    }

    /// Returns what the connection holds among those of its listener, if it has one.
    pub(crate) fn share(&self) -> Option<&Share> {
        self.place.as_ref().map(|place| place.share())
    }

    /// Tells the listener, if there is one, that the other side has proved who it is.
    pub(crate) fn prove(&self) {
        if let Some(place) = &self.place {
            place.prove();
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.said.is_empty() {
            let most = buf.remaining().min(this.said.len());
            buf.put_slice(&this.said.split_to(most));
            return Poll::Ready(Ok(()));
        }
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
        let written = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
            #[cfg(unix)]
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        };
        this.wrote(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
            #[cfg(unix)]
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        };
        this.wrote(written, cx)
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

#[cfg(all(test, unix))]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn pair() -> (Io, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        (Io::unix(ours, Arc::default()), theirs)
    }

    #[tokio::test]
    async fn what_was_read_ahead_comes_first_and_once() {
        let (io, mut theirs) = pair();
        let mut io = io.after(Bytes::from_static(b"ahead "));
        theirs.write_all(b"behind").await.unwrap();
        let mut all = [0; 12];
        io.read_exact(&mut all[..4]).await.unwrap();
        io.read_exact(&mut all[4..]).await.unwrap();
        assert_eq!(&all, b"ahead behind");
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_is_given_up() {
        let (mut io, _theirs) = pair();
        let begun = tokio::time::Instant::now();
        let error = io.write_all(&vec![0; 16 * 1024 * 1024]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), STALL);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_is_let_be() {
        const WHOLE: usize = 4 * 1024 * 1024;
        let (mut io, mut theirs) = pair();
        let reading = tokio::spawn(async move {
            let mut left = WHOLE;
            while left > 0 {
                tokio::time::sleep(STALL / 2).await;
                left -= theirs.read(&mut vec![0; 512 * 1024]).await.unwrap();
            }
        });
        io.write_all(&vec![0; WHOLE]).await.unwrap();
        reading.await.unwrap();
    }
}
