//! What connections read from: bytes that are wanted, and bytes that nobody wants.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Bytes that are read at a time before a body is asked for: a head and most single events, and not
/// much of a body that is going to be refused.
const READ_BYTES: usize = 8 << 10;
/// Bytes of a body that are thrown away at a time.
const DISCARD_BYTES: usize = 64 << 10;

thread_local! {
    // A connection that waits has no buffer of its own: there may be twenty thousand.
    static READ: RefCell<[u8; READ_BYTES]> = const { RefCell::new([0; READ_BYTES]) };
    // Of a plain connection these bytes are never written to.
    static DISCARD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connection's stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Throws away what comes next, at most `most` bytes and not one more; how many there were. None
    /// is the stream's end.
    fn poll_discard(&mut self, cx: &mut Context<'_>, most: u64) -> Poll<io::Result<usize>>;
}

impl Stream for TcpStream {
    /// On Linux the bytes stay in the kernel.
    #[cfg(target_os = "linux")]
    fn poll_discard(&mut self, cx: &mut Context<'_>, most: u64) -> Poll<io::Result<usize>> {
        use rustix::net::{RecvFlags, recv};
        loop {
            ready!(self.poll_read_ready(cx))?;
            let discard = |buffer: &mut [u8]| {
                self.try_io(tokio::io::Interest::READABLE, || {
                    let (_, received) = recv(&*self, buffer, RecvFlags::TRUNC)?;
                    Ok(received)
                })
            };
            match with_discard(most, discard) {
                // It was not readable after all: the next look waits.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn poll_discard(&mut self, cx: &mut Context<'_>, most: u64) -> Poll<io::Result<usize>> {
        read_and_forget(self, cx, most)
    }
}

impl Stream for TlsStream<TcpStream> {
    fn poll_discard(&mut self, cx: &mut Context<'_>, most: u64) -> Poll<io::Result<usize>> {
        read_and_forget(self, cx, most)
    }
}

fn with_discard<T>(most: u64, discard: impl FnOnce(&mut [u8]) -> T) -> T {
    DISCARD.with_borrow_mut(|buffer| {
        buffer.resize(DISCARD_BYTES, 0);
        let most = usize::try_from(most).unwrap_or(DISCARD_BYTES).min(DISCARD_BYTES);
        discard(buffer.get_mut(..most).unwrap_or_default())
    })
}

/// Reads into room that all share, and forgets it.
pub(super) fn read_and_forget(
    stream: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    most: u64,
) -> Poll<io::Result<usize>> {
    with_discard(most, |buffer| {
        let mut read = ReadBuf::new(buffer);
        ready!(Pin::new(stream).poll_read(cx, &mut read))?;
        Poll::Ready(Ok(read.filled().len()))
    })
}

/// Reads what there is behind what `buffer` has; how many bytes. None is the stream's end.
pub(super) fn poll_more(
    stream: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    buffer: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    READ.with_borrow_mut(|bytes| {
        let mut read = ReadBuf::new(bytes);
        ready!(Pin::new(stream).poll_read(cx, &mut read))?;
        buffer.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    })
}

/// A stream of which the start has been read already.
#[derive(Debug)]
pub(super) struct Rewound<S> {
    start: BytesMut,
    stream: S,
}

impl<S> Rewound<S> {
    pub(super) const fn new(start: BytesMut, stream: S) -> Self {
        Self { start, stream }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.start.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let here = self.start.len().min(buffer.remaining());
        buffer.put_slice(self.start.get(..here).unwrap_or_default());
        self.start.advance(here);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
