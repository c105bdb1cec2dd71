//! The reference: what METHODOLOGY says, written slowly and plainly. Every level is computed
//! from all prices; nothing is kept that could be computed again; no number is rounded but
//! where the definition says so.

use std::collections::{BTreeMap, BTreeSet};

use divisor_engine::definition::{
    Constituent, Cut, Dissemination, IndexDefinition, Reset, Weighting,
};
use divisor_engine::{Currency, Effect, RoundingMode};

use crate::exact::Q;

const MINUTE: i64 = 60_000_000_000;

/// When and by whom: nanoseconds, incarnation, number.
pub(crate) type Stamp = (i64, Option<u64>, Option<u64>);

#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) securities: Vec<Security>,
    pub(crate) indexes: Vec<Index>,
    rates: BTreeMap<(Currency, Currency), (Q, Stamp)>,
    identities: BTreeSet<(u64, u64)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Security {
    pub(crate) symbol: String,
    pub(crate) currency: Currency,
    pub(crate) places: u8,
    pub(crate) price_max: Q,
    pub(crate) price: Option<Q>,
    pub(crate) last: Option<Stamp>,
}

#[derive(Debug, Clone)]
pub(crate) struct Index {
    pub(crate) definition: IndexDefinition,
    members: Vec<Member>,
    /// Coefficients, cash and divisor; none while prices or rates are missing.
    pub(crate) terms: Option<Terms>,
    /// A time of the day it is in.
    day: Option<i64>,
    /// A level was published.
    pub(crate) shown: bool,
}

#[derive(Debug, Clone)]
struct Member {
    security: usize,
    /// Units, shares or weight: what the weighting counts.
    amount: Q,
    /// Float times cap.
    factor: Q,
}

#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) q: Vec<Q>,
    pub(crate) cash: Q,
    pub(crate) divisor: Q,
}

/// What changes without a trade.
#[derive(Debug, Clone)]
pub(crate) enum Adjust {
    Less(Q),
    Split(u32, u32),
}

impl Model {
    /// Applies a price; says what becomes of it.
    pub(crate) fn tick(&mut self, security: usize, price: &Q, stamp: Stamp) -> Effect {
        if !self.is_new(stamp) {
            return Effect::Duplicate;
        }
        if older(stamp, self.securities[security].last) {
            return Effect::Late;
        }
        let holds = |x: &Index| x.members.iter().any(|m| m.security == security);
        for at in (0..self.indexes.len())
            .filter(|at| holds(&self.indexes[*at]))
            .collect::<Vec<_>>()
        {
            self.begin_day(at, stamp.0);
        }
        let first = self.securities[security].price.is_none();
        self.securities[security].price = Some(price.clone());
        self.securities[security].last = Some(stamp);
        if first {
            self.start(holds);
        }
        self.show();
        Effect::Applied
    }

    /// Applies a rate; says what becomes of it.
    pub(crate) fn rate(
        &mut self,
        base: Currency,
        quote: Currency,
        rate: &Q,
        stamp: Stamp,
    ) -> Effect {
        if !self.is_new(stamp) {
            return Effect::Duplicate;
        }
        let last = self.rates.get(&(base, quote)).map(|(_, last)| *last);
        if older(stamp, last) {
            return Effect::Late;
        }
        for at in 0..self.indexes.len() {
            if self.can_move(at, base, quote) {
                self.begin_day(at, stamp.0);
            }
        }
        self.rates.insert((base, quote), (rate.clone(), stamp));
        for at in 0..self.indexes.len() {
            if self.can_move(at, base, quote) {
                let code = self.indexes[at].definition.code.clone();
                self.start(|x| x.definition.code == code);
            }
        }
        self.show();
        Effect::Applied
    }

    /// Notes that levels leave: at each tick, and in [`Self::end_batch`] for the others.
    fn show(&mut self) {
        for at in 0..self.indexes.len() {
            let each = self.indexes[at].definition.dissemination == Dissemination::Tick;
            self.indexes[at].shown |= each && self.published(at).is_some();
        }
    }

