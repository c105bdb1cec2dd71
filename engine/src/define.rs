//! Loading definitions: compared with what is there, applied whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use crate::definition::{
    Definitions, Dissemination, IndexDefinition, RevisionDefinition, SecurityDefinition,
};
use crate::engine::Mark;
use crate::index::{Basket, Index};
use crate::life::Life;
use crate::output::{Cause, Output, Status};
use crate::period::Days;
use crate::problem::{DefinitionError, Problem};
use crate::reference::Fixing;
use crate::revise::Turn;
use crate::security::{Security, check_name};
use crate::session::Clock;
use crate::{Engine, IndexId, PLACES_MAX, Position, SecurityId, Time, follow, rules};

/// Most places of a level, a divisor or a coefficient: two of them must fit one product.
const CUT_PLACES_MAX: u8 = 18;

/// Fields whose change makes a new revision.
const ARITHMETIC: [&str; 7] = [
    "weighting",
    "score",
    "caps",
    "float",
    "rounding",
    "fx",
    "basket",
];

/// What loading a set of definitions would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Each item with what becomes of it.
    pub items: Vec<PlanItem>,
}

/// What becomes of one definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanItem {
    /// `calendar`, `pair`, `security`, `index`, `revision` or `action`.
    pub kind: &'static str,
    /// Symbol, code or id.
    pub name: String,
    /// What it does.
    pub change: Change,
}

/// New, changed or neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was not there.
    New,
    /// It is there, equal in everything.
    Unchanged,
    /// It is there with other values in these fields.
    Changed(Vec<&'static str>),
}

impl Engine {
    /// Tries definitions on a copy: what they would do, and the engine as it would be.
    ///
    /// # Errors
    /// Every definition that cannot be loaded, with the reason; the engine is not changed.
    pub fn plan(&self, definitions: &Definitions) -> Result<(Plan, Self), Vec<DefinitionError>> {
        let mut next = self.clone();
        next.outputs.clear();
        let plan = next.load(definitions, self.next_position())?;
        Ok((plan, next))
    }

    /// Applies definitions that a plan has accepted.
    pub(crate) fn define(&mut self, position: Position, definitions: &Definitions) {
        let mut next = self.clone();
        match next.load(definitions, position) {
            Ok(_) => *self = next,
            Err(_) => self.outputs.push_back(Output::Refused { position }),
        }
    }

    fn load(
        &mut self,
        definitions: &Definitions,
        position: Position,
    ) -> Result<Plan, Vec<DefinitionError>> {
        let mut plan = Plan::default();
        let mut errors = Vec::new();
        let mut note = |kind, name: &str, result: Result<Change, DefinitionError>| match result {
            Ok(change) => plan.items.push(PlanItem {
                kind,
                name: name.to_owned(),
                change,
            }),
            Err(error) => errors.push(error),
        };
        twice(
            "security",
            definitions.securities.iter().map(|s| s.symbol.as_str()),
            &mut note,
        );
        twice(
            "index",
            definitions.indexes.iter().map(|x| x.code.as_str()),
            &mut note,
        );
        twice(
            "calendar",
            definitions.calendars.iter().map(|c| c.name.as_str()),
            &mut note,
        );
        self.load_rules(definitions, &mut note);
        for security in &definitions.securities {
            let result = self.load_security(security);
            note(
                "security",
                &security.symbol,
                result.map_err(|p| p.of("security", &security.symbol)),
            );
        }
        let mut is_changed = false;
        for index in parents_first(&definitions.indexes) {
            let result = self.load_index(index, position);
            is_changed |= !matches!(result, Ok(Change::Unchanged));
            note(
                "index",
                &index.code,
                result.map_err(|p| p.of("index", &index.code)),
            );
        }
        if is_changed {
            // Once for all: it walks every security.
            self.watch_days();
        }
        self.start_waiting(position);
        for revision in &definitions.revisions {
            let result = self.load_revision(revision, position);
            note("revision", &revision.id, result);
        }
        for id in &definitions.cancelled {
            let result = self.cancel(id, position).map_err(|p| p.of("action", id));
            note("action", id, result);
        }
        let announced = self.announce(&definitions.actions, position);
        for (action, result) in definitions.actions.iter().zip(announced) {
            note(
                "action",
                &action.id,
                result.map_err(|p| p.of("action", &action.id)),
            );
        }
        if errors.is_empty() {
            Ok(plan)
        } else {
            Err(errors)
        }
    }

