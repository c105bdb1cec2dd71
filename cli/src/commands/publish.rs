//! `divisor publish`: prices typed in or piped in.

use std::io::BufRead;

use clap::Args;
use divisor_engine::{Decimal, Time};
use rumqttc::QoS;
use tokio::sync::mpsc;

use crate::cli::Globals;
use crate::exit::{Exit, WrongInput};
use crate::feed::{Fleet, FleetOptions, Quote, Shipment, Subject, time};
use crate::interrupt::Interrupt;
use crate::output::{self, Format};

const EXAMPLES: &str = "\
Examples:
  divisor publish AAPL 189.84
  divisor publish SAP 120.5 --ccy EUR --ts 2026-11-22T14:30:00Z
  divisor publish EUR/USD 1.0825              a rate: USD for one EUR
  printf 'AAPL 189.84\\nMSFT 420.1 2026-11-22T14:30:00Z\\n' | divisor publish -";

/// Send prices and rates
///
/// One from the command line, or many lines `SYMBOL PRICE [TS]` from stdin with `-`. Waits until
/// the daemon has them on disk and says which it refused.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Opts {
    /// The security's symbol, a pair such as EUR/USD, or `-` for lines from stdin
    #[arg(value_name = "SYMBOL")]
    symbol: String,

    /// The price
    #[arg(value_name = "PRICE", allow_negative_numbers = true)]
    price: Option<Decimal>,

    /// When it was made: RFC 3339 or a date; now when absent
    #[arg(long, value_parser = read_time)]
    ts: Option<Time>,

    /// Who made it; a name of this run when absent
    #[arg(long)]
    src: Option<String>,

    /// Traded size
    #[arg(long)]
    size: Option<Decimal>,

    /// The currency it is in; the daemon refuses another than the security's
    #[arg(long)]
    ccy: Option<String>,

    /// Where it traded
    #[arg(long)]
    venue: Option<String>,
}

fn read_time(text: &str) -> Result<Time, String> {
    time(text).ok_or_else(|| format!("`{text}` is no time; use RFC 3339 or a date"))
}

/// Runs the verb.
pub(crate) async fn run(
    opts: Opts,
    globals: &Globals,
    interrupt: &Interrupt,
) -> anyhow::Result<Exit> {
    let single = opts.price;
    if opts.symbol != "-" && single.is_none() {
        return Err(WrongInput::one("the price is missing: divisor publish SYMBOL PRICE").into());
    }
    let options = FleetOptions {
        publishers: 1,
        window: 1000,
        qos: QoS::AtLeastOnce,
        batch: 1,
    };
    let fleet = Fleet::open(&globals.broker, "publish", opts.src.as_deref(), options).await?;
    let mut wrong = 0;
    let mut interrupted = false;
    if opts.symbol == "-" {
        let mut lines = stdin_lines();
        let mut number = 0u64;
        loop {
            let line = tokio::select! {
                line = lines.recv() => line,
                () = interrupt.wait() => {
                    interrupted = true;
                    None
                }
            };
            let Some(line) = line else { break };
            number += 1;
            match parse(&line, &opts) {
                Ok(None) => {}
                Ok(Some((subject, quote))) => fleet.send(0, shipment(&subject, quote)).await?,
                Err(error) => {
                    wrong += 1;
                    output::say(format_args!("-:{number}: {error}"));
                }
            }
        }
    } else {
        let quote = quote(single.unwrap_or(Decimal::ZERO), opts.ts, &opts);
        fleet
            .send(0, shipment(&Subject::parse(&opts.symbol), quote))
            .await?;
    }
    finish(fleet, globals.output, wrong, interrupted).await
}

async fn finish(
    fleet: Fleet,
    format: Format,
    wrong: u64,
    interrupted: bool,
) -> anyhow::Result<Exit> {
    let (accounting, lost) = fleet.finish().await;
    accounting.print(format)?;
    match lost {
        Some(lost) => Err(lost.into()),
        None if interrupted => Ok(Exit::Interrupted),
        None if wrong > 0 => Ok(Exit::Partial),
        None => Ok(accounting.exit()),
    }
}

fn shipment(subject: &Subject, quote: Quote) -> Shipment {
    Shipment {
        topic: subject.topic().into(),
        quotes: vec![quote],
    }
}

fn quote(price: Decimal, ts: Option<Time>, opts: &Opts) -> Quote {
    Quote {
        price,
        ts,
        size: opts.size,
        ccy: opts.ccy.clone(),
        venue: opts.venue.clone(),
    }
}

/// Reads `SYMBOL PRICE [TS]` with blanks or commas between; empty lines and comments are nothing.
fn parse(line: &str, opts: &Opts) -> Result<Option<(Subject, Quote)>, String> {
    let line = line.split('#').next().unwrap_or_default();
    let blank = |c: char| c.is_whitespace() || c == ',';
    let fields: Vec<&str> = line
        .split(blank)
        .filter(|field| !field.is_empty())
        .collect();
    let (symbol, price, ts) = match fields[..] {
        [] => return Ok(None),
        [symbol, price] => (symbol, price, None),
        [symbol, price, ts] => (symbol, price, Some(read_time(ts)?)),
        _ => return Err("a line is SYMBOL PRICE [TS]".to_owned()),
    };
    let price = price
        .parse()
        .map_err(|error| format!("price `{price}`: {error}"))?;
    Ok(Some((
        Subject::parse(symbol),
        quote(price, ts.or(opts.ts), opts),
    )))
}

/// Stdin on a thread of its own: a read that waits for a terminal must not hold the end back.
fn stdin_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(256);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines() {
        let opts = Opts {
            symbol: "-".to_owned(),
            price: None,
            ts: None,
            src: None,
            size: None,
            ccy: Some("USD".to_owned()),
            venue: None,
        };
        let check = |line: &str, expected: Result<Option<&str>, &str>| {
            let got = parse(line, &opts).map(|row| {
                row.map(|(subject, quote)| {
                    let ts = quote.ts.map(|ts| ts.to_string()).unwrap_or_default();
                    format!("{} {} {ts}", subject.topic(), quote.price)
                })
            });
            let expected = expected.map(|text| text.map(str::to_owned));
            assert_eq!(got, expected.map_err(str::to_owned), "{line}");
        };
        check("AAPL 1.5", Ok(Some("securities/AAPL/price 1.5 ")));
        check(
            "EUR/USD,1.08,2021-11-04",
            Ok(Some("fx/EUR/USD/rate 1.08 2021-11-04T00:00:00.000000Z")),
        );
        check("  ", Ok(None));
        check("# nothing", Ok(None));
        check("AAPL", Err("a line is SYMBOL PRICE [TS]"));
        check("AAPL x", Err("price `x`: not a decimal number"));
        check(
            "AAPL 1 noon",
            Err("`noon` is no time; use RFC 3339 or a date"),
        );
    }
}