    /// Notes that every level leaves.
    pub(crate) fn end_batch(&mut self) {
        for at in 0..self.indexes.len() {
            self.indexes[at].shown |= self.published(at).is_some();
        }
    }

    /// Defines an index; none when it must be refused.
    pub(crate) fn define(&self, definition: &IndexDefinition) -> Option<Self> {
        let mut next = self.tried();
        let members = next.members(definition, &definition.basket);
        let newest = members
            .iter()
            .filter_map(|m| next.securities[m.security].last)
            .map(|l| l.0)
            .max();
        next.indexes.push(Index {
            definition: definition.clone(),
            members,
            terms: None,
            day: newest,
            shown: false,
        });
        let at = next.indexes.len() - 1;
        next.wait(at)?;
        next.start(|_| true);
        // What has all it needs must start.
        let is_stuck = next.indexes[at].terms.is_none() && next.prices(at).is_some();
        (!is_stuck).then_some(next)
    }

    /// Gives an index new members, or its weights back; none when it must be refused.
    pub(crate) fn revise(&self, at: usize, basket: Option<&[Constituent]>) -> Option<Self> {
        let mut next = self.tried();
        let level = next.level(at);
        if let Some(basket) = basket {
            next.indexes[at].members = next.members(&next.indexes[at].definition, basket);
        }
        match level {
            Some(level) => {
                let prices = next.prices(at)?;
                let q = next.coefficients(at, &prices)?;
                next.indexes[at].terms = Some(next.terms(at, q, None, &prices, &level)?);
            }
            None => next.wait(at)?,
        }
        next.start(|_| true);
        Some(next)
    }

    /// Changes a price without a trade in every index that holds it; none when it must be refused.
    pub(crate) fn adjust(&self, security: usize, adjust: &Adjust) -> Option<Self> {
        let now = self.tried();
        let mut next = now.clone();
        let before = self.securities[security].price.clone()?;
        let (exact, times) = match adjust {
            Adjust::Less(less) => (&before - less, None),
            Adjust::Split(from, to) => {
                let times = &Q::int((*to).into()) / &Q::int((*from).into());
                (&before / &times, Some(times))
            }
        };
        let cut = exact.round(self.securities[security].places, RoundingMode::HalfUp);
        if !exact.is_positive() || !cut.is_positive() || cut > self.securities[security].price_max {
            return None;
        }
        next.securities[security].price = Some(cut);
        for at in 0..self.indexes.len() {
            let Some(place) = self.indexes[at]
                .members
                .iter()
                .position(|m| m.security == security)
            else {
                continue;
            };
            let weighting = self.indexes[at].definition.weighting;
            let places = self.indexes[at].definition.rounding.coefficient;
            if let (Some(times), Weighting::MarketCap | Weighting::FixedUnits) = (&times, weighting)
            {
                let member = &mut next.indexes[at].members[place];
                member.amount = stored(&(&member.amount * times), places)?;
            }
            let Some(level) = now.level(at) else {
                next.wait(at)?;
                continue;
            };
            let mut prices = next.prices(at)?;
            prices[place] = exact.clone();
            let mut kept = now.indexes[at].terms.clone()?;
            let (q, cash) = if by_weight(weighting) {
                // The weight stays: what the price loses the units gain.
                kept.q[place] = stored(&(&kept.q[place] * &(&before / &exact)), places)?;
                (kept.q, Some(kept.cash))
            } else {
                (next.coefficients(at, &prices)?, None)
            };
            next.indexes[at].terms = Some(next.terms(at, q, cash, &prices, &level)?);
        }
        next.start(|_| true);
        Some(next)
    }

    /// The unrounded level: `(Σ p·q·fx + cash) / D`.
    pub(crate) fn level(&self, at: usize) -> Option<Q> {
        let terms = self.indexes[at].terms.as_ref()?;
        let value = self.value(at, &terms.q, &self.prices(at)?)?;
        Some(&(&value + &terms.cash) / &terms.divisor)
    }

