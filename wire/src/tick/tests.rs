use proptest::prelude::*;

use super::*;

/// What a message says, as one line: the ticks' fields and the refusals in their places.
fn read(payload: &str) -> String {
    match decode(payload.as_bytes(), 4) {
        Err(reason) => reason.to_string(),
        Ok(decoded) => {
            let mut parts: Vec<String> = decoded.ticks.iter().map(show).collect();
            parts.extend(
                decoded
                    .refused
                    .iter()
                    .map(|(place, why)| format!("!{place} {why}")),
            );
            parts.join("; ")
        }
    }
}

fn show(tick: &Tick) -> String {
    let mut line = tick.price.to_string();
    let optional = [
        tick.ts.map(|ts| ts.to_string()),
        tick.src.as_deref().map(str::to_owned),
        tick.inc.map(|inc| inc.to_string()),
        tick.seq.map(|seq| seq.to_string()),
        tick.size.map(|size| size.to_string()),
        tick.ccy.as_deref().map(str::to_owned),
        tick.venue.as_deref().map(str::to_owned),
    ];
    for field in optional.iter().flatten() {
        line.push(' ');
        line.push_str(field);
    }
    line
}

#[test]
fn payloads_are_read() {
    let check = |payload: &str, expected: &str| assert_eq!(read(payload), expected, "{payload}");
    check(
        r#"{"price":"189.84","ts":"2026-11-22T14:30:00.123456Z","src":"feed-1","inc":7,"seq":42,"size":"100","ccy":"USD","venue":"XNYS"}"#,
        "189.84 2026-11-22T14:30:00.123456Z feed-1 7 42 100 USD XNYS",
    );
    check("189.84", "189.84");
    check(" 189.84\n", "189.84");
    check("\"189.84\"", "189.84");
    check("1e2", "100");
    check("[1, 2.5, \"3\"]", "1; 2.5; 3");
    check(
        "[{\"price\":1},{\"price\":0},2,-1]",
        "1; 2; !1 price_not_positive; !3 price_not_positive",
    );
    check("[]", "");
    check("", "empty_payload");
    check(" \n", "empty_payload");
    check("abc", "malformed");
    check("{", "malformed");
    check("{}", "!0 bad_price");
    check("{\"price\":1}x", "malformed");
    check("[1,]", "malformed");
    check("[1,2,3,4,5]", "too_many_ticks");
    check("[[1]]", "!0 malformed");
    check("[null]", "!0 malformed");
    check("0", "!0 price_not_positive");
    check("-1", "!0 price_not_positive");
    check("NaN", "malformed");
    check("{\"price\":NaN}", "malformed");
    check("{\"price\":\"NaN\"}", "!0 bad_price");
    check("{\"price\":true}", "!0 bad_price");
    check("{\"price\":null}", "!0 bad_price");
    check("{\"price\":01}", "malformed");
    check("{\"price\":1,\"price\":2}", "!0 bad_field");
    check("{\"price\":1,\"x\":1,\"x\":2}", "1");
    check("{\"price\":1,\"x\":{\"y\":[1]}}", "1");
    check("{\"price\":1,\"seq\":-1}", "!0 bad_field");
    check("{\"price\":1,\"seq\":1.0}", "!0 bad_field");
    check("{\"price\":1,\"seq\":\"9\"}", "1 9");
    check("{\"price\":1,\"seq\":18446744073709551616}", "!0 bad_field");
    check("{\"price\":1,\"src\":\"\"}", "!0 bad_field");
    check("{\"price\":1,\"src\":\"a\\u0000\"}", "!0 bad_field");
    check("{\"price\":1,\"src\":\"\\u00e9\"}", "1 é");
    check("{\"price\":1,\"src\":7}", "!0 bad_field");
    check("{\"price\":1,\"src\":null}", "1");
    check("{\"pr\\u0069ce\":1}", "1");
    check(
        "{\"price\":123456789012345678901234567890123456789012}",
        "!0 bad_price",
    );
    check("{\"price\":0.1e-200}", "!0 bad_price");
    check(
        &format!("{{\"price\":1,\"src\":\"{}\"}}", "s".repeat(65)),
        "!0 bad_field",
    );
    check(
        &format!("{{\"price\":1,\"x\":{}}}", "[".repeat(100_000)),
        "malformed",
    );
    check(
        &format!(
            "{{\"price\":1,\"x\":{}{}}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        ),
        "1",
    );
    check(&"[".repeat(100_000), "malformed");
}

#[test]
fn bytes_that_are_not_text_are_malformed() {
    for payload in [
        &b"{\"price\":1,\"src\":\"\xff\"}"[..],
        b"\xff",
        b"[\xc3]",
        b"{\"\xff\":1}",
    ] {
        assert_eq!(decode(payload, 4), Err(Reason::Malformed), "{payload:?}");
    }
}

#[test]
fn times_are_read() {
    let check = |ts: &str, expected: &str| {
        assert_eq!(
            read(&format!("{{\"price\":1,\"ts\":{ts}}}")),
            expected,
            "{ts}"
        );
    };
    let noon = "1 2025-11-22T14:30:00.000000Z";
    check("\"2025-11-22T14:30:00Z\"", noon);
    check("\"2025-11-22T15:30:00+01:00\"", noon);
    check("\"2025-11-22 14:30:00Z\"", noon);
    check("1763821800", noon);
    check("1763821800000", noon);
    check("1763821800000000", noon);
    check("1763821800000000000", noon);
    check("\"1763821800\"", noon);
    check("1763821800.123456", "1 2025-11-22T14:30:00.123456Z");
    check("1763821800.1234567899", "1 2025-11-22T14:30:00.123456789Z");
    check("0", "1 1970-01-01T00:00:00.000000Z");
    // Before 1970: the same forms, and a negative count by its size.
    let dow = "1 1896-05-26T15:00:00.000000Z";
    check("\"1896-05-26T15:00:00Z\"", dow);
    check("\"1896-05-26T10:00:00-05:00\"", dow);
    check("-2322550800", dow);
    check("-2322550800000", dow);
    check("-2322550800000000", dow);
    check("-2322550800000000000", dow);
    check("\"-2322550800\"", dow);
    check("-2322550800.000001", "1 1896-05-26T14:59:59.999999Z");
    check("-1", "1 1969-12-31T23:59:59.000000Z");
    check(
        "\"1900-02-28T23:59:59.5Z\"",
        "1 1900-02-28T23:59:59.500000Z",
    );
    check("\"1900-02-29T00:00:00Z\"", "!0 bad_timestamp");
    check("\"1678-01-01T00:00:00Z\"", "1 1678-01-01T00:00:00.000000Z");
    check("\"1600-01-01T00:00:00Z\"", "!0 bad_timestamp");
    check("\"2024-02-29T00:00:00Z\"", "1 2024-02-29T00:00:00.000000Z");
    check("\"2025-02-29T00:00:00Z\"", "!0 bad_timestamp");
    check("\"2025-11-22\"", "!0 bad_timestamp");
    check("\"2025-11-22T14:30:00\"", "!0 bad_timestamp");
    check("\"2025-13-22T14:30:00Z\"", "!0 bad_timestamp");
    check("\"2025-11-22T24:30:00Z\"", "!0 bad_timestamp");
    check("\"9999-11-22T14:30:00Z\"", "!0 bad_timestamp");
    check("\"\"", "!0 bad_timestamp");
    check("\"now\"", "!0 bad_timestamp");
    check("true", "!0 bad_timestamp");
    check("99999999999999999999999", "!0 bad_timestamp");
}

/// Pieces that make most payloads nearly right, which is where two readers could differ.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just(",".to_owned()),
        Just(":".to_owned()),
        Just(" ".to_owned()),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("\"x\":".to_owned()),
        Just("\"\\u0041\"".to_owned()),
        "\"(price|ts|src|inc|seq|size|ccy|venue|type|x)\":",
        "-?[0-9]{1,3}(\\.[0-9]{1,2})?([eE][+-]?[0-9])?",
        "\"[a-z0-9.é]{0,4}\"",
    ]
}

