//! How a variant starts, and how the days of its parent fix it anew.

use super::fix::Through;
use super::interest::Span;
use super::{Fixing, Follow, check, volatility};
use crate::component::PREFIX;
use crate::definition::{
    Constituent, DividendPoints, IndexDefinition, Reset, TotalReturn, Variant, VolatilityControl,
};
use crate::exact::Ratio;
use crate::output::Cause;
use crate::problem::Problem;
use crate::session::Phase;
use crate::{Decimal, Engine, IndexId, Position, Time};

/// The last levels of a variant and its parent before a day.
#[derive(Debug)]
pub(crate) struct Closing {
    index: IndexId,
    own: Option<Ratio>,
    parent: Option<Ratio>,
}

impl Engine {
    /// Resolves what a variant follows and names.
    pub(crate) fn resolve_follow(
        &self,
        definition: &IndexDefinition,
    ) -> Result<Option<Follow>, Problem> {
        let (Some(of), Some(variant)) = (&definition.of, &definition.variant) else {
            return Ok(None);
        };
        let clip = |text: &str| text.chars().take(64).collect::<String>();
        let parent = self
            .codes
            .get(of)
            .ok_or_else(|| Problem::UnknownIndex(clip(of)))?;
        if !self.indexes[parent.at()].life.is_active() {
            return Err(Problem::Inactive(clip(of)));
        }
        let above = &self.indexes[parent.at()].definition;
        if definition.day != above.day && definition.day != crate::definition::Day::default() {
            return Err(Problem::Variant(
                "has its parent's days and cannot state others",
            ));
        }
        if matches!(above.variant, Some(Variant::DividendPoints(_))) {
            let what = "has a parent that begins at 0, of which there is no return";
            return Err(Problem::Variant(what));
        }
        let is_converted = matches!(variant, Variant::Converted(_));
        if above.currency != definition.currency && !is_converted {
            let what = "is in another currency than its parent, which only `converted` can be";
            return Err(Problem::Variant(what));
        }
        if matches!(
            variant,
            Variant::TotalReturn(_) | Variant::DividendPoints(_)
        ) {
            let pays = matches!(above.variant, None | Some(Variant::Converted(_)));
            let root = &self.indexes[self.root(*parent).at()].definition;
            if !pays || !root.weighting.pays_dividends() {
                return Err(Problem::Variant(
                    "has a parent without dividends of its own",
                ));
            }
            if self.passes_dividends_by(&root.basket) {
                return Err(Problem::Variant(
                    "has a parent that holds price indexes, whose dividends it does not see: hold their total returns",
                ));
            }
        }
        let mut inputs = std::collections::BTreeMap::new();
        for symbol in check::inputs(variant) {
            let id = self
                .security_id(symbol)
                .ok_or_else(|| Problem::UnknownSecurity(clip(symbol)))?;
            inputs.insert(symbol.to_owned(), id);
        }
        Ok(Some(Follow::new(*parent, inputs)))
    }

    /// True for a basket with an index whose members' dividends are in no level of its own.
    fn passes_dividends_by(&self, basket: &[Constituent]) -> bool {
        let codes = basket.iter().filter_map(|c| c.symbol.strip_prefix(PREFIX));
        let mut held = codes.filter_map(|code| self.codes.get(code));
        held.any(|id| {
            // A converted level is what its parent is.
            let mut below = &self.indexes[id.at()];
            while let (Some(Variant::Converted(_)), Some(follow)) =
                (&below.definition.variant, &below.follow)
            {
                below = &self.indexes[follow.parent.at()];
            }
            below.follow.is_none() && below.definition.weighting.pays_dividends()
        })
    }

    /// Refuses a change of an index that those which follow or hold it cannot bear.
    pub(crate) fn check_followers(&self, id: IndexId) -> Result<(), Problem> {
        for follower in self.followers(id) {
            self.resolve_follow(&self.indexes[follower.at()].definition)?;
        }
        let index = &self.indexes[id.at()];
        let is_points = matches!(index.definition.variant, Some(Variant::DividendPoints(_)));
        if is_points && index.component.is_some() {
            return Err(Problem::Variant(
                "is held by a basket and cannot begin at 0",
            ));
        }
        Ok(())
    }

