//! The life of definitions after they were loaded: out of service, back, another code, gone.
//!
//! | | an index | a security |
//! |---|---|---|
//! | inactive | no level leaves; it goes on following prices, actions and reviews | prices are refused |
//! | deleted | nothing is left of it but its definition and its number of levels | likewise |
//!
//! Ids, numbers of levels and names are never given again: whoever has kept what was published under
//! a code can rely on it. What active indexes hold or follow stays active, and what any index that
//! is not deleted holds or follows is not deleted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::component::PREFIX;
use crate::definition::Constituent;
use crate::index::{Basket, Index};
use crate::order::{Order, OrderError};
use crate::output::{Level, LifeNews, Output, Status};
use crate::problem::Problem;
use crate::security::check_name;
use crate::session::Clock;
use crate::{Engine, IndexId, Position, SecurityId, Time};

/// Whether something is in service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Life {
    /// It is.
    #[default]
    Active,
    /// Not now.
    Inactive,
    /// Never again.
    Deleted,
}

impl Life {
    /// The name in store and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Deleted => "deleted",
        }
    }

    pub(crate) fn is_active(&self) -> bool {
        *self == Self::Active
    }
}

/// What an order about the life of a definition names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// An index by its code.
    Index(String),
    /// A security by its symbol.
    Security(String),
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// An index.
    Index(IndexId),
    /// A security.
    Security(SecurityId),
}

/// Names that are not given again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Former {
    /// Codes of deleted indexes, and those that others had before.
    pub(crate) codes: BTreeMap<String, IndexId>,
    /// Symbols of deleted securities.
    pub(crate) symbols: BTreeMap<String, SecurityId>,
}

fn clip(name: &str) -> String {
    name.chars().take(64).collect()
}

impl Engine {
    /// The index that has this code, or had it before it was renamed or deleted.
    #[must_use]
    pub fn index_once(&self, code: &str) -> Option<IndexId> {
        let former = || self.former.codes.get(code).copied();
        self.index_id(code).or_else(former)
    }

    /// The security that has this symbol, or had it before it was deleted.
    #[must_use]
    pub fn security_once(&self, symbol: &str) -> Option<SecurityId> {
        let former = || self.former.symbols.get(symbol).copied();
        self.security_id(symbol).or_else(former)
    }

    /// All codes that an index had before the present one.
    pub fn former_codes(&self, index: IndexId) -> impl Iterator<Item = &str> {
        let all = self.former.codes.iter();
        all.filter(move |(_, id)| **id == index)
            .map(|(code, _)| code.as_str())
    }

    /// How many indexes and securities there are, deleted ones and hidden ones left out.
    #[must_use]
    pub fn in_use(&self) -> (usize, usize) {
        let hidden = self.indexes.iter().filter_map(|index| index.component);
        let hidden = hidden.filter(|id| self.securities[id.at()].life != Life::Deleted);
        let securities = self.symbols.len().saturating_sub(hidden.count());
        (self.codes.len(), securities)
    }

    /// What an order names.
    pub(crate) fn subject(&self, named: &Named) -> Result<Subject, OrderError> {
        match named {
            Named::Index(code) => {
                let id = self.index_id(code);
                id.map(Subject::Index)
                    .ok_or_else(|| OrderError::UnknownIndex(clip(code)))
            }
            Named::Security(symbol) => {
                let id = self.security_id(symbol);
                id.filter(|id| self.securities[id.at()].component.is_none())
                    .map(Subject::Security)
                    .ok_or_else(|| OrderError::UnknownSecurity(clip(symbol)))
            }
        }
    }

    fn life(&self, subject: Subject) -> Life {
        match subject {
            Subject::Index(id) => self.indexes[id.at()].life,
            Subject::Security(id) => self.securities[id.at()].life,
        }
    }

