//! `divisor history`: levels, candles or official closes of the past.

use clap::Args;
use divisor_engine::Decimal;
use serde::{Deserialize, Serialize};

use crate::cli::Globals;
use crate::exit::Exit;
use crate::output::{self, Format, Row};
use crate::web::{self, HttpArgs, Site, escape};

const EXAMPLES: &str = "\
Examples:
  divisor history DJIA                                  the last levels
  divisor history DJIA --from 2021-11-03 --to 2021-11-10
  divisor history DJIA --from 2021-11-03 --as-of published
  divisor history DJIA --from 2021-11-03 --candles 1d -o csv
  divisor history DJIA --candles 1m -n 60 -o json
  divisor history DJIA --closes --from 2021-11-01       official closes";

/// Rows without `--from` and `-n`.
const LAST: usize = 20;

/// Rows asked for at once.
const PAGE: usize = 5_000;

/// Print levels, candles or official closes of the past
///
/// From the daemon's HTTP side, which reads them from PostgreSQL.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Opts {
    /// The index
    #[arg(value_name = "INDEX")]
    index: String,

    /// The first time: RFC 3339, or a date, whose day begins in UTC
    ///
    /// Without it the last rows are printed.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,

    /// The first time that is left out
    #[arg(long, value_name = "TIME")]
    to: Option<String>,

    /// What was right as of a time: `published`, `now` (as without it), or RFC 3339
    ///
    /// `published` leaves every correction out, a time those that came later.
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,

    /// Candles of this length instead of levels
    #[arg(long, value_name = "STEP", value_parser = ["1s", "5s", "1m", "5m", "15m", "1h", "1d"])]
    candles: Option<String>,

    /// Official closes instead of levels: `--from` and `--to` are days then
    #[arg(long, conflicts_with = "candles")]
    closes: bool,

    /// Rows at the most; all of them with `--from`, 20 without
    #[arg(short = 'n', long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,

    #[command(flatten)]
    http: HttpArgs,
}

/// A page of the daemon's.
#[derive(Debug, Deserialize)]
struct Page<R> {
    rows: Vec<R>,
    next: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Level {
    ts: String,
    level: Decimal,
    seq: u64,
    rev: u32,
    status: String,
    stale: u32,
    ts_calc: String,
    pos: u64,
}

impl Row for Level {
    const COLUMNS: &'static [&'static str] = &[
        "ts", ">level", ">seq", ">rev", "status", ">stale", "ts_calc", ">pos",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.ts.clone(),
            self.level.to_string(),
            self.seq.to_string(),
            self.rev.to_string(),
            self.status.clone(),
            self.stale.to_string(),
            self.ts_calc.clone(),
            self.pos.to_string(),
        ]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Candle {
    ts: String,
    open: Decimal,
    high: Decimal,
    low: Decimal,
    close: Decimal,
    count: u64,
}

impl Row for Candle {
    const COLUMNS: &'static [&'static str] = &["ts", ">open", ">high", ">low", ">close", ">count"];

    fn cells(&self) -> Vec<String> {
        let prices = [self.open, self.high, self.low, self.close];
        let mut cells = vec![self.ts.clone()];
        cells.extend(prices.iter().map(ToString::to_string));
        cells.push(self.count.to_string());
        cells
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Close {
    day: String,
    level: Decimal,
    prev_close: Option<Decimal>,
    status: String,
    divisor: Option<Decimal>,
    soq: Option<Decimal>,
    rev: u32,
    ts: String,
    seq: u64,
    pos: u64,
}

impl Row for Close {
    const COLUMNS: &'static [&'static str] = &[
        "day",
        ">level",
        ">prev_close",
        "status",
        ">divisor",
        ">soq",
        ">rev",
        "ts",
        ">seq",
        ">pos",
    ];

    fn cells(&self) -> Vec<String> {
        let text = |value: Option<Decimal>| value.map_or_else(|| "-".to_owned(), |v| v.to_string());
        vec![
            self.day.clone(),
            self.level.to_string(),
            text(self.prev_close),
            self.status.clone(),
            text(self.divisor),
            text(self.soq),
            self.rev.to_string(),
            self.ts.clone(),
            self.seq.to_string(),
            self.pos.to_string(),
        ]
    }
}

/// Runs the verb.
pub(crate) async fn run(opts: Opts, globals: &Globals) -> anyhow::Result<Exit> {
    let site = opts.http.site(globals)?;
    let index = escape(&opts.index);
    if opts.closes {
        return closes(&site, &index, &opts, globals.output).await;
    }
    match &opts.candles {
        Some(step) => {
            let path = format!("api/v1/indexes/{index}/candles?step={step}");
            print::<Candle>(&site, &path, &opts, globals.output).await?;
        }
        None => {
            let path = format!("api/v1/indexes/{index}/levels?");
            print::<Level>(&site, &path, &opts, globals.output).await?;
        }
    }
    Ok(Exit::Done)
}

/// Prints closes: a day has one, so that all of them fit a table.
async fn closes(site: &Site, index: &str, opts: &Opts, format: Format) -> anyhow::Result<Exit> {
    let wanted = match (opts.limit, &opts.from) {
        (Some(limit), _) => limit as usize,
        (None, Some(_)) => usize::MAX,
        (None, None) => LAST,
    };
    let mut rows: Vec<Close> = Vec::new();
    let mut to = opts.to.clone();
    // Pages go backwards, from the newest day on.
    loop {
        let limit = (wanted - rows.len()).min(PAGE);
        let mut path = format!("api/v1/indexes/{index}/closes?limit={limit}");
        for (name, value) in [("from", &opts.from), ("to", &to), ("as_of", &opts.as_of)] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", escape(value)));
            }
        }
        let page: Page<Close> = web::json(site, &path).await?;
        rows.splice(0..0, page.rows);
        match page.next {
            Some(next) if rows.len() < wanted => to = Some(next),
            _ => break,
        }
    }
    output::rows(format, &rows)?;
    Ok(Exit::Done)
}

/// Prints page by page, but for a table, whose columns are as wide as their widest cell.
async fn print<R: Row + serde::de::DeserializeOwned>(
    site: &Site,
    path: &str,
    opts: &Opts,
    format: Format,
) -> anyhow::Result<()> {
    let mut left = match (opts.limit, &opts.from) {
        (Some(limit), _) => limit as usize,
        (None, Some(_)) => usize::MAX,
        (None, None) => LAST,
    };
    let mut query = String::new();
    for (name, value) in [
        ("from", &opts.from),
        ("to", &opts.to),
        ("as_of", &opts.as_of),
    ] {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={}", escape(value)));
        }
    }
    let mut table: Vec<R> = Vec::new();
    if format == Format::Csv {
        output::csv(R::COLUMNS.iter().map(|name| name.trim_start_matches('>')))?;
    }
    let mut cursor = String::new();
    while left > 0 {
        let address = format!("{path}{query}&limit={}{cursor}", left.min(PAGE));
        let page: Page<R> = web::json(site, &address).await?;
        left = left.saturating_sub(page.rows.len());
        for row in &page.rows {
            match format {
                Format::Json => output::json(row)?,
                Format::Csv => output::csv(row.cells())?,
                Format::Table => {}
            }
        }
        if format == Format::Table {
            table.extend(page.rows);
        }
        match page.next {
            Some(next) => cursor = format!("&cursor={}", escape(&next)),
            None => break,
        }
    }
    if format == Format::Table {
        output::rows(format, &table)?;
    }
    Ok(())
}