fn object() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        "-?[0-9]{1,3}(\\.[0-9]{1,2})?",
        "\"[0-9]{1,3}\"",
        "\"[a-zé\\\\]{0,3}\"",
        Just("null".to_owned()),
        Just("[1,{}]".to_owned()),
    ];
    let field = ("(price|ts|src|seq|size|x)", value).prop_map(|(key, v)| format!("\"{key}\":{v}"));
    proptest::collection::vec(field, 0..5).prop_map(|fields| format!("{{{}}}", fields.join(",")))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn both_readers_agree(
        payload in prop_oneof![
            proptest::collection::vec(piece(), 0..12).prop_map(|parts| parts.concat()),
            object(),
            proptest::collection::vec(object(), 0..6).prop_map(|list| format!("[{}]", list.join(","))),
        ],
    ) {
        if let Some(fast) = scan::decode(payload.as_bytes(), 4) {
            prop_assert_eq!(Ok(fast), strict::decode(payload.as_bytes(), 4), "{}", payload);
        }
    }

    #[test]
    fn the_fast_clock_agrees(nanos in 0i64..9_000_000_000_000_000_000, digits in 0usize..10) {
        let stamp: jiff::Timestamp = Time::from_nanos(nanos).into();
        let text = format!("{stamp:.digits$}");
        let expected: jiff::Timestamp = text.parse().unwrap();
        prop_assert_eq!(
            when::from_text(&text).map(Time::as_nanos),
            i64::try_from(expected.as_nanosecond()).ok(),
            "{}", text
        );
    }

    #[test]
    fn no_bytes_panic(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = decode(&payload, 4);
    }
}

