//! Asking the sequencer: what it knows between two batches, without holding it up.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::problem::Problem;
use crate::ingress::{Question, Sight};

/// How long an answer may take. A turn of the sequencer is milliseconds; a large load is seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Questions that may wait; more are told to come back.
pub const QUESTIONS_MAX: usize = 256;

/// The way to the sequencer.
#[derive(Debug, Clone)]
pub struct Sequence(mpsc::Sender<Question>);

impl Sequence {
    /// A way, and its end at the sequencer.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Question>) {
        let (sender, receiver) = mpsc::channel(QUESTIONS_MAX);
        (Self(sender), receiver)
    }

    /// Looks at the state.
    ///
    /// # Errors
    /// When there is no answer in time: the daemon starts, stops, or is very busy.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Sight<'_>) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let (answer, answered) = oneshot::channel();
        let question: Question = Box::new(move |sight| {
            // Whoever asked may have gone.
            let _ = answer.send(look(sight));
        });
        let asking = async {
            self.0.send(question).await.ok()?;
            answered.await.ok()
        };
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(Problem::unavailable("the daemon is starting or stopping")),
            Err(_) => Err(Problem::unavailable("the daemon is too busy to say")),
        }
    }
}
