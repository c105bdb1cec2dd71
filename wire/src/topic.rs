//! The topics of Divisor: parsing, building, and the rules for symbols, topics and filters.
//!
//! | topic | [`Topic::parse`] |
//! |---|---|
//! | `securities/BRK.B/price` | `Price("BRK.B")` |
//! | `fx/EUR/USD/rate` | `Rate("EUR", "USD")` |
//! | `divisor/control/load` | `Control("load")` |
//! | `indexes/DOW30/level`, `divisor/status` | `Reserved` |
//! | `securities/a/b/price`, `weather/oslo` | `Other` |

/// The longest symbol, currency, index code or verb in bytes. ISIN, RIC and composite codes of
/// options all stay below 32; twice that leaves room without letting a topic become a payload.
pub const SYMBOL_BYTES_MAX: usize = 64;

/// The daemon's retained status.
pub const STATUS_TOPIC: &str = "divisor/status";

/// What MQTT's two-byte length can carry.
pub const TOPIC_BYTES_MAX: usize = 65_535;

/// What a topic that a client publishes to means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic<'a> {
    /// `securities/{symbol}/price`
    Price(&'a str),
    /// `fx/{base}/{quote}/rate`
    Rate(&'a str, &'a str),
    /// `divisor/control/{verb}`
    Control(&'a str),
    /// Below `indexes/` or `divisor/`: only the daemon writes there.
    Reserved,
    /// Everything else: an ordinary routed topic.
    Other,
}

impl<'a> Topic<'a> {
    /// The meaning of a topic that is valid by [`topic_is_valid`].
    #[must_use]
    pub fn parse(topic: &'a str) -> Self {
        let mut levels = topic.split('/');
        let head = [
            levels.next(),
            levels.next(),
            levels.next(),
            levels.next(),
            levels.next(),
        ];
        match head {
            [Some("securities"), Some(symbol), Some("price"), None, None]
                if symbol_is_valid(symbol) =>
            {
                Self::Price(symbol)
            }
            [Some("fx"), Some(base), Some(quote), Some("rate"), None]
                if symbol_is_valid(base) && symbol_is_valid(quote) =>
            {
                Self::Rate(base, quote)
            }
            [Some("divisor"), Some("control"), Some(verb), None, None] if symbol_is_valid(verb) => {
                Self::Control(verb)
            }
            [Some("indexes" | "divisor"), ..] => Self::Reserved,
            _ => Self::Other,
        }
    }
}

/// Whether a text may stand as one level of our topics: a symbol, a currency, an index code.
///
/// Printable ASCII only, so that no symbol can look like another, and nothing that MQTT gives a
/// meaning to. Dots are part of symbols (`BRK.B`).
#[must_use]
pub fn symbol_is_valid(symbol: &str) -> bool {
    (1..=SYMBOL_BYTES_MAX).contains(&symbol.len())
        && !symbol.starts_with('$')
        && symbol
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'+' | b'#'))
}

/// The retained level of an index.
#[must_use]
pub fn level_topic(code: &str) -> String {
    format!("indexes/{code}/level")
}

/// The retained level of an index in CBOR, where the configuration asks for it.
#[must_use]
pub fn compact_level_topic(code: &str) -> String {
    format!("indexes/{code}/level/cbor")
}

/// Revisions, corporate actions, status changes and corrections of an index.
#[must_use]
pub fn event_topic(code: &str) -> String {
    format!("indexes/{code}/event")
}

/// Where the reply to a command goes when the client named no response topic.
#[must_use]
pub fn reply_topic(client: &str, id: &str) -> String {
    format!("divisor/reply/{}/{}", as_level(client), as_level(id))
}

/// Where a client reads why its messages were refused.
#[must_use]
pub fn rejected_topic(client: &str) -> String {
    format!("divisor/rejected/{}", as_level(client))
}

/// A text of a client as one topic level: percent-encoded, since a client id may hold slashes,
/// wildcards or anything else that UTF-8 can say.
#[must_use]
pub fn as_level(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut level = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            level.push(char::from(byte));
        } else {
            level.push('%');
            level.push(char::from(HEX[usize::from(byte >> 4)]));
            level.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    level
}

/// Whether a client may name this topic in a PUBLISH at all (MQTT 5 §4.7.3).
#[must_use]
pub fn topic_is_valid(topic: &str) -> bool {
    (1..=TOPIC_BYTES_MAX).contains(&topic.len())
        && !topic.bytes().any(|byte| matches!(byte, 0 | b'+' | b'#'))
}