    /// Whether an order about the life of a definition can be carried out now.
    pub(crate) fn check_life(&self, order: &Order) -> Result<(), OrderError> {
        match order {
            Order::Deactivate { of, .. } => {
                let subject = self.expect(of, Life::Active)?;
                self.check_unused(subject, Life::is_active)?;
                match subject {
                    // It goes on following actions and reviews.
                    Subject::Index(_) => Ok(()),
                    // An action or review would bring it back into an index.
                    Subject::Security(_) => self.check_unannounced(subject),
                }
            }
            Order::Reactivate { of, .. } => {
                let subject = self.expect(of, Life::Inactive)?;
                self.check_whole(subject)
            }
            Order::Delete { of, .. } => {
                let subject = self.expect(of, Life::Inactive).map_err(|error| {
                    if let OrderError::Life { name, is: "active" } = error {
                        OrderError::StillActive(name)
                    } else {
                        error
                    }
                })?;
                // An inactive index follows actions and may come back: it keeps what it holds.
                self.check_unused(subject, |life| *life != Life::Deleted)?;
                self.check_unannounced(subject)
            }
            Order::Rename { index, to } => {
                let id = self.index_id(index);
                let id = id.ok_or_else(|| OrderError::UnknownIndex(clip(index)))?;
                check_name(to).map_err(|problem| OrderError::Name(problem.to_string()))?;
                if self.index_once(to).is_some_and(|known| known != id) || index == to {
                    return Err(OrderError::Taken(clip(to)));
                }
                self.check_unannounced(Subject::Index(id))
            }
            Order::Release { .. }
            | Order::Reject { .. }
            | Order::Halt { .. }
            | Order::Resume { .. }
            | Order::Close { .. }
            | Order::Confirm { .. } => Ok(()),
        }
    }

    fn expect(&self, named: &Named, wanted: Life) -> Result<Subject, OrderError> {
        let subject = self.subject(named)?;
        let (Named::Index(name) | Named::Security(name)) = named;
        let life = self.life(subject);
        if life == wanted {
            return Ok(subject);
        }
        let (name, is) = (name.clone(), life.as_str());
        Err(OrderError::Life { name, is })
    }

    /// Refuses what indexes of these lives hold or follow.
    fn check_unused(
        &self,
        subject: Subject,
        counts: impl Fn(&Life) -> bool,
    ) -> Result<(), OrderError> {
        let security = match subject {
            Subject::Index(id) => self.indexes[id.at()].component,
            Subject::Security(id) => Some(id),
        };
        let uses = |index: &&Index| {
            let basket = &index.basket;
            let holds = security.is_some_and(|id| basket.holdings.iter().any(|h| h.security == id));
            let follows = index.follow.as_ref().is_some_and(|follow| match subject {
                Subject::Index(id) => follow.parent == id,
                Subject::Security(id) => follow.inputs.values().any(|input| *input == id),
            });
            counts(&index.life) && (holds || follows)
        };
        match self.indexes.iter().find(uses) {
            Some(user) => Err(OrderError::InUse(user.definition.code.clone())),
            None => Ok(()),
        }
    }

    /// Refuses a basket with members that are out of service.
    pub(crate) fn refuse_retired(&self, basket: &[Constituent]) -> Result<(), Problem> {
        for member in basket {
            let life = match member.symbol.strip_prefix(PREFIX) {
                Some(code) => self.index_id(code).map(|id| self.indexes[id.at()].life),
                None => {
                    let id = self.security_id(&member.symbol);
                    id.map(|id| self.securities[id.at()].life)
                }
            };
            if life == Some(Life::Inactive) {
                return Err(Problem::Inactive(clip(&member.symbol)));
            }
        }
        Ok(())
    }

