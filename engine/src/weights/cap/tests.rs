use proptest::prelude::*;

use super::*;
use crate::RoundingMode;
use crate::definition::Concentration;

fn basket(rows: &[&str]) -> Vec<Constituent> {
    rows.iter()
        .map(|row| {
            let mut parts = row.split_whitespace();
            let mut member = Constituent::new(parts.next().unwrap());
            for part in parts {
                match part.split_once('=').unwrap() {
                    ("issuer", name) => member.issuer = Some(name.to_owned()),
                    (_, name) => member.group = Some(name.to_owned()),
                }
            }
            member
        })
        .collect()
}

fn check(weights: &[i64], rows: &[&str], caps: &str, expected: Option<&[&str]>) {
    let caps: Caps = serde_json::from_str(caps).unwrap();
    let base: Vec<Ratio> = weights.iter().map(|w| Decimal::from(*w).into()).collect();
    let got = capped(&base, &basket(rows), &caps).ok().map(|weights| {
        let percent = |w: &Ratio| w.round_scaled(4, RoundingMode::HalfUp).unwrap();
        weights
            .iter()
            .map(|w| Decimal::new(percent(w), 4).to_string())
            .collect::<Vec<_>>()
    });
    let expected = expected.map(|e| e.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
    assert_eq!(got, expected, "{weights:?} {caps:?}");
}

const FIVE: [&str; 5] = ["A", "B", "C", "D", "E"];

#[test]
fn caps_single_weights_again_and_again() {
    check(
        &[60, 30, 10],
        &["A", "B", "C"],
        r#"{"weight_max":"0.4"}"#,
        Some(&["0.4000", "0.4000", "0.2000"]),
    );
    check(
        &[48, 24, 14, 9, 5],
        &FIVE,
        r#"{"weight_max":"0.3"}"#,
        Some(&["0.3000", "0.3000", "0.2000", "0.1286", "0.0714"]),
    );
    check(
        &[60, 30, 10],
        &["A", "B", "C"],
        r#"{"weight_max":"0.3"}"#,
        None,
    );
}

#[test]
fn caps_issuers_over_their_share_classes() {
    check(
        &[30, 20, 30, 20],
        &["A1 issuer=A", "A2 issuer=A", "B", "C"],
        r#"{"weight_max":"0.4"}"#,
        // 50 for A become 40, three fifths of it in the first class.
        Some(&["0.2400", "0.1600", "0.3600", "0.2400"]),
    );
}

#[test]
fn caps_groups_and_members_together() {
    check(
        &[40, 30, 20, 10],
        &["A group=X", "B group=X", "C group=Y", "D group=Y"],
        r#"{"groups":{"X":"0.5"}}"#,
        Some(&["0.2857", "0.2143", "0.3333", "0.1667"]),
    );
    check(
        &[40, 30, 20, 10],
        &["A group=X", "B group=X", "C group=Y", "D group=Y"],
        r#"{"groups":{"X":"0.5"},"weight_max":"0.3"}"#,
        Some(&["0.2857", "0.2143", "0.3000", "0.2000"]),
    );
    check(
        &[40, 30, 20, 10],
        &["A group=X", "B group=X", "C group=Y", "D group=Y"],
        r#"{"group_max":"0.4"}"#,
        None,
    );
}

#[test]
fn holds_5_10_40() {
    // 15, 12 and 9 % are large: 10 + 10 + … as long as 40 % allow, the others 5 at most.
    let weights = [15, 12, 9, 8, 7, 6, 5, 4, 4, 4, 4, 4, 4, 3, 3, 3, 2, 1, 1, 1];
    let names: Vec<String> = (0..20).map(|at| format!("S{at}")).collect();
    let rows: Vec<&str> = names.iter().map(String::as_str).collect();
    let caps = r#"{"weight_max":"0.1","concentration":{"above":"0.05","total_max":"0.4"}}"#;
    let caps: Caps = serde_json::from_str(caps).unwrap();
    let base: Vec<Ratio> = weights.iter().map(|w| Decimal::from(*w).into()).collect();
    let got = capped(&base, &basket(&rows), &caps).unwrap();
    let large = sum_above(&got, "0.05".parse().unwrap());
    assert!(!large.subtract(&Decimal::new(4, 1).into()).is_positive());
    let sum = got.iter().fold(Ratio::zero(), |sum, w| sum.add(w));
    assert!(sum.subtract(&Ratio::one()).is_zero());
    let order = got.windows(2).all(|w| !w[1].subtract(&w[0]).is_positive());
    assert!(order, "caps do not change who is larger");
}

#[test]
fn acts_only_when_triggered() {
    let caps = r#"{"weight_max":"0.23","concentration":{"above":"0.045","total_max":"0.45"},
        "trigger":{"weight_max":"0.24","concentration":{"above":"0.048","total_max":"0.5"}}}"#;
    let names: Vec<String> = (0..21).map(|at| format!("S{at}")).collect();
    let rows: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut weights = vec![4; 20];
    weights.push(20);
    let plain: Vec<String> = weights.iter().map(|w| format!("0.{w:02}00")).collect();
    let plain: Vec<&str> = plain.iter().map(String::as_str).collect();
    check(&weights, &rows, caps, Some(&plain));
    // 25 of 105 is below 24 %, 27 of 107 is not, and is brought to 23 %.
    weights[20] = 27;
    let mut cut = vec!["0.0385"; 20];
    cut.push("0.2300");
    check(&weights, &rows, caps, Some(&cut));
}

