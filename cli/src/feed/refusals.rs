//! What the daemon says on `divisor/rejected/{client}`, counted by reason.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The fields this client uses; the daemon may say more, and the door says less than the
/// sequencer.
#[derive(Debug, Deserialize)]
struct Report {
    topic: String,
    reason: String,
    #[serde(default)]
    refused: Vec<Tick>,
    /// Present when the ticks were read one by one; absent when the whole message was refused.
    place: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Tick {
    reason: String,
}

/// Refused ticks by reason, with the topic of the first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusals {
    reasons: BTreeMap<String, (u64, String)>,
}

impl Refusals {
    /// Takes a report in. `ticks` is how many ticks a message of ours carries, for a message that
    /// was refused whole.
    pub(crate) fn take(&mut self, payload: &[u8], ticks: u32) {
        let Ok(report) = serde_json::from_slice::<Report>(payload) else {
            self.count("unreadable_report", "", 1);
            return;
        };
        for tick in &report.refused {
            self.count(&tick.reason, &report.topic, 1);
        }
        if report.refused.is_empty() {
            let count = if report.place.is_some() {
                1
            } else {
                u64::from(ticks)
            };
            self.count(&report.reason, &report.topic, count);
        }
    }

    fn count(&mut self, reason: &str, topic: &str, count: u64) {
        let entry = self.reasons.entry(reason.to_owned());
        entry.or_insert_with(|| (0, topic.to_owned())).0 += count;
    }

    /// All of them.
    pub(crate) fn total(&self) -> u64 {
        self.reasons.values().map(|(count, _)| count).sum()
    }

    /// `unknown_symbol: 3, first on securities/X/price`, one line for each reason.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.reasons
            .iter()
            .map(|(reason, (count, topic))| format!("{reason}: {count}, first on {topic}"))
    }

    /// Reasons and counts.
    pub(crate) fn counts(&self) -> BTreeMap<&str, u64> {
        let counts = self.reasons.iter();
        counts
            .map(|(reason, (count, _))| (reason.as_str(), *count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use divisor_wire::Reason;
    use divisor_wire::rejected::Rejected;

    use super::*;

    #[test]
    fn counts_ticks_not_messages() {
        let mut refusals = Refusals::default();
        let mut take = |refused: &[(u32, Reason)]| {
            let report = Rejected::new("securities/A/price", refused, 1).unwrap();
            refusals.take(&serde_json::to_vec(&report).unwrap(), 10);
        };
        take(&[(0, Reason::UnknownSymbol)]);
        take(&[(1, Reason::BadPrice), (3, Reason::UnknownSymbol)]);
        refusals.take(br#"{"reason":"malformed","topic":"t"}"#, 10);
        assert_eq!(refusals.total(), 13);
        let lines: Vec<String> = refusals.lines().collect();
        assert_eq!(
            lines,
            [
                "bad_price: 1, first on securities/A/price",
                "malformed: 10, first on t",
                "unknown_symbol: 2, first on securities/A/price",
            ]
        );
    }
}