    /// Refuses to wake an index whose parts are not all in service.
    fn check_whole(&self, subject: Subject) -> Result<(), OrderError> {
        let Subject::Index(id) = subject else {
            return Ok(());
        };
        let index = &self.indexes[id.at()];
        let inputs = index
            .follow
            .iter()
            .flat_map(|follow| follow.inputs.values());
        let held = index.basket.holdings.iter().map(|holding| holding.security);
        let parts = held.chain(inputs.copied()).map(|id| {
            let security = &self.securities[id.at()];
            let life = match security.component {
                Some(index) => self.indexes[index.at()].life,
                None => security.life,
            };
            (&security.definition.symbol, life)
        });
        let parent = index.follow.as_ref().map(|follow| {
            let parent = &self.indexes[follow.parent.at()];
            (&parent.definition.code, parent.life)
        });
        match parts.chain(parent).find(|(_, life)| !life.is_active()) {
            Some((part, life)) => Err(OrderError::Part {
                name: part.clone(),
                is: life.as_str(),
            }),
            None => Ok(()),
        }
    }

    /// Refuses what an announced action or a scheduled revision names.
    fn check_unannounced(&self, subject: Subject) -> Result<(), OrderError> {
        let names = |event: &crate::definition::Event| match subject {
            Subject::Index(id) => event.index().and_then(|code| self.index_id(code)) == Some(id),
            Subject::Security(id) => {
                let brought = |symbol| self.security_id(symbol) == Some(id);
                self.security_of(event) == Some(id) || event.brings().any(brought)
            }
        };
        if let Some(action) = self.announced().find(|action| names(&action.event)) {
            return Err(OrderError::Announced(action.id.clone()));
        }
        let revisions = self.scheduled.keys();
        let mut revisions = revisions.filter_map(|(_, id)| self.revisions.get(id));
        let names = |revision: &&crate::definition::RevisionDefinition| match subject {
            Subject::Index(id) => {
                let code = &self.indexes[id.at()].definition.code;
                revision.indexes.iter().any(|change| change.code == *code)
            }
            Subject::Security(id) => {
                let symbol = &self.securities[id.at()].definition.symbol;
                let mut members = revision
                    .indexes
                    .iter()
                    .filter_map(|change| change.basket.as_ref())
                    .flatten();
                members.any(|member| member.symbol == *symbol)
                    || revision
                        .adjust
                        .iter()
                        .any(|change| change.symbol == *symbol)
            }
        };
        match revisions.find(names) {
            Some(revision) => Err(OrderError::Announced(revision.id.clone())),
            None => Ok(()),
        }
    }

    /// Carries out an order that was checked.
    pub(crate) fn live(&mut self, order: &Order, position: Position) {
        match order {
            Order::Deactivate { of, .. } => self.change_life(of, Life::Inactive, position),
            Order::Reactivate { of, .. } => self.change_life(of, Life::Active, position),
            Order::Delete { of, .. } => self.change_life(of, Life::Deleted, position),
            Order::Rename { index, to } => {
                if let Some(id) = self.index_id(index) {
                    self.rename_index(id, to, position);
                }
            }
            Order::Release { .. }
            | Order::Reject { .. }
            | Order::Halt { .. }
            | Order::Resume { .. }
            | Order::Close { .. }
            | Order::Confirm { .. } => {}
        }
    }

    fn change_life(&mut self, named: &Named, life: Life, position: Position) {
        let Ok(subject) = self.subject(named) else {
            return;
        };
        match subject {
            Subject::Security(id) => {
                self.securities[id.at()].life = life;
                if life == Life::Deleted {
                    self.forget_symbol(id);
                }
            }
            Subject::Index(id) => {
                self.indexes[id.at()].life = life;
                match life {
                    Life::Inactive => self.lay_off(id, position),
                    Life::Active => self.take_on(id, position),
                    Life::Deleted => self.bury(id),
                }
            }
        }
        self.outputs.push_back(Output::Life(LifeNews {
            subject,
            life,
            former: None,
            position,
        }));
    }

    fn forget_symbol(&mut self, id: SecurityId) {
        let symbol = self.securities[id.at()].definition.symbol.clone();
        self.symbols.remove(symbol.as_str());
        self.former.symbols.insert(symbol, id);
    }

