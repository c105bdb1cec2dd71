//! Commands to the daemon: a request on `divisor/control/{verb}`, its reply on
//! `divisor/reply/{client}/{id}`.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use divisor_wire::command::{CommandError, Page, Reply, Request};
use rumqttc::QoS;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::{Connection, Lost};

/// How long most answers may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// Rows asked for at once.
const PAGE_ROWS: u32 = 500;

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// The daemon says no.
    #[error("{}", shown(.0))]
    Refused(CommandError),
    /// Nobody answers. A broker that is no divisord looks like this.
    #[error("no answer to `{verb}` within {} s: does divisord serve this broker?", waited.as_secs())]
    Timeout {
        /// The command.
        verb: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The answer cannot be read.
    #[error("the answer to `{verb}` cannot be read: {reason}")]
    Malformed {
        /// The command.
        verb: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The connection broke for good.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The reply topic may not be subscribed to.
    #[error("{0:#}")]
    NoReplies(anyhow::Error),
}

fn shown(error: &CommandError) -> String {
    let mut text = error.message.clone();
    for detail in &error.details {
        text.push_str("\n  ");
        text.push_str(detail);
    }
    text
}

/// An id for a request or a load: within the daemon's rules and unlikely to come twice.
pub(crate) fn fresh_id() -> String {
    format!("{:016x}", random())
}

/// A number that no other run draws. The standard library seeds its hash maps from the system's
/// entropy and never twice alike, which is all that an id needs.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A command under way.
#[derive(Debug)]
pub(crate) struct Asked {
    id: String,
    told: oneshot::Receiver<Vec<u8>>,
}

impl Connection {
    /// Sends a command and waits for its answer.
    pub(crate) async fn request<T: DeserializeOwned>(
        &self,
        verb: &str,
        request: Request,
        timeout: Duration,
    ) -> Result<T, RequestError> {
        let asked = self.ask(verb, request).await?;
        self.answer(verb, asked, timeout).await
    }

    /// Sends a command; its answer is awaited later, so that several can be under way.
    pub(crate) async fn ask(
        &self,
        verb: &str,
        mut request: Request,
    ) -> Result<Asked, RequestError> {
        self.subscribed_replies
            .get_or_try_init(|| self.subscribe(vec![format!("{}+", self.shared.replies_below)]))
            .await
            .map_err(RequestError::NoReplies)?;
        request.id = fresh_id();
        let (tell, told) = oneshot::channel();
        self.shared.waiters().insert(request.id.clone(), tell);
        let malformed = |error: serde_json::Error| RequestError::Malformed {
            verb: verb.to_owned(),
            reason: error.to_string(),
        };
        let payload = serde_json::to_vec(&request).map_err(malformed)?;
        let topic = format!("divisor/control/{verb}");
        self.publish(&topic, payload, QoS::AtLeastOnce, 0).await?;
        Ok(Asked {
            id: request.id,
            told,
        })
    }

    /// Waits for the answer to a command that was sent.
    pub(crate) async fn answer<T: DeserializeOwned>(
        &self,
        verb: &str,
        Asked { id, told }: Asked,
        timeout: Duration,
    ) -> Result<T, RequestError> {
        let malformed = |error: serde_json::Error| RequestError::Malformed {
            verb: verb.to_owned(),
            reason: error.to_string(),
        };
        let payload = match tokio::time::timeout(timeout, told).await {
            Ok(Ok(payload)) => payload,
            Ok(Err(_)) => return Err(self.shared.lost().into()),
            Err(_) => {
                self.shared.waiter(&id);
                return Err(RequestError::Timeout {
                    verb: verb.to_owned(),
                    waited: timeout,
                });
            }
        };
        let reply: Reply<T> = serde_json::from_slice(&payload).map_err(malformed)?;
        match (reply.result, reply.error) {
            (Some(result), _) if reply.ok => Ok(result),
            // Commands without a result answer with nothing in its place.
            (None, None) if reply.ok => serde_json::from_str("null").map_err(malformed),
            (_, Some(error)) => Err(RequestError::Refused(error)),
            _ => Err(RequestError::Malformed {
                verb: verb.to_owned(),
                reason: "neither a result nor an error".to_owned(),
            }),
        }
    }

    /// All rows of a list, page by page.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        verb: &str,
    ) -> Result<Vec<T>, RequestError> {
        self.list_of(verb, Request::default()).await
    }

    /// The same of those rows that a request asks for.
    pub(crate) async fn list_of<T: DeserializeOwned>(
        &self,
        verb: &str,
        wanted: Request,
    ) -> Result<Vec<T>, RequestError> {
        let mut rows = Vec::new();
        let mut after = None;
        loop {
            let request = Request {
                after: after.take(),
                limit: Some(PAGE_ROWS),
                ..wanted.clone()
            };
            let page: Page<T> = self.request(verb, request, TIMEOUT).await?;
            rows.extend(page.rows);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(rows),
            }
        }
    }
}
