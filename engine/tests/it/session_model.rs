//! Status and staleness against a slow, obvious model: whatever comes in whatever order, they are
//! what the list of everything that has come says.
//!
//! The model counts in minutes, walks through them one by one, and knows one calendar.

use divisor_engine::{Input, LabelId, Order, Origin, Status, Time};
use proptest::prelude::*;

use crate::support::{World, decimal, time};

const DEFINITIONS: &str = r#"{
    "calendars":[{"name":"W","zone":"UTC","week":[{"days":["mon","tue","wed","thu","fri"],
        "pre_open":"09:00","open":"09:30","close":"16:00"}]}],
    "securities":[{"symbol":"A","currency":"USD"},{"symbol":"B","currency":"USD"},
        {"symbol":"C","currency":"USD"}],
    "indexes":[{"code":"X","currency":"USD","calendar":"W","weighting":{"scheme":"price"},
        "base":{"divisor":"1"},
        "session":{"opening":"50","close":{"after_s":600},"final_after_s":3600},
        "stale":{"after_s":1800,"weight":"60"},
        "basket":[{"symbol":"A"},{"symbol":"B"},{"symbol":"C"}]}]}"#;

const MINUTE: i64 = 60_000_000_000;
const DAY: i64 = 1_440;
/// A Monday, in minutes since 1970.
const MONDAY: i64 = 18_946 * DAY;

/// What a batch brings, so many minutes after the one before.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A price of a security, made some minutes before it came.
    Price(usize, i64, i64),
    Timer,
    Halt,
    Resume,
}

fn event() -> impl Strategy<Value = (i64, Event)> {
    let gap = prop_oneof![0..=3i64, 5..=40i64, 100..=400i64, 900..=3_000i64];
    let behind = prop_oneof![4 => Just(0), 1 => 1..=2i64, 1 => 100..=2_000i64];
    let price = (0..3usize, 5..15i64, behind).prop_map(|(s, p, b)| Event::Price(s, p, b));
    let event = prop_oneof![
        8 => price,
        2 => Just(Event::Timer),
        1 => Just(Event::Halt),
        1 => Just(Event::Resume),
    ];
    (gap, event)
}

/// A day's session in minutes: pre-open, open, close.
fn session(minute: i64) -> Option<(i64, i64, i64)> {
    let day = minute.div_euclid(DAY);
    // 1970-01-01 was a Thursday.
    ((day + 3).rem_euclid(7) < 5).then_some((day * DAY + 540, day * DAY + 570, day * DAY + 960))
}

#[derive(Default)]
struct Model {
    now: Option<i64>,
    /// The last price of each security and when it was made.
    last: [Option<(i64, i64)>; 3],
    newest: Option<(i64, i64)>,
    is_halted: bool,
    /// The session that is under way, or the last that was.
    visited: Option<(i64, i64, i64)>,
    has_opened: bool,
    /// The visited session is closed; true when it has a close.
    closed: Option<bool>,
}

impl Model {
    fn is_complete(&self) -> bool {
        self.last.iter().all(Option::is_some)
    }

    fn advance(&mut self, to: i64) {
        let Some(now) = self.now else {
            self.now = Some(to);
            self.visit(to);
            return;
        };
        if to <= now {
            return;
        }
        if let Some((_, _, close)) = self.visited
            && self.closed.is_none()
            && to > close + 10
        {
            self.closed = Some(!self.is_halted && self.is_complete());
        }
        self.now = Some(to);
        self.visit(to);
    }

    fn visit(&mut self, minute: i64) {
        let here = session(minute).filter(|(pre, _, close)| (*pre..=*close).contains(&minute));
        if here.is_some() && here != self.visited {
            self.visited = here;
            self.has_opened = false;
            self.closed = None;
        }
    }

    fn share(&self, pick: impl Fn(i64) -> bool, percent: i64) -> bool {
        let prices = self.last.iter().flatten();
        let total: i64 = prices.clone().map(|(price, _)| price).sum();
        let picked = prices.filter(|(_, ts)| pick(*ts)).map(|(price, _)| price);
        picked.sum::<i64>() * 100 >= percent * total
    }

