//! What operators order: the part of the sequence that is neither market nor definition.

use serde::{Deserialize, Serialize};

use crate::life::{Life, Named};
use crate::output::Output;
use crate::session::Phase;
use crate::{Engine, IndexId, Position};

/// An operator's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Lets a held price or rate count after all.
    Release {
        /// The position at which it was held.
        held: Position,
    },
    /// Drops a held price or rate for good.
    Reject {
        /// The position at which it was held.
        held: Position,
    },
    /// No levels leave until the index is resumed.
    Halt {
        /// The index code.
        index: String,
        /// Why, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Ends a halt, also one that a jump of the level has caused; the level of now is believed.
    Resume {
        /// The index code.
        index: String,
    },
    /// Calculates the official close now: of the session that is under way, of the last one where
    /// a halt has left it without a close, and of an index without a calendar of its present day.
    Close {
        /// The index code.
        index: String,
    },
    /// Makes the last official close final.
    Confirm {
        /// The index code.
        index: String,
    },
    /// Takes an index or a security out of service; see [`crate::Life`].
    Deactivate {
        /// Which one.
        of: Named,
        /// Why, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Puts it back into service. An index is no longer halted then, and its level is believed.
    Reactivate {
        /// Which one.
        of: Named,
        /// Why, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Deletes what is out of service and not in use. Its name is not given again.
    Delete {
        /// Which one.
        of: Named,
        /// Why, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Gives an index another code; the present one is not given to another index.
    Rename {
        /// The index code.
        index: String,
        /// The new one.
        to: String,
    },
}

/// Why an order cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Nothing is held at this position.
    #[error("no price or rate is held at position {0}")]
    NotHeld(Position),
    /// A newer one counts already.
    #[error("a newer one counts already: it can only be rejected")]
    Late,
    /// No such index.
    #[error("there is no index {0}")]
    UnknownIndex(String),
    /// It is halted already.
    #[error("{0} is halted already")]
    Halted(String),
    /// It is not halted.
    #[error("{0} is not halted")]
    NotHalted(String),
    /// It has no level that could be a close.
    #[error("{0} has no level yet, or is halted")]
    NoLevel(String),
    /// Its session is closed already.
    #[error("{0} is closed already")]
    Closed(String),
    /// It closes with its parent.
    #[error("{0} is a variant: it closes with its parent")]
    Follows(String),
    /// There is no close that waits for a confirmation.
    #[error("{0} has no close that could become final")]
    NothingToConfirm(String),
    /// No such security.
    #[error("there is no security {0}")]
    UnknownSecurity(String),
    /// Its life does not admit it.
    #[error("{name} is {is}")]
    Life {
        /// What.
        name: String,
        /// `active` or `inactive`.
        is: &'static str,
    },
    /// It is to be deleted, and not out of service.
    #[error("{0} is active: deactivate it first")]
    StillActive(String),
    /// An index holds or follows it.
    #[error("{0} uses it")]
    InUse(String),
    /// Something that an index is made of is out of service.
    #[error("{name}, which it is made of, is {is}")]
    Part {
        /// What.
        name: String,
        /// `inactive` or `deleted`.
        is: &'static str,
    },
    /// An action or a revision that is to come names it.
    #[error("{0}, which is to come, names it")]
    Announced(String),
    /// Not a name.
    #[error("{0}")]
    Name(String),
    /// Somebody has or had this name.
    #[error("the code {0} is or was given to an index")]
    Taken(String),
}

impl Engine {
    /// Whether an order can be carried out now.
    ///
    /// # Errors
    /// [`OrderError`].
    pub fn check_order(&self, order: &Order) -> Result<(), OrderError> {
        match order {
            Order::Release { held } => {
                let found = self.held.get(held).ok_or(OrderError::NotHeld(*held))?;
                if self.is_in_time(found) {
                    Ok(())
                } else {
                    Err(OrderError::Late)
                }
            }
            Order::Reject { held } => match self.held.get(held) {
                Some(_) => Ok(()),
                None => Err(OrderError::NotHeld(*held)),
            },
            Order::Halt { index, .. } => self.ordered(index, |engine, id| {
                let is_halted = engine.indexes[id.at()].clock.is_halted;
                (!is_halted)
                    .then_some(())
                    .ok_or(OrderError::Halted(index.clone()))
            }),
            Order::Resume { index } => self.ordered(index, |engine, id| {
                let is_halted = engine.indexes[id.at()].clock.is_halted;
                is_halted
                    .then_some(())
                    .ok_or(OrderError::NotHalted(index.clone()))
            }),
            Order::Close { index } => self.ordered(index, |engine, id| {
                let state = &engine.indexes[id.at()];
                if state.follow.is_some() {
                    return Err(OrderError::Follows(index.clone()));
                }
                let clock = &state.clock;
                if clock.is_halted || !state.is_complete() {
                    return Err(OrderError::NoLevel(index.clone()));
                }
                let is_closed = clock.phase == Phase::Final
                    || clock.phase == Phase::Closed && clock.official.is_some();
                (!is_closed)
                    .then_some(())
                    .ok_or(OrderError::Closed(index.clone()))
            }),
            Order::Confirm { index } => self.ordered(index, |engine, id| {
                if engine.indexes[id.at()].follow.is_some() {
                    return Err(OrderError::Follows(index.clone()));
                }
                let clock = &engine.indexes[id.at()].clock;
                (clock.phase == Phase::Closed && clock.official.is_some())
                    .then_some(())
                    .ok_or(OrderError::NothingToConfirm(index.clone()))
            }),
            Order::Deactivate { .. }
            | Order::Reactivate { .. }
            | Order::Delete { .. }
            | Order::Rename { .. } => self.check_life(order),
        }
    }

    fn ordered(
        &self,
        code: &str,
        check: impl FnOnce(&Self, IndexId) -> Result<(), OrderError>,
    ) -> Result<(), OrderError> {
        let id = self.index_id(code);
        let id = id.ok_or_else(|| OrderError::UnknownIndex(code.chars().take(64).collect()))?;
        let life = self.indexes[id.at()].life;
        if life != Life::Active {
            let (name, is) = (code.to_owned(), life.as_str());
            return Err(OrderError::Life { name, is });
        }
        check(self, id)
    }

    /// Carries out an order that was checked; one that does not fit any more changes nothing.
    pub(crate) fn carry_out(&mut self, position: Position, order: &Order) {
        if self.check_order(order).is_err() {
            self.outputs.push_back(Output::Refused { position });
            return;
        }
        match order {
            Order::Release { held } | Order::Reject { held } => {
                let found = self.held.remove(held);
                if let (Order::Release { .. }, Some(found)) = (order, found) {
                    self.release(&found, position);
                }
            }
            Order::Halt { index, .. }
            | Order::Resume { index }
            | Order::Close { index }
            | Order::Confirm { index } => {
                if let Some(id) = self.index_id(index) {
                    self.order_index(position, id, order);
                }
            }
            Order::Deactivate { .. }
            | Order::Reactivate { .. }
            | Order::Delete { .. }
            | Order::Rename { .. } => self.live(order, position),
        }
    }

    fn order_index(&mut self, position: Position, id: IndexId, order: &Order) {
        let clock = &mut self.indexes[id.at()].clock;
        match order {
            Order::Halt { .. } => {
                clock.is_halted = true;
                self.touch(id, crate::Time::MIN);
                self.publish(id, position);
            }
            Order::Resume { .. } => {
                (clock.is_halted, clock.is_trusted) = (false, true);
                self.widen_gates(id);
                self.touch(id, crate::Time::MIN);
                self.publish(id, position);
            }
            Order::Close { .. } => self.close_now(id, position),
            Order::Confirm { .. } => {
                let moment = self.marks[id.at()].ts;
                self.finalize(id, moment, position);
            }
            Order::Release { .. }
            | Order::Reject { .. }
            | Order::Deactivate { .. }
            | Order::Reactivate { .. }
            | Order::Delete { .. }
            | Order::Rename { .. } => {}
        }
        self.watch_session(id);
    }

    /// After a halt prices may be further away.
    fn widen_gates(&mut self, id: IndexId) {
        for holding in &self.indexes[id.at()].basket.holdings {
            self.securities[holding.security.at()].known.is_wide = true;
        }
    }
}