    /// The level as it is published; none when it has too many digits.
    pub(crate) fn published(&self, at: usize) -> Option<Q> {
        stored(&self.level(at)?, self.indexes[at].definition.rounding.level)
    }

    fn is_new(&mut self, (_, inc, seq): Stamp) -> bool {
        match (inc, seq) {
            (Some(inc), Some(seq)) => self.identities.insert((inc, seq)),
            _ => true,
        }
    }

    fn members(&self, definition: &IndexDefinition, basket: &[Constituent]) -> Vec<Member> {
        let count = Q::int(i64::try_from(basket.len()).unwrap());
        let or_one =
            |value: Option<divisor_engine::Decimal>| value.map_or_else(|| Q::int(1), Q::from);
        let of = |c: &Constituent| Member {
            security: self
                .securities
                .iter()
                .position(|s| s.symbol == c.symbol)
                .unwrap(),
            amount: match definition.weighting {
                Weighting::Price | Weighting::FixedUnits => or_one(c.units),
                Weighting::MarketCap => or_one(c.shares),
                Weighting::Equal { .. } => &Q::int(1) / &count,
                Weighting::FixedWeight { .. } | Weighting::ConstantWeight => or_one(c.weight),
                Weighting::None
                | Weighting::Score { .. }
                | Weighting::Geometric { .. }
                | Weighting::VolumeMedian => unreachable!("outside the model"),
            },
            factor: &or_one(c.float) * &or_one(c.cap),
        };
        basket.iter().map(of).collect()
    }

    /// An index without a level: under a stated divisor it has its terms, else it waits. What it
    /// states must fit the bound at once.
    fn wait(&mut self, at: usize) -> Option<()> {
        let Index {
            definition,
            terms,
            shown,
            ..
        } = &self.indexes[at];
        // One that has started has no level to keep just now.
        if *shown || (terms.is_some() && definition.base.value.is_some()) {
            return None;
        }
        let weighting = definition.weighting;
        let divisor = definition.base.divisor;
        self.indexes[at].terms = None;
        if !by_weight(weighting) {
            let q = self.coefficients(at, &[])?;
            self.fits(at, &q)?;
            self.indexes[at].terms = divisor.map(|d| Terms {
                q,
                cash: Q::int(0),
                divisor: d.into(),
            });
        }
        Some(())
    }

    /// As every load leaves it before its revisions: what waits is tried again.
    fn tried(&self) -> Self {
        let mut next = self.clone();
        next.start(|_| true);
        next
    }

    /// Starts what has waited and has everything now: tried when a first price, a rate or a
    /// definition may have brought the last thing, so that nothing starts out of the blue.
    fn start(&mut self, concerns: impl Fn(&Index) -> bool) {
        for at in (0..self.indexes.len())
            .filter(|at| concerns(&self.indexes[*at]))
            .collect::<Vec<_>>()
        {
            let base = self.indexes[at].definition.base.value;
            let (None, Some(base), Some(prices)) = (&self.indexes[at].terms, base, self.prices(at))
            else {
                continue;
            };
            if let Some(q) = self.coefficients(at, &prices) {
                self.indexes[at].terms = self.terms(at, q, None, &prices, &base.into());
            }
        }
    }

    fn begin_day(&mut self, at: usize, ts: i64) {
        let reset = match self.indexes[at].definition.weighting {
            Weighting::Equal { reset } | Weighting::FixedWeight { reset } => reset,
            Weighting::ConstantWeight => Reset::Daily,
            Weighting::Price | Weighting::MarketCap | Weighting::FixedUnits => Reset::Never,
            Weighting::None
            | Weighting::Score { .. }
            | Weighting::Geometric { .. }
            | Weighting::VolumeMedian => unreachable!("outside the model"),
        };
        let Some(day) = self.indexes[at].day else {
            self.indexes[at].day = Some(ts);
            return;
        };
        if period(ts, Reset::Daily) <= period(day, Reset::Daily) {
            return;
        }
        self.indexes[at].day = Some(ts);
        // The last level of a day leaves before the next day begins, in whichever batch.
        self.indexes[at].shown |= self.published(at).is_some();
        if period(ts, reset) == period(day, reset) {
            return;
        }
        if let (Some(level), Some(prices)) = (self.level(at), self.prices(at))
            && let Some(q) = self.coefficients(at, &prices)
            && let Some(terms) = self.terms(at, q, None, &prices, &level)
        {
            self.indexes[at].terms = Some(terms);
        }
    }

