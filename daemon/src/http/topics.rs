//! What lies on a topic: the retained message, as a new subscriber would get it, and only to those
//! who might subscribe. Whether there is one is told after that.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;

use super::Http;
use super::answer::{self, Form};
use super::problem::Problem;
use super::session::{Caller, allow};

/// A retained message.
#[derive(Debug, Serialize)]
struct Message {
    topic: String,
    /// Byte for byte what MQTT clients get.
    payload: String,
    retained: bool,
}

/// `GET api/v1/topics/{topic}`
pub(super) async fn topic(
    State(http): State<Arc<Http>>,
    caller: Caller,
    form: Form,
    Path(topic): Path<String>,
) -> Result<Response, Problem> {
    allow(caller.may_read(&topic))?;
    // What is known is shown, whether the sequencer answers or not.
    let _ = http.board.refresh(&http.sequence, false).await;
    let payload = (http.board.retained(&topic))
        .ok_or_else(|| Problem::not_found(format!("no message is retained on {topic}")))?;
    let message = Message {
        // Everything that the daemon announces is text.
        payload: String::from_utf8_lossy(&payload).into_owned(),
        topic,
        retained: true,
    };
    answer::object(form, &message)
}
