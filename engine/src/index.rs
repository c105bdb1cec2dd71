//! The state of one index: basket, divisor, and the level that follows from the sums.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::action::ExDividend;
use crate::basket::{Holding, Rule};
use crate::combine::Combine;
use crate::definition::{Cut, FxRates, IndexDefinition, Reset, Weighting};
use crate::exact::Ratio;
use crate::follow::Follow;
use crate::fx::Rates;
use crate::life::Life;
use crate::output::{Level, Member, Status};
use crate::period::{Days, Span};
use crate::problem::Problem;
use crate::reference::Fixing;
use crate::security::Security;
use crate::session::Clock;
use crate::weights::product::Product;
use crate::{Currency, Decimal, RoundingMode, SecurityId, Time};

/// What target weights are turned into units of: large, so that units of 12 places keep more
/// than 12 digits even for a price of a million. Only ratios matter, the divisor takes it out.
const NOTIONAL: i128 = 1_000_000_000;

/// Constituents named one by one where several are meant.
const NAMED_MAX: usize = 5;

/// Sums stay below `2^126`, one bit short of what an `i128` holds.
const SUM_BITS_MAX: u32 = 126;

/// One index.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Index {
    /// As it was loaded last: what a later load is compared with.
    pub(crate) stated: IndexDefinition,
    /// The same with the basket that is in force, as revisions and splits left it.
    pub(crate) definition: IndexDefinition,
    /// Follows from the definition.
    #[serde(skip, default = "Days::utc")]
    pub(crate) days: Days,
    pub(crate) basket: Basket,
    /// Of a variant: what it follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) follow: Option<Follow>,
    /// Of a geometric index: what its product is anchored at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) product: Option<Product>,
    /// Of a reference rate: its trades and the last rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fixing: Option<Fixing>,
    /// The hidden security that stands for it in other baskets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) component: Option<SecurityId>,
    /// None while the index waits for the prices of its base.
    pub(crate) divisor: Option<Decimal>,
    /// What the level needs besides the sums, prepared when divisor or rates change. None while
    /// one is missing, and for numbers that need unbounded integers.
    #[serde(skip)]
    pub(crate) combine: Option<Combine>,
    pub(crate) revision: u32,
    /// The number of the last level.
    pub(crate) seq: u64,
    pub(crate) last: Option<Level>,
    pub(crate) status: Status,
    /// Constituents without a price.
    pub(crate) missing: usize,
    /// The day of the newest input.
    pub(crate) span: Option<Span>,
    pub(crate) prev_close: Option<Decimal>,
    /// Where it is in its day.
    pub(crate) clock: Clock,
    /// For interval dissemination: when the next level may leave.
    pub(crate) due: Time,
    /// For interval dissemination: something changed since the last level.
    pub(crate) waiting: bool,
    /// Whether it is in service.
    #[serde(default, skip_serializing_if = "Life::is_active")]
    pub(crate) life: Life,
    /// Dividends of members whose day is the present one, for total returns.
    #[serde(default)]
    pub(crate) dividends: Vec<ExDividend>,
    /// Where the rates before a day count for the whole day: those.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) day_rates: BTreeMap<Currency, Decimal>,
    /// Changes of shares that wait for the next review.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) deferred: BTreeMap<SecurityId, Deferred>,
}

/// A change of shares and free float that was too small to count at once.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Deferred {
    pub(crate) shares: Decimal,
    pub(crate) float: Option<Decimal>,
}

/// Members with the coefficients that are in force.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Basket {
    pub(crate) holdings: Vec<Holding>,
    /// Parallel to `holdings`; empty while they wait for prices.
    pub(crate) coefficients: Vec<Decimal>,
    /// The coefficients as integers for the kernel, parallel to `holdings`.
    pub(crate) quantities: Vec<i128>,
    /// The slot of each holding, parallel to `holdings`.
    pub(crate) slots: Vec<usize>,
    /// The currency of each slot; the first is the index currency.
    pub(crate) currencies: Vec<Currency>,
    /// Index currency for one of the slot's currency, parallel to `currencies`.
    pub(crate) rates: Vec<Option<Decimal>>,
    /// Sums are in units of `10^-scale`.
    pub(crate) scale: u32,
    /// The constant part of the first slot's sum.
    pub(crate) cash: i128,
    /// Where the slots of this index begin in the kernel.
    pub(crate) first_slot: usize,
}

