//! From submissions to inputs: the gate in front of the sequence.
//!
//! What gets through counts, whatever comes; what does not is named, counted and told to its
//! sender. One bad tick does not spoil the others of its message.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use divisor_engine::{Batch, Currency, Engine, Input, LABELS_MAX, LabelId, Origin, Refused, Time};
use divisor_wire::Reason;
use divisor_wire::rejected::Rejected;
use divisor_wire::tick::Tick;
use divisor_wire::topic::rejected_topic;
use tokio::sync::mpsc;

use super::Settings;
use crate::defect::Defect;
use crate::egress::Announcement;
use crate::ingress::{Client, Content, Inbound, Receipt, Refusal};

/// Labels that exist from the first boot on: the daemon itself, and the one that stands for every
/// source and venue once [`LABELS_MAX`] texts are interned.
pub(super) const FIRST_LABELS: [&str; 2] = ["divisord", "other"];

/// The past is accepted, back to 1800-01-01T00:00:00Z. No series of prices begins earlier; a bound
/// there must be, since each month that arrives makes a partition in PostgreSQL, and the engine's
/// [`Time`] ends in 1677.
pub(super) const TIME_MIN: Time = Time::from_nanos(-5_364_662_400_000_000_000);

/// The id of `other` in [`FIRST_LABELS`].
const OTHER: LabelId = LabelId(1);

/// What is gathered beside the batch itself.
#[derive(Debug)]
pub(super) struct Gathering {
    /// Receipts that leave once everything gathered is durable.
    pub(super) receipts: Vec<(mpsc::UnboundedSender<Receipt>, Receipt)>,
    /// Labels that the batch introduces, not yet in the engine.
    new_labels: HashMap<Box<str>, LabelId>,
}

impl Gathering {
    pub(super) fn new() -> Self {
        Self {
            receipts: Vec::new(),
            new_labels: HashMap::new(),
        }
    }

    /// After a commit the engine knows the batch's labels.
    pub(super) fn committed(&mut self) {
        self.new_labels.clear();
    }

    /// Tells the connections what is durable. A connection that is gone does not hear it.
    pub(super) fn send_receipts(&mut self) {
        for (connection, receipt) in self.receipts.drain(..) {
            let _ = connection.send(receipt);
        }
    }

