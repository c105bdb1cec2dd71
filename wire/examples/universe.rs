//! Makes `fixtures/universe/universe.json`: 500 made-up securities in three currencies and 20
//! indexes of every weighting that hold 1,500 memberships, three for each security on average.
//!
//! `cargo run -p divisor-wire --example universe > fixtures/universe/universe.json`
//!
//! The same file on every machine and in every year: the randomness is written out below.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a generator may fail loudly, and prints its result"
)]

use divisor_engine::definition::{
    Base, Constituent, Dissemination, IndexDefinition, Reset, SecurityDefinition, Weighting,
};
use divisor_engine::{Currency, Decimal};
use divisor_wire::command::{PriceItem, RateItem};
use serde::Serialize;

const SEED: u64 = 20_260_105;
/// The close that everything starts from.
const CLOSE: &str = "2026-01-05T22:00:00Z";
const SECURITIES: usize = 500;

const SYLLABLES: [&str; 24] = [
    "al", "ber", "cor", "dan", "el", "far", "gon", "hal", "is", "jor", "kel", "lun", "mar", "nor",
    "or", "pal", "quin", "ros", "sil", "tor", "ul", "ven", "wes", "zan",
];
const ENDINGS: [&str; 8] = ["a", "en", "ia", "is", "o", "on", "um", "ys"];
/// Ten sectors of fifty securities each.
const SECTORS: [(&str, &str); 10] = [
    ("BNK", "Bank"),
    ("CHM", "Chemicals"),
    ("ENG", "Energy"),
    ("FDS", "Foods"),
    ("HLT", "Health"),
    ("IND", "Industries"),
    ("MED", "Media"),
    ("SFT", "Software"),
    ("TEL", "Telecom"),
    ("TRN", "Transport"),
];

/// One index to be made: code, name, currency, weighting, members, dissemination.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    Weighting,
    usize,
    Dissemination,
);

const TICK: Dissemination = Dissemination::Tick;
const CONFLATE: Dissemination = Dissemination::Conflate;
const SECOND: Dissemination = Dissemination::Interval { every_ms: 1_000 };
const FIFTEEN: Dissemination = Dissemination::Interval { every_ms: 15_000 };

/// Sizes sum to 1,500; the first two share all securities between them.
#[rustfmt::skip]
const INDEXES: [Row; 20] = [
    ("W300", "World 300", "USD", Weighting::MarketCap, 300, CONFLATE),
    ("W200", "World Next 200", "EUR", Weighting::MarketCap, 200, CONFLATE),
    ("WEQ150", "World Equal 150", "USD", Weighting::Equal { reset: Reset::Quarterly }, 150, CONFLATE),
    ("WCAP120", "World Capped 120", "JPY", Weighting::MarketCap, 120, CONFLATE),
    ("US100", "Dollar 100", "USD", Weighting::MarketCap, 100, CONFLATE),
    ("EU90", "Euro 90", "EUR", Weighting::MarketCap, 90, CONFLATE),
    ("JP80", "Yen Average 80", "JPY", Weighting::Price, 80, CONFLATE),
    ("WLOW70", "World Steady 70", "USD", Weighting::FixedWeight { reset: Reset::Monthly }, 70, FIFTEEN),
    ("EUEQ60", "Euro Equal 60", "EUR", Weighting::Equal { reset: Reset::Weekly }, 60, CONFLATE),
    ("WMIX55", "World Mix 55", "USD", Weighting::ConstantWeight, 55, CONFLATE),
    ("BNK50", "Banks 50", "USD", Weighting::MarketCap, 50, CONFLATE),
    ("SFT45", "Software 45", "USD", Weighting::MarketCap, 45, TICK),
    ("ENG40", "Energy 40", "USD", Weighting::MarketCap, 40, CONFLATE),
    ("JPEQ35", "Yen Equal 35", "JPY", Weighting::Equal { reset: Reset::Daily }, 35, SECOND),
    ("US30", "Dollar Average 30", "USD", Weighting::Price, 30, TICK),
    ("FUND25", "Meridian Fund 25", "EUR", Weighting::FixedUnits, 25, SECOND),
    ("HLT20", "Health 20", "EUR", Weighting::FixedWeight { reset: Reset::Yearly }, 20, CONFLATE),
    ("CW15", "Constant 15", "USD", Weighting::ConstantWeight, 15, TICK),
    ("TOP10", "World Top 10", "USD", Weighting::MarketCap, 10, TICK),
    ("DUO5", "Quintet", "JPY", Weighting::FixedUnits, 5, CONFLATE),
];