impl Basket {
    /// A basket whose coefficients are not known yet.
    pub(crate) fn waiting(
        holdings: Vec<Holding>,
        currency: Currency,
        securities: &[Security],
    ) -> Self {
        let mut currencies = vec![currency];
        let mut slots = Vec::with_capacity(holdings.len());
        for holding in &holdings {
            let own = securities[holding.security.at()].definition.currency;
            let slot = currencies
                .iter()
                .position(|c| *c == own)
                .unwrap_or_else(|| {
                    currencies.push(own);
                    currencies.len() - 1
                });
            slots.push(slot);
        }
        Self {
            quantities: vec![0; holdings.len()],
            coefficients: Vec::new(),
            rates: vec![None; currencies.len()],
            holdings,
            slots,
            currencies,
            scale: 0,
            cash: 0,
            first_slot: 0,
        }
    }

    /// Puts coefficients into force: chooses the smallest scale at which all are integers and
    /// proves that no price up to `price_max` can overflow a sum.
    pub(crate) fn fix(
        &mut self,
        coefficients: Vec<Decimal>,
        securities: &[Security],
    ) -> Result<(), Problem> {
        let price_places = |holding: &Holding| {
            u32::from(securities[holding.security.at()].definition.price_places)
        };
        let finest = self.holdings.iter().map(price_places).max().unwrap_or(0);
        let places = coefficients
            .iter()
            .map(|c| c.normalized().places())
            .max()
            .unwrap_or(0);
        self.scale = u32::from(places) + finest;
        let mut bound = 0i128;
        for (at, holding) in self.holdings.iter().enumerate() {
            let quantity_places =
                u8::try_from(self.scale - price_places(holding)).map_err(|_| Problem::Overflow)?;
            let quantity = Some(quantity_places)
                .filter(|places| *places <= crate::PLACES_MAX)
                .and_then(|places| coefficients[at].at_places(places))
                .ok_or(Problem::Overflow)?;
            self.quantities[at] = quantity;
            let highest = i128::from(securities[holding.security.at()].price_max);
            bound = quantity
                .checked_abs()
                .and_then(|q| q.checked_mul(highest))
                .and_then(|value| bound.checked_add(value))
                .ok_or(Problem::Overflow)?;
        }
        if bound >> SUM_BITS_MAX != 0 {
            return Err(Problem::Overflow);
        }
        self.coefficients = coefficients;
        Ok(())
    }

    /// The sums from scratch, one per slot, cash included.
    pub(crate) fn sums(&self, securities: &[Security]) -> Vec<i128> {
        let mut sums = vec![0i128; self.currencies.len()];
        sums[0] = self.cash;
        for (at, holding) in self.holdings.iter().enumerate() {
            let price = i128::from(holding.units(securities));
            sums[self.slots[at]] += price * self.quantities[at];
        }
        sums
    }

    /// The market value in the index currency, unrounded.
    pub(crate) fn market_value(&self, sums: &[i128]) -> Option<Ratio> {
        let mut value = Ratio::zero();
        for (sum, rate) in sums.iter().zip(&self.rates) {
            value = value.add(&Ratio::scaled(*sum, self.scale).multiply(&(*rate)?.into()));
        }
        Some(value)
    }

    /// Sets the constant part of the sum, cut to its scale.
    fn set_cash(&mut self, cash: &Ratio) -> Result<(), Problem> {
        self.cash = cash
            .round_scaled(self.scale, RoundingMode::HalfUp)
            .filter(|cash| cash.unsigned_abs() >> SUM_BITS_MAX == 0)
            .ok_or(Problem::Overflow)?;
        Ok(())
    }

    /// Cash as a decimal, for people and the store.
    pub(crate) fn cash(&self) -> Decimal {
        Ratio::scaled(self.cash, self.scale)
            .round(Cut {
                places: 12,
                mode: RoundingMode::HalfUp,
            })
            .unwrap_or(Decimal::ZERO)
            .normalized()
    }
}

/// Prices that hold for one computation instead of the last ones, by holding: reference prices
/// of a definition, or adjusted prices that no price place could express.
pub(crate) type Overrides = Vec<Option<Ratio>>;

/// Whether limits on weights are met anew, or drift on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weigh {
    Anew,
    Keep,
}

/// What a revision keeps of target weights that have drifted.
pub(crate) struct Kept {
    pub(crate) coefficients: Vec<Decimal>,
    pub(crate) cash: Ratio,
}