    /// Starts the variants whose parents and rates are there now.
    pub(crate) fn start_followers(&mut self, position: Position) {
        if self.unstarted.is_empty() {
            return;
        }
        // In the order in which they were linked: a parent starts before those that follow it.
        let waiting = std::mem::take(&mut self.unstarted);
        for id in waiting {
            if self.start_follower(id) {
                self.revised(id, Cause::Base, self.started(id), position);
                self.touch(id, Time::MIN);
            } else {
                self.unstarted.push(id);
            }
        }
    }

    fn start_follower(&mut self, id: IndexId) -> bool {
        let Some(follow) = self.indexes[id.at()].follow.clone() else {
            return true;
        };
        let Some(level) = self.exact(follow.parent) else {
            return false;
        };
        let root = &self.indexes[self.root(id).at()];
        let definition = &self.indexes[id.at()].definition;
        let mark = self.marks[self.root(id).at()].ts;
        let newest = root.newest_price(&self.securities);
        let ts = if mark == Time::MIN {
            newest.unwrap_or(self.time)
        } else {
            mark
        };
        let day = definition
            .base
            .day()
            .map_or_else(|| root.days.number(ts), super::interest::number);
        let own = match (&definition.variant, definition.base.value) {
            (Some(Variant::DividendPoints(_)), _) => Some(Ratio::zero()),
            (_, Some(value)) => Some(value.into()),
            (Some(Variant::Converted(rule)), None) if rule.direct => self
                .legs(id, &follow, day)
                .and_then(|legs| Some(level.multiply(&legs.first()?.spot.into()))),
            (_, None) => Some(level.clone()),
        };
        let closing = Closing {
            index: id,
            own,
            parent: Some(level),
        };
        let first = Span { from: day, to: day };
        self.fix(&closing, first, ts)
    }

    /// Publishes what the followers of an index still owe of a day that ends, and takes their last
    /// levels.
    pub(crate) fn close_followers(&mut self, root: IndexId, position: Position) -> Vec<Closing> {
        let ids = self.followers(root).to_vec();
        let moved = self.marks[root.at()].is_moved;
        let mut closings = Vec::with_capacity(ids.len());
        for id in ids {
            let mark = self.marks[id.at()];
            let owes = moved && !mark.each_tick;
            if owes || mark.touched || self.indexes[id.at()].waiting {
                let ts = self.marks[root.at()].ts;
                self.marks[id.at()].ts = self.marks[id.at()].ts.max(ts);
                self.publish(id, position);
            }
            // By a calendar the sessions say what the previous close is.
            if self.indexes[root.at()].clock.phase == Phase::Always {
                self.indexes[id.at()].take_close();
            }
            closings.push(self.closing(id));
        }
        closings
    }

    /// The last levels of a variant and its parent: of the official close, else of this moment.
    fn closing(&self, id: IndexId) -> Closing {
        let follow = self.indexes[id.at()].follow.as_ref();
        // A hedge is rolled at the rates of this moment, so that its level is of this moment, too.
        let is_hedged = matches!(
            self.indexes[id.at()].definition.variant,
            Some(Variant::Hedged(_))
        );
        let official = follow
            .and_then(|follow| follow.at_close)
            .filter(|_| !is_hedged);
        let (own, parent) = match official {
            Some((own, parent)) => (Some(own.into()), Some(parent.into())),
            None => (
                self.exact(id),
                follow.and_then(|follow| self.exact(follow.parent)),
            ),
        };
        let index = id;
        Closing { index, own, parent }
    }

    /// Notes what a variant and its parent are at the official close: prices that come behind it do
    /// not count for what is fixed.
    pub(crate) fn note_close(&mut self, id: IndexId) {
        let cut = self.indexes[id.at()].definition.rounding.carried;
        let Some(parent) = self.indexes[id.at()].follow.as_ref().map(|f| f.parent) else {
            return;
        };
        let round = |level: Option<Ratio>| level.and_then(|level| level.round(cut));
        let levels = round(self.exact(id)).zip(round(self.exact(parent)));
        if let Some(follow) = &mut self.indexes[id.at()].follow {
            follow.at_close = levels;
        }
    }