    /// Adds a message's ticks or rates to the batch; true when at least one was accepted.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of the sequencer, borrowed apart"
    )]
    pub(super) fn message(
        &mut self,
        engine: &Engine,
        settings: &Settings,
        batch: &mut Batch,
        client: &Arc<Client>,
        message: &Inbound,
        refusals: &mut Vec<Refusal>,
        announcements: &mut Vec<Announcement>,
    ) -> bool {
        let (Content::Prices { ticks, refused, .. } | Content::Rates { ticks, refused, .. }) =
            &message.content
        else {
            return false;
        };
        let mut refused = refused.clone();
        let mut accepted = 0u32;
        // Places of the ticks that could be read: all but those already refused.
        let unread: Vec<u32> = refused.iter().map(|(place, _)| *place).collect();
        let mut places = (0u32..).filter(|place| !unread.contains(place));
        for tick in ticks {
            let place = places.next().unwrap_or(0);
            match self.input(engine, settings, batch, client, &message.content, tick) {
                Ok(input) => {
                    batch.inputs.push(input);
                    accepted += 1;
                }
                Err(reason) => refused.push((place, reason)),
            }
        }
        if !refused.is_empty() && !Defect::RefusalSilent.is_on() {
            refused.sort_unstable();
            report(client, message, &refused, accepted, refusals, announcements);
        }
        accepted > 0
    }

    fn input(
        &mut self,
        engine: &Engine,
        settings: &Settings,
        batch: &mut Batch,
        client: &Client,
        content: &Content,
        tick: &Tick,
    ) -> Result<Input, Reason> {
        let now = batch.time;
        if tick
            .ts
            .is_some_and(|ts| is_ahead(ts, now, settings.future_max))
        {
            return Err(Reason::TimestampInFuture);
        }
        if tick.ts.is_some_and(|ts| ts < TIME_MIN) {
            return Err(Reason::TimestampTooOld);
        }
        let source = tick
            .src
            .as_deref()
            .or(client.user.as_deref())
            .unwrap_or(&client.id);
        let origin = Origin {
            ts: tick.ts.unwrap_or(now),
            received: now,
            source: OTHER,
            inc: tick.inc,
            seq: tick.seq,
        };
        let admitted = match content {
            Content::Prices { symbol, .. } => {
                let currency = tick.ccy.as_deref();
                engine.admit_price(symbol, tick.price, currency, origin, tick.size, None)
            }
            Content::Rates { pair, .. } => {
                let currency = |text: &str| Currency::parse(text).map_err(|_| Reason::UnknownPair);
                let (base, quote) = (currency(&pair.0)?, currency(&pair.1)?);
                engine.admit_rate(base, quote, tick.price, origin)
            }
            Content::Command { .. } => return Err(Reason::BadTopic),
        };
        // Only what is accepted may introduce a label: they are numbered for ever.
        let mut input = admitted.map_err(reason)?;
        let source = if Defect::IdentityLost.is_on() {
            let source = format!("{source} at {}", batch.first);
            self.label(engine, batch, &source)
        } else {
            self.label(engine, batch, source)
        };
        match &mut input {
            Input::Tick(admitted) => {
                admitted.origin.source = source;
                let venue = tick.venue.as_deref();
                admitted.venue = venue.map(|venue| self.label(engine, batch, venue));
                admitted.kind = tick.kind;
            }
            Input::Rate(admitted) => admitted.origin.source = source,
            Input::Define { .. }
            | Input::Operate { .. }
            | Input::Correct { .. }
            | Input::Restate { .. }
            | Input::Label(_)
            | Input::Boot { .. } => {}
        }
        Ok(input)
    }

    /// The id of a text; a new one is introduced by the batch itself, before its first use.
    pub(super) fn label(&mut self, engine: &Engine, batch: &mut Batch, text: &str) -> LabelId {
        if let Some(id) = engine
            .label_id(text)
            .or_else(|| self.new_labels.get(text).copied())
        {
            return id;
        }
        let next = engine.label_count() + self.new_labels.len();
        let Some(id) = u32::try_from(next)
            .ok()
            .filter(|_| next < LABELS_MAX)
            .map(LabelId)
        else {
            return OTHER;
        };
        batch.inputs.push(Input::Label(text.into()));
        self.new_labels.insert(text.into(), id);
        id
    }
}

/// Tells the sender, through the protocol and on `divisor/rejected/{client}`.
fn report(
    client: &Client,
    message: &Inbound,
    refused: &[(u32, Reason)],
    accepted: u32,
    refusals: &mut Vec<Refusal>,
    announcements: &mut Vec<Announcement>,
) {
    refusals.extend(refused.iter().map(|(place, reason)| Refusal {
        ticket: message.ticket,
        place: *place,
        whole: accepted == 0,
        reason: *reason,
    }));
    if let Some(report) = Rejected::new(&message.topic, refused, accepted)
        && let Ok(payload) = serde_json::to_vec(&report)
    {
        let topic: Arc<str> = rejected_topic(&client.id).into();
        announcements.push(Announcement::passing(topic, payload));
    }
}

/// True when a time lies further ahead than is believed.
pub(super) fn is_ahead(ts: Time, now: Time, future_max: Duration) -> bool {
    let bound = i64::try_from(future_max.as_nanos()).unwrap_or(i64::MAX);
    ts > now.saturating_add(bound)
}

/// The wire's name for what the engine refuses.
pub(super) const fn reason(refused: Refused) -> Reason {
    match refused {
        Refused::UnknownSecurity => Reason::UnknownSymbol,
        Refused::Inactive => Reason::InactiveSymbol,
        Refused::NotPositive => Reason::PriceNotPositive,
        Refused::TooFine => Reason::PriceTooFine,
        Refused::TooLarge => Reason::PriceTooLarge,
        Refused::WrongCurrency => Reason::WrongCurrency,
        Refused::UnknownPair => Reason::UnknownPair,
    }
}