impl Index {
    /// Reads the rates anew.
    pub(crate) fn refresh_rates(&mut self, table: &Rates) {
        for at in 0..self.basket.currencies.len() {
            let currency = self.basket.currencies[at];
            let rate = self.currency_rate(currency, table);
            if let (FxRates::PriorClose, Some(rate)) = (self.definition.fx.rates, rate) {
                self.day_rates.insert(currency, rate);
            }
            self.basket.rates[at] = rate;
        }
        self.prepare();
    }

    /// Index currency for one of another.
    pub(crate) fn currency_rate(&self, from: Currency, table: &Rates) -> Option<Decimal> {
        let (own, rule) = (self.definition.currency, self.definition.fx);
        let of_day = self.day_rates.get(&from).copied();
        let of_day = of_day.filter(|_| rule.rates == FxRates::PriorClose);
        of_day.or_else(|| table.convert(from, own, rule))
    }

    /// Works out what does not change from tick to tick.
    pub(crate) fn prepare(&mut self) {
        let rates: Option<Vec<Decimal>> = self.basket.rates.iter().copied().collect();
        let parts = rates.zip(self.divisor);
        self.combine = parts.and_then(|(rates, divisor)| {
            let cut = self.definition.rounding.level;
            Combine::new(&rates, self.basket.scale, divisor, cut)
        });
    }

    /// The time of the newest price in the basket, if one has a time.
    pub(crate) fn newest_price(&self, securities: &[Security]) -> Option<Time> {
        let ts = |holding: &Holding| Some(securities[holding.security.at()].origin?.ts);
        self.basket.holdings.iter().filter_map(ts).max()
    }

    /// Fixes coefficients and divisor so that the level is `level` at the given prices: the one
    /// way in which bases, resets and revisions come about (METHODOLOGY §1.2; since
    /// `D' = D·MV'/MV = MV'/level`, continuity and base are the same formula).
    pub(crate) fn establish(
        &mut self,
        level: &Ratio,
        overrides: &Overrides,
        securities: &[Security],
        weigh: Weigh,
    ) -> Result<(), Problem> {
        self.establish_by(overrides, level, overrides, securities, weigh)
    }

    /// As [`Self::establish`], but weights become units at the prices of `reference`, those of
    /// the reference date of a review.
    pub(crate) fn establish_by(
        &mut self,
        reference: &Overrides,
        level: &Ratio,
        overrides: &Overrides,
        securities: &[Security],
        weigh: Weigh,
    ) -> Result<(), Problem> {
        if self.fixing.is_some() {
            self.basket.coefficients = vec![Decimal::ONE; self.basket.holdings.len()];
            return Ok(());
        }
        let prices = self.exact_prices(overrides, securities)?;
        let weighed = self.exact_prices(reference, securities)?;
        if weigh == Weigh::Anew {
            self.set_caps(&self.values(&weighed)?)?;
        }
        if matches!(self.definition.weighting, Weighting::Geometric { .. }) {
            self.anchor(level, &self.values(&prices)?)?;
            self.forget_references();
            return Ok(());
        }
        let coefficients = self.target_coefficients(&weighed)?;
        self.basket.cash = 0;
        self.basket.fix(coefficients, securities)?;
        if matches!(self.definition.weighting, Weighting::ConstantWeight) {
            let held = self.value_at(&prices)?;
            let rest = Ratio::from(Decimal::new(NOTIONAL, 0)).subtract(&held);
            self.basket.set_cash(&rest)?;
        }
        self.settle(level, &prices)
    }

    /// As [`Self::establish`], but with coefficients and cash that are there already.
    pub(crate) fn carry(
        &mut self,
        level: &Ratio,
        kept: Kept,
        overrides: &Overrides,
        securities: &[Security],
    ) -> Result<(), Problem> {
        let prices = self.exact_prices(overrides, securities)?;
        self.basket.fix(kept.coefficients, securities)?;
        self.basket.set_cash(&kept.cash)?;
        self.settle(level, &prices)
    }

    /// The coefficients that the weighting gives at these prices.
    fn target_coefficients(&self, prices: &[Ratio]) -> Result<Vec<Decimal>, Problem> {
        if !self.definition.weighting.follows_weights() {
            return self.stated_units();
        }
        let cut = self.definition.rounding.coefficient;
        let values = self.values(prices)?;
        let weights = self.target_weights(&values)?;
        let coefficient = |(weight, value): (&Ratio, &Ratio)| {
            Ratio::from(Decimal::new(NOTIONAL, 0))
                .multiply(weight)
                .divide(value)
                .and_then(|q| q.round(cut))
                .map(Decimal::normalized)
                .ok_or(Problem::NoDivisor("coefficient"))
        };
        weights.iter().zip(&values).map(coefficient).collect()
    }

