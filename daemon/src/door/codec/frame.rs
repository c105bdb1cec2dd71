//! Cutting packets from the read buffer.

use bytes::{Buf, Bytes, BytesMut};

use super::Violation;

/// One packet: the first byte, and what its remaining length counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Packet type in the upper half, flags in the lower.
    pub first: u8,
    /// The rest; a slice of the read buffer, not a copy.
    pub body: Bytes,
}

impl Frame {
    /// The packet type.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        self.first >> 4
    }

    /// The flags.
    #[must_use]
    pub const fn flags(&self) -> u8 {
        self.first & 0x0f
    }
}

/// Takes the next complete packet; `None` when bytes are missing.
///
/// # Errors
/// When the length is malformed or above `body_bytes_max`, before any of it is waited for.
pub fn split(buffer: &mut BytesMut, body_bytes_max: usize) -> Result<Option<Frame>, Violation> {
    let [first, rest @ ..] = &buffer[..] else {
        return Ok(None);
    };
    let first = *first;
    let mut body_len = 0usize;
    for (at, byte) in rest.iter().enumerate().take(4) {
        body_len |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            if body_len > body_bytes_max {
                return Err(Violation::TOO_LARGE);
            }
            let body_at = at + 2;
            if buffer.len() < body_at + body_len {
                return Ok(None);
            }
            buffer.advance(body_at);
            let body = buffer.split_to(body_len).freeze();
            return Ok(Some(Frame { first, body }));
        }
    }
    // Four bytes that all say "more" are no length.
    if rest.len() >= 4 {
        Err(Violation::MALFORMED)
    } else {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut() {
        let check = |bytes: &[u8], expected: Result<Option<(u8, usize)>, Violation>| {
            let mut buffer = BytesMut::from(bytes);
            let split = split(&mut buffer, 300);
            assert_eq!(
                split.map(|f| f.map(|f| (f.first, f.body.len()))),
                expected,
                "{bytes:?}"
            );
        };
        check(&[], Ok(None));
        check(&[0xc0], Ok(None));
        check(&[0xc0, 0], Ok(Some((0xc0, 0))));
        check(&[0x30, 3, 0, 1], Ok(None));
        check(&[0x30, 3, 0, 1, b'a', 0xc0], Ok(Some((0x30, 3))));
        check(&[0x30, 0x80], Ok(None));
        check(&[0x30, 0xac, 0x02], Ok(None));
        check(&[0x30, 0xad, 0x02], Err(Violation::TOO_LARGE));
        check(&[0x30, 0xff, 0xff, 0xff, 0x7f], Err(Violation::TOO_LARGE));
        check(&[0x30, 0xff, 0xff, 0xff, 0xff], Err(Violation::MALFORMED));
        check(&[0x30, 0xff, 0xff, 0xff], Ok(None));
    }
}
