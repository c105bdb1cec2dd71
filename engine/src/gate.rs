//! Which prices count: official prints, priorities of sources, and the gate that holds back what
//! is not plausible until an operator has looked (METHODOLOGY §1.10).

use serde::{Deserialize, Serialize};

use crate::calendar::Session;
use crate::definition::{CrossCheck, SourceRule};
use crate::exact::Ratio;
use crate::input::{Kind, Origin, Rate, Tick};
use crate::output::{Doubtful, Effect, Output};
use crate::security::Security;
use crate::{Decimal, Engine, LabelId, Position, RoundingMode, Time};

/// Prices and rates that wait for an operator at the most; the oldest makes room, as if rejected.
const HELD_MAX: usize = 4_096;

/// Sources whose last price is kept for a comparison.
const SEEN_MAX: usize = 16;

/// Most places of a percentage, so that a comparison fits 128 bits.
pub(crate) const PERCENT_PLACES_MAX: u8 = 4;

/// Largest percentage and largest factor, for the same reason.
pub(crate) const PERCENT_MAX: i64 = 1_000_000;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// An official price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Print {
    pub(crate) ts: Time,
    /// In units of the security.
    pub(crate) price: i64,
}

/// The official prices of a security.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prints {
    pub(crate) open: Option<Print>,
    pub(crate) close: Option<Print>,
    /// The close before that.
    before: Option<Print>,
    /// Trades before this time come after the official close and do not count.
    closed_until: Time,
}

impl Prints {
    /// Lets official prices follow what an action does to the price.
    pub(crate) fn scale(&mut self, factor: &Ratio) {
        let prints = [&mut self.open, &mut self.close, &mut self.before];
        for print in prints.into_iter().flatten() {
            let scaled = Ratio::scaled(print.price.into(), 0).multiply(factor);
            let units = scaled.round_scaled(0, RoundingMode::HalfUp);
            let units = units.and_then(|units| i64::try_from(units).ok());
            print.price = units.filter(|units| *units > 0).unwrap_or(print.price);
        }
    }

    pub(crate) const fn new() -> Self {
        Self {
            open: None,
            close: None,
            before: None,
            closed_until: Time::MIN,
        }
    }

    /// The last official close before a time.
    pub(crate) fn close_before(&self, ts: Time) -> Option<Print> {
        let of = |print: Option<Print>| print.filter(|print| print.ts < ts);
        of(self.close).or(of(self.before))
    }

    /// Whether a trade of this time comes behind the official close of its session.
    pub(crate) fn has_closed(&self, ts: Time) -> bool {
        ts < self.closed_until
    }
}

/// What the gate knows of a security that has one.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    /// The last price that passed; another one in force says that the reference price was changed.
    good: i64,
    /// The last price of the session before.
    prev_close: i64,
    /// From when on a price belongs to the next session.
    next_open: Time,
    /// The next price is held against wider bounds.
    pub(crate) is_wide: bool,
    /// The last price of each source.
    seen: Vec<Seen>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
struct Seen {
    source: LabelId,
    ts: Time,
    price: i64,
}

/// Why a price or a rate is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// Too far from the last good one.
    Last,
    /// Too far from the previous close.
    Close,
    /// Too far from what other sources say.
    Cross,
    /// A rate that looks like its own inverse, or contradicts the opposite pair.
    Inverted,
}

impl Doubt {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Close => "close",
            Self::Cross => "cross",
            Self::Inverted => "inverted",
        }
    }
}

/// A price or a rate that waits for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What waits.
    pub what: HeldInput,
    /// Why.
    pub doubt: Doubt,
    /// What it was compared with.
    pub reference: Decimal,
}

/// The input that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldInput {
    /// A price.
    Tick(Tick),
    /// A rate.
    Rate(Rate),
}

impl HeldInput {
    /// Where it came from.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        match self {
            Self::Tick(tick) => &tick.origin,
            Self::Rate(rate) => &rate.origin,
        }
    }
}