    /// The coefficients that the definition states.
    fn stated_units(&self) -> Result<Vec<Decimal>, Problem> {
        let units = |holding: &Holding| match holding.rule {
            Rule::Units(units) => Ok(units),
            Rule::Weight(_) | Rule::Computed => Err(Problem::BaseDivisor),
        };
        self.basket.holdings.iter().map(units).collect()
    }

    /// What one of each holding is worth in the index currency.
    fn values(&self, prices: &[Ratio]) -> Result<Vec<Ratio>, Problem> {
        let value = |(at, price): (usize, &Ratio)| Ok(price.multiply(&self.rate(at)?.into()));
        prices.iter().enumerate().map(value).collect()
    }

    /// What the basket is worth at these prices, in the index currency and unrounded.
    fn value_at(&self, prices: &[Ratio]) -> Result<Ratio, Problem> {
        let mut value = Ratio::scaled(self.basket.cash, self.basket.scale);
        for (at, price) in prices.iter().enumerate() {
            let coefficient = Ratio::from(self.basket.coefficients[at]);
            let own = price.multiply(&coefficient);
            value = value.add(&own.multiply(&self.rate(at)?.into()));
        }
        Ok(value)
    }

    /// Gives the basket the divisor at which its level is `level`.
    fn settle(&mut self, level: &Ratio, prices: &[Ratio]) -> Result<(), Problem> {
        let value = self.value_at(prices)?;
        let divisor = value
            .divide(level)
            .filter(|_| value.is_positive() && level.is_positive())
            .and_then(|d| d.round(self.definition.rounding.divisor))
            .filter(|d| d.is_positive())
            .ok_or(Problem::NoDivisor("divisor"))?;
        self.divisor = Some(divisor);
        self.prepare();
        self.forget_references();
        Ok(())
    }

    /// Fixes stated units under a stated divisor.
    pub(crate) fn establish_with_divisor(
        &mut self,
        divisor: Decimal,
        securities: &[Security],
    ) -> Result<(), Problem> {
        self.basket.fix(self.stated_units()?, securities)?;
        self.divisor = Some(divisor);
        self.prepare();
        self.forget_references();
        Ok(())
    }

    /// Proves again that no sum can overflow, where coefficients are known: in force, or stated
    /// by an index that still waits for prices.
    pub(crate) fn check_sums(&self, securities: &[Security]) -> Result<(), Problem> {
        let mut trial = self.clone();
        if self.divisor.is_some() {
            let coefficients = self.basket.coefficients.clone();
            trial.basket.fix(coefficients, securities)
        } else if self.definition.weighting.follows_weights() {
            Ok(())
        } else {
            trial.establish_with_divisor(Decimal::ONE, securities)
        }
    }

    /// A reference price serves once; a later reset uses the market's.
    pub(crate) fn forget_references(&mut self) {
        for holding in &mut self.basket.holdings {
            holding.reference = None;
        }
    }

    fn rate(&self, at: usize) -> Result<Decimal, Problem> {
        let slot = self.basket.slots[at];
        self.basket.rates[slot]
            .ok_or_else(|| Problem::NoRate(self.basket.currencies[slot].to_string()))
    }

    /// The price of each holding: the override, else the reference, else the last price.
    fn exact_prices(
        &self,
        overrides: &Overrides,
        securities: &[Security],
    ) -> Result<Vec<Ratio>, Problem> {
        let price = |(at, holding): (usize, &Holding)| {
            if let Some(Some(price)) = overrides.get(at) {
                return Ok(price.clone());
            }
            if let Some(price) = holding.reference {
                return Ok(price.into());
            }
            let symbol = || securities[holding.security.at()].definition.symbol.clone();
            match holding.price(securities) {
                Some(price) => Ok(price.into()),
                None => Err(Problem::NoPrice(symbol())),
            }
        };
        self.basket.holdings.iter().enumerate().map(price).collect()
    }

    /// True once a level was there, or could have been.
    pub(crate) const fn has_started(&self) -> bool {
        self.last.is_some()
            || self.product.is_some()
            || (self.divisor.is_some() && self.definition.base.value.is_some())
    }

