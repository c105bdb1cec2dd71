//! What a client connects with: TCP or TLS by the listener, plain MQTT or WebSocket by its first
//! byte. Behind [`open`] all are the same stream.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::Settings;
use super::counters::Refused;
use super::websocket::{self, Frames};
use crate::tls::{self, Tls};

/// What a request line of HTTP begins with; a CONNECT packet begins with 0x10.
const HTTP_FIRST: u8 = b'G';

/// Room for the first bytes of a client.
const FIRST_BYTES: usize = 512;

/// A bound address and how its clients speak.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// The certificate, where TLS is spoken.
    pub tls: Option<Arc<Tls>>,
}

/// Without TLS.
impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Self { socket, tls: None }
    }
}

/// Where a client comes from.
#[derive(Debug)]
pub(super) struct Peer {
    /// Its address.
    pub(super) address: IpAddr,
    /// The names in its certificate, which TLS has verified.
    pub(super) names: Vec<String>,
}

/// Takes the transport's handshakes, each in its time; what was read beyond them is in the buffer. In
/// front of them and between them it waits for the client, so the caller sets the time of it all.
///
/// # Errors
/// When the client does not speak what is spoken here, or leaves.
pub(super) async fn open(
    tcp: TcpStream,
    tls: Option<&Tls>,
    address: IpAddr,
    buffer: &mut BytesMut,
    settings: &Settings,
) -> Result<(Stream, Peer), Refused> {
    let mut names = Vec::new();
    let mut secure = match tls {
        None => Secure::Tcp(tcp),
        Some(tls) => {
            let accepting = in_time(settings, tls.acceptor().accept(tcp)).await?;
            let stream = accepting.map_err(|error| refused(address, &error))?;
            let certificates = stream.get_ref().1.peer_certificates();
            if let Some(own) = certificates.and_then(<[_]>::first) {
                names = tls::names(own);
            }
            Secure::Tls(Box::new(stream))
        }
    };
    let peer = Peer { address, names };
    buffer.reserve(FIRST_BYTES);
    if !matches!(secure.read_buf(buffer).await, Ok(1..)) {
        return Err(Refused::Gone);
    }
    if buffer.first() != Some(&HTTP_FIRST) {
        return Ok((Stream::Bytes(secure), peer));
    }
    let opened = Opened {
        read: std::mem::take(buffer),
        secure,
    };
    let origins = &settings.websocket_origins;
    let upgrading = websocket::upgrade(opened, origins, settings.packet_bytes_max);
    let upgraded = in_time(settings, upgrading).await?;
    let frames = upgraded.map_err(|error| refused(address, &error))?;
    Ok((Stream::Frames(Box::new(frames)), peer))
}

/// A handshake, in the time that it may take.
async fn in_time<T>(settings: &Settings, handshake: impl Future<Output = T>) -> Result<T, Refused> {
    timeout(settings.handshake_timeout, handshake)
        .await
        .map_err(|_| Refused::HandshakeTimeout)
}

/// Counted, and told to those who look for it: strangers must not fill the log.
fn refused(address: IpAddr, error: &dyn std::fmt::Display) -> Refused {
    tracing::debug!(%address, %error, "a handshake of TLS or WebSocket failed");
    Refused::Transport
}

/// A client's bytes, whatever carries them.
#[derive(Debug)]
pub(super) enum Stream {
    /// As they are.
    Bytes(Secure),
    /// In the frames of a WebSocket.
    Frames(Box<Frames>),
}

impl Stream {
    /// Whether bytes that were written may still wait in here, and want a flush.
    pub(super) const fn keeps_bytes(&self) -> bool {
        !matches!(self, Self::Bytes(Secure::Tcp(_)))
    }
}

/// TCP, with or without TLS.
#[derive(Debug)]
pub(super) enum Secure {
    /// Without.
    Tcp(TcpStream),
    /// With.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A stream of which something was read already.
#[derive(Debug)]
pub(super) struct Opened {
    read: BytesMut,
    secure: Secure,
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.secure).poll_read(context, into);
        }
        let count = self.read.len().min(into.remaining());
        into.put_slice(&self.read[..count]);
        self.read.advance(count);
        if self.read.is_empty() {
            self.read = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

/// Passes the calls on to the one that is there.
macro_rules! pass_on {
    (AsyncRead for $kind:ident: $($variant:ident)*) => {
        impl AsyncRead for $kind {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                into: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $(Self::$variant(stream) => Pin::new(stream).poll_read(context, into),)*
                }
            }
        }
        pass_on!(AsyncWrite for $kind: $(Self::$variant(stream) => stream,)*);
    };
    (AsyncWrite for $kind:ident: $($pattern:pat => $stream:expr,)*) => {
        impl AsyncWrite for $kind {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $($pattern => Pin::new($stream).poll_write(context, bytes),)*
                }
            }

            fn poll_flush(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($pattern => Pin::new($stream).poll_flush(context),)*
                }
            }

            fn poll_shutdown(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($pattern => Pin::new($stream).poll_shutdown(context),)*
                }
            }
        }
    };
}

pass_on!(AsyncRead for Stream: Bytes Frames);
pass_on!(AsyncRead for Secure: Tcp Tls);
pass_on!(AsyncWrite for Opened: Self { secure, .. } => secure,);