/// Whether a text holds none of the characters that MQTT advises against (MQTT 5 §1.5.4): controls,
/// which hide in logs and terminals, and what Unicode says is no character.
#[must_use]
pub fn text_is_clean(text: &str) -> bool {
    let odd = |c: char| {
        c.is_control() || (c as u32) & 0xfffe == 0xfffe || ('\u{fdd0}'..='\u{fdef}').contains(&c)
    };
    !text.contains(odd)
}

/// Whether a topic has the shape of a price or a rate and names no symbol, as `securities/a b/price`
/// does. It could be routed like any other topic, and would look like a price that is ignored.
#[must_use]
pub fn symbol_is_missing(topic: &str) -> bool {
    let levels: Vec<&str> = topic.split('/').take(5).collect();
    let shaped = matches!(
        levels[..],
        ["securities", _, "price"] | ["fx", _, _, "rate"]
    );
    shaped && Topic::parse(topic) == Topic::Other
}

/// The group and the inner filter of a shared subscription, `$share/{group}/{filter}`; `None` for
/// any other filter, and for one that begins so and is malformed (MQTT 5 §4.8.2).
#[must_use]
pub fn shared_filter(filter: &str) -> Option<(&str, &str)> {
    let (group, inner) = filter.strip_prefix("$share/")?.split_once('/')?;
    let fits = !group.is_empty() && !group.contains(['+', '#']) && !inner.is_empty();
    fits.then_some((group, inner))
}

/// Whether a topic filter is well-formed: `#` only as the last level, wildcards alone in theirs,
/// nothing that hides.
#[must_use]
pub fn filter_is_valid(filter: &str) -> bool {
    if !(1..=TOPIC_BYTES_MAX).contains(&filter.len()) || !text_is_clean(filter) {
        return false;
    }
    let filter = match shared_filter(filter) {
        Some((_, inner)) => inner,
        None if filter.starts_with("$share/") => return false,
        None => filter,
    };
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let last = levels.peek().is_none();
        let fits = match level {
            "+" => true,
            "#" => last,
            plain => !plain.contains(['+', '#']),
        };
        if !fits {
            return false;
        }
    }
    true
}

/// Whether a valid topic matches a valid filter. A wildcard in the first level leaves topics
/// alone that begin with `$` (MQTT 5 §4.7.2).
#[must_use]
pub fn filter_matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut topic_levels = topic.split('/');
    for wanted in filter.split('/') {
        if wanted == "#" {
            return true;
        }
        match topic_levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    topic_levels.next().is_none()
}

/// Whether some topic could match both filters.
#[must_use]
pub fn filters_overlap(a: &str, b: &str) -> bool {
    let mut b_levels = b.split('/');
    for level in a.split('/') {
        let other = b_levels.next();
        match (level, other) {
            ("#", _) | (_, Some("#")) => return true,
            (_, None) => return false,
            ("+", _) | (_, Some("+")) => {}
            (level, Some(other)) if level == other => {}
            _ => return false,
        }
    }
    matches!(b_levels.next(), None | Some("#"))
}

/// Whether every topic that `wanted` matches is matched by `granted`: what may be subscribed to
/// under a right. Both are valid filters.
#[must_use]
pub fn filter_covers(granted: &str, wanted: &str) -> bool {
    // A wildcard in the first level leaves `$` topics alone, which only a literal can name.
    if wanted.starts_with('$') && granted.starts_with(['+', '#']) {
        return false;
    }
    // Every topic has a first level.
    if granted == "+/#" {
        return true;
    }
    let mut wanted_levels = wanted.split('/');
    for level in granted.split('/') {
        let other = wanted_levels.next();
        match (level, other) {
            // `a/#` matches `a` too, so it covers what ends here.
            ("#", _) => return true,
            (_, Some("#") | None) => return false,
            ("+", _) => {}
            (level, Some(other)) if level == other => {}
            _ => return false,
        }
    }
    wanted_levels.next().is_none()
}

