//! Publishers and the operator: what they send, and what they keep until it is acknowledged.

use std::collections::VecDeque;
use std::sync::Arc;

use divisor_engine::Order;
use divisor_wire::Reason;
use divisor_wire::tick::{self, Decoded};
use tokio::sync::mpsc;

use super::oracle::{Oracle, TickId};
use crate::ingress::{Client, Content, Inbound, Receipt, Submission};
use crate::journal::sim::Random;

/// Ticks in one message at the most, as the door has it.
const TICKS_MAX: usize = 8;

/// What is traded: symbol, currency, a price to start from.
const SECURITIES: [(&str, &str, u64); 6] = [
    ("AAPL", "USD", 18_984),
    ("BRK.B", "USD", 47_012),
    ("SAP", "EUR", 21_030),
    ("SIE", "EUR", 18_250),
    ("NESN", "CHF", 8_790),
    ("KO", "USD", 6_120),
];

/// The market that the operator loads first: every scheme and dissemination, three currencies.
pub(super) const DEFINITIONS: &str = r#"{
  "calendars": [{"name": "QUICK", "zone": "Europe/Zurich", "week": [{"days":
    ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
    "pre_open": "00:30", "open": "01:00", "close": "23:00"}]}],
  "securities": [
    {"symbol": "AAPL", "currency": "USD", "gate": {"last": "0.8", "widen": "2"}}, {"symbol": "BRK.B", "currency": "USD"},
    {"symbol": "SAP", "currency": "EUR", "price_places": 4}, {"symbol": "SIE", "currency": "EUR"},
    {"symbol": "NESN", "currency": "CHF"}, {"symbol": "KO", "currency": "USD"}],
  "rates": [{"base": "EUR", "quote": "USD", "rate": "1.08"},
            {"base": "CHF", "quote": "USD", "rate": "1.11"}],
  "indexes": [
    {"code": "PW", "currency": "USD", "weighting": {"scheme": "price"}, "base": {"divisor": "0.5"},
     "dissemination": {"mode": "tick"}, "basket": [{"symbol": "AAPL"}, {"symbol": "KO"}]},
    {"code": "EQ", "currency": "USD", "weighting": {"scheme": "equal", "reset": "daily"},
     "base": {"value": "100"}, "dissemination": {"mode": "tick"}, "day": {"zone": "Asia/Tokyo"},
     "basket": [{"symbol": "AAPL"}, {"symbol": "SAP"}, {"symbol": "NESN"}]},
    {"code": "FW", "currency": "USD", "weighting": {"scheme": "constant_weight"},
     "base": {"value": "50"},
     "basket": [{"symbol": "SAP", "weight": "0.6"}, {"symbol": "BRK.B", "weight": "0.3"}]},
    {"code": "IV", "currency": "USD", "weighting": {"scheme": "fixed_units"},
     "base": {"value": "1000"}, "dissemination": {"mode": "interval", "every_ms": 700},
     "basket": [{"symbol": "SIE", "units": "3"}, {"symbol": "KO", "units": "2"}]},
    {"code": "CL", "currency": "USD", "weighting": {"scheme": "price"}, "base": {"value": "100"},
     "calendar": "QUICK", "session": {"opening": "40", "close": {"after_s": 600},
     "final_after_s": 1800}, "stale": {"after_s": 300, "weight": "50"}, "jump_max": "1.2",
     "basket": [{"symbol": "AAPL"}, {"symbol": "KO"}, {"symbol": "BRK.B"}]},
    {"code": "CAP", "currency": "USD", "weighting": {"scheme": "market_cap"},
     "base": {"value": "1000"}, "caps": {"reset": "daily", "weight_max": "0.4"},
     "basket": [{"symbol": "AAPL", "shares": "90"}, {"symbol": "SAP", "shares": "40"},
                {"symbol": "NESN", "shares": "20", "strategic": "5"}]},
    {"code": "GEO", "currency": "USD", "weighting": {"scheme": "geometric", "reset": "daily"},
     "base": {"value": "100"}, "basket": [{"symbol": "KO"}, {"symbol": "SIE"}]},
    {"code": "PW2", "currency": "USD", "of": "PW", "dissemination": {"mode": "tick"},
     "variant": {"kind": "leveraged", "factor": "2", "cost": "0.0001", "trigger": "0.1"}},
    {"code": "EQD", "currency": "USD", "of": "EQ",
     "variant": {"kind": "decrement", "rate": "0.05", "day_count": "act_365"}},
    {"code": "EQDE", "currency": "EUR", "of": "EQD", "fx": {"pivot": "USD"},
     "variant": {"kind": "converted"}},
    {"code": "GEOV", "currency": "USD", "of": "GEO",
     "variant": {"kind": "volatility_control", "target": "0.1", "exposure_max": "1.5", "lag": 1,
                 "volatility": {"decay": ["0.94", "0.97"]}}},
    {"code": "EQH", "currency": "USD", "of": "EQ",
     "variant": {"kind": "hedged", "reset": "daily",
                 "forwards": [{"currency": "EUR", "security": "SIE"}]}}]}"#;

