//! Dense ids and the currency code: what the inside of the engine uses instead of names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The place of an input in the one sequence, from 0.
pub type Position = u64;

/// A security's place in the engine's tables, given in order of definition and never reused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct SecurityId(pub u32);

/// An index's place in the engine's tables, given in order of definition and never reused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct IndexId(pub u32);

/// A text that inputs repeat (a source, a venue), interned by the sequencer; see
/// [`crate::Input::Label`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct LabelId(pub u32);

impl SecurityId {
    /// The id as an offset into a table.
    #[must_use]
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

impl IndexId {
    /// The id as an offset into a table.
    #[must_use]
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

/// A currency code of 3 to 8 letters or digits, upper case: `USD`, `EUR`, `USDT`.
///
/// Stored in place, so that a rate needs no interning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 8]);

/// The text is not a currency code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a currency code: 3 to 8 letters A-Z or digits")]
pub struct CurrencyError(String);

impl Currency {
    /// Reads a code; lower case is refused, since `GBp` (pence) is not `GBP`.
    ///
    /// # Errors
    /// [`CurrencyError`] when the text has another length or other characters.
    pub fn parse(text: &str) -> Result<Self, CurrencyError> {
        let good = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
        if !(3..=8).contains(&text.len()) || !text.bytes().all(good) {
            return Err(CurrencyError(text.chars().take(16).collect()));
        }
        let mut code = [0; 8];
        code[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self(code))
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let len = self.0.iter().position(|b| *b == 0).unwrap_or(self.0.len());
        // The bytes are ASCII by construction.
        std::str::from_utf8(&self.0[..len]).unwrap_or_default()
    }

    /// The eight bytes, padded with zeros: the form in the journal.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0
    }

    /// Reads the form of [`Self::to_bytes`].
    ///
    /// # Errors
    /// [`CurrencyError`] when the bytes are not such a code.
    pub fn from_bytes(bytes: [u8; 8]) -> Result<Self, CurrencyError> {
        let len = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        Self::parse(&String::from_utf8_lossy(&bytes[..len]))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