    fn load_revision(
        &mut self,
        revision: &RevisionDefinition,
        position: Position,
    ) -> Result<Change, DefinitionError> {
        match self.revisions.get(&revision.id) {
            Some(known) if known == revision => return Ok(Change::Unchanged),
            Some(_) => return Err(Problem::RevisionReused.of("revision", &revision.id)),
            None => {}
        }
        let effective = revision.effective.unwrap_or(self.time);
        self.revisions.insert(revision.id.clone(), revision.clone());
        // Tried now in any case, so that a mistake shows when it is loaded.
        let mut trial = self.clone();
        let tried = trial.apply_revision(revision, effective, position);
        if effective > self.time {
            self.scheduled
                .insert((effective, revision.id.clone()), position);
        } else if tried.is_ok() {
            *self = trial;
        }
        tried.map(|()| Change::New)
    }

    fn load_security(&mut self, definition: &SecurityDefinition) -> Result<Change, Problem> {
        rules::check_security(definition)?;
        self.check_calendar(definition.calendar.as_ref())?;
        let fresh = Security::new(definition.clone())?;
        let Some(id) = self.security_id(&definition.symbol) else {
            if self.was_symbol(&definition.symbol) {
                return Err(Problem::Retired("symbol"));
            }
            let id =
                SecurityId(u32::try_from(self.securities.len()).map_err(|_| Problem::Overflow)?);
            self.symbols.insert(definition.symbol.as_str().into(), id);
            self.securities.push(fresh);
            return Ok(Change::New);
        };
        let known = &self.securities[id.at()].definition;
        if known.currency != definition.currency {
            return Err(Problem::Fixed("currency"));
        }
        if known.price_places != definition.price_places {
            return Err(Problem::Fixed("price_places"));
        }
        let mut changed = Vec::new();
        if known.name != definition.name {
            changed.push("name");
        }
        if known.price_max != definition.price_max {
            changed.push("price_max");
        }
        let rules = [
            ("calendar", known.calendar != definition.calendar),
            ("sources", known.sources != definition.sources),
            ("gate", known.gate != definition.gate),
        ];
        changed.extend(rules.iter().filter(|(_, c)| *c).map(|(field, _)| *field));
        if changed.is_empty() {
            return Ok(Change::Unchanged);
        }
        let security = &mut self.securities[id.at()];
        if security.price > fresh.price_max {
            return Err(Problem::PriceMaxPassed(definition.price_max.to_string()));
        }
        security.price_max = fresh.price_max;
        security.is_guarded = fresh.is_guarded;
        security.definition = definition.clone();
        // A higher bound must still fit every sum that holds the security.
        for index in &self.indexes {
            if index.basket.holdings.iter().any(|h| h.security == id) {
                index.check_sums(&self.securities)?;
            }
        }
        Ok(Change::Changed(changed))
    }

    pub(crate) fn load_index(
        &mut self,
        definition: &IndexDefinition,
        position: Position,
    ) -> Result<Change, Problem> {
        check(definition)?;
        rules::check_index(definition)?;
        self.check_calendar(definition.calendar.as_ref())?;
        match self.codes.get(&definition.code).copied() {
            None => self.new_index(definition, position).map(|()| Change::New),
            Some(id) => self.change_index(id, definition, position),
        }
    }

