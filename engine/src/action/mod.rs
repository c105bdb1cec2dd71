//! Corporate actions and reviews: announced when loaded, applied before the first input of their
//! day counts.
//!
//! - here: the list of actions, and which of them an input brings about
//! - `check`: what can be said of an action before its day
//! - `opening`: all actions of a day together, with one new divisor for each index
//! - `event`: what each kind of action does to prices and names
//! - `shares`: changes of shares and free float, and those that wait
//! - `part`: rights and spin-offs, where one security becomes two
//! - `members`: who leaves and who joins, and reviews
//! - `draft`: an index on its way through them
//! - `preview`, `proforma`: what an action, or a review, would do now

mod check;
mod draft;
mod event;
mod members;
mod opening;
mod part;
mod preview;
mod proforma;
mod shares;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::definition::{ActionDefinition, Event};
use crate::exact::Ratio;
use crate::output::{ActionNews, ActionState, Output};
use crate::problem::Problem;
use crate::security::check_name;
use crate::{Change, Currency, Engine, IndexId, Position, SecurityId, Time};

pub use opening::ExDividend;
pub use preview::{IndexPreview, MemberPreview, Preview};
pub use proforma::{Proforma, ProformaMember};

/// All actions that were ever announced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Actions {
    known: BTreeMap<String, Known>,
    /// Those to come, in the order in which they are applied.
    queue: BTreeSet<(Time, u8, String)>,
    /// Names that securities had before, for actions that were announced under them.
    former: BTreeMap<String, SecurityId>,
    /// From when on an input of a security or an index brings about an action. Follows from the
    /// queue and the baskets; none while it has to be worked out anew.
    #[serde(skip)]
    wakes: Option<Wakes>,
}

/// An action with what became of it.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
struct Known {
    definition: ActionDefinition,
    /// The beginning of its day; of its next day while it takes several.
    due: Time,
    state: ActionState,
    /// Days on which it was applied so far.
    steps: u32,
    /// How far actions have moved prices since it was announced, of the securities whose reference
    /// prices a review states.
    #[serde(default)]
    moved: BTreeMap<SecurityId, Ratio>,
    /// The part of it that came of new currencies.
    #[serde(default)]
    recoined: BTreeMap<SecurityId, Ratio>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Wakes {
    securities: BTreeMap<SecurityId, Time>,
    indexes: BTreeMap<IndexId, Time>,
}

/// An action for those who look at it.
#[derive(Debug, Clone, Copy)]
pub struct ActionView<'a> {
    /// As announced.
    pub definition: &'a ActionDefinition,
    /// The beginning of its day.
    pub due: Time,
    /// What became of it.
    pub state: &'a ActionState,
}

impl Actions {
    /// True when both hold the same actions, in the same state.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (&self.known, &self.queue, &self.former) == (&other.known, &other.queue, &other.former)
    }

    /// Who waits for an action has to be worked out anew.
    pub(crate) fn forget_wakes(&mut self) {
        self.wakes = None;
    }

    fn first_due(&self) -> Time {
        self.queue.first().map_or(Time::MAX, |(due, ..)| *due)
    }

    /// Makes the watch over inputs start anew: a basket or the queue has changed.
    pub(crate) fn rewatch(&mut self) {
        self.wakes = None;
    }
}