    /// Tells, as a last level, that none will follow.
    fn lay_off(&mut self, id: IndexId, position: Position) {
        let ts = self.marks[id.at()].ts;
        let ts = if ts == Time::MIN { self.time } else { ts };
        let state = &mut self.indexes[id.at()];
        (state.clock.is_halted, state.waiting) = (true, false);
        self.marks[id.at()].touched = false;
        self.set_status(id, Status::Inactive, ts, position);
        let state = &mut self.indexes[id.at()];
        if let Some(last) = state.last {
            state.seq += 1;
            let level = Level {
                seq: state.seq,
                ts_calc: self.time,
                position,
                revision: state.revision,
                status: Status::Inactive,
                ..last
            };
            state.last = Some(level);
            self.outputs.push_back(Output::Level(level));
        }
        self.watch_session(id);
    }

    /// Back in service: whatever moved meanwhile is believed.
    fn take_on(&mut self, id: IndexId, position: Position) {
        let clock = &mut self.indexes[id.at()].clock;
        (clock.is_halted, clock.is_trusted) = (false, true);
        self.watch_session(id);
        self.touch(id, Time::MIN);
        self.publish(id, position);
    }

    /// Leaves nothing but the definition, the last level and the number of levels.
    fn bury(&mut self, id: IndexId) {
        let state = &mut self.indexes[id.at()];
        let code = state.definition.code.clone();
        state.basket = Basket::waiting(Vec::new(), state.definition.currency, &[]);
        (state.follow, state.product, state.fixing) = (None, None, None);
        (state.divisor, state.combine) = (None, None);
        (state.missing, state.span, state.waiting) = (0, None, false);
        state.dividends.clear();
        state.clock = Clock::new();
        state.clock.is_halted = true;
        let component = state.component;
        let mark = &mut self.marks[id.at()];
        (mark.touched, mark.is_quiet, mark.each_tick) = (false, true, false);
        self.codes.remove(&code);
        self.former.codes.insert(code, id);
        if let Some(component) = component {
            let hidden = &mut self.securities[component.at()];
            (hidden.price, hidden.life) = (0, Life::Deleted);
            self.forget_symbol(component);
        }
        // Followers are linked from what is left; that it was consistent was checked.
        self.marks
            .iter_mut()
            .for_each(|mark| mark.is_followed = false);
        let linked = self.link_all();
        debug_assert!(linked.is_ok());
        self.kernel_is_stale = true;
        self.watch_days();
    }

    fn rename_index(&mut self, id: IndexId, to: &str, position: Position) {
        let state = &mut self.indexes[id.at()];
        state.stated.code = to.to_owned();
        let before = std::mem::replace(&mut state.definition.code, to.to_owned());
        let component = state.component;
        self.codes.remove(&before);
        self.codes.insert(to.to_owned(), id);
        self.former.codes.remove(to);
        self.former.codes.insert(before.clone(), id);
        for index in &mut self.indexes {
            for definition in [&mut index.stated, &mut index.definition] {
                if definition.of.as_ref() == Some(&before) {
                    definition.of = Some(to.to_owned());
                }
            }
        }
        if let Some(component) = component {
            let symbol = format!("{PREFIX}{to}");
            let before = self.rename_security(component, &symbol);
            self.rename_in_baskets(&before, &symbol);
        }
        self.outputs.push_back(Output::Life(LifeNews {
            subject: Subject::Index(id),
            life: self.indexes[id.at()].life,
            former: Some(before),
            position,
        }));
    }

    /// Names a security by its new symbol in all baskets.
    pub(crate) fn rename_in_baskets(&mut self, before: &str, to: &str) {
        for index in &mut self.indexes {
            for definition in [&mut index.stated, &mut index.definition] {
                for member in &mut definition.basket {
                    if member.symbol == before {
                        to.clone_into(&mut member.symbol);
                    }
                }
            }
        }
    }
}
