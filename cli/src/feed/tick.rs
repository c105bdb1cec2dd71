//! A tick as it leaves: JSON with decimals as texts and the identity that makes a second delivery
//! harmless.

use divisor_engine::{Decimal, Kind, Time};
use serde::{Serialize, Serializer};

/// What a publisher sends: a security's price or a pair's rate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// A security by its symbol.
    Security(String),
    /// A pair: units of the second currency for one of the first.
    Pair(String, String),
}

impl Subject {
    /// `EUR/USD` is a pair, everything else a symbol: no symbol holds a slash.
    pub(crate) fn parse(text: &str) -> Self {
        match text.split_once('/') {
            Some((base, quote)) => Self::Pair(base.to_owned(), quote.to_owned()),
            None => Self::Security(text.to_owned()),
        }
    }

    /// Where its prices go.
    pub(crate) fn topic(&self) -> String {
        match self {
            Self::Security(symbol) => format!("securities/{symbol}/price"),
            Self::Pair(base, quote) => format!("fx/{base}/{quote}/rate"),
        }
    }
}

/// A price on its way out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quote {
    /// The price or rate.
    pub(crate) price: Decimal,
    /// When it was made; the moment of sending when absent.
    pub(crate) ts: Option<Time>,
    /// Traded size.
    pub(crate) size: Option<Decimal>,
    /// The currency it is in.
    pub(crate) ccy: Option<String>,
    /// Where it traded.
    pub(crate) venue: Option<String>,
    /// What kind of price it is.
    pub(crate) kind: Kind,
}

impl Quote {
    /// A price that says nothing else.
    pub(crate) const fn of(price: Decimal) -> Self {
        Self {
            price,
            ts: None,
            size: None,
            ccy: None,
            venue: None,
            kind: Kind::Trade,
        }
    }
}

/// Who sends, and how far the numbering is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    src: String,
    inc: u64,
    seq: u64,
}

#[derive(Serialize)]
struct Payload<'a> {
    price: Decimal,
    #[serde(serialize_with = "shown")]
    ts: Time,
    src: &'a str,
    inc: u64,
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ccy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    venue: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
}

fn shown<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

impl Identity {
    /// A new incarnation: the number is drawn, so that no two runs share one.
    pub(crate) fn new(src: &str) -> Self {
        Self {
            src: src.to_owned(),
            inc: crate::connection::random(),
            seq: 0,
        }
    }

    /// The message for these quotes: one object, or an array of several.
    pub(crate) fn encode(&mut self, quotes: &[Quote], now: Time) -> serde_json::Result<Vec<u8>> {
        if let [quote] = quotes {
            serde_json::to_vec(&self.payload(quote, now))
        } else {
            let mut out = Vec::with_capacity(quotes.len() * 128);
            for (at, quote) in quotes.iter().enumerate() {
                out.push(if at == 0 { b'[' } else { b',' });
                serde_json::to_writer(&mut out, &self.payload(quote, now))?;
            }
            out.push(b']');
            Ok(out)
        }
    }

    fn payload<'a>(&'a mut self, quote: &'a Quote, now: Time) -> Payload<'a> {
        self.seq += 1;
        Payload {
            price: quote.price,
            ts: quote.ts.unwrap_or(now),
            src: &self.src,
            inc: self.inc,
            seq: self.seq,
            size: quote.size,
            ccy: quote.ccy.as_deref(),
            venue: quote.venue.as_deref(),
            kind: Some(quote.kind).filter(|kind| *kind != Kind::Trade),
        }
    }
}

/// This moment, cut to the microseconds that stand on the wire.
pub(crate) fn now() -> Time {
    let micros = jiff::Timestamp::now().as_microsecond();
    Time::from_nanos(micros.saturating_mul(1_000))
}

/// A time as fixtures state it: RFC 3339, or a date for its first moment in UTC.
pub(crate) fn time(text: &str) -> Option<Time> {
    divisor_wire::level::time(text).or_else(|| {
        let date: jiff::civil::Date = text.parse().ok()?;
        let stamp = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
        i64::try_from(stamp.as_nanosecond())
            .ok()
            .map(Time::from_nanos)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemon_reads_what_is_sent() {
        let mut identity = Identity::new("s");
        let full = Quote {
            ts: time("2021-11-04"),
            size: Some(5.into()),
            ccy: Some("USD".to_owned()),
            venue: Some("X\"Y".to_owned()),
            ..Quote::of("1.50".parse().unwrap())
        };
        let now = Time::from_nanos(1_763_821_800_123_456_000);
        let bytes = identity.encode(&[full, Quote::of(2.into())], now).unwrap();
        let decoded = divisor_wire::tick::decode(&bytes, 10).unwrap();
        assert!(decoded.refused.is_empty());
        let [a, b] = &decoded.ticks[..] else {
            panic!("two ticks");
        };
        assert_eq!(
            (a.price.to_string().as_str(), a.seq, a.inc),
            ("1.50", Some(1), b.inc)
        );
        assert_eq!(
            (a.venue.as_deref(), a.ts),
            (Some("X\"Y"), time("2021-11-04T00:00:00Z"))
        );
        assert_eq!(
            (b.seq, b.ts, b.src.as_deref()),
            (Some(2), Some(now), Some("s"))
        );
        let single = identity.encode(&[Quote::of(3.into())], now).unwrap();
        assert!(single.starts_with(b"{\"price\":\"3\",\"ts\":\"2025-11-22T14:30:00.123456Z\""));
    }

    #[test]
    fn subjects_have_topics() {
        let check = |text: &str, topic: &str| assert_eq!(Subject::parse(text).topic(), topic);
        check("BRK.B", "securities/BRK.B/price");
        check("EUR/USD", "fx/EUR/USD/rate");
    }
}
