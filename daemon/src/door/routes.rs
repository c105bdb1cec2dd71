//! Which of the router's logs serve a session's filters, and which of them can bring a message
//! that another brings too.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use divisor_wire::topic::filters_overlap;

/// Wildcard filters of one session that are held against all its others. With more of them every
/// one is taken to overlap, which costs a look-up for each message instead of a comparison for
/// each pair.
const WILD_MAX: usize = 32;

/// The filters of one session and the router's filters that serve them.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// The client's filters, each with the router's filter that serves it.
    filters: HashMap<Box<str>, Arc<str>>,
    routes: BTreeMap<Arc<str>, Route>,
}

/// One of the router's filters.
#[derive(Debug, Default)]
struct Route {
    /// The client's filters that it serves.
    serves: usize,
    /// Those of them that match less than it does.
    narrower: usize,
    /// Another route can bring a message of this one.
    overlaps: bool,
}

impl Routes {
    pub(super) fn contains(&self, filter: &str) -> bool {
        self.filters.contains_key(filter)
    }

    /// The client's filters.
    pub(super) fn filters(&self) -> impl Iterator<Item = &str> {
        self.filters.keys().map(|filter| &**filter)
    }

    /// The router's filters.
    pub(super) fn routed(&self) -> impl Iterator<Item = &Arc<str>> {
        self.routes.keys()
    }

    /// Takes a filter that is not there yet; true when the router's filter is new to the session.
    /// [`Self::compare`] is due when all have been taken.
    pub(super) fn insert(&mut self, filter: &str, routed: &str) -> bool {
        let known = self.routes.get_key_value(routed).map(|(name, _)| name);
        let name = known.cloned().unwrap_or_else(|| routed.into());
        let route = self.routes.entry(Arc::clone(&name)).or_default();
        route.serves += 1;
        route.narrower += usize::from(!routed.ends_with(filter));
        let is_new = route.serves == 1;
        self.filters.insert(filter.into(), name);
        is_new
    }

    /// Gives a filter up; the router's filter when it serves no other. [`Self::compare`] is due
    /// when all have been given up.
    pub(super) fn remove(&mut self, filter: &str) -> Option<Arc<str>> {
        let routed = self.filters.remove(filter)?;
        let route = self.routes.get_mut(&routed)?;
        route.serves -= 1;
        route.narrower -= usize::from(!routed.ends_with(filter));
        if route.serves > 0 {
            return None;
        }
        self.routes.remove(&routed);
        Some(routed)
    }

    /// Finds out which routes overlap.
    pub(super) fn compare(&mut self) {
        let routed: Vec<&str> = self.routes.keys().map(|routed| &**routed).collect();
        let is_wild = |at: &usize| routed[*at].contains(['+', '#']);
        let wild: Vec<usize> = (0..routed.len()).filter(is_wild).collect();
        let mut overlaps = vec![wild.len() > WILD_MAX; routed.len()];
        if wild.len() <= WILD_MAX {
            // Filters without wildcards match one topic each, so a pair needs one with.
            for &one in &wild {
                for other in (0..routed.len()).filter(|other| *other != one) {
                    if filters_overlap(routed[one], routed[other]) {
                        overlaps[one] = true;
                        overlaps[other] = true;
                    }
                }
            }
        }
        for (route, overlaps) in self.routes.values_mut().zip(overlaps) {
            route.overlaps = overlaps;
        }
    }

    /// True when one message can arrive more than once: the router keeps a log for each filter and
    /// knows nothing of the others.
    pub(super) fn overlap(&self) -> bool {
        self.routes.values().any(|route| route.overlaps)
    }

    /// The router's filters, each with whether all its messages are for the client and no other
    /// brings them too.
    pub(super) fn told_apart(&self) -> impl Iterator<Item = (&str, bool)> {
        self.routes
            .iter()
            .map(|(routed, route)| (&**routed, !route.overlaps && route.narrower == 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_that_share_a_topic_overlap() {
        check("a", &["a"]);
        check("a b", &["a", "b"]);
        check("a* +*", &["a", "+"]);
        check("a/b* a/#* c", &["a/b", "a/#", "c"]);
        check("a/+* +/b* c/d", &["a/+", "+/b", "c/d"]);
        check("a/+ b/+", &["a/+", "b/+"]);
        check("#* a* b/c*", &["#", "a", "b/c"]);
        let many: Vec<String> = (0..=WILD_MAX).map(|at| format!("{at}/+")).collect();
        let mut routes = of(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(routes.overlap(), "too many to be compared");
        assert_eq!(routes.remove("0/+").as_deref(), Some("0/+"));
        routes.compare();
        assert!(!routes.overlap());

        /// Compares these filters; a star stands behind each that overlaps.
        #[track_caller]
        fn check(expected: &str, filters: &[&str]) {
            let routes = of(filters);
            let apart: HashMap<&str, bool> = routes.told_apart().collect();
            let told: Vec<String> = filters
                .iter()
                .map(|filter| format!("{filter}{}", if apart[filter] { "" } else { "*" }))
                .collect();
            assert_eq!(told.join(" "), expected);
            assert_eq!(routes.overlap(), expected.contains('*'));
        }

        fn of(filters: &[&str]) -> Routes {
            let mut routes = Routes::default();
            for filter in filters {
                assert!(routes.insert(filter, filter));
            }
            routes.compare();
            routes
        }
    }

    #[test]
    fn a_route_lives_as_long_as_a_filter_needs_it() {
        let mut routes = Routes::default();
        assert!(routes.insert("a/b", "d/#"));
        assert!(!routes.insert("#", "d/#"));
        routes.compare();
        assert_eq!(routes.told_apart().collect::<Vec<_>>(), [("d/#", false)]);
        assert_eq!(routes.remove("a/b"), None);
        assert_eq!(routes.told_apart().collect::<Vec<_>>(), [("d/#", true)]);
        assert_eq!(routes.remove("a/b"), None, "it was given up before");
        assert_eq!(routes.remove("#").as_deref(), Some("d/#"));
        assert_eq!(routes.filters().count() + routes.routed().count(), 0);
    }
}
