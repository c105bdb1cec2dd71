//! Restatement: a thread that walks the history again with what corrections say, and hands the
//! corrected state to the sequencer.
//!
//! A correction is found in PostgreSQL first ([`find`]): users name a symbol and a time, an edit
//! names a position. Once it is journaled its run is open. The thread walks everything that is
//! stored through an engine of its own with all edits up to the run ([`walk`]), puts what follows
//! beside what was published (levels, closes, revisions), writes what differs under the run's number ([`mod@write`]) and gives the
//! state to the sequencer, which goes the last steps and journals the difference. From there on the
//! present is right; when PostgreSQL has come that far too, the run's last rows are written and the
//! run counts, all in one transaction. Whatever is interrupted before is done again from the
//! beginning: the rows of a run that does not count yet are deleted.

mod begin;
mod check;
mod find;
mod span;
mod walk;
mod worker;
mod write;

use divisor_engine::definition::ActionDefinition;
use divisor_engine::{Corrections, Edit, Found, IndexId, Position, Rate, SecurityId, Tick, Walk};
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
        walk: Box<Walk>,
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
    tasks: std::sync::mpsc::Sender<Task>,
    reports: mpsc::Receiver<Report>,
    /// Questions that are not answered yet. A walk may take minutes, so their number is bounded.
    asked: usize,
}

/// Questions that may wait.
const ASKED_MAX: usize = 32;

impl Desk {
    pub(crate) const fn new(
        tasks: std::sync::mpsc::Sender<Task>,
        reports: mpsc::Receiver<Report>,
    ) -> Self {
        Self {
            tasks,
            reports,
            asked: 0,
        }
    }

    /// Passes a question on; each has one answer among the reports.
    ///
    /// # Errors
    /// Why it is not taken.
    pub(crate) fn ask(&mut self, ask: Ask) -> Result<(), &'static str> {
        if self.asked >= ASKED_MAX {
            return Err("too many corrections wait for an answer: try again later");
        }
        let task = Task::Ask(Box::new(ask));
        self.tasks
            .send(task)
            .map_err(|_| "restatements have ended")?;
        self.asked += 1;
        Ok(())
    }

    /// Tells all corrections as they are now.
    pub(crate) fn tell(&self, corrections: Corrections) {
        // A thread that has ended has nothing to do with them.
        let _ = self.tasks.send(Task::Corrections(corrections));
    }

    fn answered(&mut self, report: &Report) {
        match report {
            Report::Refused(..) | Report::Preview(..) | Report::Found { .. } => {
                self.asked = self.asked.saturating_sub(1);
            }
            Report::Walked { .. } | Report::Failed { .. } => {}
        }
    }

    /// The next report, or never one where nobody restates.
    pub(crate) async fn next(desk: &mut Option<Self>) -> Option<Report> {
        match desk {
            Some(desk) => {
                let report = desk.reports.recv().await;
                if let Some(report) = &report {
                    desk.answered(report);
                }
                report
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask() -> Ask {
        Ask {
            sought: Sought::Withdraw(1),
            by: String::new(),
            what: String::new(),
            reason: String::new(),
            dry_run: true,
            reply: reply(),
        }
    }

    fn reply() -> ReplyTo {
        ReplyTo {
            id: String::new(),
            envelope: Announcement::passing("divisor/reply/x/1".into(), Vec::new()),
        }
    }

    #[test]
    fn questions_that_wait_are_bounded() {
        let (to_worker, waiting) = std::sync::mpsc::channel();
        let (_reports, to_sequencer) = mpsc::channel(1);
        let mut desk = Desk::new(to_worker, to_sequencer);
        for _ in 0..ASKED_MAX {
            assert_eq!(desk.ask(ask()), Ok(()));
        }
        assert!(desk.ask(ask()).is_err_and(|why| why.contains("too many")));
        let failed = Report::Failed {
            through: 1,
            why: String::new(),
        };
        desk.answered(&failed);
        assert!(desk.ask(ask()).is_err(), "a run's end answers no question");
        desk.answered(&Report::Preview(reply(), Vec::new()));
        assert_eq!(desk.ask(ask()), Ok(()));
        assert_eq!(waiting.try_iter().count(), ASKED_MAX + 1);
    }
}
