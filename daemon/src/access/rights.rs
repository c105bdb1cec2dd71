//! Rights as topic filters: what roles grant, and what of it one principal holds.

use std::collections::HashSet;
use std::sync::Arc;

use divisor_wire::topic::{
    Topic, as_level, filter_covers, filter_is_valid, filter_matches, symbol_is_valid,
};

/// The topics in which the store of rights has a say of its own.
const OURS: [&str; 4] = ["securities", "fx", "indexes", "divisor"];

/// The roles that are always there.
pub(super) const BUILT_IN: [&str; 4] = ["publisher", "subscriber", "operator", "admin"];

/// The commands that change nothing. Whoever may see levels may ask them.
const QUERIES: [&str; 6] = [
    "index.list",
    "index.show",
    "security.list",
    "security.show",
    "rate.list",
    "status",
];

/// What everybody may read who is let in: whether the daemon is there, and what it says to him.
const OWN: [&str; 3] = [
    "divisor/status",
    "divisor/reply/{client}/#",
    "divisor/rejected/{client}",
];

/// Filters that a role or a user has, with `{user}` and `{client}` still in them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Grant {
    publish: Vec<Box<str>>,
    subscribe: Vec<Box<str>>,
}

impl Grant {
    /// A grant of these filters, and of the prices of these securities.
    ///
    /// # Errors
    /// What is wrong with them, each behind "the grant".
    pub(super) fn new(
        publish: &[String],
        subscribe: &[String],
        securities: &[String],
    ) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        for filter in publish.iter().chain(subscribe) {
            // An ordinary name stands for what will be put in.
            let filled = filter.replace("{user}", "x").replace("{client}", "x");
            if !filter_is_valid(&filled) || filled.contains(['{', '}']) {
                problems.push(format!(
                    "\"{filter}\" is not a topic filter ({{user}} and {{client}} may stand in it)"
                ));
            }
        }
        for filter in publish {
            if is_daemons(filter) {
                problems.push(format!("\"{filter}\": only the daemon writes there"));
            }
        }
        for symbol in securities.iter().filter(|symbol| !symbol_is_valid(symbol)) {
            problems.push(format!("\"{symbol}\" is not a symbol"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let prices = securities
            .iter()
            .map(|symbol| format!("securities/{symbol}/price"));
        Ok(Self {
            publish: publish
                .iter()
                .cloned()
                .chain(prices)
                .map(Into::into)
                .collect(),
            subscribe: subscribe
                .iter()
                .map(|filter| filter.as_str().into())
                .collect(),
        })
    }

    /// What a role of [`BUILT_IN`] grants.
    pub(super) fn built_in(role: &str) -> Self {
        let grant = |publish: &[&str], subscribe: &[&str]| Self {
            publish: publish.iter().map(|&filter| filter.into()).collect(),
            subscribe: subscribe.iter().map(|&filter| filter.into()).collect(),
        };
        const PRICES: [&str; 2] = ["securities/+/price", "fx/+/+/rate"];
        const READ: [&str; 3] = ["indexes/#", "securities/#", "fx/#"];
        match role {
            "publisher" => grant(&PRICES, &[]),
            "subscriber" => {
                let queries = QUERIES.map(|verb| format!("divisor/control/{verb}"));
                grant(&queries.each_ref().map(String::as_str), &READ)
            }
            "operator" => grant(&["divisor/control/+"], &READ),
            "admin" => {
                let publish = [PRICES[0], PRICES[1], "divisor/control/+"];
                // There are no `$` topics, so who may read all may look for them in vain.
                grant(&publish, &["#", "$SYS/#"])
            }
            _ => Self::default(),
        }
    }

    /// Whether prices of all securities are granted, so that naming some of them is a mistake.
    pub(super) fn publishes_all_prices(&self) -> bool {
        let all = |filter: &str| filter_covers(filter, "securities/+/price");
        self.publish.iter().map(AsRef::as_ref).any(all)
    }
}

/// Whether a filter for publishing can only mean what is the daemon's.
fn is_daemons(filter: &str) -> bool {
    let mut levels = filter.split('/');
    match (levels.next(), levels.next()) {
        (Some("indexes"), _) => true,
        (Some("divisor"), second) => !matches!(second, Some("control" | "+" | "#")),
        (Some(first), _) => first.starts_with('$'),
        (None, _) => false,
    }
}

/// The grants of one principal, for his name and client id.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Rights {
    publish: Filters,
    subscribe: Filters,
    other_topics: bool,
}

/// Filters, those without a wildcard apart: a publisher may have thousands.
#[derive(Debug, PartialEq, Eq, Default)]
struct Filters {
    topics: HashSet<Box<str>>,
    patterns: Vec<Box<str>>,
}

impl Rights {
    /// Puts name and client id into the grants.
    pub(super) fn new(
        user: Option<&str>,
        client: &str,
        grants: &[&Grant],
        other_topics: bool,
    ) -> Arc<Self> {
        let user = user.map(as_level);
        let client = Some(client)
            .filter(|client| !client.is_empty())
            .map(as_level);
        let fill = |filter: &str| filled(filter, user.as_deref(), client.as_deref());
        let mut rights = Self {
            other_topics,
            ..Self::default()
        };
        for filter in OWN {
            rights.subscribe.extend(fill(filter));
        }
        for grant in grants {
            for filter in &grant.publish {
                rights.publish.extend(fill(filter));
            }
            for filter in &grant.subscribe {
                rights.subscribe.extend(fill(filter));
            }
        }
        Arc::new(rights)
    }