#[test]
fn refuses_what_cannot_be_met() {
    let check = |caps: &str, expected: bool| {
        let caps: Caps = serde_json::from_str(caps).unwrap();
        let basket = basket(&["A group=X", "B group=X", "C", "D", "E"]);
        assert_eq!(super::check(&basket, &caps).is_ok(), expected, "{caps:?}");
    };
    check(r#"{"weight_max":"0.2"}"#, true);
    check(r#"{"weight_max":"0.19"}"#, false);
    check(r#"{"weight_max":"1.1"}"#, false);
    check(r#"{"weight_max":"0.3","groups":{"X":"0.1"}}"#, true);
    check(r#"{"weight_max":"0.3","groups":{"X":"0.05"}}"#, false);
    check(r#"{"groups":{"Z":"0.5"}}"#, false);
    check(
        r#"{"concentration":{"above":"0.2","total_max":"0.4"}}"#,
        true,
    );
    check(
        r#"{"concentration":{"above":"0.1","total_max":"0.4"}}"#,
        false,
    );
    check(r#"{"weight_max":"0.3","trigger":{}}"#, false);
}

proptest! {
    #[test]
    fn meets_every_limit(
        weights in prop::collection::vec(1i64..1000, 4..12),
        max in 10i128..100,
        group in 10i128..100,
    ) {
        let rows: Vec<String> = (0..weights.len())
            .map(|at| format!("S{at} group={}", ["X", "Y", "Z"][at % 3]))
            .collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let basket = basket(&rows);
        let caps = Caps {
            weight_max: Some(Decimal::new(max, 2)),
            group_max: Some(Decimal::new(group, 2)),
            ..Caps::default()
        };
        let base: Vec<Ratio> = weights.iter().map(|w| Decimal::from(*w).into()).collect();
        let got = capped(&base, &basket, &caps);
        // What is possible for equal weights is possible for others, and nothing else is.
        prop_assert_eq!(got.is_ok(), check_caps(&basket, &caps));
        let Ok(got) = got else { return Ok(()) };
        let sum = got.iter().fold(Ratio::zero(), |sum, w| sum.add(w));
        prop_assert!(sum.subtract(&Ratio::one()).is_zero());
        for weight in &got {
            prop_assert!(!weight.subtract(&Decimal::new(max, 2).into()).is_positive());
        }
        for name in ["X", "Y", "Z"] {
            let members = basket.iter().zip(&got).filter(|(m, _)| m.group.as_deref() == Some(name));
            let sum = members.fold(Ratio::zero(), |sum, (_, w)| sum.add(w));
            prop_assert!(!sum.subtract(&Decimal::new(group, 2).into()).is_positive());
        }
    }
}

fn check_caps(basket: &[Constituent], caps: &Caps) -> bool {
    super::check(basket, caps).is_ok()
}

proptest! {
    #[test]
    fn meets_a_limit_on_large_weights_wherever_one_can(
        weights in prop::collection::vec(1i64..1000, 2..14),
        max in 10i128..=100,
        above in 2i128..40,
        total in 10i128..=100,
    ) {
        let rows: Vec<String> = (0..weights.len()).map(|at| format!("S{at}")).collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let basket = basket(&rows);
        let caps = Caps {
            weight_max: Some(Decimal::new(max, 2)),
            concentration: Some(Concentration { above: Decimal::new(above, 2), total_max: Decimal::new(total, 2) }),
            ..Caps::default()
        };
        // Some number of weights are large, the others at the threshold at the most.
        let count = weights.len() as i128;
        let can = (0..=count).any(|large| (large * max).min(total) + (count - large) * above.min(max) >= 100);
        prop_assert_eq!(check_caps(&basket, &caps), can);
        let base: Vec<Ratio> = weights.iter().map(|w| Decimal::from(*w).into()).collect();
        let got = capped(&base, &basket, &caps);
        prop_assert_eq!(got.is_ok(), can);
        let Ok(got) = got else { return Ok(()) };
        let sum = got.iter().fold(Ratio::zero(), |sum, w| sum.add(w));
        prop_assert!(sum.subtract(&Ratio::one()).is_zero());
        for weight in &got {
            prop_assert!(!weight.subtract(&Decimal::new(max, 2).into()).is_positive());
        }
        let large = sum_above(&got, Decimal::new(above, 2));
        prop_assert!(!large.subtract(&Decimal::new(total, 2).into()).is_positive());
    }
}
