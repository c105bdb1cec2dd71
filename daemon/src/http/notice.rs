//! What happens to an index, in one line for people.

use divisor_engine::Time;
use serde::Serialize;
use serde_json::Value;

use super::answer::Record;

/// An event of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Notice {
    pub(super) index: String,
    /// From when on it counts; when it was told where it has no time of its own.
    pub(super) ts: String,
    /// `revision`, `status`, `action`, `correction`.
    pub(super) kind: String,
    /// One line for people.
    pub(super) text: String,
    pub(super) rev: Option<u32>,
    pub(super) pos: u64,
}

impl Record for Notice {
    const COLUMNS: &'static [&'static str] = &["index", "ts", "kind", "text", "rev", "pos"];
}

impl Notice {
    /// Reads what is published on `indexes/{code}/event`. Kinds that are not known here are shown
    /// with their own words.
    pub(super) fn of_event(payload: &[u8], now: Time) -> Option<Self> {
        let event: Value = serde_json::from_slice(payload).ok()?;
        let text = |key: &str| event[key].as_str();
        let kind = text("event")?;
        let rev = event["rev"]
            .as_u64()
            .and_then(|rev| u32::try_from(rev).ok());
        let said = match kind {
            "revision" => revision_text(
                rev.unwrap_or_default(),
                text("cause").unwrap_or_default(),
                text("divisor"),
                event["constituents"].as_u64(),
            ),
            "status" => format!("status {}", text("status").unwrap_or_default()),
            "life" => match text("former") {
                Some(former) => format!("was {former} before"),
                None => format!("is {}", text("life").unwrap_or_default()),
            },
            "held" => {
                let part = |key| text(key).unwrap_or_default();
                let (subject, price, src) = (part("subject"), part("price"), part("src"));
                let (doubt, reference) = (part("doubt"), part("reference"));
                format!("{subject} at {price} of {src} is held ({doubt}, beside {reference})")
            }
            "action" => {
                let part = |key| text(key).unwrap_or_default();
                let why = text("why").map_or_else(String::new, |why| format!(": {why}"));
                let (kind, action, state) = (part("kind"), part("action"), part("state"));
                format!(
                    "{kind} {action} is {state}, ex-date {}{why}",
                    part("ex_date")
                )
            }
            "correction" => {
                let count = |key| event[key].as_u64().unwrap_or_default();
                let (run, levels, closes) = (count("run"), count("levels"), count("closes"));
                let largest = text("largest")
                    .map_or_else(String::new, |largest| format!(", at most by {largest}"));
                format!("run {run} restates {levels} levels and {closes} closes{largest}")
            }
            _ => ["text", "note", "message", "action", "status"]
                .iter()
                .find_map(|key| text(key))
                .unwrap_or(kind)
                .to_owned(),
        };
        let ts = ["effective", "from", "ts"].iter().find_map(|key| text(key));
        Some(Self {
            index: text("index")?.to_owned(),
            ts: ts.map_or_else(|| now.to_string(), str::to_owned),
            kind: kind.to_owned(),
            text: said,
            rev,
            pos: event["pos"].as_u64()?,
        })
    }
}

/// A revision in one line.
pub(super) fn revision_text(
    revision: u32,
    cause: &str,
    divisor: Option<&str>,
    constituents: Option<u64>,
) -> String {
    let divisor = divisor.map_or_else(
        || "no divisor yet".to_owned(),
        |divisor| format!("divisor {divisor}"),
    );
    let members = constituents.map(|count| format!(", {count} constituents"));
    format!(
        "revision {revision} ({cause}): {divisor}{}",
        members.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_events() {
        let check = |payload: &str, kind: &str, text: &str, ts: &str| {
            let notice = Notice::of_event(payload.as_bytes(), Time::from_nanos(0)).unwrap();
            let got = (
                notice.kind.as_str(),
                notice.text.as_str(),
                notice.ts.as_str(),
            );
            assert_eq!(got, (kind, text, ts));
        };
        check(
            r#"{"event":"revision","v":1,"index":"X","rev":2,"cause":"reset","divisor":"0.15",
               "effective":"2026-01-05T00:00:00Z","constituents":3,"pos":9}"#,
            "revision",
            "revision 2 (reset): divisor 0.15, 3 constituents",
            "2026-01-05T00:00:00Z",
        );
        check(
            r#"{"event":"status","v":1,"index":"X","status":"pending","pos":9}"#,
            "status",
            "status pending",
            "1970-01-01T00:00:00.000000Z",
        );
        check(
            r#"{"event":"action","v":1,"index":"X","action":"a1","kind":"split","state":"applied",
               "ex_date":"2026-01-06","pos":9}"#,
            "action",
            "split a1 is applied, ex-date 2026-01-06",
            "1970-01-01T00:00:00.000000Z",
        );
        check(
            r#"{"event":"eclipse","index":"X","note":"dark","pos":1}"#,
            "eclipse",
            "dark",
            "1970-01-01T00:00:00.000000Z",
        );
        assert_eq!(Notice::of_event(b"{}", Time::MIN), None);
    }
}