    fn is_stale(&self, ts: i64) -> bool {
        let now = self.now.unwrap();
        let is_trading = |minute: i64| {
            session(minute - 1).is_some_and(|(_, open, close)| open < minute && minute <= close)
        };
        // Enough minutes are in the last two weeks, whatever the weekdays.
        (ts + 1..=now).filter(|minute| is_trading(*minute)).count() >= 30
    }

    fn apply(&mut self, minute: i64, event: Event) {
        if self.newest.is_some_and(|(_, behind)| behind <= 1) {
            self.advance(minute);
        }
        match event {
            Event::Price(security, price, behind) => {
                let ts = minute - behind;
                if self.last[security].is_some_and(|(_, last)| ts < last) {
                    return;
                }
                self.advance(ts);
                self.last[security] = Some((price, ts));
                if self.newest.is_none_or(|(newest, _)| ts >= newest) {
                    self.newest = Some((ts, behind));
                }
                let now = self.now.unwrap();
                if let Some((_, open, close)) = self.visited
                    && (open..=close).contains(&now)
                    && self.share(|ts| ts >= open, 50)
                {
                    self.has_opened = true;
                }
            }
            Event::Timer => {}
            Event::Halt => self.is_halted = true,
            Event::Resume => self.is_halted = false,
        }
    }

    fn status(&self) -> (Status, u32) {
        if !self.is_complete() {
            return (Status::Pending, 0);
        }
        let now = self.now.unwrap();
        let stale = self
            .last
            .iter()
            .flatten()
            .filter(|(_, ts)| self.is_stale(*ts));
        let stale = u32::try_from(stale.count()).unwrap();
        let many = stale > 0 && self.share(|ts| self.is_stale(ts), 60);
        let status = match (self.visited, self.closed) {
            _ if self.is_halted => Status::Halted,
            (Some((_, open, _)), None) if now < open => Status::PreOpen,
            (Some((_, _, close)), None) if now > close => Status::Closing,
            (Some(_), None) if !self.has_opened => Status::Indicative,
            (Some(_), None) if many => Status::Stale,
            (Some(_), None) => Status::Live,
            (Some((_, _, close)), Some(true)) if now >= close + 70 => Status::Final,
            _ => Status::Closed,
        };
        (status, stale)
    }
}

fn at(minute: i64) -> Time {
    Time::from_nanos(minute * MINUTE)
}

proptest! {
    #[test]
    fn is_what_everything_that_came_says(events in prop::collection::vec(event(), 1..60)) {
        let mut world = World::default();
        let definitions = Box::new(serde_json::from_str(DEFINITIONS).unwrap());
        let by = LabelId(0);
        world.apply_at(time("2021-01-01"), vec![Input::Define { by, definitions }]);
        let mut model = Model::default();
        let mut minute = MONDAY;
        for (gap, event) in events {
            minute += gap;
            let order = |order| vec![Input::Operate { by, order: Box::new(order) }];
            let index = || "X".to_owned();
            let inputs = match event {
                Event::Price(security, price, behind) => {
                    let origin = Origin {
                        ts: at(minute - behind),
                        received: at(minute),
                        source: by,
                        inc: None,
                        seq: None,
                    };
                    let symbol = ["A", "B", "C"][security];
                    let price = decimal(&price.to_string());
                    let tick = world.engine.admit_price(symbol, price, None, origin, None, None);
                    vec![tick.unwrap()]
                }
                Event::Timer => Vec::new(),
                Event::Halt => order(Order::Halt { index: index(), note: None }),
                Event::Resume => order(Order::Resume { index: index() }),
            };
            world.apply_at(at(minute), inputs);
            model.apply(minute, event);
            let view = world.index("X");
            let (status, stale) = model.status();
            let found = (view.status, if status == Status::Pending { 0 } else { view.stale });
            prop_assert_eq!(found, (status, stale), "after {:?} at minute {} of {}", event,
                minute.rem_euclid(DAY), minute.div_euclid(DAY) - MONDAY / DAY);
            if let Some(level) = view.level && status != Status::Pending {
                prop_assert_eq!(level.status, status);
            }
        }
    }
}