    /// Fixes the followers of an index for the day of `ts`, which `begins` ended the one before.
    pub(crate) fn fix_followers(
        &mut self,
        root: IndexId,
        closings: &[Closing],
        (ts, begins): (Time, Time),
        position: Position,
    ) {
        if closings.is_empty() {
            return;
        }
        let day = self.indexes[root.at()].days.number(ts);
        let trades = self.trades_today(root);
        for closing in closings {
            let state = &self.indexes[closing.index.at()];
            let Some(before) = super::started(state) else {
                continue;
            };
            // Interest of days without a session accrues with the next one that has.
            if !trades && state.definition.variant.as_ref().is_some_and(accrues) {
                continue;
            }
            let span = Span {
                from: before.day,
                to: day,
            };
            let old = before.clone();
            // A fixing that cannot be had (a level of 0) leaves the line as it was.
            if self.fix(closing, span, ts) && self.line_differs(closing.index, &old) {
                self.revised(closing.index, Cause::Fixing, begins, position);
            }
        }
    }

    fn line_differs(&self, id: IndexId, old: &Fixing) -> bool {
        super::started(&self.indexes[id.at()]).is_some_and(|new| {
            (new.own, new.parent, new.dividends) != (old.own, old.parent, old.dividends)
                || new.line.differs(&old.line)
        })
    }

    /// Lays the line of a variant anew through its last levels; false when it cannot be done.
    pub(super) fn fix(&mut self, closing: &Closing, span: Span, ts: Time) -> bool {
        let id = closing.index;
        match self.fixed(closing, span, ts) {
            Some(follow) => {
                self.indexes[id.at()].follow = Some(follow);
                true
            }
            None => false,
        }
    }

    fn fixed(&self, closing: &Closing, span: Span, ts: Time) -> Option<Follow> {
        let state = &self.indexes[closing.index.at()];
        let definition = &state.definition;
        let variant = definition.variant.as_ref()?;
        let mut follow = state.follow.clone()?;
        let before = follow.fixing.take();
        follow.at_close = None;
        let cut = definition.rounding.carried;
        let level = closing.own.as_ref()?.round(cut)?;
        let parent = closing.parent.as_ref()?.round(cut)?;
        let days = &self.indexes[self.root(closing.index).at()].days;
        let reset = reset(variant);
        let is_new_period =
            reset == Reset::Daily || before.as_ref().is_none_or(|before| ts >= before.period_end);
        let dividends = match variant {
            Variant::TotalReturn(rule) => self.paid(&follow, span, rule.net.as_ref())?,
            Variant::DividendPoints(rule) => self.paid(&follow, span, rule.net.as_ref())?,
            Variant::ExcessReturn(_)
            | Variant::Decrement(_)
            | Variant::Converted(_)
            | Variant::Hedged(_)
            | Variant::Leveraged(_)
            | Variant::VolatilityControl(_) => Ratio::zero(),
        };
        let dividends = dividends.round(cut)?;
        let earlier = self.reinvested(variant, &follow, span);
        if let Variant::VolatilityControl(rule) = variant
            && !span.is_empty()
            && let Some(close) = self.measured(rule, &follow, parent)
        {
            volatility::take(rule, close, &mut follow.closes, &mut follow.variances);
        }
        let keeps = before
            .as_ref()
            .filter(|before| keeps(variant, before, dividends, is_new_period));
        let is_over = before.as_ref().is_some_and(|b| ts >= b.period_end);
        let starts_again = is_over && matches!(variant, Variant::DividendPoints(_));
        let closing_own = if starts_again { Decimal::ZERO } else { level };
        let last = (closing_own, parent);
        let (own, parent) = keeps.map_or(last, |before| (before.own, before.parent));
        let through = Through {
            own,
            parent,
            dividends,
            span,
        };
        let (line, legs) = match keeps {
            Some(before) => (
                self.kept_line(variant, &follow, before, span)?,
                before.legs.clone(),
            ),
            None => (
                self.fixed_line(definition, &follow, through)?,
                self.legs(closing.index, &follow, span.from)?,
            ),
        };
        follow.fixing = Some(Fixing {
            day: span.to,
            period_end: before
                .filter(|_| !is_new_period)
                .map_or_else(|| days.span(ts, reset).period_end, |b| b.period_end),
            own,
            parent,
            closing: last,
            dividends,
            earlier,
            line,
            legs,
        });
        Some(follow)
    }