    /// See [`super::Principal::may_publish`].
    pub(super) fn may_publish(&self, topic: &str) -> bool {
        match Topic::parse(topic) {
            Topic::Reserved => false,
            // The specification gives `$` topics to the server.
            Topic::Other if topic.starts_with('$') => false,
            Topic::Other if self.other_topics => true,
            Topic::Price(_) | Topic::Rate(..) | Topic::Control(_) | Topic::Other => {
                self.publish.match_topic(topic)
            }
        }
    }

    /// See [`super::Principal::may_subscribe`].
    pub(super) fn may_subscribe(&self, filter: &str) -> bool {
        let first = filter.split('/').next().unwrap_or_default();
        let foreign = !OURS.contains(&first) && !first.starts_with(['+', '#', '$']);
        (self.other_topics && foreign) || self.subscribe.cover(filter)
    }

    /// See [`super::Principal::may_read`].
    pub(super) fn may_read(&self, topic: &str) -> bool {
        self.may_subscribe(topic)
    }
}

impl Filters {
    fn extend(&mut self, filter: Option<Box<str>>) {
        match filter {
            Some(filter) if filter.contains(['+', '#']) => self.patterns.push(filter),
            Some(topic) => {
                self.topics.insert(topic);
            }
            None => {}
        }
    }

    fn match_topic(&self, topic: &str) -> bool {
        let matches = |filter: &str| filter_matches(filter, topic);
        self.topics.contains(topic) || self.patterns.iter().map(AsRef::as_ref).any(matches)
    }

