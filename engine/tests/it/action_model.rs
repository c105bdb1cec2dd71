//! A slow model of a day of actions: one after the other, in exact fractions, as the table of
//! METHODOLOGY §1.6 says. A basket is a list of lines; at the end the divisor is what keeps the level.

use divisor_engine::RoundingMode;

use crate::exact::Q;

/// The members at first. D pays, splits and leaves nothing: it takes over others, and its price opens
/// the day. E may join, Z may be spun off.
pub(crate) const SYMBOLS: [&str; 4] = ["A", "B", "C", "D"];

/// US dollars for a euro.
pub(crate) const EURO: &str = "1.25";

/// One random action: what kind, of which security, and its numbers.
#[derive(Debug, Clone)]
pub(crate) struct Act {
    pub(crate) kind: u8,
    pub(crate) symbol: usize,
    pub(crate) a: u32,
    pub(crate) b: u32,
}

/// How many kinds there are.
pub(crate) const KINDS: u8 = 19;

impl Act {
    /// The place among the actions of a day.
    pub(crate) const fn rank(&self) -> u8 {
        match self.kind {
            15 | 16 => 0,
            14 => 1,
            0 | 1 => 2,
            2..=4 | 13 => 3,
            5 => 4,
            6 | 7 => 5,
            8..=11 => 6,
            12 => 7,
            17 => 8,
            _ => 9,
        }
    }

    /// Of an index rather than of a security: at most one of each a day.
    pub(crate) const fn is_of_index(&self) -> bool {
        matches!(self.kind, 12 | 17 | 18)
    }

    pub(crate) fn json(&self, id: usize) -> String {
        self.json_on(id, "2026-01-06")
    }