    /// What the volatility is measured by at a close; none while its security has no price.
    fn measured(
        &self,
        rule: &VolatilityControl,
        follow: &Follow,
        parent: Decimal,
    ) -> Option<Decimal> {
        match &rule.volatility.security {
            Some(symbol) => {
                let id = follow.inputs.get(symbol)?;
                self.securities.get(id.at())?.last_price()
            }
            None => Some(parent),
        }
    }

    fn paid(
        &self,
        follow: &Follow,
        span: Span,
        net: Option<&crate::definition::Withholding>,
    ) -> Option<Ratio> {
        if span.is_empty() {
            return Some(Ratio::zero());
        }
        self.index_dividends(follow.parent, net)
    }

    /// The dividends of a day that are in the level already from which a line within it begins.
    fn reinvested(&self, variant: &Variant, follow: &Follow, span: Span) -> Decimal {
        let (Variant::TotalReturn(TotalReturn { net, .. })
        | Variant::DividendPoints(DividendPoints { net, .. })) = variant
        else {
            return Decimal::ZERO;
        };
        if !span.is_empty() {
            return Decimal::ZERO;
        }
        let cut = self.indexes[follow.parent.at()].definition.rounding.carried;
        let known = self.index_dividends(follow.parent, net.as_ref());
        let known = known.and_then(|known| known.round(cut));
        known.unwrap_or(Decimal::ZERO)
    }

    /// How many dividends of its day each of some indexes has.
    pub(crate) fn dividends_known(&self, indexes: &[IndexId]) -> Vec<usize> {
        let count = |id: &IndexId| self.indexes[id.at()].dividends.len();
        indexes.iter().map(count).collect()
    }

    /// Which of them have more of them than before.
    pub(crate) fn paid_since(&self, indexes: &[IndexId], before: &[usize]) -> Vec<IndexId> {
        let now = indexes.iter().zip(before);
        let grown = now.filter(|(id, before)| self.indexes[id.at()].dividends.len() > **before);
        grown.map(|(id, _)| *id).collect()
    }

    /// Lets the total returns of an index have dividends that came after its day had begun.
    pub(crate) fn pay_followers(&mut self, root: IndexId, position: Position) {
        for at in 0..self.followers(root).len() {
            let id = self.followers(root)[at];
            if self.repaid(id).is_some() {
                self.revised(id, Cause::Fixing, self.time, position);
                self.touch(id, Time::MIN);
            }
        }
    }

    /// Lays the line through the last levels before the day, with the dividends that are known now.
    fn repaid(&mut self, id: IndexId) -> Option<()> {
        let state = &self.indexes[id.at()];
        let net = match state.definition.variant.as_ref()? {
            Variant::TotalReturn(rule) => rule.net.as_ref(),
            Variant::DividendPoints(rule) => rule.net.as_ref(),
            Variant::ExcessReturn(_)
            | Variant::Decrement(_)
            | Variant::Converted(_)
            | Variant::Hedged(_)
            | Variant::Leveraged(_)
            | Variant::VolatilityControl(_) => return None,
        };
        let mut follow = state.follow.clone()?;
        let dividends = self.index_dividends(follow.parent, net)?;
        let fixing = follow.fixing.as_ref()?;
        let dividends = dividends.subtract(&fixing.earlier.into());
        let dividends = dividends.round(state.definition.rounding.carried)?;
        if dividends == fixing.dividends {
            return None;
        }
        let (own, parent) = fixing.closing;
        let through = Through {
            own,
            parent,
            dividends,
            span: Span {
                from: fixing.day,
                to: fixing.day,
            },
        };
        let line = self.fixed_line(&state.definition, &follow, through)?;
        let fixing = follow.fixing.as_mut()?;
        (fixing.own, fixing.parent) = (own, parent);
        fixing.dividends = dividends;
        // What came behind the official close is in it.
        if let Some((own, parent)) = &mut follow.at_close {
            let level = line.slope.multiply(&(*parent).into()).add(&line.offset);
            *own = level.round(state.definition.rounding.carried)?;
        }
        fixing.line = line;
        self.indexes[id.at()].follow = Some(follow);
        Some(())
    }