impl Engine {
    /// An action by id.
    #[must_use]
    pub fn action(&self, id: &str) -> Option<ActionView<'_>> {
        self.actions.known.get(id).map(|known| ActionView {
            definition: &known.definition,
            due: known.due,
            state: &known.state,
        })
    }

    /// All actions, in the order of their days and of their application on one day.
    #[must_use]
    pub fn actions(&self) -> Vec<ActionView<'_>> {
        let ids = self.actions.known.keys();
        let mut views: Vec<_> = ids.filter_map(|id| self.action(id)).collect();
        views.sort_by_key(|view| (view.due, view.definition.event.rank(), &view.definition.id));
        views
    }

    /// The beginning of the next day of a review of an index.
    pub(crate) fn first_review(&self, code: &str) -> Option<Time> {
        let is_review = |id: &String| {
            let known = self.actions.known.get(id);
            let event = known.map(|known| &known.definition.event);
            matches!(event, Some(Event::Rebalance(review)) if review.index == code)
        };
        let mut queue = self.actions.queue.iter();
        queue.find_map(|(due, _, id)| is_review(id).then_some(*due))
    }

    /// Announces actions, or announces them anew with other terms. Those of days that have begun
    /// already count at once, a day's together as on the day itself: no first input of such a day
    /// comes any more.
    pub(crate) fn announce(
        &mut self,
        definitions: &[ActionDefinition],
        position: Position,
    ) -> Vec<Result<Change, Problem>> {
        let mut results: Vec<_> = definitions.iter().map(|_| None).collect();
        let mut caught_up = BTreeSet::new();
        // Others may state the new names.
        let mut names_first = true;
        // One that counts at once may make possible what comes with it, as a new name does.
        loop {
            let mut begun = Vec::new();
            for (definition, result) in definitions.iter().zip(&mut results) {
                let is_name = matches!(definition.event, Event::SymbolChange(_));
                if matches!(result, Some(Ok(_))) || (names_first && !is_name) {
                    continue;
                }
                let named = check_name(&definition.id);
                let enlisted = named.and_then(|()| self.enlist(definition, position));
                if matches!(&enlisted, Ok(change) if *change != Change::Unchanged)
                    && self.has_begun(&definition.id)
                {
                    begun.push(definition.id.clone());
                }
                *result = Some(enlisted);
            }
            if begun.is_empty() {
                if !names_first {
                    break;
                }
                names_first = false;
                continue;
            }
            self.catch_up(&begun, position);
            caught_up.extend(begun);
        }
        let outcome = |(definition, result): (&ActionDefinition, Option<_>)| {
            let id = caught_up.get(&definition.id);
            let known = id.and_then(|id| self.actions.known.get(id));
            match known.map(|known| &known.state) {
                Some(ActionState::Refused(why)) => Err(Problem::ActionRefused(why.clone())),
                _ => result.unwrap_or(Ok(Change::Unchanged)),
            }
        };
        definitions.iter().zip(results).map(outcome).collect()
    }

    /// Applies actions whose days have begun, one day after the other.
    fn catch_up(&mut self, ids: &[String], position: Position) {
        let all: Vec<IndexId> = (0u32..).map(IndexId).take(self.indexes.len()).collect();
        let mut days: BTreeMap<Time, Vec<(u8, String)>> = BTreeMap::new();
        for known in ids.iter().filter_map(|id| self.actions.known.get(id)) {
            let entry = (known.definition.event.rank(), known.definition.id.clone());
            days.entry(known.due).or_default().push(entry);
        }
        for (due, mut entries) in days {
            entries.sort();
            let ids: Vec<String> = entries.into_iter().map(|(_, id)| id).collect();
            let newest = ids.iter().map(|id| self.newest(id)).max();
            let ts = newest.unwrap_or(due).max(due);
            // The day begins in all indexes that they concern, also where no input has brought it.
            let concerned = ids.iter().flat_map(|id| self.concerned_by(id));
            let concerned: BTreeSet<IndexId> = concerned.collect();
            let concerned: Vec<IndexId> = concerned.into_iter().collect();
            self.begin(None, &concerned, ts, position);
            let is_left = |id: &String| {
                let known = self.actions.known.get(id);
                known.is_some_and(|k| k.due == due && k.state == ActionState::Announced)
            };
            let ids: Vec<String> = ids.into_iter().filter(is_left).collect();
            if ids.is_empty() {
                continue;
            }
            let paid = self.dividends_known(&all);
            self.apply_actions(&ids, ts, position);
            for index in self.paid_since(&all, &paid) {
                self.note_points(index);
                self.pay_followers(index, position);
            }
        }
    }

    /// Puts an action on the list.
    fn enlist(
        &mut self,
        definition: &ActionDefinition,
        position: Position,
    ) -> Result<Change, Problem> {
        let id = &definition.id;
        let known = self.actions.known.get(id);
        if known.is_some_and(|known| known.definition == *definition) {
            return Ok(Change::Unchanged);
        }
        if let Some(known) = known.filter(|known| known.state != ActionState::Announced) {
            return Err(Problem::ActionClosed(known.state.as_str()));
        }
        let due = self.check_action(definition)?;
        let change = match known {
            None => Change::New,
            Some(known) => {
                let before = (known.due, known.definition.event.rank(), id.clone());
                self.actions.queue.remove(&before);
                Change::Changed(vec!["terms"])
            }
        };
        let known = Known {
            definition: definition.clone(),
            due,
            state: ActionState::Announced,
            steps: 0,
            moved: BTreeMap::new(),
            recoined: BTreeMap::new(),
        };
        self.actions.known.insert(id.clone(), known);
        let entry = (due, definition.event.rank(), id.clone());
        self.actions.queue.insert(entry);
        self.watch_days();
        let concerned = self.concerned(&definition.event).1;
        self.tell(id, ActionState::Announced, concerned, position);
        Ok(change)
    }

    /// Cancels an announced action.
    pub(crate) fn cancel(&mut self, id: &str, position: Position) -> Result<Change, Problem> {
        let known = self.actions.known.get_mut(id);
        let known = known.ok_or(Problem::UnknownAction)?;
        match known.state {
            ActionState::Cancelled => return Ok(Change::Unchanged),
            ActionState::Announced => {}
            ActionState::Applying | ActionState::Applied | ActionState::Refused(_) => {
                return Err(Problem::ActionClosed(known.state.as_str()));
            }
        }
        known.state = ActionState::Cancelled;
        let entry = (known.due, known.definition.event.rank(), id.to_owned());
        self.actions.queue.remove(&entry);
        self.actions.rewatch();
        let concerned = self.concerned_by(id);
        self.tell(id, ActionState::Cancelled, concerned, position);
        Ok(Change::Changed(vec!["state"]))
    }

    /// Says what became of an action.
    fn tell(&mut self, id: &str, state: ActionState, indexes: Vec<IndexId>, position: Position) {
        self.outputs.push_back(Output::Action(ActionNews {
            id: id.to_owned(),
            state,
            indexes,
            position,
        }));
    }

    /// The security that a name means, under its present name or a former one.
    fn known_security(&self, symbol: &str) -> Result<SecurityId, Problem> {
        self.security_id(symbol)
            .or_else(|| self.actions.former.get(symbol).copied())
            .filter(|id| self.securities[id.at()].component.is_none())
            .ok_or_else(|| Problem::UnknownSecurity(symbol.chars().take(64).collect()))
    }

    /// True for a name that a security had before and no other has now.
    pub(crate) fn was_symbol(&self, symbol: &str) -> bool {
        self.former.symbols.contains_key(symbol) || self.actions.former.contains_key(symbol)
    }

    pub(crate) fn known_index(&self, code: &str) -> Result<IndexId, Problem> {
        self.index_id(code)
            .ok_or_else(|| Problem::UnknownIndex(code.chars().take(64).collect()))
    }

    /// The indexes that hold a security.
    #[must_use]
    pub fn holding(&self, security: SecurityId) -> Vec<IndexId> {
        let all = (0u32..).map(IndexId).zip(&self.indexes);
        all.filter(|(_, index)| index.basket.holdings.iter().any(|h| h.security == security))
            .map(|(id, _)| id)
            .collect()
    }

    /// Whom an action concerns: its security, and the indexes that it changes.
    fn concerned(&self, event: &Event) -> (Option<SecurityId>, Vec<IndexId>) {
        if let Some(code) = event.index() {
            return (None, self.index_id(code).into_iter().collect());
        }
        let security = self.security_of(event);
        (
            security,
            security.map_or_else(Vec::new, |s| self.holding(s)),
        )
    }

    /// The securities and indexes by which an event hangs together with others of its day: also
    /// those that it brings into an index, whose own actions come first.
    fn linked(&self, event: &Event) -> (Vec<SecurityId>, Vec<IndexId>) {
        let (own, indexes) = self.concerned(event);
        let brought = event.brings().filter_map(|s| self.known_security(s).ok());
        (own.into_iter().chain(brought).collect(), indexes)
    }

    /// The security that an event happens to, also where it had another name before.
    #[must_use]
    pub fn security_of(&self, event: &Event) -> Option<SecurityId> {
        event
            .symbol()
            .and_then(|symbol| self.known_security(symbol).ok())
    }

    /// The indexes that an action concerns at present.
    #[must_use]
    pub fn concerned_by(&self, id: &str) -> Vec<IndexId> {
        let known = self.actions.known.get(id);
        known.map_or_else(Vec::new, |known| self.concerned(&known.definition.event).1)
    }

    /// True when an input of an action's day, or of a later one, was there already.
    fn has_begun(&self, id: &str) -> bool {
        let known = self.actions.known.get(id);
        known.is_some_and(|known| self.newest(id) >= known.due)
    }

    /// The time of the newest input of what an action concerns.
    fn newest(&self, id: &str) -> Time {
        let Some(known) = self.actions.known.get(id) else {
            return Time::MIN;
        };
        let (security, indexes) = self.concerned(&known.definition.event);
        let traded = security.and_then(|s| self.securities[s.at()].origin);
        let moved = indexes.iter().map(|index| self.marks[index.at()].newest);
        let newest = moved.chain(traded.map(|origin| origin.ts)).max();
        newest.unwrap_or(Time::MIN)
    }

    /// From when on an input of this security or of these indexes brings about an action.
    pub(crate) fn wake_time(&mut self, security: Option<SecurityId>, indexes: &[IndexId]) -> Time {
        if self.actions.queue.is_empty() {
            return Time::MAX;
        }
        if self.actions.wakes.is_none() {
            self.actions.wakes = Some(self.watch());
        }
        let Some(wakes) = &self.actions.wakes else {
            return Time::MAX;
        };
        let of_security = security.and_then(|s| wakes.securities.get(&s));
        let of_indexes = indexes.iter().filter_map(|x| wakes.indexes.get(x));
        of_indexes
            .chain(of_security)
            .min()
            .copied()
            .unwrap_or(Time::MAX)
    }

    fn watch(&self) -> Wakes {
        let mut wakes = Wakes::default();
        for (due, _, id) in &self.actions.queue {
            let Some(known) = self.actions.known.get(id) else {
                continue;
            };
            let (securities, indexes) = self.linked(&known.definition.event);
            // The queue is in the order of time, so the first one is the earliest.
            for index in indexes {
                wakes.indexes.entry(index).or_insert(*due);
            }
            for security in securities {
                wakes.securities.entry(security).or_insert(*due);
            }
        }
        wakes
    }

    /// The actions that an input at `ts` brings about, and the indexes that they concern: all that
    /// are due and hang together by their securities and indexes, so that each index gets one
    /// divisor for all of them.
    pub(crate) fn due_actions(
        &mut self,
        security: Option<SecurityId>,
        indexes: &[IndexId],
        ts: Time,
    ) -> (Vec<String>, Vec<IndexId>) {
        if self.actions.first_due() > ts || self.wake_time(security, indexes) > ts {
            return (Vec::new(), indexes.to_vec());
        }
        let due: Vec<_> = self
            .actions
            .queue
            .iter()
            .take_while(|(due, ..)| *due <= ts)
            .collect();
        let mut taken = vec![false; due.len()];
        let mut securities: BTreeSet<SecurityId> = security.into_iter().collect();
        let mut concerned: BTreeSet<IndexId> = indexes.iter().copied().collect();
        loop {
            let mut grew = false;
            for (at, (_, _, id)) in due.iter().enumerate() {
                let Some(known) = self.actions.known.get(id).filter(|_| !taken[at]) else {
                    continue;
                };
                let (own, holding) = self.linked(&known.definition.event);
                let touches = own.iter().any(|s| securities.contains(s))
                    || holding.iter().any(|x| concerned.contains(x));
                if touches {
                    taken[at] = true;
                    grew = true;
                    securities.extend(own);
                    concerned.extend(holding);
                }
            }
            if !grew {
                break;
            }
        }
        let ids = due.iter().zip(taken).filter(|(_, taken)| *taken);
        let ids = ids.map(|((_, _, id), _)| id.clone()).collect();
        (ids, concerned.into_iter().collect())
    }

    /// Applies due actions together; those that cannot go with the others come after them one by one,
    /// and those that cannot at all are refused. Returns the indexes whose weights were restored by a
    /// review.
    pub(crate) fn apply_actions(
        &mut self,
        ids: &[String],
        ts: Time,
        position: Position,
    ) -> Vec<IndexId> {
        if let Ok((next, restored)) = self.opened(ids, ts, position) {
            *self = next;
            return restored;
        }
        let (mut together, mut apart) = (Vec::new(), Vec::new());
        for id in ids {
            together.push(id.clone());
            if self.opened(&together, ts, position).is_err() {
                apart.extend(together.pop());
            }
        }
        let apart = apart.iter().map(std::slice::from_ref);
        let mut restored = Vec::new();
        let parts = std::iter::once(together.as_slice()).chain(apart);
        for ids in parts.filter(|ids| !ids.is_empty()) {
            match self.opened(ids, ts, position) {
                Ok((next, mut more)) => {
                    *self = next;
                    restored.append(&mut more);
                }
                Err(problem) => ids
                    .iter()
                    .for_each(|id| self.refuse_action(id, &problem, position)),
            }
        }
        restored
    }

    /// What was possible when it was announced may no longer be; the state then stays whole.
    fn refuse_action(&mut self, id: &str, problem: &Problem, position: Position) {
        let Some(known) = self.actions.known.get_mut(id) else {
            return;
        };
        let entry = (known.due, known.definition.event.rank(), id.to_owned());
        known.state = ActionState::Refused(problem.to_string());
        let state = known.state.clone();
        self.actions.queue.remove(&entry);
        self.actions.rewatch();
        let concerned = self.concerned_by(id);
        self.tell(id, state, concerned, position);
    }

    /// The security that a price of `ts` under this name is for, when a change of names is due that
    /// no input has brought about yet.
    pub(crate) fn security_renamed(&self, symbol: &str, ts: Time) -> Option<SecurityId> {
        let changed = self.due_events(ts).find_map(|event| {
            if let Event::SymbolChange(change) = event
                && change.to == symbol
            {
                Some(change.symbol.as_str())
            } else {
                None
            }
        });
        changed.and_then(|former| self.known_security(former).ok())
    }

    /// True when a change of this security's currency to `currency` is due.
    pub(crate) fn is_redenominated(&self, security: SecurityId, currency: &str, ts: Time) -> bool {
        self.due_events(ts).any(|event| {
            if let Event::Redenomination(change) = event {
                change.currency.as_str() == currency
                    && self.known_security(&change.symbol) == Ok(security)
            } else {
                false
            }
        })
    }

    /// The actions whose day has not come, or that take several.
    pub(crate) fn announced(&self) -> impl Iterator<Item = &ActionDefinition> {
        let ids = self.actions.queue.iter();
        ids.filter_map(|(_, _, id)| Some(&self.actions.known.get(id)?.definition))
    }

    fn due_events(&self, ts: Time) -> impl Iterator<Item = &Event> {
        let due = self
            .actions
            .queue
            .iter()
            .take_while(move |(due, ..)| *due <= ts);
        due.filter_map(|(_, _, id)| Some(&self.actions.known.get(id)?.definition.event))
    }

    /// Units of `to`'s currency for one of `from`'s, both securities.
    fn currency_rate(&self, from: SecurityId, to: SecurityId) -> Result<Ratio, Problem> {
        let currency = |id: SecurityId| self.securities[id.at()].definition.currency;
        self.plain_rate(currency(from), currency(to))
    }

    /// Units of `to` for one `from` by the direct rate or, failing that, by its inverse.
    pub(crate) fn plain_rate(&self, from: Currency, to: Currency) -> Result<Ratio, Problem> {
        let direct = self
            .rates
            .convert(from, to, crate::definition::FxRule::default());
        if let Some(rate) = direct {
            return Ok(rate.into());
        }
        let inverse = self
            .rates
            .convert(to, from, crate::definition::FxRule::default());
        inverse
            .and_then(|rate| Ratio::one().divide(&rate.into()))
            .ok_or_else(|| Problem::NoRate(from.to_string()))
    }
}