    fn new_index(
        &mut self,
        definition: &IndexDefinition,
        position: Position,
    ) -> Result<(), Problem> {
        let days = Days::new(&definition.day)?;
        if self.former.codes.contains_key(&definition.code) {
            return Err(Problem::Retired("code"));
        }
        self.refuse_retired(&definition.basket)?;
        self.ensure_components(&definition.basket)?;
        let mut index = Index {
            stated: definition.clone(),
            definition: definition.clone(),
            days,
            basket: Basket::waiting(Vec::new(), definition.currency, &[]),
            follow: self.resolve_follow(definition)?,
            product: None,
            fixing: definition.window.as_ref().map(|_| Fixing::default()),
            component: None,
            divisor: None,
            combine: None,
            revision: 0,
            seq: 0,
            last: None,
            status: Status::Pending,
            missing: 0,
            span: None,
            prev_close: None,
            dividends: Vec::new(),
            day_rates: BTreeMap::new(),
            deferred: BTreeMap::new(),
            due: Time::MIN,
            waiting: false,
            life: Life::Active,
            clock: Clock::new(),
        };
        let holdings = self.holdings(&index)?;
        index.basket = Basket::waiting(holdings, definition.currency, &self.securities);
        if index.fixing.is_some() && index.basket.currencies.len() > 1 {
            return Err(Problem::Limits(
                "make a rate in the currency of its security only",
            ));
        }
        index.refresh_rates(&self.rates);
        let newest = index.newest_price(&self.securities);
        index.span = newest.map(|ts| index.days.span(ts, index.reset()));
        let id = IndexId(u32::try_from(self.indexes.len()).map_err(|_| Problem::Overflow)?);
        self.adopt_references(&index)?;
        index.count_missing(&self.securities);
        self.indexes.push(index);
        self.codes.insert(definition.code.clone(), id);
        self.marks.push(Mark {
            ts: Time::MIN,
            touched: false,
            newest: newest.unwrap_or(Time::MIN),
            behind: newest.map_or(0, |ts| self.time.as_nanos().saturating_sub(ts.as_nanos())),
            is_quiet: false,
            each_tick: definition.dissemination == Dissemination::Tick,
            is_followed: false,
            is_moved: false,
        });
        self.link(id);
        self.kernel_is_stale = true;
        if let Some(newest) = newest {
            self.seat(id, newest);
        }
        self.start(id)?;
        self.base(id, position)?;
        if self.indexes[id.at()].revision == 0 {
            self.revised(id, Cause::Definition, self.started(id), position);
        }
        self.touch(id, newest.unwrap_or(Time::MIN));
        Ok(())
    }

    fn change_index(
        &mut self,
        id: IndexId,
        definition: &IndexDefinition,
        position: Position,
    ) -> Result<Change, Problem> {
        let known = &self.indexes[id.at()].stated;
        if known.currency != definition.currency {
            return Err(Problem::Fixed("currency"));
        }
        if known.of != definition.of {
            return Err(Problem::Fixed("of"));
        }
        if known.base != definition.base {
            return Err(Problem::Fixed("base"));
        }
        let changed = changes(known, definition);
        if changed.is_empty() {
            return Ok(Change::Unchanged);
        }
        if changed.contains(&"basket") {
            self.refuse_retired(&definition.basket)?;
        }
        let before = known.variant.clone();
        let level = self.exact_by(id, false);
        let state = &mut self.indexes[id.at()];
        state.days = Days::new(&definition.day)?;
        let new_basket = changed.contains(&"basket");
        let in_force = std::mem::take(&mut state.definition.basket);
        if changed.contains(&"fx") {
            state.day_rates.clear();
        }
        state.stated = definition.clone();
        state.definition = definition.clone();
        if new_basket {
            state.deferred.clear();
        } else {
            state.definition.basket = in_force;
        }
        // The day it is in, by the new days and reset.
        let ts = self.marks[id.at()].ts;
        let span = || state.days.span(ts, state.reset());
        state.span = (ts != Time::MIN).then(span);
        self.marks[id.at()].each_tick = definition.dissemination == Dissemination::Tick;
        // What is laid out by it: who publishes by an interval, whom time alone can move.
        let laid = ["dissemination", "calendar", "stale"];
        self.kernel_is_stale |= changed.iter().any(|field| laid.contains(field));
        self.change_times(id, &changed);
        let borne = ["variant", "weighting", "basket"];
        if changed.iter().any(|field| borne.contains(field)) {
            self.check_followers(id)?;
        }
        if definition.variant.is_some() {
            if changed.contains(&"variant") || changed.contains(&"rounding") {
                // What is carried has been rounded: other places show a level, they fix none.
                if changed.contains(&"variant") {
                    self.refix(id, before.as_ref())?;
                }
                self.revised(id, Cause::Definition, self.time, position);
                self.touch(id, Time::MIN);
            }
            return Ok(Change::Changed(changed));
        }
        let arithmetic = changed.iter().any(|f| ARITHMETIC.contains(f));
        if arithmetic {
            let weights = ["basket", "weighting", "score", "caps", "float"];
            let turn = if changed.iter().any(|f| weights.contains(f)) {
                Turn::Restore
            } else {
                Turn::Keep
            };
            self.revise_index(id, turn, level.as_ref(), &[])?;
            self.revised(id, Cause::Definition, self.time, position);
            self.try_base(id, position);
            self.touch(id, Time::MIN);
        }
        Ok(Change::Changed(changed))
    }