    /// Fixes a leveraged level anew where its parent has moved too far against it.
    pub(crate) fn trigger(&mut self, id: IndexId, position: Position) {
        let index = &self.indexes[id.at()];
        let Some(Variant::Leveraged(rule)) = &index.definition.variant else {
            return;
        };
        let (Some(trigger), Some(fixing)) = (rule.trigger, super::started(index)) else {
            return;
        };
        let Some(parent) = index.follow.as_ref().and_then(|f| self.exact(f.parent)) else {
            return;
        };
        let before = Ratio::from(fixing.parent);
        let against = if rule.factor.is_positive() {
            before.subtract(&parent)
        } else {
            parent.subtract(&before)
        };
        if before
            .multiply(&trigger.into())
            .subtract(&against)
            .is_positive()
        {
            return;
        }
        let day = fixing.day;
        let closing = Closing {
            index: id,
            own: self.exact(id),
            parent: Some(parent),
        };
        let ts = self.marks[id.at()].ts;
        if self.fix(&closing, Span { from: day, to: day }, ts) {
            self.revised(id, Cause::Fixing, ts, position);
        }
    }

    /// Lays a variant's line anew at its level of this moment, by a rule that has changed. What it
    /// has gathered for its volatility stays, where the new rule gathers the same.
    pub(crate) fn refix(&mut self, id: IndexId, known: Option<&Variant>) -> Result<(), Problem> {
        let definition = &self.indexes[id.at()].definition;
        let Some(fresh) = self.resolve_follow(definition)? else {
            return Ok(());
        };
        let level = self.exact(id);
        let parent = self.exact(fresh.parent);
        let state = &mut self.indexes[id.at()];
        let Some(old) = state.follow.replace(fresh) else {
            return Ok(());
        };
        let Some(before) = old.fixing else {
            return Ok(());
        };
        if let (
            Some(follow),
            Some(Variant::VolatilityControl(rule)),
            Some(Variant::VolatilityControl(known)),
        ) = (&mut state.follow, &state.definition.variant, known)
        {
            let (closes, variances) = rule.volatility.gathers_as(&known.volatility);
            if closes {
                follow.closes = old.closes;
            }
            if variances {
                follow.variances = old.variances;
            }
        }
        let closing = Closing {
            index: id,
            own: level,
            parent,
        };
        let today = Span {
            from: before.day,
            to: before.day,
        };
        let ts = self.marks[id.at()].ts;
        if self.fix(&closing, today, ts) {
            Ok(())
        } else {
            Err(Problem::NoDivisor("level"))
        }
    }
}

/// Whether a day costs or earns something by itself.
const fn accrues(variant: &Variant) -> bool {
    match variant {
        Variant::ExcessReturn(_)
        | Variant::Decrement(_)
        | Variant::Leveraged(_)
        | Variant::VolatilityControl(_) => true,
        Variant::TotalReturn(_)
        | Variant::DividendPoints(_)
        | Variant::Converted(_)
        | Variant::Hedged(_) => false,
    }
}

/// Whether a day leaves the line as it was: what a total return reinvests stays invested until
/// the next dividend, a conversion is fixed once, a hedge for its period.
fn keeps(variant: &Variant, before: &Fixing, dividends: Decimal, is_new_period: bool) -> bool {
    match variant {
        Variant::TotalReturn(rule) => match rule.reinvestment {
            crate::definition::Reinvestment::Close => {
                before.dividends.mantissa() == 0 && dividends.mantissa() == 0
            }
            crate::definition::Reinvestment::PriorClose => dividends.mantissa() == 0,
        },
        Variant::Converted(_) => true,
        Variant::Hedged(_) | Variant::VolatilityControl(_) => !is_new_period,
        Variant::DividendPoints(_) => !is_new_period && dividends.mantissa() == 0,
        Variant::ExcessReturn(_) | Variant::Decrement(_) | Variant::Leveraged(_) => false,
    }
}

const fn reset(variant: &Variant) -> Reset {
    match variant {
        Variant::Hedged(rule) => rule.reset,
        Variant::DividendPoints(rule) => rule.reset,
        Variant::VolatilityControl(rule) => rule.reset,
        Variant::TotalReturn(_)
        | Variant::ExcessReturn(_)
        | Variant::Decrement(_)
        | Variant::Converted(_)
        | Variant::Leveraged(_) => Reset::Never,
    }
}
