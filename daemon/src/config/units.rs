//! Sizes and durations as people write them.
//!
//! Both are used as `#[serde(with = "units::size")]` on plain numbers and durations, so that the rest
//! of the daemon never meets them.

/// `65536`, `"64 KiB"`, `"4 GiB"`, and the decimal `"10 MB"`.
pub(super) mod size {
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// The units and their bytes; the first that divides evenly is printed.
    const UNITS: [(&str, u64); 8] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1_000),
        ("B", 1),
    ];

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(i64),
        Text(String),
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<u64, D::Error> {
        match Written::deserialize(from) {
            Ok(Written::Number(bytes)) => u64::try_from(bytes).ok(),
            Ok(Written::Text(text)) => parse(&text),
            Err(_) => None,
        }
        .ok_or_else(|| de::Error::custom("expected a size: bytes, or text like \"64 MiB\""))
    }

    pub(in super::super) fn serialize<S: Serializer>(
        bytes: &u64,
        into: S,
    ) -> Result<S::Ok, S::Error> {
        into.serialize_str(&format(*bytes))
    }

    /// Reads a size; `None` when it is not one or does not fit.
    pub(in super::super) fn parse(text: &str) -> Option<u64> {
        let (number, unit) = super::split(text)?;
        let factor = match unit {
            "" => 1,
            unit => {
                UNITS
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(unit))?
                    .1
            }
        };
        number.checked_mul(factor)
    }

    /// Writes a size exactly, with the largest binary unit that allows it.
    pub(in super::super) fn format(bytes: u64) -> String {
        let binary = UNITS[..4]
            .iter()
            .find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor));
        let (name, factor) = binary.unwrap_or(&("B", 1));
        format!("{} {name}", bytes / factor)
    }
}

/// `"500ms"`, `"10s"`, `"5m"`, `"1h"`.
pub(super) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    /// The units and their milliseconds; the first that divides evenly is printed.
    const UNITS: [(&str, u64); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Duration, D::Error> {
        let text = String::deserialize(from).ok();
        text.and_then(|text| parse(&text))
            .ok_or_else(|| de::Error::custom("expected a duration: text like \"500ms\", \"10s\""))
    }

    pub(in super::super) fn serialize<S: Serializer>(
        duration: &Duration,
        into: S,
    ) -> Result<S::Ok, S::Error> {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let unit = UNITS
            .iter()
            .find(|(_, factor)| millis != 0 && millis.is_multiple_of(*factor));
        let (name, factor) = unit.unwrap_or(&("ms", 1));
        into.serialize_str(&format!("{}{name}", millis / factor))
    }

    /// Reads a duration; a bare number is refused, since nobody knows its unit.
    fn parse(text: &str) -> Option<Duration> {
        let (number, unit) = super::split(text)?;
        let factor = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        Some(Duration::from_millis(number.checked_mul(factor)?))
    }
}

/// Splits a whole number from the unit behind it.
fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '_')
        .unwrap_or(text.len());
    let number = text[..end].replace('_', "").parse().ok()?;
    Some((number, text[end..].trim_start()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde::{Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize)]
    struct Both {
        #[serde(with = "super::size")]
        size: u64,
        #[serde(with = "super::duration")]
        duration: Duration,
    }

    #[test]
    fn sizes() {
        for (text, bytes, printed) in [
            ("65536", 65536, "64 KiB"),
            ("\"65_536\"", 65536, "64 KiB"),
            ("\"64 MiB\"", 64 << 20, "64 MiB"),
            ("\"64mib\"", 64 << 20, "64 MiB"),
            ("\"1536 KiB\"", 1536 << 10, "1536 KiB"),
            ("\"10 MB\"", 10_000_000, "10000000 B"),
            ("0", 0, "0 B"),
        ] {
            let both: Both = toml::from_str(&format!("size = {text}\nduration = \"1s\"")).unwrap();
            assert_eq!(both.size, bytes, "{text}");
            assert_eq!(super::size::format(bytes), printed);
            assert_eq!(super::size::parse(printed), Some(bytes));
        }
        for text in [
            "-1",
            "\"\"",
            "\"MiB\"",
            "\"1 XB\"",
            "1.5",
            "\"99999999999 TiB\"",
            "true",
        ] {
            let read = toml::from_str::<Both>(&format!("size = {text}\nduration = \"1s\""));
            assert!(
                read.unwrap_err().message().starts_with("expected a size"),
                "{text}"
            );
        }
    }

    #[test]
    fn durations() {
        for (text, millis, printed) in [
            ("500ms", 500, "500ms"),
            ("60s", 60_000, "1m"),
            ("90 s", 90_000, "90s"),
            ("1h", 3_600_000, "1h"),
            ("0ms", 0, "0ms"),
        ] {
            let written = format!("size = 1\nduration = \"{text}\"");
            let both: Both = toml::from_str(&written).unwrap();
            assert_eq!(both.duration, Duration::from_millis(millis), "{text}");
            let back = toml::to_string(&both).unwrap();
            assert!(
                back.contains(&format!("duration = \"{printed}\"")),
                "{back}"
            );
        }
        for text in ["60", "\"60\"", "\"\"", "\"s\"", "\"1 year\"", "\"-1s\""] {
            let read = toml::from_str::<Both>(&format!("size = 1\nduration = {text}"));
            assert!(
                read.unwrap_err()
                    .message()
                    .starts_with("expected a duration"),
                "{text}"
            );
        }
    }
}