impl Engine {
    /// What becomes of a tick that is in time: none when its price counts.
    pub(crate) fn screen(&mut self, position: Position, tick: &Tick) -> Option<Effect> {
        let security = &self.securities[tick.security.at()];
        if tick.kind == Kind::Trade && security.prints.has_closed(tick.origin.ts) {
            return Some(Effect::AfterClose);
        }
        if !security.is_guarded {
            return None;
        }
        let rule = security.definition.sources.as_ref();
        let is_outranked = rule.is_some_and(|rule| self.is_outranked(rule, security, tick));
        let doubt = (!is_outranked).then(|| self.doubt(tick)).flatten();
        let security = &mut self.securities[tick.security.at()];
        if is_outranked {
            security.known.see(tick, SEEN_MAX);
            return Some(Effect::Outranked);
        }
        if let Some((doubt, reference)) = doubt {
            let reference = Decimal::new(reference.into(), security.definition.price_places);
            let what = HeldInput::Tick(*tick);
            self.hold(position, what, doubt, reference);
            return Some(Effect::Held);
        }
        None
    }

    /// As [`Security::is_late`] for a price of its kind: an official price is in time unless there
    /// is a newer one of the same kind, and a close unless the next session has traded.
    pub(crate) fn is_late(&self, security: &Security, tick: &Tick) -> bool {
        let ts = tick.origin.ts;
        let is_older = |print: Option<Print>| print.is_some_and(|print| ts < print.ts);
        match tick.kind {
            Kind::Trade | Kind::Nav => security.is_late(&tick.origin),
            Kind::Open => ts < security.earliest || is_older(security.prints.open),
            Kind::Close => {
                let next = self
                    .session_behind(security, ts)
                    .map_or(ts, |next| next.open);
                let last = security.origin.map_or(Time::MIN, |last| last.ts);
                ts < security.earliest
                    || is_older(security.prints.close)
                    || (security.is_late(&tick.origin) && last >= next)
            }
        }
    }

    /// The session behind the one that `ts` lies in or behind, by the security's calendar.
    fn session_behind(&self, security: &Security, ts: Time) -> Option<Session> {
        let calendar = self.calendars.get(security.definition.calendar.as_ref()?)?;
        calendar.next(calendar.last(ts)?.close)
    }

    fn hold(&mut self, position: Position, what: HeldInput, doubt: Doubt, reference: Decimal) {
        if self.held.len() >= HELD_MAX {
            self.held.pop_first();
        }
        let held = Held {
            what,
            doubt,
            reference,
        };
        self.held.insert(position, held);
        let news = Doubtful { position, held };
        self.outputs.push_back(Output::Held(news));
    }

    /// True when a better source has spoken lately.
    fn is_outranked(&self, rule: &SourceRule, security: &Security, tick: &Tick) -> bool {
        let Some(last) = security.origin else {
            return false;
        };
        let rank = |source| {
            let name = self.label_text(source);
            let place = rule
                .order
                .iter()
                .position(|known| Some(known.as_str()) == name);
            place.unwrap_or(rule.order.len())
        };
        let silent = rule.silent_s.map_or(Time::MAX, |seconds| {
            last.ts.saturating_add(i64::from(seconds) * SECOND)
        });
        rank(tick.origin.source) > rank(last.source) && tick.origin.ts < silent
    }

    /// Why a price is not believed, and what it was compared with.
    pub(crate) fn doubt(&mut self, tick: &Tick) -> Option<(Doubt, i64)> {
        self.begin_session_of_security(tick);
        let security = &self.securities[tick.security.at()];
        let gate = security.definition.gate.as_ref()?;
        let known = &security.known;
        let factor = gate.widen.filter(|_| known.is_wide).unwrap_or(Decimal::ONE);
        let is_beyond = |bound: Option<Decimal>, reference: i64| {
            let bound = bound.filter(|_| reference > 0);
            bound.is_some_and(|bound| is_apart(tick.price, reference, bound, factor))
        };
        if is_beyond(gate.last, security.price) {
            return Some((Doubt::Last, security.price));
        }
        if is_beyond(gate.close, known.prev_close) {
            return Some((Doubt::Close, known.prev_close));
        }
        let rule = gate.cross.as_ref()?;
        let median = known.median(rule, tick)?;
        let is_far = is_apart(tick.price, median, rule.percent, Decimal::ONE);
        is_far.then_some((Doubt::Cross, median))
    }