/// A security with what the generator knows of it beyond the definition.
struct Company {
    definition: SecurityDefinition,
    /// The price in hundredths of its currency.
    cents: u64,
    shares: u64,
    /// Free float in percent.
    float: usize,
    sector: usize,
    /// Value in US cents, roughly: only for the rank.
    size: u128,
}

fn main() {
    print!("{}", text());
}

/// The file.
pub(crate) fn text() -> String {
    let mut random = Random(SEED);
    let companies = companies(&mut random);
    let indexes = INDEXES.map(|row| index(row, &companies, &mut random));
    let rate = |base: &str, quote: &str, rate: &str| RateItem {
        base: Currency::parse(base).unwrap(),
        quote: Currency::parse(quote).unwrap(),
        rate: rate.parse().unwrap(),
        ts: Some(CLOSE.to_owned()),
    };
    let rates = [
        rate("EUR", "USD", "1.1624"),
        rate("USD", "JPY", "156.42"),
        rate("EUR", "JPY", "181.82"),
    ];
    let price = |company: &Company| PriceItem {
        symbol: company.definition.symbol.clone(),
        price: Decimal::new(company.cents.into(), 2).normalized(),
        kind: divisor_engine::Kind::Trade,
        ts: Some(CLOSE.to_owned()),
    };
    let mut out = String::from("{\n");
    list(
        &mut out,
        "securities",
        companies.iter().map(|c| line(&c.definition)),
        ",",
    );
    list(&mut out, "rates", rates.iter().map(line), ",");
    list(
        &mut out,
        "prices",
        companies.iter().map(|c| line(&price(c))),
        ",",
    );
    list(&mut out, "indexes", indexes.iter().map(lines), "");
    out.push_str("}\n");
    out
}

fn companies(random: &mut Random) -> Vec<Company> {
    let mut companies: Vec<Company> = Vec::with_capacity(SECURITIES);
    let mut taken = std::collections::BTreeSet::new();
    while companies.len() < SECURITIES {
        let sector = companies.len() % SECTORS.len();
        let mut stem = String::new();
        for _ in 0..2 {
            stem.push_str(SYLLABLES[random.below(SYLLABLES.len())]);
        }
        stem.push_str(ENDINGS[random.below(ENDINGS.len())]);
        let symbol: String = stem.to_uppercase().chars().take(4).collect();
        if !taken.insert(symbol.clone()) {
            continue;
        }
        let name = format!(
            "{}{} {}",
            stem[..1].to_uppercase(),
            &stem[1..],
            SECTORS[sector].1
        );
        // Half in dollars, three tenths in euros, two tenths in yen.
        let (currency, scale, per_dollar) = match companies.len() / SECTORS.len() % 10 {
            0..5 => ("USD", 1, 100),
            5..8 => ("EUR", 1, 86),
            _ => ("JPY", 100, 15_642),
        };
        let mut definition = SecurityDefinition::new(&symbol, Currency::parse(currency).unwrap());
        definition.name = Some(name);
        definition.price_places = 4;
        let cents = random.spread(500, 80_000) * scale;
        // Yen trade in whole numbers.
        let cents = if scale == 100 {
            cents / 100 * 100
        } else {
            cents
        };
        let shares = random.spread(10_000_000, 8_000_000_000) / 1_000 * 1_000;
        companies.push(Company {
            size: u128::from(cents) * u128::from(shares) * 100 / per_dollar,
            definition,
            cents,
            shares,
            float: 40 + random.below(61),
            sector,
        });
    }
    companies
}

fn index(row: Row, companies: &[Company], random: &mut Random) -> IndexDefinition {
    let (code, name, currency, weighting, count, dissemination) = row;
    let currency = Currency::parse(currency).unwrap();
    let mut basket: Vec<Constituent> = members(code, count, companies, random)
        .into_iter()
        .map(|at| constituent(weighting, code, &companies[at], random))
        .collect();
    basket.sort_by(|a, b| a.symbol.cmp(&b.symbol));
    // One index is taken over from elsewhere with its divisor.
    let base = if code == "US30" {
        Base {
            value: None,
            divisor: Some("0.16268413125742".parse().unwrap()),
            date: None,
        }
    } else {
        let value = Decimal::from(if count >= 80 { 1_000 } else { 100 });
        Base {
            value: Some(value),
            divisor: None,
            date: Some(CLOSE[..10].to_owned()),
        }
    };
    let mut index = IndexDefinition::new(code, currency, weighting, base, basket);
    index.name = Some(format!("Meridian {name}").replace("Meridian Meridian", "Meridian"));
    index.fx.pivot = Some(currency);
    index.dissemination = dissemination;
    let zone = match currency.as_str() {
        "EUR" => "Europe/Berlin",
        "JPY" => "Asia/Tokyo",
        _ => "America/New_York",
    };
    zone.clone_into(&mut index.day.zone);
    index
}