    /// All prices of an index with rates for all of them, or none.
    fn prices(&self, at: usize) -> Option<Vec<Q>> {
        let members = &self.indexes[at].members;
        let price = |m: &Member| {
            self.fx(at, self.securities[m.security].currency)?;
            self.securities[m.security].price.clone()
        };
        members.iter().map(price).collect()
    }

    /// Index currency for one of `currency`.
    fn fx(&self, at: usize, currency: Currency) -> Option<Q> {
        let definition = &self.indexes[at].definition;
        let own = definition.currency;
        if currency == own {
            return Some(Q::int(1));
        }
        let quoted = |base, quote| self.rates.get(&(base, quote)).map(|(rate, _)| rate.clone());
        if let Some(direct) = quoted(currency, own) {
            return Some(direct);
        }
        let pivot = definition.fx.pivot?;
        let per_pivot = |c| {
            if c == pivot {
                Some(Q::int(1))
            } else {
                quoted(pivot, c)
            }
        };
        let rate = (&per_pivot(own)? / &per_pivot(currency)?)
            .round(definition.fx.places, RoundingMode::HalfUp);
        rate.is_positive().then_some(rate)
    }

    /// True when the pair can be part of a conversion of this index.
    fn can_move(&self, at: usize, base: Currency, quote: Currency) -> bool {
        let definition = &self.indexes[at].definition;
        let own = definition.currency;
        let of = |m: &Member| self.securities[m.security].currency;
        let foreign: BTreeSet<_> = self.indexes[at]
            .members
            .iter()
            .map(of)
            .filter(|c| *c != own)
            .collect();
        let direct = foreign.contains(&base) && quote == own;
        let by_pivot =
            definition.fx.pivot == Some(base) && (quote == own || foreign.contains(&quote));
        direct || (by_pivot && !foreign.is_empty())
    }

    /// `q` by the weighting.
    fn coefficients(&self, at: usize, prices: &[Q]) -> Option<Vec<Q>> {
        let Index {
            definition,
            members,
            ..
        } = &self.indexes[at];
        let cut = definition.rounding.coefficient;
        let q = |(at_member, m): (usize, &Member)| {
            Some(match definition.weighting {
                Weighting::None
                | Weighting::Score { .. }
                | Weighting::Geometric { .. }
                | Weighting::VolumeMedian => unreachable!("outside the model"),
                Weighting::Price | Weighting::FixedUnits => m.amount.clone(),
                Weighting::MarketCap => stored(&(&m.amount * &m.factor), cut)?,
                Weighting::Equal { .. }
                | Weighting::FixedWeight { .. }
                | Weighting::ConstantWeight => {
                    let fx = self.fx(at, self.securities[m.security].currency)?;
                    let worth = &Q::int(1_000_000_000) * &m.amount;
                    stored(&(&worth / &(&prices[at_member] * &fx)), cut)?
                }
            })
        };
        members.iter().enumerate().map(q).collect()
    }

    fn value(&self, at: usize, q: &[Q], prices: &[Q]) -> Option<Q> {
        let members = &self.indexes[at].members;
        let mut value = Q::int(0);
        for ((member, q), price) in members.iter().zip(q).zip(prices) {
            let fx = self.fx(at, self.securities[member.security].currency)?;
            value = &value + &(&(price * q) * &fx);
        }
        Some(value)
    }

