use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use parlance_peers::Peer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::stall::Stall;

/// The first bytes of an HTTP/2 client, which no HTTP/1 client sends.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The protocol of a peer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Version {
    /// Any version before 2.
    Http1,
    /// HTTP/2, negotiated or not.
    Http2,
}

/// Whether anything was received from a peer since the last check.
#[derive(Debug, Default)]
pub struct Heard(AtomicBool);

impl Heard {
    /// Whether anything was received since the last call.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// A connection whose first bytes were inspected, and will be read again.
pub struct Opened<S> {
    first: Bytes,
    io: S,
    heard: Arc<Heard>,
    /// Ends it when the peer reads nothing for too long.
    stall: Stall,
}

impl<S: AsyncRead + Unpin> Opened<S> {
    /// Reads until the peer's protocol is known.
    ///
    /// # Errors
    /// `UnexpectedEof` if the connection ends before, and those of `io`.
    pub async fn new(mut io: S, peer: Arc<Peer>) -> Result<(Version, Self)> {
        let mut first = BytesMut::with_capacity(PREFACE.len());
        let version = loop {
            if first == PREFACE {
                break Version::Http2;
            } else if !PREFACE.starts_with(&first) {
                break Version::Http1;
            }
            let missing = PREFACE.len() - first.len();
            if io.read_buf(&mut (&mut first).limit(missing)).await? == 0 {
                return Err(Error::new(ErrorKind::UnexpectedEof, "the peer has left"));
            }
        };
        let waiting = peer.held().budget().clone();
        let (first, stall) = (first.freeze(), Stall::new(peer, waiting));
        Ok((version, Self { first, io, heard: Arc::default(), stall }))
    }

    /// Records when anything is received, from the end of the first bytes on.
    pub fn heard(&self) -> Arc<Heard> {
        self.heard.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opened<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        if self.first.is_empty() {
            let read = Pin::new(&mut self.io).poll_read(cx, buf);
            if read.is_ready() {
                self.heard.0.store(true, Ordering::Relaxed);
            }
            return read;
        }
        let fits = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first[..fits]);
        self.first.advance(fits);
        if self.first.is_empty() {
            // Frees the buffer.
            self.first = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opened<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.stall.check(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.stall.check(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn inspected_bytes_are_read_again() {
        let settings = b"and settings";
        let http2 = [PREFACE, settings].concat();
        for (said, expected) in [
            (http2.as_slice(), Some(Version::Http2)),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", Some(Version::Http1)),
            (b"PRI * HTTP/1.1\r\n", Some(Version::Http1)),
            (b"P", None),
            (b"", None),
        ] {
            // In one piece, and byte by byte.
            for piece in [said.len().max(1), 1] {
                let (mut peer, ours) = duplex(piece);
                let said = said.to_vec();
                let expecting = said.clone();
                let saying = tokio::spawn(async move {
                    peer.write_all(&said).await.unwrap();
                });
                match Opened::new(ours, crate::tests::peer()).await {
                    Ok((version, mut opened)) => {
                        assert_eq!(Some(version), expected);
                        let mut read = Vec::new();
                        opened.read_to_end(&mut read).await.unwrap();
                        assert_eq!(read, expecting);
                        assert!(opened.heard().take() && !opened.heard().take());
                    }
                    Err(error) => assert_eq!((error.kind(), expected), (ErrorKind::UnexpectedEof, None)),
                }
                saying.await.unwrap();
            }
        }
    }
}