/// Messages that must be refused, and why.
const POISON: [(&str, &str, Reason); 28] = [
    ("securities/AAPL/price", "", Reason::EmptyPayload),
    ("securities/AAPL/price", "null", Reason::Malformed),
    ("securities/AAPL/price", "NaN", Reason::Malformed),
    ("securities/AAPL/price", "inf", Reason::Malformed),
    ("securities/AAPL/price", "{\"price\":1", Reason::Malformed),
    ("securities/AAPL/price", "\u{feff}1", Reason::Malformed),
    ("securities/AAPL/price", "0", Reason::PriceNotPositive),
    ("securities/AAPL/price", "-1", Reason::PriceNotPositive),
    ("securities/AAPL/price", "1e400", Reason::BadPrice),
    ("securities/AAPL/price", "1e-400", Reason::BadPrice),
    (
        "securities/AAPL/price",
        "1234567890123456789012345678901234567890",
        Reason::BadPrice,
    ),
    (
        "securities/AAPL/price",
        "{\"price\":true}",
        Reason::BadPrice,
    ),
    ("securities/AAPL/price", "{\"seq\":1}", Reason::BadPrice),
    ("securities/AAPL/price", "1.1234567", Reason::PriceTooFine),
    ("securities/SAP/price", "1.12345", Reason::PriceTooFine),
    ("securities/AAPL/price", "10000001", Reason::PriceTooLarge),
    (
        "securities/AAPL/price",
        "170141183460469231731687303715884105727",
        Reason::PriceTooLarge,
    ),
    (
        "securities/AAPL/price",
        "{\"price\":1,\"ts\":\"noon\"}",
        Reason::BadTimestamp,
    ),
    (
        "securities/AAPL/price",
        "{\"price\":1,\"ts\":\"2200-01-01T00:00:00Z\"}",
        Reason::TimestampInFuture,
    ),
    (
        "securities/NONE/price",
        "{\"price\":1,\"src\":\"stranger\"}",
        Reason::UnknownSymbol,
    ),
    (
        "securities/AAPL/price",
        "{\"price\":1,\"ccy\":\"EUR\",\"src\":\"stranger\"}",
        Reason::WrongCurrency,
    ),
    (
        "securities/AAPL/price",
        "{\"price\":1,\"inc\":-1}",
        Reason::BadField,
    ),
    (
        "securities/AAPL/price",
        "{\"price\":1,\"src\":7}",
        Reason::BadField,
    ),
    (
        "securities/AAPL/price",
        "[1,1,1,1,1,1,1,1,1]",
        Reason::TooManyTicks,
    ),
    ("fx/USD/USD/rate", "1", Reason::UnknownPair),
    ("fx/usd/EUR/rate", "1", Reason::UnknownPair),
    ("fx/EUR/USD/rate", "0", Reason::PriceNotPositive),
    ("fx/EUR/USD/rate", "1e400", Reason::BadPrice),
];

/// A message in an outbox.
#[derive(Debug, Clone)]
struct Message {
    topic: Arc<str>,
    payload: String,
    /// Its ticks: who they are, and why they must be refused.
    ticks: Vec<(TickId, Option<Reason>)>,
    /// The symbol that a load defines.
    loads: Option<String>,
    qos: u8,
}

/// A client with an outbox.
#[derive(Debug)]
pub(super) struct Publisher {
    client: Arc<Client>,
    /// The source it states; several may share one.
    source: Option<&'static str>,
    incarnation: u64,
    seq: u64,
    /// What was not acknowledged, oldest first; sent again on a new connection.
    outbox: VecDeque<Message>,
    connection: Option<Connection>,
    /// How often the publisher has started.
    pub(super) starts: u32,
}

#[derive(Debug)]
struct Connection {
    sender: mpsc::UnboundedSender<Receipt>,
    receipts: mpsc::UnboundedReceiver<Receipt>,
    /// Tickets of the messages of the outbox that were sent, by their order.
    sent: usize,
    ticket: u64,
    /// For each ticket that is not durable: whether its message is in the outbox.
    owed: VecDeque<(u64, bool, Message)>,
}

