//! The fast reader: flat JSON objects, alone or in an array, in plain ASCII without escapes.
//!
//! It never judges what it does not know: at the first surprise it returns `None` and the strict
//! reader starts over. So it can only be fast, never different.

use super::fields::{self, Fields, Value};
use super::{Decoded, Tick};
use crate::Reason;

/// Reads an object or an array of objects and numbers; `None` when the strict reader must.
pub(super) fn decode(payload: &[u8], ticks_max: usize) -> Option<Decoded> {
    let mut scanner = Scanner { rest: payload };
    let mut decoded = Decoded::default();
    if scanner.eat(b'{') {
        decoded.push(scanner.object()?);
    } else if scanner.eat(b'[') {
        if !scanner.eat(b']') {
            loop {
                if decoded.len() == ticks_max {
                    return None;
                }
                let tick = scanner.element()?;
                decoded.push(tick);
                if !scanner.eat(b',') {
                    break;
                }
            }
            scanner.expect(b']')?;
        }
    } else {
        return None;
    }
    scanner.skip_space();
    (scanner.rest.is_empty() && decoded.len() <= ticks_max).then_some(decoded)
}

struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    fn element(&mut self) -> Option<Result<Tick, Reason>> {
        if self.eat(b'{') {
            self.object()
        } else {
            Some(fields::element(self.value()?))
        }
    }

    /// The fields of an object whose brace is already eaten.
    fn object(&mut self) -> Option<Result<Tick, Reason>> {
        let mut fields = Fields::default();
        if self.eat(b'}') {
            return Some(fields.finish());
        }
        loop {
            self.expect(b'"')?;
            let key = self.text()?;
            self.expect(b':')?;
            let value = self.value()?;
            fields.set(key, value);
            if self.eat(b'}') {
                return Some(fields.finish());
            }
            self.expect(b',')?;
        }
    }

    fn value(&mut self) -> Option<Value<'a>> {
        self.skip_space();
        match *self.rest.first()? {
            b'"' => {
                self.rest = &self.rest[1..];
                self.text().map(Value::Text)
            }
            b'-' | b'0'..=b'9' => self.number().map(Value::Number),
            b'n' => self.word(b"null", Value::Null),
            b't' => self.word(b"true", Value::Other),
            b'f' => self.word(b"false", Value::Other),
            _ => None,
        }
    }

    /// A text whose first quote is eaten.
    fn text(&mut self) -> Option<&'a str> {
        let end = self
            .rest
            .iter()
            .position(|byte| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\'))?;
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest.strip_prefix(b"\"")?;
        std::str::from_utf8(text).ok()
    }

    /// A number by the grammar of JSON: no leading zero, no bare point, digits in the exponent.
    fn number(&mut self) -> Option<&'a str> {
        let start = self.rest;
        self.rest = start.strip_prefix(b"-").unwrap_or(start);
        let zero = self.rest.first() == Some(&b'0');
        let whole = self.digits();
        if whole == 0 || (zero && whole > 1) {
            return None;
        }
        if let Some(rest) = self.rest.strip_prefix(b".") {
            self.rest = rest;
            if self.digits() == 0 {
                return None;
            }
        }
        if let [b'e' | b'E', rest @ ..] = self.rest {
            self.rest = match rest {
                [b'+' | b'-', rest @ ..] => rest,
                rest => rest,
            };
            if self.digits() == 0 {
                return None;
            }
        }
        std::str::from_utf8(&start[..start.len() - self.rest.len()]).ok()
    }

    fn digits(&mut self) -> usize {
        let count = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        self.rest = &self.rest[count..];
        count
    }

    fn word(&mut self, word: &[u8], value: Value<'a>) -> Option<Value<'a>> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(value)
    }

    fn skip_space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.skip_space();
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.eat(byte).then_some(())
    }
}