    /// What an index without a level waits for.
    pub(crate) fn waits_for(&self, securities: &[Security]) -> Option<String> {
        if self.is_complete() {
            return None;
        }
        let unpriced = |h: &&Holding| securities[h.security.at()].price == 0;
        let unpriced: Vec<&str> = self
            .basket
            .holdings
            .iter()
            .filter(unpriced)
            .take(NAMED_MAX)
            .map(|h| securities[h.security.at()].definition.symbol.as_str())
            .collect();
        if !unpriced.is_empty() {
            let more = self.missing.saturating_sub(unpriced.len());
            let more = if more == 0 {
                String::new()
            } else {
                format!(" and {more} more")
            };
            return Some(format!("a price of {}{more}", unpriced.join(", ")));
        }
        let pairs = self.basket.currencies.iter().zip(&self.basket.rates);
        let rateless = pairs
            .filter(|(_, rate)| rate.is_none())
            .map(|(from, _)| from.to_string());
        let rateless: Vec<String> = rateless.collect();
        if !rateless.is_empty() {
            let own = self.definition.currency;
            return Some(format!("a rate from {} to {own}", rateless.join(", ")));
        }
        let value = self.definition.base.value?;
        let tried =
            self.clone()
                .establish(&value.into(), &Overrides::new(), securities, Weigh::Anew);
        Some(tried.map_or_else(
            |problem| format!("another definition: {problem}"),
            |()| "the next price".to_owned(),
        ))
    }

    /// True when time alone can move it: it opens and closes, or its members become stale.
    pub(crate) const fn has_moments(&self) -> bool {
        self.definition.calendar.is_some() || self.definition.stale.is_some()
    }

    /// True when a level can be computed.
    pub(crate) fn is_complete(&self) -> bool {
        if let Some(fixing) = &self.fixing {
            return fixing.level.is_some();
        }
        self.missing == 0
            && (self.divisor.is_some() || self.product.is_some())
            && self.basket.rates.iter().all(Option::is_some)
    }

    /// The unrounded level, for continuity.
    pub(crate) fn exact_level(&self, sums: &[i128]) -> Option<Ratio> {
        self.basket
            .market_value(sums)?
            .divide(&self.divisor?.into())
    }

    /// What the basket is worth at these prices, cash included.
    pub(crate) fn worth(
        &self,
        overrides: &Overrides,
        securities: &[Security],
    ) -> Result<Ratio, Problem> {
        self.value_at(&self.exact_prices(overrides, securities)?)
    }

    /// The published level: `Σ FX·N / D` cut to the definition's places. `None` when a rate or
    /// the divisor is missing.
    pub(crate) fn level(&self, sums: &[i128]) -> Option<Decimal> {
        let cut = self.definition.rounding.level;
        let prepared = self.combine.as_ref().and_then(|c| c.level(sums));
        let mantissa = match prepared {
            Some(mantissa) => mantissa,
            None => self
                .exact_level(sums)?
                .round_scaled(u32::from(cut.places), cut.mode)?,
        };
        Some(Decimal::new(mantissa, cut.places))
    }

    /// True when a level is too far from the one before to be published unseen.
    pub(crate) fn jumps(&self, level: Decimal) -> bool {
        let (Some(max), Some(last)) = (self.definition.jump_max, self.last) else {
            return false;
        };
        let is_watched = !self.clock.is_halted && !self.clock.is_trusted;
        is_watched && crate::gate::is_apart_by(level, last.level, max)
    }

    /// The published form of the level that the constituents have at these prices, by holding.
    pub(crate) fn level_at(&self, prices: &[Ratio]) -> Option<Decimal> {
        let value = self.value_at(prices).ok()?;
        let level = value.divide(&self.divisor?.into())?;
        level.round(self.definition.rounding.level)
    }

    /// Holds the composition for the outside.
    pub(crate) fn members(&self, securities: &[Security]) -> Vec<Member> {
        let member = |(at, holding): (usize, &Holding)| Member {
            security: holding.security,
            coefficient: self.basket.coefficients.get(at).copied(),
            price: holding.price(securities),
        };
        self.basket
            .holdings
            .iter()
            .enumerate()
            .map(member)
            .collect()
    }

    /// How often this index restores its weights.
    pub(crate) const fn reset(&self) -> Reset {
        match self.definition.weighting {
            Weighting::Equal { reset }
            | Weighting::FixedWeight { reset }
            | Weighting::Score { reset }
            | Weighting::Geometric { reset } => reset,
            Weighting::ConstantWeight => Reset::Daily,
            Weighting::MarketCap => match &self.definition.caps {
                Some(caps) => caps.reset,
                None => Reset::Never,
            },
            Weighting::None
            | Weighting::Price
            | Weighting::FixedUnits
            | Weighting::VolumeMedian => Reset::Never,
        }
    }
}