/// The filter inside a shared subscription, `$share/{group}/{filter}`; any other filter itself.
#[must_use]
pub fn unshared(filter: &str) -> &str {
    let shared = filter.strip_prefix("$share/");
    shared
        .and_then(|rest| rest.split_once('/'))
        .map_or(filter, |(_, inner)| inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn topics_are_told_apart() {
        let check = |topic, expected| assert_eq!(Topic::parse(topic), expected, "{topic}");
        check("securities/AAPL/price", Topic::Price("AAPL"));
        check("securities/BRK.B/price", Topic::Price("BRK.B"));
        check("securities/a$b/price", Topic::Price("a$b"));
        check("securities/$a/price", Topic::Other);
        check("securities//price", Topic::Other);
        check("securities/a b/price", Topic::Other);
        check("securities/é/price", Topic::Other);
        check("securities/a/b/price", Topic::Other);
        check("securities/AAPL/price/", Topic::Other);
        check("/securities/AAPL/price", Topic::Other);
        check("fx/EUR/USD/rate", Topic::Rate("EUR", "USD"));
        check("fx/EUR/rate", Topic::Other);
        check("divisor/control/load", Topic::Control("load"));
        check("divisor/control", Topic::Reserved);
        check("divisor/control/a/b", Topic::Reserved);
        check("divisor/status", Topic::Reserved);
        check("divisor/reply/c/1", Topic::Reserved);
        check("indexes/DOW30/level", Topic::Reserved);
        check("indexes", Topic::Reserved);
        check("indexes2/DOW30/level", Topic::Other);
        check("weather/oslo", Topic::Other);
        check("é/x", Topic::Other);
    }

    #[test]
    fn symbols_are_printable_and_bounded() {
        let long = "A".repeat(SYMBOL_BYTES_MAX);
        assert!(symbol_is_valid(&long));
        assert!(!symbol_is_valid(&format!("{long}A")));
        for bad in ["", "a/b", "a+b", "a#b", "$a", "a b", "ä", "a\0", "a\n"] {
            assert!(!symbol_is_valid(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_shape_without_a_symbol_is_seen() {
        let check = |topic, expected| assert_eq!(symbol_is_missing(topic), expected, "{topic}");
        check("securities/a b/price", true);
        check("securities/$a/price", true);
        check("securities//price", true);
        check("securities/é/price", true);
        check("fx/EUR//rate", true);
        check("fx/EUR/U D/rate", true);
        check("securities/A/price", false);
        check("securities/A/price/x", false);
        check("fx/EUR/USD/rate", false);
        check("weather/a b/price", false);
    }

    #[test]
    fn shared_filters_are_taken_apart() {
        assert_eq!(shared_filter("$share/g/a/+"), Some(("g", "a/+")));
        assert_eq!(shared_filter("$share/g//a"), Some(("g", "/a")));
        for plain in [
            "a/b",
            "$share",
            "$share/g",
            "$share//a",
            "$share/g/",
            "$share/+/a",
        ] {
            assert_eq!(shared_filter(plain), None, "{plain}");
        }
    }

    #[test]
    fn client_ids_become_one_level() {
        assert_eq!(rejected_topic("feed-1"), "divisor/rejected/feed-1");
        assert_eq!(
            rejected_topic("a/b+#$%é"),
            "divisor/rejected/a%2Fb%2B%23%24%25%C3%A9"
        );
        assert_eq!(reply_topic("cli", "7/8"), "divisor/reply/cli/7%2F8");
        assert!(topic_is_valid(&rejected_topic("\0+#/")));
        assert_eq!(level_topic("DOW30"), "indexes/DOW30/level");
        assert_eq!(event_topic("DOW30"), "indexes/DOW30/event");
    }

    #[test]
    fn filters_are_validated() {
        for good in [
            "#",
            "+",
            "/",
            "a",
            "a/+/b",
            "+/+",
            "a/#",
            "/+",
            "a//b",
            "$SYS/#",
            "é/#",
            "$share/g/#",
            "$share/g//a",
            "$share",
            "$sharex/a",
        ] {
            assert!(filter_is_valid(good), "{good}");
        }
        for bad in [
            "",
            "#/a",
            "a#",
            "a/#/b",
            "a+",
            "+a",
            "a/b+/c",
            "a/#b",
            "a\0",
            "a\n",
            "\u{7f}",
            "\u{85}",
            "\u{ffff}",
            "\u{fdd0}",
            "$share/",
            "$share/g",
            "$share/g/",
            "$share//a",
            "$share/+/a",
            "$share/g#/a",
            "$share/g/a#",
        ] {
            assert!(!filter_is_valid(bad), "{bad:?}");
        }
        for bad in ["", "a/+", "#", "a\0b"] {
            assert!(!topic_is_valid(bad), "{bad:?}");
        }
    }

    #[test]
    fn filters_match_as_the_specification_says() {
        let check = |filter, topic, expected| {
            assert_eq!(filter_matches(filter, topic), expected, "{filter} {topic}");
        };
        check("sport/tennis/player1/#", "sport/tennis/player1", true);
        check(
            "sport/tennis/player1/#",
            "sport/tennis/player1/score/wimbledon",
            true,
        );
        check("sport/#", "sport", true);
        check("#", "a/b", true);
        check("sport/tennis/+", "sport/tennis/player1", true);
        check("sport/tennis/+", "sport/tennis/player1/ranking", false);
        check("sport/+", "sport", false);
        check("sport/+", "sport/", true);
        check("+/+", "/finance", true);
        check("/+", "/finance", true);
        check("+", "/finance", false);
        check("#", "$SYS/a", false);
        check("+/monitor", "$SYS/monitor", false);
        check("$SYS/#", "$SYS/a", true);
        check("$SYS/monitor/+", "$SYS/monitor/c", true);
        check("a/b", "a/b", true);
        check("a/b", "a/B", false);
        check("a/b", "a/b/c", false);
        check("a/b/c", "a/b", false);
        check("é/+", "é/x", true);
    }

    #[test]
    fn overlap_is_found() {
        let check = |a, b, expected| {
            assert_eq!(filters_overlap(a, b), expected, "{a} {b}");
            assert_eq!(filters_overlap(b, a), expected, "{b} {a}");
        };
        check("a/#", "a/+", true);
        check("a/#", "a", true);
        check("a/b", "a/+", true);
        check("a/b", "a/c", false);
        check("a/+/c", "a/b/+", true);
        check("a/+", "a/b/c", false);
        check("#", "x/y/z", true);
        check("securities/+/price", "indexes/#", false);
    }

    #[test]
    fn coverage_is_found() {
        let check = |granted, wanted, expected| {
            assert_eq!(
                filter_covers(granted, wanted),
                expected,
                "{granted} {wanted}"
            );
        };
        check("#", "#", true);
        check("#", "a/+/b", true);
        check("#", "$SYS/#", false);
        check("+/#", "#", true);
        check("$SYS/#", "$SYS/a", true);
        check("a/#", "a", true);
        check("a/#", "a/#", true);
        check("a/#", "#", false);
        check("a/+", "a/#", false);
        check("a/+", "a/b", true);
        check("a/+", "a/+", true);
        check("a/+", "a", false);
        check("a/b", "a/+", false);
        check("a/b", "a/b", true);
        check("a/b", "a/b/#", false);
        check("a/+/#", "a/#", false);
        check("indexes/#", "indexes/+/level", true);
        check("indexes/DJIA/#", "indexes/+/level", false);
    }

    #[test]
    fn shared_subscriptions_are_looked_into() {
        for (filter, inner) in [
            ("$share/g/a/#", "a/#"),
            ("$share/g", "$share/g"),
            ("a/$share/b", "a/$share/b"),
        ] {
            assert_eq!(unshared(filter), inner);
        }
    }

    /// Levels of which filters and topics are made: enough to tell every case apart.
    const LEVELS: [&str; 4] = ["", "a", "b", "$s"];

    /// Every topic of up to four of these levels.
    fn all_topics() -> Vec<String> {
        let mut topics: Vec<String> = LEVELS.map(str::to_owned).to_vec();
        let mut last = topics.clone();
        for _ in 1..4 {
            last = last
                .iter()
                .flat_map(|head| LEVELS.map(|level| format!("{head}/{level}")))
                .collect();
            topics.extend_from_slice(&last);
        }
        topics.retain(|topic| topic_is_valid(topic));
        topics
    }

    fn any_filter() -> impl Strategy<Value = String> {
        let level = prop::sample::select(vec!["", "a", "b", "$s", "+", "+"]);
        let levels = prop::collection::vec(level, 0..3);
        (levels, any::<bool>())
            .prop_map(|(mut levels, open)| {
                if open {
                    levels.push("#");
                }
                levels.join("/")
            })
            .prop_filter("valid", |filter| filter_is_valid(filter))
    }

    proptest! {
        #[test]
        fn coverage_agrees_with_enumeration(granted in any_filter(), wanted in any_filter()) {
            // Filters have up to three levels, so topics of four tell whether one goes deeper; and
            // they use no level `b` that a wildcard would not also match.
            let all = all_topics();
            let slow = all
                .iter()
                .filter(|topic| filter_matches(&wanted, topic))
                .all(|topic| filter_matches(&granted, topic));
            let fast = filter_covers(&granted, &wanted);
            prop_assert!(!fast || slow, "grants too much");
            // `/#` would match the empty topic, which does not exist: the one case in which the
            // levels say less than the topics.
            prop_assert!(fast || !slow || wanted == "/#", "grants too little");
        }
    }
}
