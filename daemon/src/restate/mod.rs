//! Restatement: a thread that walks the history again with what corrections say, and hands the
//! corrected state to the sequencer.
//!
//! A correction is found in PostgreSQL first ([`find`]): users name a symbol and a time, an edit
//! names a position. Once it is journaled its run is open. The thread walks everything that is
//! stored through an engine of its own with all edits up to the run ([`walk`]), puts what follows
//! beside what was published, writes what differs under the run's number ([`mod@write`]) and gives the
//! state to the sequencer, which goes the last steps and journals the difference. From there on the
//! present is right; when PostgreSQL has come that far too, the run's last rows are written and the
//! run counts, all in one transaction. Whatever is interrupted before is done again from the
//! beginning: the rows of a run that does not count yet are deleted.

mod check;
mod find;
mod walk;
mod worker;
mod write;

use divisor_engine::definition::ActionDefinition;
use divisor_engine::{Corrections, Edit, Engine, Found, IndexId, Position, Rate, SecurityId, Tick};
use divisor_wire::command::CommandError;
use tokio::sync::mpsc;

use crate::egress::Announcement;

pub(crate) use check::{Checked, check};
pub use worker::{Connect, Worker};

/// What a user wants to be right.
#[derive(Debug, Clone)]
pub(crate) enum Sought {
    /// The price of a security at a time; `void` where there was none.
    Tick {
        tick: Tick,
        void: bool,
        src: Option<String>,
    },
    /// The rate of a pair at a time.
    Rate {
        rate: Rate,
        void: bool,
        src: Option<String>,
    },
    /// An action with the right terms; one that is not known was missed.
    Action {
        terms: Box<ActionDefinition>,
        is_known: bool,
        security: Option<SecurityId>,
        index: Option<IndexId>,
    },
    /// An action that should not have been announced.
    CancelAction(String),
    /// An earlier correction never was.
    Withdraw(u32),
}

/// A correction on its way from the sequencer, which has checked what needs no history.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) sought: Sought,
    pub(crate) by: String,
    /// In words.
    pub(crate) what: String,
    pub(crate) reason: String,
    /// Only tell what it would do.
    pub(crate) dry_run: bool,
    pub(crate) reply: ReplyTo,
}

/// Whom an answer goes to.
#[derive(Debug)]
pub(crate) struct ReplyTo {
    /// The request's id.
    pub(crate) id: String,
    /// An announcement without its payload.
    pub(crate) envelope: Announcement,
}

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Task {
    /// A correction is wanted.
    Ask(Box<Ask>),
    /// All corrections as they are now.
    Corrections(Corrections),
}

/// What the thread tells the sequencer.
#[derive(Debug)]
pub(crate) enum Report {
    /// What was asked for cannot be.
    Refused(ReplyTo, CommandError),
    /// What it would do, by index.
    Preview(ReplyTo, Vec<Found>),
    /// The correction, found.
    Found {
        edit: Edit,
        by: String,
        what: String,
        reason: String,
        reply: ReplyTo,
    },
    /// The corrected state, some way behind.
    Walked {
        through: u32,
        engine: Box<Engine>,
        found: Vec<Found>,
        answer: std::sync::mpsc::SyncSender<Handover>,
    },
    /// The open runs up to one cannot be.
    Failed { through: u32, why: String },
}

/// What becomes of a corrected state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handover {
    /// The present is right from this position on.
    At(Position),
    /// Too much has come since: walk on first.
    Nearer,
    /// There is nothing to hand over any more.
    Over,
}

/// The sequencer's side.
#[derive(Debug)]
pub struct Desk {
    pub(crate) tasks: std::sync::mpsc::Sender<Task>,
    pub(crate) reports: mpsc::Receiver<Report>,
}

impl Desk {
    /// The next report, or never one where nobody restates.
    pub(crate) async fn next(desk: &mut Option<Self>) -> Option<Report> {
        match desk {
            Some(desk) => desk.reports.recv().await,
            None => std::future::pending().await,
        }
    }
}