    /// Notes the beginning of a session, and a change of the reference price.
    fn begin_session_of_security(&mut self, tick: &Tick) {
        let ts = tick.origin.ts;
        let security = &self.securities[tick.security.at()];
        let known = &security.known;
        let is_new_session = ts >= known.next_open;
        let next_open = if is_new_session {
            let midnight = ts.as_nanos().div_euclid(DAY).saturating_add(1);
            let midnight = Time::from_nanos(midnight.saturating_mul(DAY));
            let next = self.session_behind(security, ts);
            next.map_or(midnight, |next| next.open)
        } else {
            known.next_open
        };
        let security = &mut self.securities[tick.security.at()];
        let price = security.price;
        let known = &mut security.known;
        if is_new_session {
            known.next_open = next_open;
            known.prev_close = price;
            known.is_wide = true;
        }
        if known.good != price {
            // A split or an ex-date: the close of before it is no measure any more.
            known.good = price;
            known.prev_close = price;
            known.is_wide = true;
        }
    }

    /// A price that counts: what the gate remembers of it, and the official prints.
    pub(crate) fn note_price(&mut self, tick: &Tick) {
        let security = &mut self.securities[tick.security.at()];
        if security.is_guarded {
            security.known.good = security.price;
            security.known.is_wide = false;
            security.known.see(tick, SEEN_MAX);
        }
        let print = Print {
            ts: tick.origin.ts,
            price: tick.price,
        };
        match tick.kind {
            Kind::Trade | Kind::Nav => {}
            Kind::Open => security.prints.open = Some(print),
            Kind::Close => {
                let name = security.definition.calendar.as_ref();
                let calendar = name.and_then(|name| self.calendars.get(name));
                let next = calendar.and_then(|c| c.next(c.last(print.ts)?.close));
                let prints = &mut security.prints;
                prints.closed_until = next.map_or(prints.closed_until, |next| next.open);
                // A correction of the same day's close replaces it.
                let since = calendar.and_then(|c| c.last(print.ts)).map(|s| s.open);
                let is_same_day = |close: &Print| since.is_some_and(|since| close.ts >= since);
                if !prints.close.as_ref().is_some_and(is_same_day) {
                    prints.before = prints.close;
                }
                prints.close = Some(print);
            }
        }
    }

    /// What becomes of a rate that is in time: none when it counts.
    pub(crate) fn screen_rate(&mut self, position: Position, rate: &Rate) -> Option<Effect> {
        let rule = self.pairs.get(&(rate.base, rate.quote))?;
        let last = self.rates.value(rate.base, rate.quote);
        let opposite = self.rates.value(rate.quote, rate.base);
        let (bound, looks_inverted) = (rule.last, rule.inversion);
        let new = rate.value();
        let doubt = match last {
            Some(last) if looks_inverted && is_inverted(new, last) => Some((Doubt::Inverted, last)),
            Some(last) if bound.is_some_and(|bound| is_apart_by(new, last, bound)) => {
                Some((Doubt::Last, last))
            }
            _ => None,
        };
        let contradicts = |opposite: &Decimal| {
            let bound = bound.filter(|_| looks_inverted);
            bound.is_some_and(|bound| {
                let one = Ratio::from(new).multiply(&(*opposite).into());
                is_ratio_apart(&one, bound)
            })
        };
        let doubt = doubt.or_else(|| {
            let opposite = opposite.filter(contradicts)?;
            Some((Doubt::Inverted, opposite))
        });
        let (doubt, reference) = doubt?;
        self.hold(position, HeldInput::Rate(*rate), doubt, reference);
        Some(Effect::Held)
    }

    /// Lets a held input count after all, at the position of the operator's word.
    pub(crate) fn release(&mut self, held: &Held, position: Position) {
        match held.what {
            HeldInput::Tick(tick) => {
                self.take_trade(position, &tick);
                let looks = self.look(position, &tick);
                self.put_price(position, &tick, looks);
            }
            HeldInput::Rate(rate) => self.put_rate(position, &rate),
        }
    }

    /// What waits for an operator, the oldest first.
    pub fn held(&self) -> impl Iterator<Item = (Position, &Held)> {
        self.held.iter().map(|(position, held)| (*position, held))
    }

    /// True when a held input may still count: nothing newer has come since.
    pub(crate) fn is_in_time(&self, held: &Held) -> bool {
        match &held.what {
            HeldInput::Tick(tick) => {
                let security = self.securities.get(tick.security.at());
                security.is_some_and(|s| !self.is_late(s, tick) && tick.price <= s.price_max)
            }
            HeldInput::Rate(rate) => {
                let last = self.rates.last_origin(rate);
                !last.is_some_and(|last| crate::security::is_older(&rate.origin, last))
            }
        }
    }
}

