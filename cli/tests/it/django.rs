//! The fixtures of a Django project, end to end: what `manage.py dumpdata` writes becomes levels.

use super::tail::Following;
use super::{Files, Run, daemon};

/// Weights that sum to 0.8: the rest earns nothing. MSFT has no price on the last day.
const PROJECT: &str = r#"[
  {"model": "indices.security", "pk": 1, "fields": {"ticker": "AAPL", "name": "Apple"}},
  {"model": "indices.security", "pk": 2, "fields": {"ticker": "MSFT", "name": "Microsoft"}},
  {"model": "indices.syntheticindex", "pk": 7, "fields": {"name": "Tech Two"}},
  {"model": "indices.securityweight", "pk": 1, "fields": {"index": 7, "security": 1, "weight": "0.5"}},
  {"model": "indices.securityweight", "pk": 2, "fields": {"index": 7, "security": 2, "weight": "0.3"}},
  {"model": "indices.securityprice", "pk": 1, "fields": {"security": 1, "date": "2021-11-01", "value": "100.00"}},
  {"model": "indices.securityprice", "pk": 2, "fields": {"security": 1, "date": "2021-11-02", "value": "110.00"}},
  {"model": "indices.securityprice", "pk": 3, "fields": {"security": 1, "date": "2021-11-03", "value": "99.00"}},
  {"model": "indices.securityprice", "pk": 4, "fields": {"security": 1, "date": "2021-11-04", "value": "118.80"}},
  {"model": "indices.securityprice", "pk": 5, "fields": {"security": 2, "date": "2021-11-01", "value": "200.00"}},
  {"model": "indices.securityprice", "pk": 6, "fields": {"security": 2, "date": "2021-11-02", "value": "190.00"}},
  {"model": "indices.securityprice", "pk": 7, "fields": {"security": 2, "date": "2021-11-03", "value": "209.00"}}
]"#;

/// `P_t = P_{t-1}·(1 + Σ w·r)` from 100 (METHODOLOGY §4):
///
/// | day | r of AAPL | r of MSFT | Σ w·r | P |
/// |---|---|---|---|---|
/// | 1 | | | | 100 |
/// | 2 | +10 % | −5 % | 0.05 − 0.015 = 0.035 | 103.5 |
/// | 3 | −10 % | +10 % | −0.05 + 0.03 = −0.02 | 101.43 |
/// | 4 | +20 % | none | 0.1 | 111.573 |
#[test]
fn a_project_gives_the_levels_of_its_days() {
    let daemon = daemon();
    let files = Files::new();
    let path = files.write("project.json", PROJECT);
    let tail = Following::start(&daemon, &["tail", "-n", "4", "-o", "csv"]);
    Run::of(&daemon, &["load", &path]).code(0);
    let tail = tail.end().code(0);
    let days: Vec<String> = tail
        .stdout
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            format!("{} {} {}", &fields[5][..10], fields[0], fields[1])
        })
        .collect();
    assert_eq!(
        days,
        [
            "2021-11-01 Tech_Two 100.00",
            "2021-11-02 Tech_Two 103.50",
            "2021-11-03 Tech_Two 101.43",
            "2021-11-04 Tech_Two 111.57",
        ]
    );
    let shown = Run::of(&daemon, &["index", "show", "Tech_Two", "-o", "json"]).code(0);
    let shown = shown.object();
    assert_eq!(shown["prev_close"], "101.43");
    assert_eq!(shown["definition"]["base"]["date"], "2021-11-01");
    assert_eq!(shown["row"]["weighting"], "constant_weight");
    // The next day's dump holds the old days too; those change nothing.
    let more = PROJECT.replace(
        "\n]",
        r#",
  {"model": "indices.securityprice", "pk": 8, "fields": {"security": 2, "date": "2021-11-05", "value": "229.90"}}
]"#,
    );
    Run::of(&daemon, &["load", &files.write("more.json", &more)]).code(0);
    // 111.573 · (1 + 0.3 · 10 %) = 114.92019
    assert_eq!(super::levels(&daemon), ["Tech_Two 114.92"]);
}

#[test]
fn what_is_not_known_is_named() {
    let daemon = daemon();
    let files = Files::new();
    let odd = PROJECT.replace(
        "\n]",
        r#",
  {"model": "auth.user", "pk": 1, "fields": {"username": "ann"}},
  {"model": "indices.security", "pk": 3, "fields": {"ticker": "SAP", "sector": "software"}}
]"#,
    );
    let path = files.write("odd.json", &odd);
    Run::of(&daemon, &["load", &path])
        .code(2)
        .says("odd.json: the model `auth.user` is not known")
        .says("odd.json: the field `sector` of `indices.security` is not known")
        .says("--ignore-unknown");
    assert!(super::levels(&daemon).is_empty());
    Run::of(&daemon, &["load", "--ignore-unknown", &path])
        .code(0)
        .says("the model `auth.user` is left out")
        .says("the field `sector` of `indices.security` is left out");
    assert_eq!(super::levels(&daemon), ["Tech_Two 111.57"]);
}