    pub(crate) fn json_on(&self, id: usize, day: &str) -> String {
        let (symbol, a, b) = (SYMBOLS[self.symbol], self.a, self.b);
        let of = |kind: &str, terms: &str| format!(r#""type":"{kind}","symbol":"{symbol}"{terms}"#);
        let terms = match self.kind {
            0 if a < b => of("split", &format!(r#","from":{a},"to":{b}"#)),
            0 if a > b => of("reverse_split", &format!(r#","from":{a},"to":{b}"#)),
            0 => of("bonus", &format!(r#","held":{a},"new":{b}"#)),
            1 => of("stock_dividend", &format!(r#","held":{a},"new":{b}"#)),
            2 => of(
                "dividend",
                &format!(r#","amount":"0.{a}","kind":"special""#),
            ),
            3 => of(
                "return_of_capital",
                &format!(r#","amount":"0.{a}","from":{b},"to":1"#),
            ),
            4 => of(
                "spin_off",
                &format!(r#","child":"Z","ratio":"0.{a}","price":"0.{b}""#),
            ),
            5 => of(
                "rights",
                &format!(r#","held":{a},"new":{b},"price":"0.5","missed_dividend":"0.0{a}""#),
            ),
            6 => of("share_change", &format!(r#","shares":{}"#, 1_000 + a * 37)),
            7 => of("float_change", &format!(r#","float":"0.{a}{b}""#)),
            8 => of(
                "merger",
                &format!(r#","acquirer":"D","ratio":"0.{a}","cash":{b}"#),
            ),
            9 if a > 4 => of("delisting", ""),
            9 => of("delisting", &format!(r#","price":{a}"#)),
            10 => of("bankruptcy", &format!(r#","price":"0.0{a}""#)),
            11 => format!(r#""type":"deletion","index":"UNITS","symbol":"{symbol}""#),
            12 => format!(
                r#""type":"addition","index":"UNITS","member":{{"symbol":"E","units":{a}}}"#
            ),
            13 => of("dividend", &format!(r#","amount":"0.{a}""#)),
            14 => of(
                "redenomination",
                &format!(r#","currency":"EUR","rate":"0.{a}{b}""#),
            ),
            15 => of("suspension", ""),
            16 => of("resumption", ""),
            17 => format!(
                r#""type":"cap_reset","index":"CAP","caps":[{{"symbol":"D","cap":"0.{a}{b}"}}]"#
            ),
            _ => r#""type":"rebalance","index":"FIXED""#.to_owned(),
        };
        format!(r#"{{"id":"{id}","ex_date":"{day}",{terms}}}"#)
    }
}

/// What makes the coefficients of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Cap,
    Units,
    Price,
    /// Target weights, those that are there at first.
    Weight,
}

/// One member of one index: what METHODOLOGY calls p, S, IWF, AWF and q.
#[derive(Debug, Clone)]
struct Line {
    symbol: String,
    price: Q,
    /// Index currency for one of the price's.
    fx: Q,
    /// Shares or units.
    amount: Q,
    float: Q,
    cap: Q,
    /// The coefficient in force, exact.
    q: Q,
    weight: Q,
}

/// One index on its way through the day.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    pub(crate) code: &'static str,
    scheme: Scheme,
    /// Children are kept, targets leave at the terms, rights are sold, special dividends go net of 20 %
    /// back into the payer; else the defaults with children dropped.
    other_rules: bool,
    lines: Vec<Line>,
    pub(crate) divisor: Q,
    /// What is kept.
    pub(crate) level: Q,
    /// Level and value before the first member left, and what those who left gained by it.
    leaving: Option<(Q, Q, Q)>,
    changed: bool,
    restored: bool,
    last_e: Q,
}

impl Book {
    pub(crate) fn new(
        code: &'static str,
        scheme: Scheme,
        other_rules: bool,
        prices: &[u32],
        (divisor, q): (Q, Vec<Q>),
    ) -> Self {
        let line = |(at, q): (usize, &Q)| Line {
            symbol: SYMBOLS[at].to_owned(),
            price: Q::int(prices[at].into()),
            fx: Q::int(1),
            amount: if scheme == Scheme::Cap {
                Q::int(1_000)
            } else {
                Q::int(at as i64 + 1)
            },
            float: Q::text("0.6"),
            cap: Q::int(1),
            q: q.clone(),
            weight: &Q::int(at as i64 + 1) / &Q::int(10),
        };
        let lines: Vec<Line> = q.iter().enumerate().map(line).collect();
        let value: Q = lines.iter().map(|l| &l.price * &l.q).sum();
        Self {
            code,
            scheme,
            other_rules,
            lines,
            level: &value / &divisor,
            divisor,
            leaving: None,
            changed: false,
            restored: false,
            last_e: Q::int(i64::from(prices[4])),
        }
    }

    pub(crate) fn apply(&mut self, act: &Act) {
        let int = |n: u32| Q::int(n.into());
        let (a, b) = (int(act.a), int(act.b));
        let tenth = |n: &Q| n / &Q::int(10);
        let at = self
            .lines
            .iter()
            .position(|l| l.symbol == SYMBOLS[act.symbol]);
        match (act.kind, at) {
            (12, _) => return self.add(&a),
            (17, _) => return self.cap(&(&(&a * &Q::int(10)) + &b)),
            (18, _) => {
                self.restored |= self.code == "FIXED";
                self.changed |= self.restored;
                return;
            }
            _ => {}
        }
        let Some(at) = at else { return };
        let price = self.lines[at].price.clone();
        match act.kind {
            0 if act.a != act.b => self.exchange(at, &(&b / &a)),
            0 | 1 => self.exchange(at, &(&(&a + &b) / &a)),
            2 if self.other_rules => {
                let net = &tenth(&a) * &Q::text("0.8");
                self.reprice(at, &price - &net);
                if matches!(self.scheme, Scheme::Cap | Scheme::Units) {
                    let grown = &price / &self.lines[at].price;
                    self.multiply(at, &grown);
                }
            }
            2 => self.reprice(at, &price - &tenth(&a)),
            3 => {
                let net = if self.other_rules {
                    Q::text("0.8")
                } else {
                    Q::int(1)
                };
                self.reprice(at, &price - &(&tenth(&a) * &net));
                self.exchange(at, &(&Q::int(1) / &b));
            }
            4 => self.spin_off(at, &tenth(&a), &tenth(&b)),
            5 => self.rights(at, &a, &b),
            6 => self.count(at, |line| line.amount = int(1_000 + act.a * 37)),
            7 => self.count(at, |line| {
                line.float = &int(act.a * 10 + act.b) / &Q::int(100)
            }),
            8 => self.merge(at, &tenth(&a), &b),
            9 => self.remove(at, (act.a <= 4).then_some(a)),
            10 => self.remove(at, Some(&a / &Q::int(100))),
            11 if self.code == "UNITS" => self.remove(at, None),
            14 => self.redenominate(at, &(&int(act.a * 10 + act.b) / &Q::int(100))),
            _ => {}
        }
    }

    /// Puts everything into force: coefficients, and the divisor that keeps the level.
    pub(crate) fn settle(&mut self) {
        let coefficients: Vec<Q> = self.lines.iter().map(|l| self.coefficient(l)).collect();
        for (line, q) in self.lines.iter_mut().zip(coefficients) {
            line.q = q;
        }
        if self.changed {
            self.divisor = (&self.worth() / &self.level).round(14, RoundingMode::HalfUp);
        }
        (self.changed, self.restored, self.leaving) = (false, false, None);
    }

    /// A trade.
    pub(crate) fn trade(&mut self, symbol: &str, price: &Q) {
        if symbol == "E" {
            self.last_e = price.clone();
        }
        if let Some(line) = self.lines.iter_mut().find(|l| l.symbol == symbol) {
            line.price = price.clone();
        }
        self.level = &self.worth() / &self.divisor;
    }

    /// What the members are worth.
    pub(crate) fn worth(&self) -> Q {
        let worth = self.lines.iter().map(|l| &(&l.price * &l.fx) * &l.q);
        worth.sum()
    }

    pub(crate) fn coefficients(&self) -> Vec<Q> {
        self.lines.iter().map(|l| l.q.clone()).collect()
    }

    fn coefficient(&self, line: &Line) -> Q {
        match self.scheme {
            Scheme::Cap => stored(&(&(&line.amount * &line.float) * &line.cap)),
            Scheme::Units | Scheme::Price => line.amount.clone(),
            Scheme::Weight if self.restored => {
                let worth = &Q::int(1_000_000_000) * &line.weight;
                stored(&(&worth / &(&line.price * &line.fx)))
            }
            Scheme::Weight => stored(&line.q),
        }
    }

    /// A share becomes `factor` shares.
    fn exchange(&mut self, at: usize, factor: &Q) {
        self.changed = true;
        self.lines[at].price = &self.lines[at].price / factor;
        match self.scheme {
            Scheme::Weight => self.lines[at].q = &self.lines[at].q * factor,
            Scheme::Price => {}
            Scheme::Cap | Scheme::Units => self.multiply(at, factor),
        }
    }

    fn multiply(&mut self, at: usize, factor: &Q) {
        let line = &mut self.lines[at];
        line.q = &line.q * factor;
        line.amount = stored(&(&line.amount * factor));
    }

    /// Another price without a trade: a target weight is kept.
    fn reprice(&mut self, at: usize, price: Q) {
        self.changed = true;
        let line = &mut self.lines[at];
        if self.scheme == Scheme::Weight {
            line.q = &(&line.q * &line.price) / &price;
        }
        line.price = price;
    }

    fn spin_off(&mut self, at: usize, ratio: &Q, worth: &Q) {
        // The child is quoted in dollars, whatever its parent is quoted in.
        let less = &(ratio * worth) / &self.lines[at].fx;
        let price = &self.lines[at].price - &less;
        if !self.other_rules {
            return self.reprice(at, price);
        }
        self.changed = true;
        let parent = &mut self.lines[at];
        let mut child = parent.clone();
        let kept = stored(&(&(&parent.weight * &price) / &parent.price));
        child.weight = &parent.weight - &kept;
        (parent.price, parent.weight) = (price, kept);
        child.symbol = "Z".to_owned();
        (child.price, child.fx) = (worth.clone(), Q::int(1));
        self.lines.push(child);
        let last = self.lines.len() - 1;
        self.multiply(last, ratio);
    }

    fn rights(&mut self, at: usize, held: &Q, new: &Q) {
        let cost = &Q::text("0.5") + &(held / &Q::int(100));
        let line = &self.lines[at];
        if !(&line.price - &cost).is_positive() {
            return;
        }
        let after = held + new;
        let theoretical = &(&(held * &line.price) + &(new * &cost)) / &after;
        self.reprice(at, theoretical);
        if !self.other_rules && matches!(self.scheme, Scheme::Cap | Scheme::Units) {
            self.multiply(at, &(&after / held));
        }
    }

    fn count(&mut self, at: usize, change: impl Fn(&mut Line)) {
        if self.scheme == Scheme::Cap {
            change(&mut self.lines[at]);
            self.lines[at].q = self.coefficient(&self.lines[at]);
            self.changed = true;
        }
    }

    fn merge(&mut self, at: usize, ratio: &Q, cash: &Q) {
        let taker = self.lines.iter().position(|l| l.symbol == "D").unwrap();
        if self.other_rules {
            let cash = cash * &self.lines[at].fx;
            let worth = &cash + &(ratio * &self.lines[taker].price);
            self.recognise(at, &worth);
        }
        if matches!(self.scheme, Scheme::Cap | Scheme::Units) {
            let more = &self.lines[at].amount * ratio;
            self.lines[taker].amount = stored(&(&self.lines[taker].amount + &more));
        }
        self.gain(&Q::int(0));
        self.changed = true;
        self.lines.remove(at);
    }

    fn remove(&mut self, at: usize, price: Option<Q>) {
        if let Some(price) = price {
            let worth = &price * &self.lines[at].fx;
            self.recognise(at, &worth);
        }
        self.gain(&Q::int(0));
        self.changed = true;
        self.lines.remove(at);
    }

    fn recognise(&mut self, at: usize, worth: &Q) {
        let line = &self.lines[at];
        let more = &(worth - &(&line.price * &line.fx)) * &line.q;
        self.gain(&more);
    }

    /// The level moves by the gain as a part of what all were worth before the first one left.
    fn gain(&mut self, more: &Q) {
        let first = || (self.level.clone(), self.worth(), Q::int(0));
        let (level, worth, gain) = self.leaving.clone().unwrap_or_else(first);
        let gain = &gain + more;
        self.level = &(&level * &(&worth + &gain)) / &worth;
        self.leaving = Some((level, worth, gain));
    }

    fn redenominate(&mut self, at: usize, rate: &Q) {
        self.changed = true;
        let line = &mut self.lines[at];
        let fx = Q::text(EURO);
        line.price = &line.price * rate;
        if self.scheme == Scheme::Weight {
            line.q = &(&line.q * &line.fx) / &(&fx * rate);
        }
        line.fx = fx;
    }

    fn add(&mut self, units: &Q) {
        if self.code == "UNITS" {
            self.changed = true;
            self.lines.push(Line {
                symbol: "E".to_owned(),
                price: self.last_e.clone(),
                fx: Q::int(1),
                amount: units.clone(),
                float: Q::int(1),
                cap: Q::int(1),
                q: Q::int(0),
                weight: Q::int(0),
            });
        }
    }

    fn cap(&mut self, percent: &Q) {
        if self.code == "CAP" {
            let line = self.lines.iter_mut().find(|l| l.symbol == "D").unwrap();
            line.cap = percent / &Q::int(100);
            self.changed = true;
        }
    }
}

/// A number that a definition can state, at the places of a coefficient.
fn stored(value: &Q) -> Q {
    value.round(12, RoundingMode::HalfUp)
}