impl Publisher {
    pub(super) fn new(id: &str, source: Option<&'static str>) -> Self {
        Self {
            client: Arc::new(Client {
                id: id.into(),
                user: None,
            }),
            source,
            incarnation: 0,
            seq: 0,
            outbox: VecDeque::new(),
            connection: None,
            starts: 0,
        }
    }

    /// A new incarnation. The outbox stays: it is on disk.
    pub(super) fn restart(&mut self, incarnation: u64) {
        self.incarnation = incarnation;
        self.seq = 0;
        self.starts += 1;
        self.connection = None;
    }

    /// The connection is lost, receipts under way with it; what the daemon has, it has.
    pub(super) fn disconnect(&mut self) {
        self.connection = None;
    }

    pub(super) fn is_done(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Makes one message of one or more ticks.
    pub(super) fn publish(&mut self, random: &mut Random, now: i64, unique: &mut u64) {
        if random.below(10) == 0 {
            return self.poison(random);
        }
        let count = if random.below(6) == 0 {
            1 + random.below(5)
        } else {
            1
        };
        let is_rate = random.below(12) == 0;
        let (symbol, currency, price) = SECURITIES[random.below(6) as usize];
        let mut ticks = Vec::new();
        let mut texts = Vec::new();
        for _ in 0..count {
            // A rate needs its identity here, since it has no size.
            let with_identity = is_rate || self.source.is_some() || random.below(4) > 0;
            let price = price + random.below(200);
            let mut fields = if is_rate {
                format!("\"price\":\"1.{:04}\"", 1_000 + random.below(200))
            } else {
                format!("\"price\":\"{}.{:02}\"", price / 100, price % 100)
            };
            if with_identity {
                self.seq += 1;
                fields += &format!(",\"inc\":{},\"seq\":{}", self.incarnation, self.seq);
                ticks.push(((self.incarnation, self.seq), None));
            } else {
                *unique += 1;
                fields += &format!(",\"size\":{unique}");
                ticks.push(((0, *unique), None));
            }
            if let Some(source) = self.source {
                fields += &format!(",\"src\":\"{source}\"");
            }
            // The publisher's clock is right, or a little late, or a day behind.
            let behind = match random.below(8) {
                0..3 => None,
                3..6 => Some(0),
                6 => Some(random.below(3_000) as i64 * 1_000_000),
                _ => Some(random.below(50) as i64 * 3_600_000_000_000),
            };
            if let Some(behind) = behind {
                let ts = (now - behind) / 1_000;
                fields += &format!(",\"ts\":{ts}");
            }
            if random.below(10) == 0 && !is_rate {
                fields += &format!(",\"ccy\":\"{currency}\",\"venue\":\"X{}\"", random.below(5));
            }
            texts.push(format!("{{{fields}}}"));
        }
        let topic = if is_rate {
            ["fx/EUR/USD/rate", "fx/CHF/USD/rate"][random.below(2) as usize].into()
        } else {
            format!("securities/{symbol}/price").into()
        };
        let payload = if texts.len() == 1 {
            texts.remove(0)
        } else {
            format!("[{}]", texts.join(","))
        };
        let qos = u8::from(random.below(6) > 0);
        self.push(Message {
            topic,
            payload,
            ticks,
            loads: None,
            qos,
        });
    }

    fn poison(&mut self, random: &mut Random) {
        let (topic, payload, reason) = POISON[random.below(POISON.len() as u64) as usize];
        self.push(Message {
            topic: topic.into(),
            payload: payload.to_owned(),
            ticks: vec![((u64::MAX, 0), Some(reason))],
            loads: None,
            qos: 1,
        });
    }

    /// A load in its three messages; `symbol` is a security that only this load defines.
    pub(super) fn load(&mut self, id: &str, items: &str, symbol: Option<&str>, dry_run: bool) {
        let mut send = |verb: &str, id: String, rest: String| {
            self.push(Message {
                topic: format!("divisor/control/{verb}").into(),
                payload: format!("{{\"id\":\"{id}\"{rest}}}"),
                ticks: Vec::new(),
                loads: symbol
                    .filter(|_| verb == "load.commit" && !dry_run)
                    .map(str::to_owned),
                qos: 1,
            });
        };
        let load = format!(",\"load\":\"{id}\"");
        send("load.begin", format!("{id}.begin"), load.clone());
        send(
            "load.part",
            format!("{id}.part"),
            format!("{load},\"part\":0,\"items\":{items}"),
        );
        send(
            "load.commit",
            id.to_owned(),
            format!("{load},\"parts\":1,\"dry_run\":{dry_run}"),
        );
    }

    /// An operator's order.
    pub(super) fn order(&mut self, order: &Order) {
        let order = serde_json::to_string(order).unwrap_or_default();
        self.push(Message {
            topic: "divisor/control/order".into(),
            payload: format!("{{\"id\":\"o\",\"order\":{order}}}"),
            ticks: Vec::new(),
            loads: None,
            qos: 1,
        });
    }

    /// A question, or nonsense.
    pub(super) fn ask(&mut self, random: &mut Random) {
        let (verb, payload) = match random.below(6) {
            0 => ("index.list", "{\"id\":\"q\"}"),
            1 => ("index.show", "{\"id\":\"q\",\"code\":\"EQ\"}"),
            2 => ("security.show", "{\"id\":\"q\",\"symbol\":\"SAP\"}"),
            3 => ("no.such.verb", "{\"id\":\"q\"}"),
            4 => (
                "load.commit",
                "{\"id\":\"q\",\"load\":\"never begun\",\"parts\":1}",
            ),
            _ => ("status", "\u{0}not a command"),
        };
        self.push(Message {
            topic: format!("divisor/control/{verb}").into(),
            payload: payload.to_owned(),
            ticks: Vec::new(),
            loads: None,
            qos: 1,
        });
    }

    fn push(&mut self, message: Message) {
        self.outbox.push_back(message);
    }

    /// Sends up to `most` messages of the outbox as one submission. Those of QoS 0 leave it.
    pub(super) fn submit(&mut self, most: usize) -> Option<Submission> {
        let connection = self.connection.get_or_insert_with(Connection::new);
        let mut messages = Vec::new();
        while messages.len() < most
            && let Some(message) = self.outbox.get(connection.sent).cloned()
        {
            connection.ticket += 1;
            let kept = message.qos > 0;
            if kept {
                connection.sent += 1;
            } else {
                self.outbox.remove(connection.sent);
            }
            messages.push(message.inbound(connection.ticket));
            connection
                .owed
                .push_back((connection.ticket, kept, message));
        }
        (!messages.is_empty()).then(|| Submission {
            client: Arc::clone(&self.client),
            messages,
            receipts: connection.sender.clone(),
            read: std::time::Instant::now(),
        })
    }

    /// Hears what is durable, and tells the oracle.
    pub(super) fn hear(&mut self, oracle: &mut Oracle) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        while let Ok(receipt) = connection.receipts.try_recv() {
            while let Some((ticket, kept, message)) = connection
                .owed
                .pop_front_if(|owed| owed.0 <= receipt.durable)
            {
                if kept {
                    self.outbox.pop_front();
                    connection.sent -= 1;
                }
                let mut refused = receipt
                    .refusals
                    .iter()
                    .filter(|refusal| refusal.ticket == ticket);
                let is_command = message.topic.starts_with("divisor/");
                for (id, expected) in &message.ticks {
                    let found = expected
                        .and_then(|_| refused.next())
                        .map(|refusal| refusal.reason);
                    if found != *expected {
                        let payload = &message.payload;
                        oracle.fail(
                            "C6 refusals have a name",
                            format!("{payload}: {found:?}, not {expected:?}"),
                        );
                    }
                    match expected {
                        Some(_) => oracle.refused(*id),
                        None if kept => oracle.acknowledged(*id),
                        None => {}
                    }
                }
                if let Some(more) = refused.next().filter(|_| !is_command) {
                    let payload = &message.payload;
                    oracle.fail(
                        "C6 what is good is not refused",
                        format!("{payload}: {more:?}"),
                    );
                }
                oracle.loaded.extend(message.loads);
            }
        }
    }
}