    fn cover(&self, wanted: &str) -> bool {
        let covers = |filter: &str| filter_covers(filter, wanted);
        self.topics.contains(wanted) || self.patterns.iter().map(AsRef::as_ref).any(covers)
    }
}

/// A grant with name and client id in it, both percent-encoded, so that neither can bring a level
/// or a wildcard of its own. `None` when it needs one that is not there.
fn filled(filter: &str, user: Option<&str>, client: Option<&str>) -> Option<Box<str>> {
    let mut text = filter.to_owned();
    for (place, value) in [("{user}", user), ("{client}", client)] {
        if text.contains(place) {
            text = text.replace(place, value?);
        }
    }
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(roles: &[&str], other_topics: bool) -> Arc<Rights> {
        let grants: Vec<_> = roles.iter().map(|role| Grant::built_in(role)).collect();
        let grants: Vec<_> = grants.iter().collect();
        Rights::new(Some("ann"), "c/1", &grants, other_topics)
    }

    #[test]
    fn roles_grant_what_they_say() {
        // p: publish, s: subscribe; letters of the roles that may: p(ublisher), s(ubscriber),
        // o(perator), a(dmin).
        let check = |what: &str, subject: &str, expected: &str| {
            let may = BUILT_IN.map(|role| {
                let rights = rights(&[role], false);
                let may = match what {
                    "publish" => rights.may_publish(subject),
                    _ => rights.may_subscribe(subject),
                };
                if may { &role[..1] } else { "" }
            });
            assert_eq!(may.concat(), expected, "{what} {subject}");
        };
        check("publish", "securities/AAPL/price", "pa");
        check("publish", "fx/EUR/USD/rate", "pa");
        check("publish", "divisor/control/index.list", "soa");
        check("publish", "divisor/control/status", "soa");
        check("publish", "divisor/control/load.begin", "oa");
        check("publish", "divisor/control/unheard.of", "oa");
        check("publish", "indexes/DJIA/level", "");
        check("publish", "divisor/status", "");
        check("publish", "divisor/reply/c%2F1/1", "");
        check("publish", "divisor/rejected/c%2F1", "");
        check("publish", "weather/oslo", "");
        check("publish", "$SYS/x", "");
        check("subscribe", "indexes/+/level", "soa");
        check("subscribe", "indexes/#", "soa");
        check("subscribe", "securities/+/price", "soa");
        check("subscribe", "#", "a");
        check("subscribe", "$SYS/#", "a");
        check("subscribe", "divisor/status", "psoa");
        check("subscribe", "divisor/#", "a");
        check("subscribe", "divisor/reply/c%2F1/#", "psoa");
        check("subscribe", "divisor/reply/c%2F1/+", "psoa");
        check("subscribe", "divisor/reply/+/1", "a");
        check("subscribe", "divisor/reply/c/#", "a");
        check("subscribe", "divisor/rejected/c%2F1", "psoa");
        check("subscribe", "divisor/rejected/+", "a");
        check("subscribe", "divisor/control/#", "a");
        check("subscribe", "weather/#", "a");
    }

    #[test]
    fn grants_hold_for_a_name_and_a_client() {
        let list = |filters: &[&str]| filters.iter().map(|&f| f.to_owned()).collect::<Vec<_>>();
        let grant = Grant::new(
            &list(&["securities/{user}/price", "desk/{client}/x-{user}"]),
            &list(&["desk/{user}/#"]),
            &list(&["BRK.B", "MSFT"]),
        )
        .unwrap();
        let rights = |user, client| Rights::new(user, client, &[&grant], false);
        let ann = rights(Some("ann"), "a/+#");
        assert!(ann.may_publish("securities/ann/price"));
        assert!(ann.may_publish("securities/BRK.B/price"));
        assert!(!ann.may_publish("securities/AAPL/price"));
        assert!(ann.may_publish("desk/a%2F%2B%23/x-ann"));
        assert!(!ann.may_publish("desk/a/x-ann"));
        assert!(ann.may_subscribe("desk/ann/+"));
        assert!(!ann.may_subscribe("desk/+/a"));
        assert!(ann.may_read("desk/ann/a/b"));
        let plus = rights(Some("+"), "");
        assert!(plus.may_subscribe("desk/%2B/#"));
        assert!(!plus.may_subscribe("desk/ann/#"));
        assert!(!plus.may_subscribe("divisor/rejected/"));
        let nobody = rights(None, "c");
        assert!(!nobody.may_publish("securities/ann/price"));
        assert!(nobody.may_publish("securities/MSFT/price"));
        assert!(!nobody.may_subscribe("desk//#"));
    }

    #[test]
    fn other_topics_are_for_everybody_where_configured() {
        let nobody = rights(&[], true);
        assert!(nobody.may_publish("weather/oslo"));
        assert!(nobody.may_publish("securities/a/b/price"));
        assert!(!nobody.may_publish("securities/AAPL/price"));
        assert!(!nobody.may_publish("indexes/DJIA/level"));
        assert!(!nobody.may_publish("$SYS/x"));
        assert!(nobody.may_subscribe("weather/#"));
        assert!(!nobody.may_subscribe("+/#"));
        assert!(!nobody.may_subscribe("divisor/rejected/x"));
        assert!(!nobody.may_subscribe("$SYS/#"));
    }

    #[test]
    fn grants_that_make_no_sense_are_refused() {
        let check = |publish: &str, expected: Option<&str>| {
            let got = Grant::new(&[publish.to_owned()], &[], &[]);
            match expected {
                None => assert!(got.is_ok(), "{publish}: {got:?}"),
                Some(part) => {
                    assert!(got.unwrap_err()[0].contains(part), "{publish}");
                }
            }
        };
        check("a/#", None);
        check("divisor/control/load.+", Some("not a topic filter"));
        check("divisor/control/#", None);
        check("#", None);
        check("a/#/b", Some("not a topic filter"));
        check("a/{usr}", Some("not a topic filter"));
        check("indexes/+/level", Some("only the daemon"));
        check("divisor/status", Some("only the daemon"));
        check("divisor/reply/{client}/1", Some("only the daemon"));
        check("$SYS/#", Some("only the daemon"));
        assert!(Grant::new(&[], &[], &["a/b".to_owned()]).is_err());
    }
}
