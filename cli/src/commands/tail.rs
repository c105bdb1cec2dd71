//! `divisor tail`: levels as they are published.

use std::collections::HashMap;
use std::time::Duration;

use clap::Args;
use divisor_engine::Decimal;
use divisor_wire::event::EventMessage;
use divisor_wire::topic::{event_topic, level_topic};
use tokio::time::{Instant, sleep_until};

use super::{duration, index};
use crate::cli::Globals;
use crate::connection::{Connection, Message, RequestError, WINDOW};
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::levels::{self, Continuity, Gaps, LevelRow};
use crate::output::{self, Format, Row};

const EXAMPLES: &str = "\
Examples:
  divisor tail                       every index
  divisor tail DJIA --changed        one, when its level moves
  divisor tail DJIA -n 1             its level now: the broker keeps the last one
  divisor tail --for 1m -o csv       a minute for a spreadsheet
  divisor tail --events              new divisors and changes of status too";

/// Print levels as they are published
///
/// The first line of each index is the level that stands; the others follow as they come. Each
/// level carries a number that rises by one: a warning on stderr says when some are missing.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Opts {
    /// Index codes; all when none is given
    #[arg(value_name = "INDEX")]
    indexes: Vec<String>,

    /// End after so many lines
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// End after this time, such as 10s or 1m
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    span: Option<Duration>,

    /// Only levels that differ from the one before
    #[arg(long)]
    changed: bool,

    /// Revisions and changes of status too
    #[arg(long)]
    events: bool,
}

/// Runs the verb.
pub(crate) async fn run(
    opts: Opts,
    globals: &Globals,
    interrupt: &Interrupt,
) -> anyhow::Result<Exit> {
    let mut connection = Connection::open(&globals.broker, "tail", WINDOW).await?;
    let mut messages = connection.messages();
    let deadline = opts.span.map(|span| Instant::now() + span);
    let mut printer = Printer::new(globals.output, opts.changed);
    // Levels may arrive before the grant does, and reading must not wait for it.
    let mut subscribed = Box::pin(connection.subscribe(filters(&opts)));
    let mut granted = false;
    let mut look = Box::pin(unknown(&connection, &opts.indexes));
    let mut looked = opts.indexes.is_empty();
    let exit = loop {
        tokio::select! {
            result = &mut subscribed, if !granted => {
                result?;
                granted = true;
                printer.header()?;
            }
            unknown = &mut look, if granted && !looked => {
                looked = true;
                for code in unknown {
                    output::say(format_args!("note: there is no index {code} yet; waiting for it"));
                }
            }
            message = messages.recv() => match message {
                Some(message) => printer.print(&message)?,
                None => return Err(connection.lost().into()),
            },
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                break Exit::Done;
            }
            () = interrupt.wait() => break Exit::Interrupted,
        }
        if opts.count.is_some_and(|count| printer.lines >= count) {
            break Exit::Done;
        }
    };
    printer.farewell();
    drop(subscribed);
    drop(look);
    drop(messages);
    connection.close().await;
    Ok(exit)
}

/// Those of the indexes that the daemon does not know. What cannot be asked is not told: levels
/// come all the same.
async fn unknown<'a>(connection: &Connection, codes: &'a [String]) -> Vec<&'a str> {
    let mut unknown = Vec::new();
    for code in codes {
        let shown = index::request(connection, code).await;
        if matches!(shown, Err(RequestError::Refused(error)) if error.kind == "not_found") {
            unknown.push(code.as_str());
        }
    }
    unknown
}

fn filters(opts: &Opts) -> Vec<String> {
    let codes: Vec<&str> = if opts.indexes.is_empty() {
        vec!["+"]
    } else {
        opts.indexes.iter().map(String::as_str).collect()
    };
    let levels = codes.iter().map(|code| level_topic(code));
    let events = codes
        .iter()
        .filter(|_| opts.events)
        .map(|code| event_topic(code));
    levels.chain(events).collect()
}

/// Turns messages into lines.
struct Printer {
    format: Format,
    headed: bool,
    changed: bool,
    lines: u64,
    missing: u64,
    gaps: Gaps,
    last: HashMap<String, Decimal>,
}

impl Printer {
    fn new(format: Format, changed: bool) -> Self {
        Self {
            format,
            headed: false,
            changed,
            lines: 0,
            missing: 0,
            gaps: Gaps::default(),
            last: HashMap::new(),
        }
    }

