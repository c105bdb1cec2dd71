//! One file per verb: its flags, its help and what it does.

pub(crate) mod action;
pub(crate) mod backfill;
pub(crate) mod calendar;
pub(crate) mod close;
pub(crate) mod correct;
pub(crate) mod demo;
pub(crate) mod history;
pub(crate) mod index;
pub(crate) mod load;
pub(crate) mod open;
pub(crate) mod price;
pub(crate) mod publish;
pub(crate) mod rate;
pub(crate) mod rebalance;
pub(crate) mod security;
pub(crate) mod simulate;
pub(crate) mod status;
pub(crate) mod tail;
pub(crate) mod watch;

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::Globals;
use crate::connection::{Connection, WINDOW};

/// Opens a connection for a verb, lets `work` ask and order over it, and takes leave in order.
pub(crate) async fn connected<T>(
    globals: &Globals,
    verb: &str,
    work: impl AsyncFnOnce(&Connection) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let connection = Connection::open(&globals.broker, verb, WINDOW).await?;
    let outcome = work(&connection).await?;
    connection.close().await;
    Ok(outcome)
}

/// Reads `10s`, `1m30s`, `2h`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok();
    let parsed = match seconds {
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        None => text
            .parse::<jiff::SignedDuration>()
            .ok()
            .and_then(|duration| Duration::try_from(duration).ok()),
    };
    parsed
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| format!("`{text}` is no duration above zero; use 10s, 1m30s or 2h"))
}

/// A line on stderr that says what goes on; hidden where no terminal reads.
fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        let check = |text: &str, millis: Option<u128>| {
            assert_eq!(duration(text).ok().map(|d| d.as_millis()), millis, "{text}");
        };
        check("10s", Some(10_000));
        check("1m30s", Some(90_000));
        check("250ms", Some(250));
        check("1.5", Some(1_500));
        for wrong in ["0", "-1s", "soon", "", "NaN"] {
            check(wrong, None);
        }
    }
}