    /// Puts an index whose calendar or rules of time have changed into its session anew.
    fn change_times(&mut self, id: IndexId, changed: &[&'static str]) {
        let ts = self.marks[id.at()].ts;
        let is_of_time = |field: &&str| ["calendar", "session", "stale"].contains(field);
        if ts != Time::MIN && changed.iter().any(is_of_time) {
            self.seat(id, ts);
            self.touch(id, Time::MIN);
        }
    }

    /// Makes every security look at its indexes' days again at its next tick, and every index at
    /// its stale constituents.
    pub(crate) fn watch_days(&mut self) {
        self.actions.rewatch();
        for security in &mut self.securities {
            security.roll_at = Time::MIN;
        }
        for index in &mut self.indexes {
            index.look_for_stale();
        }
    }
}

/// The indexes in an order in which those that others follow come before them, else as stated.
/// What follows itself comes last, and is refused there since its parent is not known.
fn parents_first(indexes: &[IndexDefinition]) -> Vec<&IndexDefinition> {
    let here: BTreeSet<&str> = indexes.iter().map(|x| x.code.as_str()).collect();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut ordered = Vec::with_capacity(indexes.len());
    let mut left: Vec<&IndexDefinition> = indexes.iter().collect();
    while !left.is_empty() {
        let before = left.len();
        left.retain(|index| {
            let waits = index
                .needs()
                .any(|code| here.contains(code) && !done.contains(code));
            if !waits {
                done.insert(&index.code);
                ordered.push(*index);
            }
            waits
        });
        if left.len() == before {
            ordered.append(&mut left);
        }
    }
    ordered
}

/// Reports names that occur twice.
fn twice<'a>(
    kind: &'static str,
    names: impl Iterator<Item = &'a str>,
    note: &mut impl FnMut(&'static str, &str, Result<Change, DefinitionError>),
) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            note(kind, name, Err(Problem::Twice.of(kind, name)));
        }
    }
}

/// The fields in which two definitions differ.
fn changes(known: &IndexDefinition, definition: &IndexDefinition) -> Vec<&'static str> {
    let fields = [
        ("name", known.name != definition.name),
        (
            "dissemination",
            known.dissemination != definition.dissemination,
        ),
        ("day", known.day != definition.day),
        ("calendar", known.calendar != definition.calendar),
        ("session", known.session != definition.session),
        ("stale", known.stale != definition.stale),
        ("jump_max", known.jump_max != definition.jump_max),
        ("variant", known.variant != definition.variant),
        ("weighting", known.weighting != definition.weighting),
        ("score", known.score != definition.score),
        ("caps", known.caps != definition.caps),
        ("window", known.window != definition.window),
        ("float", known.float != definition.float),
        ("rounding", known.rounding != definition.rounding),
        ("fx", known.fx != definition.fx),
        ("actions", known.actions != definition.actions),
        ("corrections", known.corrections != definition.corrections),
        ("basket", known.basket != definition.basket),
    ];
    let changed = fields.into_iter().filter(|(_, changed)| *changed);
    changed.map(|(field, _)| field).collect()
}

/// What can be checked without looking at other definitions.
fn check(definition: &IndexDefinition) -> Result<(), Problem> {
    check_name(&definition.code)?;
    let rounding = definition.rounding;
    let cuts = [
        ("rounding.level", rounding.level.places, CUT_PLACES_MAX),
        ("rounding.divisor", rounding.divisor.places, CUT_PLACES_MAX),
        (
            "rounding.coefficient",
            rounding.coefficient.places,
            CUT_PLACES_MAX,
        ),
        ("rounding.carried", rounding.carried.places, CUT_PLACES_MAX),
        ("fx", definition.fx.places, CUT_PLACES_MAX),
    ];
    const { assert!(CUT_PLACES_MAX <= PLACES_MAX) };
    for (field, places, max) in cuts {
        if places > max {
            return Err(Problem::Places { field, places, max });
        }
    }
    if definition.dissemination == (Dissemination::Interval { every_ms: 0 }) {
        return Err(Problem::Interval);
    }
    follow::check(definition)?;
    match (definition.base.value, definition.base.divisor) {
        _ if definition.variant.is_some() => Ok(()),
        (None, None) if definition.window.is_some() => Ok(()),
        _ if definition.window.is_some() => Err(Problem::Limits("make a rate without a base")),
        (Some(value), None) if value.is_positive() => Ok(()),
        (None, Some(_)) if definition.weighting.follows_weights() => Err(Problem::BaseDivisor),
        (None, Some(divisor)) if divisor.is_positive() => Ok(()),
        _ => Err(Problem::Base),
    }
}
