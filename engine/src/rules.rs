//! Loading what definitions refer to: calendars and the rules of currency pairs; and checking the
//! rules of time and of prices.

use crate::calendar::Calendar;
use crate::define::Change;
use crate::definition::{
    ActionRules, Adjust, CalendarDefinition, Child, Definitions, Gate, IndexDefinition,
    PairDefinition, SecurityDefinition, StaleRule,
};
use crate::gate::{PERCENT_MAX, PERCENT_PLACES_MAX};
use crate::problem::{DefinitionError, Problem};
use crate::{Decimal, Engine, IndexId};

/// The longest that a member which an action brought stays by a rule, in days of the index.
const LEAVES_MAX: u16 = 1000;

impl Engine {
    /// Takes what securities and indexes refer to.
    pub(crate) fn load_rules(
        &mut self,
        definitions: &Definitions,
        note: &mut impl FnMut(&'static str, &str, Result<Change, DefinitionError>),
    ) {
        for calendar in &definitions.calendars {
            let result = self.load_calendar(calendar);
            let result = result.map_err(|p| p.of("calendar", &calendar.name));
            note("calendar", &calendar.name, result);
        }
        for pair in &definitions.pairs {
            let (name, result) = (pair.name(), self.load_pair(pair));
            note("pair", &name, result.map_err(|p| p.of("pair", &name)));
        }
    }

    /// Takes a new or changed calendar; indexes that follow it find their session anew.
    pub(crate) fn load_calendar(
        &mut self,
        definition: &CalendarDefinition,
    ) -> Result<Change, Problem> {
        let calendar = Calendar::new(definition.clone())?;
        let known = self.calendars.insert(definition.name.clone(), calendar);
        let Some(known) = known else {
            return Ok(Change::New);
        };
        let known = known.definition;
        let fields = [
            ("zone", known.zone != definition.zone),
            ("source", known.source != definition.source),
            ("from", known.from != definition.from),
            ("to", known.to != definition.to),
            ("week", known.week != definition.week),
            ("holidays", known.holidays != definition.holidays),
            ("special", known.special != definition.special),
        ];
        let change = Change::of(&fields);
        if change != Change::Unchanged {
            for id in (0u32..).map(IndexId).take(self.indexes.len()) {
                let state = &self.indexes[id.at()];
                if state.definition.calendar.as_ref() == Some(&definition.name) {
                    self.reseat(id);
                }
            }
        }
        Ok(change)
    }

    /// Takes the rules of a currency pair.
    pub(crate) fn load_pair(&mut self, definition: &PairDefinition) -> Result<Change, Problem> {
        percent("last", definition.last)?;
        let pair = (definition.base, definition.quote);
        let known = self.pairs.insert(pair, definition.clone());
        Ok(known.map_or(Change::New, |known| {
            Change::of(&[
                ("last", known.last != definition.last),
                ("inversion", known.inversion != definition.inversion),
            ])
        }))
    }

    pub(crate) fn check_calendar(&self, name: Option<&String>) -> Result<(), Problem> {
        match name.filter(|name| !self.calendars.contains_key(*name)) {
            Some(unknown) => Err(Problem::UnknownCalendar(unknown.chars().take(64).collect())),
            None => Ok(()),
        }
    }
}

impl Change {
    pub(crate) fn of(fields: &[(&'static str, bool)]) -> Self {
        let changed = fields.iter().filter(|(_, has)| *has);
        let changed: Vec<_> = changed.map(|(field, _)| *field).collect();
        if changed.is_empty() {
            Self::Unchanged
        } else {
            Self::Changed(changed)
        }
    }
}

/// The rules of a security's prices.
pub(crate) fn check_security(definition: &SecurityDefinition) -> Result<(), Problem> {
    if let Some(sources) = &definition.sources {
        let order = &sources.order;
        let twice = (0..order.len()).any(|at| order[..at].contains(&order[at]));
        if order.is_empty() || twice {
            return Err(Problem::Rule(
                "`sources.order` must name each source once, and at least one",
            ));
        }
    }
    let Some(gate) = &definition.gate else {
        return Ok(());
    };
    percent("gate.last", gate.last)?;
    percent("gate.close", gate.close)?;
    percent("gate.widen", gate.widen)?;
    percent("gate.cross.percent", gate.cross.map(|cross| cross.percent))?;
    if *gate == Gate::default() {
        return Err(Problem::Rule("the gate states no bound"));
    }
    Ok(())
}

/// The rules of an index's day.
pub(crate) fn check_index(definition: &IndexDefinition) -> Result<(), Problem> {
    percent("jump_max", definition.jump_max)?;
    let session = &definition.session;
    percent("session.opening", session.opening)?;
    if session
        .opening
        .is_some_and(|opening| is_above(opening, 100))
    {
        return Err(Problem::Rule("`session.opening` is more than 100 percent"));
    }
    let has_day = definition.calendar.is_some() || definition.stale.is_some();
    if definition.of.is_some() && has_day {
        return Err(Problem::Rule(
            "the day of a variant is that of its parent: state `calendar` and `stale` there",
        ));
    }
    if definition.base.date.is_some() && definition.base.day().is_none() {
        return Err(Problem::Rule(
            "the base date must begin with a date such as 2026-01-31",
        ));
    }
    check_actions(&definition.actions)?;
    if definition.calendar.is_none() && !session.is_default() {
        return Err(Problem::Rule("`session` needs a `calendar`"));
    }
    if let Some(stale) = definition.stale {
        percent("stale.weight", stale.weight)?;
        let StaleRule {
            after_s, sessions, ..
        } = stale;
        if after_s.or(sessions.map(u32::from)).is_none()
            || after_s == Some(0)
            || sessions == Some(0)
        {
            return Err(Problem::Rule(
                "`stale` needs `after_s` or `sessions`, above 0",
            ));
        }
    }
    Ok(())
}

/// The rules of an index about corporate actions.
fn check_actions(rules: &ActionRules) -> Result<(), Problem> {
    let special = &rules.special_dividends;
    if special.adjust == Adjust::Above && special.share.is_none() {
        return Err(Problem::Rule(
            "`special_dividends.adjust` of `above` needs a `share`",
        ));
    }
    if special.first == Some(0) {
        return Err(Problem::Rule(
            "`special_dividends.first` must be 1 or above; `adjust` of `never` takes none",
        ));
    }
    let leaves = [&rules.spin_offs.leaves, &rules.rights.leaves];
    let mut leaves = leaves.into_iter().flatten();
    if leaves.any(|rule| !(1..=LEAVES_MAX).contains(&rule.after)) {
        return Err(Problem::Rule("`leaves.after` must be in 1 to 1000 days"));
    }
    if rules.spin_offs.leaves.is_some() && rules.spin_offs.child != Child::Keep {
        return Err(Problem::Rule(
            "`spin_offs.leaves` needs a child that is kept",
        ));
    }
    let shares = &rules.share_changes;
    let dilutive = rules.rights.dilutive.as_ref().map(|rule| rule.from);
    let bounds = [
        special.share,
        dilutive,
        shares.from,
        shares.value,
        shares.alone,
        shares.float,
    ];
    match bounds
        .into_iter()
        .flatten()
        .all(|bound| bound.mantissa() >= 0)
    {
        true => Ok(()),
        false => Err(Problem::Rule("bounds of `actions` must not be below 0")),
    }
}

fn percent(field: &'static str, value: Option<Decimal>) -> Result<(), Problem> {
    let is_good = |value: Decimal| {
        value.is_positive() && value.places() <= PERCENT_PLACES_MAX && !is_above(value, PERCENT_MAX)
    };
    match value.filter(|value| !is_good(*value)) {
        Some(_) => Err(Problem::Percent(field)),
        None => Ok(()),
    }
}

/// For a value of few places.
fn is_above(value: Decimal, bound: i64) -> bool {
    let bound = Decimal::from(bound).at_places(value.places());
    bound.is_none_or(|bound| value.mantissa() > bound)
}