    /// The header, once. It comes when the subscription stands: who reads it misses nothing that
    /// comes after.
    fn header(&mut self) -> std::io::Result<()> {
        if std::mem::replace(&mut self.headed, true) {
            return Ok(());
        }
        match self.format {
            Format::Table => output::line(format_args!("{}", levels::header())),
            Format::Csv => output::csv(LevelRow::COLUMNS),
            Format::Json => Ok(()),
        }
    }

    fn print(&mut self, message: &Message) -> anyhow::Result<()> {
        if message.topic.ends_with("/event") {
            return self.event(message);
        }
        if message.payload.is_empty() {
            // Deleted, or under another code: the topic's last value is cleared.
            output::say(format_args!("{}  ends here", message.topic));
            return Ok(());
        }
        let Some(level) = levels::read(&message.payload) else {
            output::say(format_args!("warning: {} holds no level", message.topic));
            return Ok(());
        };
        match self.gaps.see(&level.index, level.seq, message.retained) {
            Continuity::Next => {}
            Continuity::Repeated => return Ok(()),
            Continuity::Gap(from, to) => {
                self.missing += to - from + 1;
                let index = &level.index;
                output::say(format_args!(
                    "warning: levels {from} to {to} of {index} are missing"
                ));
            }
        }
        let before = self.last.insert(level.index.clone(), level.level);
        if self.changed && before == Some(level.level) {
            return Ok(());
        }
        self.lines += 1;
        self.header()?;
        match self.format {
            Format::Table => output::line(format_args!("{}", levels::line(&level)))?,
            Format::Csv => output::csv(LevelRow(level).cells())?,
            Format::Json => output::json(&level)?,
        }
        Ok(())
    }

    /// Events are data in JSON, and talk beside a table of levels.
    fn event(&mut self, message: &Message) -> anyhow::Result<()> {
        let Ok(event) = serde_json::from_slice::<EventMessage>(&message.payload) else {
            output::say(format_args!("warning: {} holds no event", message.topic));
            return Ok(());
        };
        if self.format == Format::Json {
            self.lines += 1;
            return Ok(output::json(&event)?);
        }
        output::say(format_args!("{}", sentence(event)));
        Ok(())
    }

    fn farewell(&self) {
        if self.missing > 0 {
            output::say(format_args!(
                "{} levels printed, {} missing",
                self.lines, self.missing
            ));
        }
    }
}

/// A correction in one line.
fn restated(event: EventMessage) -> String {
    let EventMessage::Correction {
        index,
        run,
        what,
        why,
        levels,
        largest,
        from,
        ..
    } = event
    else {
        return String::new();
    };
    let from = from.map_or_else(String::new, |from| format!(" from {from} on"));
    let largest = largest.map_or_else(String::new, |most| format!(", by {most} at the most"));
    format!(
        "{index}  run {run} restates {levels} levels{from}{largest}: {} ({})",
        what.join("; "),
        why.join("; ")
    )
}

/// An event in one line.
fn sentence(event: EventMessage) -> String {
    match event {
        EventMessage::Revision {
            index,
            rev,
            cause,
            divisor,
            effective,
            constituents,
            ..
        } => {
            let divisor = divisor.map_or_else(|| "-".to_owned(), |divisor| divisor.to_string());
            format!(
                "{effective}  {index}  revision {rev} ({cause}): divisor {divisor}, {constituents} constituents"
            )
        }
        EventMessage::Status {
            index, status, ts, ..
        } => format!("{ts}  {index}  is {status} now"),
        EventMessage::Close {
            index,
            day,
            level,
            status,
            ..
        } => format!("{index}  {day}: {level} {status}"),
        event @ EventMessage::Correction { .. } => restated(event),
        EventMessage::Life {
            index,
            life,
            former,
            ..
        } => match former {
            Some(former) => format!("{index}  was {former} before"),
            None => format!("{index}  is {life} now"),
        },
        EventMessage::Held {
            index,
            subject,
            price,
            doubt,
            reference,
            ts,
            pos,
            ..
        } => format!(
            "{ts}  {index}  {subject} at {price} is held as {pos} ({doubt}, beside {reference})"
        ),
        EventMessage::Quotation {
            index,
            day,
            level,
            missing,
            ..
        } => {
            format!("{index}  {day}: opening quotation {level}, {missing} without an opening price")
        }
        EventMessage::Action {
            index,
            action,
            kind,
            state,
            why,
            ex_date,
            ..
        } => {
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            format!("{ex_date}  {index}  {kind} {action} is {state}{why}")
        }
    }
}
