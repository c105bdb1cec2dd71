//! Reading fields from the front of a packet's body, without copying and without panicking.

use bytes::{Buf, Bytes};

use super::Violation;

/// What is left of a body.
#[derive(Debug)]
pub struct Reader(pub Bytes);

impl Reader {
    /// A byte.
    ///
    /// # Errors
    /// When the body ends before it; so for all below.
    pub fn u8(&mut self) -> Result<u8, Violation> {
        self.0.try_get_u8().map_err(|_| Violation::MALFORMED)
    }

    /// Two bytes, the higher first.
    ///
    /// # Errors
    /// When the body ends.
    pub fn u16(&mut self) -> Result<u16, Violation> {
        self.0.try_get_u16().map_err(|_| Violation::MALFORMED)
    }

    /// Four bytes, the highest first.
    ///
    /// # Errors
    /// When the body ends.
    pub fn u32(&mut self) -> Result<u32, Violation> {
        self.0.try_get_u32().map_err(|_| Violation::MALFORMED)
    }

    /// A packet identifier, which is never 0.
    ///
    /// # Errors
    /// When it is 0 or the body ends.
    pub fn packet_id(&mut self) -> Result<u16, Violation> {
        match self.u16()? {
            0 => Err(Violation::MALFORMED),
            id => Ok(id),
        }
    }

    /// A variable byte integer.
    ///
    /// # Errors
    /// When it is longer than four bytes or the body ends.
    pub fn length(&mut self) -> Result<usize, Violation> {
        let mut value = 0usize;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Violation::MALFORMED)
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// When the body ends.
    pub fn take(&mut self, len: usize) -> Result<Bytes, Violation> {
        if len <= self.0.len() {
            Ok(self.0.split_to(len))
        } else {
            Err(Violation::MALFORMED)
        }
    }

    /// Binary data with a two-byte length in front.
    ///
    /// # Errors
    /// When the body ends.
    pub fn binary(&mut self) -> Result<Bytes, Violation> {
        let len = usize::from(self.u16()?);
        self.take(len)
    }

    /// A UTF-8 text without NUL, with a two-byte length in front.
    ///
    /// # Errors
    /// When it is not one or the body ends.
    pub fn text(&mut self) -> Result<Bytes, Violation> {
        let text = self.binary()?;
        if text_is_valid(&text) {
            Ok(text)
        } else {
            Err(Violation::MALFORMED)
        }
    }
}

/// UTF-8 without NUL, as MQTT wants every text.
#[must_use]
pub fn text_is_valid(text: &[u8]) -> bool {
    !text.contains(&0) && std::str::from_utf8(text).is_ok()
}