/// A CBOR payload from the diagnostic notation of its parts, in hexadecimal with spaces.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn compact_payloads_are_read() {
    let check = |hex: &str, expected: &str| {
        let got = match decode(&bytes(hex), 4) {
            Err(reason) => reason.to_string(),
            Ok(decoded) => {
                let mut parts: Vec<String> = decoded.ticks.iter().map(show).collect();
                let refused = decoded.refused.iter();
                parts.extend(refused.map(|(place, why)| format!("!{place} {why}")));
                parts.join("; ")
            }
        };
        assert_eq!(got, expected, "{hex}");
    };
    // {0: 4([-2, 18984])}
    check("a1 00 c4 82 21 19 4a28", "189.84");
    // {0: "189.84", 1: 1763821800123456, 2: 42, 3: "feed-1", 4: 7, 5: 100, 6: "USD", 7: "XNYS"}
    check(
        "a8 00 66 3138392e3834 01 1b 0006442fc3d7ec40 02 18 2a 03 66 666565642d31 \
         04 07 05 18 64 06 63 555344 07 64 584e5953",
        "189.84 2025-11-22T14:30:00.123456Z feed-1 7 42 100 USD XNYS",
    );
    // Texts as keys, and an RFC 3339 time under its tag.
    check(
        "a2 65 7072696365 05 62 7473 c0 74 323032362d31312d32325431343a33303a30305a",
        "5 2026-11-22T14:30:00.000000Z",
    );
    // Several: a map, a bare fraction, a bare integer; lists without a length.
    check("83 a1 00 01 c4 82 00 02 03", "1; 2; 3");
    check("9f bf 00 01 ff c4 9f 20 0f ff ff", "1; 1.5");
    check("80", "");
    check("c4 82 01 03", "30");
    // Unknown keys and whatever they hold are passed over.
    check("a3 00 01 18 63 82 a1 00 80 9f ff 61 78 f5", "1");
    // Zero, below zero, a float, a fraction out of reach, no price, twice a price.
    check("a1 00 00", "!0 price_not_positive");
    check("a1 00 20", "!0 price_not_positive");
    check("a1 00 fb 3ff0000000000000", "!0 bad_price");
    check("a1 00 c4 82 38 63 01", "!0 bad_price");
    check("a0", "!0 bad_price");
    check("a2 00 01 00 02", "!0 bad_field");
    check("a2 00 01 02 20", "!0 bad_field");
    check("a2 00 01 03 05", "!0 bad_field");
    // Five where four are allowed; cut off; more behind the end; a break that ends nothing.
    check("85 01 02 03 04 05", "too_many_ticks");
    check("a1 00", "malformed");
    check("9b ffffffffffffffff", "malformed");
    check("a1 00 01 00", "malformed");
    check("81 ff", "malformed");
    check("c4 83 00 01 02", "malformed");
}

proptest! {
    #[test]
    fn any_compact_payload_is_read_or_refused(
        first in 0x80u8..=0xc4,
        rest in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let payload: Vec<u8> = std::iter::once(first).chain(rest).collect();
        let _ = decode(&payload, 4);
    }
}
