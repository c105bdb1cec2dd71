//! MQTT over WebSocket: the opening handshake, and a stream of bytes out of binary frames.
//!
//! A packet may be spread over frames and a frame may hold several packets, so frames mean nothing
//! beyond their bytes (MQTT 5 §6).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::handshake::server::{
    Callback, ErrorResponse, Request, Response,
};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use super::transport::Opened;

/// Where MQTT is; what every client library asks for.
const PATH: &str = "/mqtt";

/// The subprotocol; `mqttv3.1` is asked for by old clients beside it.
const SUBPROTOCOL: &str = "mqtt";

/// The read buffer of a connection, which stays with it.
const READ_BYTES: usize = 4 * 1024;

/// What a client library may put around the largest packet: other packets in the same frame.
const FRAME_EXTRA_BYTES: usize = 64 * 1024;

/// Answers the opening handshake.
///
/// # Errors
/// When it is no handshake for MQTT, which the client was told, or the stream ended.
pub(super) async fn upgrade(
    stream: Opened,
    origins: &[String],
    packet_bytes_max: usize,
) -> Result<Frames, Error> {
    let frame_max = packet_bytes_max.saturating_add(FRAME_EXTRA_BYTES);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(frame_max))
        .max_frame_size(Some(frame_max));
    let check = Check(origins);
    let socket = accept_hdr_async_with_config(stream, check, Some(config)).await?;
    Ok(Frames {
        socket,
        incoming: Bytes::new(),
        outgoing: false,
    })
}

/// The origins of pages that may connect.
struct Check<'a>(&'a [String]);

impl Callback for Check<'_> {
    fn on_request(self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        answer(request, response, self.0)
    }
}

/// Takes what asks for MQTT, and refuses what does not or comes from a page that may not.
#[expect(clippy::result_large_err, reason = "the library's type of a refusal")]
fn answer(
    request: &Request,
    mut response: Response,
    origins: &[String],
) -> Result<Response, ErrorResponse> {
    if request.uri().path() != PATH {
        return Err(refusal(StatusCode::NOT_FOUND, "MQTT is at /mqtt"));
    }
    if !origin_is_allowed(request.headers(), origins) {
        return Err(refusal(
            StatusCode::FORBIDDEN,
            "this page may not connect (mqtt.websocket_origins)",
        ));
    }
    if !asks_for_mqtt(request.headers()) {
        return Err(refusal(
            StatusCode::BAD_REQUEST,
            "the subprotocol must be mqtt",
        ));
    }
    let subprotocol = HeaderValue::from_static(SUBPROTOCOL);
    response
        .headers_mut()
        .insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    Ok(response)
}

fn refusal(status: StatusCode, why: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(format!("{why}\n")));
    *response.status_mut() = status;
    let length = HeaderValue::from(why.len() + 1);
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// Programs send no Origin. A browser does, and would let any page talk to us in its user's name:
/// only listed ones may.
fn origin_is_allowed(headers: &HeaderMap, origins: &[String]) -> bool {
    headers.get(header::ORIGIN).is_none_or(|origin| {
        origins.iter().any(|allowed| {
            allowed == "*" || origin.as_bytes().eq_ignore_ascii_case(allowed.as_bytes())
        })
    })
}

fn asks_for_mqtt(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case(SUBPROTOCOL))
}

/// The bytes of a client's binary frames, and ours in such.
#[derive(Debug)]
pub(super) struct Frames {
    socket: WebSocketStream<Opened>,
    /// What of the last frame is not read yet.
    incoming: Bytes,
    /// A frame of ours may not be in the socket whole.
    outgoing: bool,
}

impl AsyncRead for Frames {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.incoming.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(context)) {
                Some(Ok(Message::Binary(bytes))) => self.incoming = bytes,
                // The library answers a ping, and a close, when it is read or written next.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Ok(Message::Text(_))) => return self.refuse_text(context),
                Some(Err(error)) => return Poll::Ready(Err(as_io(error))),
            }
        }
        let count = self.incoming.len().min(into.remaining());
        into.put_slice(&self.incoming[..count]);
        self.incoming.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl Frames {
    /// MQTT is binary; the specification wants the connection closed over anything else.
    fn refuse_text(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let frame = CloseFrame {
            code: CloseCode::Unsupported,
            reason: "MQTT is in binary frames".into(),
        };
        // As far as it goes: the stream ends in any case.
        let mut socket = Pin::new(&mut self.socket);
        if socket
            .as_mut()
            .start_send(Message::Close(Some(frame)))
            .is_ok()
        {
            let _ = socket.poll_flush(context);
        }
        let error = io::Error::new(io::ErrorKind::InvalidData, "a text frame");
        Poll::Ready(Err(error))
    }
}

impl AsyncWrite for Frames {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // One frame at a time, so that a client that does not read costs one.
        ready!(self.as_mut().poll_flush(context))?;
        let message = Message::Binary(Bytes::copy_from_slice(bytes));
        self.outgoing = true;
        let mut socket = Pin::new(&mut self.socket);
        socket.as_mut().start_send(message).map_err(as_io)?;
        if socket.poll_flush(context).map_err(as_io)?.is_ready() {
            self.outgoing = false;
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.outgoing {
            ready!(Pin::new(&mut self.socket).poll_flush(context)).map_err(as_io)?;
            self.outgoing = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket)
            .poll_close(context)
            .map_err(as_io)
    }
}

fn as_io(error: Error) -> io::Error {
    if let Error::Io(error) = error {
        return error;
    }
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_must_ask_for_mqtt_from_a_page_that_may() {
        let origins = ["https://desk.example".to_owned()];
        let check = |path: &str, headers: &[(&str, &str)], expected: u16| {
            let mut request = Request::builder().uri(path);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let got = answer(&request.body(()).unwrap(), Response::new(()), &origins);
            let status = got.as_ref().map_or_else(|e| e.status(), Response::status);
            assert_eq!(status.as_u16(), expected, "{path} {headers:?}");
            if let Ok(response) = got {
                assert_eq!(response.headers()["sec-websocket-protocol"], "mqtt");
            }
        };
        const MQTT: (&str, &str) = ("Sec-WebSocket-Protocol", "mqtt");
        check("/mqtt", &[MQTT], 200);
        check("/mqtt?x=1", &[MQTT], 200);
        check(
            "/mqtt",
            &[("Sec-WebSocket-Protocol", "mqttv3.1, MQTT")],
            200,
        );
        check("/mqtt", &[], 400);
        check("/mqtt", &[("Sec-WebSocket-Protocol", "chat")], 400);
        check("/", &[MQTT], 404);
        check("/mqtt/", &[MQTT], 404);
        check("/mqtt", &[MQTT, ("Origin", "https://desk.example")], 200);
        check("/mqtt", &[MQTT, ("Origin", "https://evil.example")], 403);
        check("/mqtt", &[MQTT, ("Origin", "null")], 403);
        check(
            "/mqtt",
            &[MQTT, ("Origin", "https://desk.example.evil")],
            403,
        );
    }

    #[test]
    fn a_star_lets_every_page_in() {
        let mut headers = HeaderMap::new();
        headers.insert("origin", HeaderValue::from_static("https://any"));
        assert!(origin_is_allowed(&headers, &["*".to_owned()]));
        assert!(!origin_is_allowed(&headers, &[]));
        assert!(origin_is_allowed(&HeaderMap::new(), &[]));
    }
}