impl Known {
    fn see(&mut self, tick: &Tick, most: usize) {
        let new = Seen {
            source: tick.origin.source,
            ts: tick.origin.ts,
            price: tick.price,
        };
        match self.seen.iter_mut().find(|seen| seen.source == new.source) {
            Some(seen) => *seen = new,
            None => {
                if self.seen.len() >= most {
                    let oldest = (0..self.seen.len()).min_by_key(|at| self.seen[*at].ts);
                    self.seen.remove(oldest.unwrap_or(0));
                }
                self.seen.push(new);
            }
        }
    }

    /// The median of what other sources said lately; of an even count the lower of the middle two.
    fn median(&self, rule: &CrossCheck, tick: &Tick) -> Option<i64> {
        let since = tick
            .origin
            .ts
            .saturating_add(-i64::from(rule.within_s) * SECOND);
        let others = self.seen.iter();
        let others = others.filter(|seen| seen.source != tick.origin.source && seen.ts >= since);
        let mut prices: Vec<i64> = others.map(|seen| seen.price).collect();
        prices.sort_unstable();
        let is_enough = !prices.is_empty() && prices.len() >= usize::from(rule.sources);
        is_enough.then(|| prices[(prices.len() - 1) / 2])
    }
}

/// True when `new` is more than `percent · factor` percent away from `reference`, all above 0.
fn is_apart(new: i64, reference: i64, percent: Decimal, factor: Decimal) -> bool {
    let ratio = Ratio::new(new.into(), reference.into());
    let percent = Ratio::from(percent).multiply(&factor.into());
    ratio.is_some_and(|ratio| is_beyond_percent(&ratio, &percent))
}

pub(crate) fn is_apart_by(new: Decimal, reference: Decimal, percent: Decimal) -> bool {
    let ratio = Ratio::from(new).divide(&reference.into());
    ratio.is_some_and(|ratio| is_ratio_apart(&ratio, percent))
}

fn is_ratio_apart(ratio: &Ratio, percent: Decimal) -> bool {
    is_beyond_percent(ratio, &percent.into())
}

/// `|ratio − 1| · 100 > percent`.
fn is_beyond_percent(ratio: &Ratio, percent: &Ratio) -> bool {
    let one = Ratio::from(Decimal::ONE);
    let hundred = Decimal::from(100).into();
    let up = ratio.subtract(&one).multiply(&hundred);
    let down = one.subtract(ratio).multiply(&hundred);
    up.subtract(percent).is_positive() || down.subtract(percent).is_positive()
}

/// True when a rate is nearer to the inverse of the last one than to the last one, by ratio: with
/// `r = new · last` and `s = new / last`, `max(r, 1/r) < max(s, 1/s)`.
fn is_inverted(new: Decimal, last: Decimal) -> bool {
    let one = Ratio::from(Decimal::ONE);
    let fold = |ratio: Ratio| {
        if ratio.subtract(&one).is_positive() {
            Some(ratio)
        } else {
            one.divide(&ratio)
        }
    };
    let to_inverse = fold(Ratio::from(new).multiply(&last.into()));
    let to_last = Ratio::from(new).divide(&last.into()).and_then(fold);
    match (to_inverse, to_last) {
        (Some(inverse), Some(last)) => last.subtract(&inverse).is_positive(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_distances() {
        let check = |new, reference, percent: &str, expected| {
            let percent = percent.parse().unwrap();
            assert_eq!(
                is_apart(new, reference, percent, Decimal::ONE),
                expected,
                "{new} {reference}"
            );
        };
        check(110, 100, "10", false);
        check(111, 100, "10", true);
        check(90, 100, "10", false);
        check(89, 100, "10", true);
        check(i64::MAX, 1, "1000000", true);
    }

    #[test]
    fn tells_inverses() {
        let check = |new: &str, last: &str, expected| {
            assert_eq!(
                is_inverted(new.parse().unwrap(), last.parse().unwrap()),
                expected,
                "{new} {last}"
            );
        };
        check("0.92378", "1.0825", true);
        check("1.0830", "1.0825", false);
        check("150", "0.0067", true);
        check("0.0068", "0.0067", false);
        check("1", "1", false);
        check("1.01", "1.00", false);
    }
}