/// Which securities: by rank, by currency or by sector as the code says, else drawn.
fn members(code: &str, count: usize, companies: &[Company], random: &mut Random) -> Vec<usize> {
    let mut all: Vec<usize> = (0..companies.len()).collect();
    all.sort_by_key(|at| std::cmp::Reverse(companies[*at].size));
    let sector = SECTORS
        .iter()
        .position(|(prefix, _)| code.starts_with(prefix));
    let currency = match code {
        _ if code.starts_with("US") => Some("USD"),
        _ if code.starts_with("EU") => Some("EUR"),
        _ if code.starts_with("JP") => Some("JPY"),
        _ => None,
    };
    match code {
        "W200" => return all.split_off(300),
        "W300" | "TOP10" => {}
        _ if sector.is_some() => all.retain(|at| Some(companies[*at].sector) == sector),
        _ if currency.is_some() => {
            all.retain(|at| Some(companies[*at].definition.currency.as_str()) == currency);
        }
        _ => random.shuffle(&mut all),
    }
    assert!(
        all.len() >= count,
        "{code} has only {} candidates",
        all.len()
    );
    all.truncate(count);
    all
}

fn constituent(
    weighting: Weighting,
    code: &str,
    company: &Company,
    random: &mut Random,
) -> Constituent {
    let mut constituent = Constituent::new(&company.definition.symbol);
    match weighting {
        Weighting::None
        | Weighting::Price
        | Weighting::Equal { .. }
        | Weighting::Score { .. }
        | Weighting::Geometric { .. }
        | Weighting::VolumeMedian => {}
        Weighting::MarketCap => {
            constituent.shares = Some(Decimal::new(company.shares.into(), 0));
            constituent.float = Some(Decimal::new(company.float as i128, 2).normalized());
            if code.contains("CAP") && random.below(4) == 0 {
                constituent.cap =
                    Some(Decimal::new(1_000_000 + random.below(8_999_999) as i128, 7));
            }
        }
        Weighting::FixedUnits => {
            constituent.units = Some(Decimal::new(10 + random.below(4_990) as i128, 0));
        }
        Weighting::FixedWeight { .. } => {
            constituent.weight = Some(Decimal::new(50 + random.below(450) as i128, 2));
        }
        // About 0.9 in all: a tenth earns nothing.
        Weighting::ConstantWeight => {
            let mean = if code == "CW15" { 600 } else { 164 };
            constituent.weight = Some(Decimal::new((mean - 60 + random.below(120)) as i128, 4));
        }
    }
    constituent
}

fn line(row: &impl Serialize) -> String {
    serde_json::to_string(row).unwrap()
}

/// An index with one line for each member.
fn lines(index: &IndexDefinition) -> String {
    let head = IndexDefinition {
        basket: Vec::new(),
        ..index.clone()
    };
    let members: Vec<String> = index.basket.iter().map(line).collect();
    let head = line(&head);
    let head = head.strip_suffix('}').unwrap();
    format!("{head},\"basket\":[\n   {}]}}", members.join(",\n   "))
}

fn list(out: &mut String, name: &str, rows: impl Iterator<Item = String>, end: &str) {
    let rows: Vec<String> = rows.collect();
    out.push_str(&format!(
        " \"{name}\":[\n  {}\n ]{end}\n",
        rows.join(",\n  ")
    ));
}

/// `SplitMix64`: eight lines that give the same numbers for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// A number from `low` on, each doubling up to `high` about equally likely.
    fn spread(&mut self, low: u64, high: u64) -> u64 {
        let doublings = (high / low).ilog2() as usize;
        let floor = low << self.below(doublings + 1);
        (floor + self.next() % floor).min(high)
    }

    fn shuffle(&mut self, list: &mut [usize]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at + 1));
        }
    }
}