impl Connection {
    fn new() -> Self {
        let (sender, receipts) = mpsc::unbounded_channel();
        Self {
            sender,
            receipts,
            sent: 0,
            ticket: 0,
            owed: VecDeque::new(),
        }
    }
}

impl Message {
    /// What the door makes of it.
    fn inbound(&self, ticket: u64) -> Inbound {
        let parts: Vec<&str> = self.topic.split('/').collect();
        let Decoded { ticks, refused } = tick::decode(self.payload.as_bytes(), TICKS_MAX)
            .unwrap_or_else(|reason| Decoded {
                ticks: Vec::new(),
                refused: vec![(0, reason)],
            });
        let content = match parts.as_slice() {
            ["securities", symbol, _] => Content::Prices {
                symbol: (*symbol).into(),
                ticks,
                refused,
            },
            ["fx", base, quote, _] => Content::Rates {
                pair: Arc::new(((*base).into(), (*quote).into())),
                ticks,
                refused,
            },
            [.., verb] => Content::Command {
                verb: (*verb).into(),
                response_topic: None,
                correlation: None,
            },
            [] => unreachable!("a topic has a level"),
        };
        Inbound {
            ticket,
            topic: Arc::clone(&self.topic),
            payload: self.payload.clone().into(),
            content,
        }
    }
}
