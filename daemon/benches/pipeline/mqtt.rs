//! Just enough MQTT 3.1.1 by hand that a measurement is of the daemon and not of a client library.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::SystemTime;

const READ_BYTES: usize = 64 * 1024;

/// A connection that reads packets one by one.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
    /// Where the packets that were not looked at begin and end.
    unread: std::ops::Range<usize>,
    /// When the bytes of the last packet came.
    pub(crate) read_at: SystemTime,
}

impl Connection {
    /// Connects and waits for the CONNACK.
    pub(crate) fn open(address: SocketAddr, id: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut connection = Self {
            stream,
            buffer: vec![0; READ_BYTES],
            unread: 0..0,
            read_at: SystemTime::now(),
        };
        let mut body = b"\0\x04MQTT\x04\x02\0\0".to_vec();
        text(&mut body, id);
        connection.send(0x10, &body)?;
        match connection.packet()? {
            Some((0x20, [_, 0])) => Ok(connection),
            other => Err(io::Error::other(format!("no CONNACK but {other:?}"))),
        }
    }

    /// Sends one packet.
    pub(crate) fn send(&mut self, first: u8, body: &[u8]) -> io::Result<()> {
        let mut packet = vec![first];
        length(&mut packet, body.len());
        packet.extend_from_slice(body);
        self.stream.write_all(&packet)
    }

    /// Subscribes at QoS 0 and waits for the SUBACK; what comes before it is dropped.
    pub(crate) fn subscribe(&mut self, filter: &str) -> io::Result<()> {
        let mut body = vec![0, 1];
        text(&mut body, filter);
        body.push(0);
        self.send(0x82, &body)?;
        while let Some((first, _)) = self.packet()? {
            if first == 0x90 {
                return Ok(());
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    /// The next packet: its first byte and its body. `None` at the end of the stream.
    pub(crate) fn packet(&mut self) -> io::Result<Option<(u8, &[u8])>> {
        loop {
            if let Some((head, len)) = frame(&self.buffer[self.unread.clone()]) {
                let at = self.unread.start;
                self.unread.start += head + len;
                let body = &self.buffer[at + head..at + head + len];
                return Ok(Some((self.buffer[at], body)));
            }
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
            if self.unread.end == self.buffer.len() {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
            let count = self.stream.read(&mut self.buffer[self.unread.end..])?;
            self.read_at = SystemTime::now();
            self.unread.end += count;
            if count == 0 {
                return Ok(None);
            }
        }
    }
}

/// Topic and payload of a PUBLISH at QoS 0.
pub(crate) fn publish_parts(body: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = body.split_first_chunk::<2>()?;
    let (topic, payload) = rest.split_at_checked(u16::from_be_bytes(*len).into())?;
    Some((std::str::from_utf8(topic).ok()?, payload))
}

/// Appends a PUBLISH at QoS 1.
pub(crate) fn publish(out: &mut Vec<u8>, topic: &str, packet_id: u16, payload: &[u8]) {
    out.push(0x32);
    length(out, 2 + topic.len() + 2 + payload.len());
    text(out, topic);
    out.extend_from_slice(&packet_id.to_be_bytes());
    out.extend_from_slice(payload);
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn length(out: &mut Vec<u8>, mut len: usize) {
    while len > 127 {
        out.push((len & 127) as u8 | 128);
        len >>= 7;
    }
    out.push(len as u8);
}

/// The lengths of a packet's head and body, when all of it is there.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut len = 0;
    for (at, byte) in bytes.iter().skip(1).enumerate() {
        len |= usize::from(byte & 127) << (7 * at);
        if byte & 128 == 0 {
            let head = at + 2;
            return (bytes.len() >= head + len).then_some((head, len));
        }
    }
    None
}