    /// The divisor at which the level is `level`, and the cash of constant weights.
    fn terms(
        &self,
        at: usize,
        q: Vec<Q>,
        cash: Option<Q>,
        prices: &[Q],
        level: &Q,
    ) -> Option<Terms> {
        let definition = &self.indexes[at].definition;
        let scale = self.fits(at, &q)?;
        let held = self.value(at, &q, prices)?;
        let cash = match cash {
            Some(cash) => cash,
            None if definition.weighting == Weighting::ConstantWeight => {
                &Q::int(1_000_000_000) - &held
            }
            None => Q::int(0),
        };
        let cash = cash.round(scale, RoundingMode::HalfUp);
        if &cash.abs() / &Q::unit(scale) >= power_of_two(126) {
            return None;
        }
        let value = &held + &cash;
        if !value.is_positive() || !level.is_positive() {
            return None;
        }
        let divisor = stored(&(&value / level), definition.rounding.divisor)?;
        divisor.is_positive().then_some(Terms { q, cash, divisor })
    }

    /// The scale of the sums, when no price up to the bounds can take them to 2^126.
    fn fits(&self, at: usize, q: &[Q]) -> Option<u8> {
        let members = &self.indexes[at].members;
        let of = |m: &Member| &self.securities[m.security];
        let finest = members.iter().map(|m| of(m).places).max()?;
        let scale = q.iter().map(places).max()? + finest;
        let highest = members
            .iter()
            .zip(q)
            .map(|(m, q)| &q.abs() * &of(m).price_max);
        let highest: Q = highest.sum();
        (&highest / &Q::unit(scale) < power_of_two(126)).then_some(scale)
    }
}

/// The number of the period a time lies in, in UTC.
fn period(ts: i64, reset: Reset) -> i64 {
    let day = ts.div_euclid(MINUTE * 60 * 24);
    let date = jiff::Timestamp::from_nanosecond(ts.into())
        .unwrap()
        .to_zoned(jiff::tz::TimeZone::UTC);
    let month = i64::from(date.year()) * 12 + i64::from(date.month()) - 1;
    // Three Fridays of the month are over.
    let fridays = (1..i64::from(date.day())).filter(|back| (day - back + 3).rem_euclid(7) == 4);
    let behind = i64::from(fridays.count() >= 3);
    match reset {
        Reset::Never => 0,
        Reset::Daily => day,
        // 1970-01-01 was a Thursday.
        Reset::Weekly => (day + 3).div_euclid(7),
        Reset::Monthly => month,
        Reset::Quarterly => month / 3,
        Reset::Yearly => month / 12,
        Reset::ThirdFridayMonthly => month + behind,
        Reset::ThirdFridayQuarterly => (month + behind) / 3,
        Reset::ThirdFridayYearly => (month + behind) / 12,
    }
}

fn older(new: Stamp, last: Option<Stamp>) -> bool {
    let Some(last) = last else { return false };
    let numbered = new.1 == last.1 && new.2.is_some() && last.2.is_some() && new.2 < last.2;
    new.0 < last.0 || (new.0 == last.0 && numbered)
}

const fn by_weight(weighting: Weighting) -> bool {
    matches!(
        weighting,
        Weighting::Equal { .. } | Weighting::FixedWeight { .. } | Weighting::ConstantWeight
    )
}

fn round(value: &Q, cut: Cut) -> Q {
    value.round(cut.places, cut.mode)
}

/// A rounded number that a definition or a divisor can hold: its digits fit 128 bits.
fn stored(value: &Q, cut: Cut) -> Option<Q> {
    let value = round(value, cut);
    (&value.abs() / &Q::unit(cut.places) < power_of_two(127)).then_some(value)
}

fn power_of_two(exponent: u32) -> Q {
    Q::new(num_bigint::BigInt::from(1) << exponent, 1.into())
}

/// How many places a decimal needs.
fn places(value: &Q) -> u8 {
    let needed = (0..=38).find(|p| value.round(*p, RoundingMode::Down) == *value);
    needed.unwrap()
}
