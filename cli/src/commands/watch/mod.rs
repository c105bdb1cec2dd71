//! `divisor watch`: the indexes in a terminal, as they move.

mod board;
mod rate;
mod screen;

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use clap::Args;
use divisor_wire::command::IndexRow;
use divisor_wire::topic::{STATUS_TOPIC, level_topic};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::duration;
use crate::cli::Globals;
use crate::connection::{Connection, Message, WINDOW};
use crate::exit::{Exit, WrongInput};
use crate::interrupt::Interrupt;
use board::Board;

/// A terminal that is drawn more often only flickers.
const FRAME: Duration = Duration::from_millis(200);
/// How long the thread that reads keys may take to notice the end.
const KEYS_POLL: Duration = Duration::from_millis(100);
/// Keys that may wait; a person does not type more between two frames.
const KEYS_MAX: usize = 64;

const EXAMPLES: &str = "\
Examples:
  divisor watch                 every index
  divisor watch DJIA            those whose code contains this
  divisor watch --for 1m        and an end
Keys: q quit, arrows or j k move, / filter, s sort, Home End";

/// Watch the indexes in the terminal
///
/// Level, change against the previous close, a line of the last minute, levels a second, the age of
/// the last one, and what it is worth. `divisor tail` prints lines instead, for pipes and files.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Opts {
    /// Show only codes and names that contain this
    #[arg(value_name = "FILTER", default_value = "")]
    filter: String,

    /// End after this time, such as 10s or 1m
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    span: Option<Duration>,
}

/// Runs the verb.
pub(crate) async fn run(
    opts: Opts,
    globals: &Globals,
    interrupt: &Interrupt,
) -> anyhow::Result<Exit> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let message = "divisor watch needs a terminal; divisor tail prints lines";
        return Err(WrongInput::one(message).into());
    }
    let mut connection = Connection::open(&globals.url, "watch", WINDOW).await?;
    let messages = connection.messages();
    let mut board = Board::new(globals.url.to_string(), opts.filter);
    let is_coloured = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
    // The screen comes first: reading must not wait for grants.
    let mut terminal = ratatui::try_init()?;
    let watched = tokio::select! {
        watched = watch(&mut terminal, &connection, messages, &mut board, is_coloured) => watched,
        () = interrupt.wait() => Ok(Exit::Interrupted),
        () = after(opts.span) => Ok(Exit::Done),
    };
    ratatui::try_restore()?;
    let exit = watched?;
    connection.close().await;
    Ok(exit)
}

/// Sleeps; for ever without a span.
async fn after(span: Option<Duration>) {
    match span {
        Some(span) => tokio::time::sleep(span).await,
        None => std::future::pending().await,
    }
}

async fn watch(
    terminal: &mut DefaultTerminal,
    connection: &Connection,
    mut messages: mpsc::Receiver<Message>,
    board: &mut Board,
    is_coloured: bool,
) -> anyhow::Result<Exit> {
    let start = Instant::now();
    let mut keys = keys();
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let filters = vec![level_topic("+"), STATUS_TOPIC.to_owned()];
    let mut subscribed = Box::pin(connection.subscribe(filters));
    let mut granted = false;
    // Names, and those that have no level yet. What cannot be asked is not shown.
    let mut listed = Box::pin(connection.list::<IndexRow>("index.list"));
    let mut known = false;
    loop {
        tokio::select! {
            result = &mut subscribed, if !granted => {
                result?;
                granted = true;
            }
            rows = &mut listed, if granted && !known => {
                known = true;
                board.list(rows.unwrap_or_default());
            }
            message = messages.recv() => match message {
                Some(message) => board.take(&message.topic, &message.payload, start.elapsed()),
                None => return Err(connection.lost().into()),
            },
            Some(key) = keys.recv() => {
                if press(board, key) {
                    return Ok(Exit::Done);
                }
                terminal.draw(|frame| screen::draw(frame, board, start.elapsed(), is_coloured))?;
            }
            _ = frames.tick() => {
                terminal.draw(|frame| screen::draw(frame, board, start.elapsed(), is_coloured))?;
            }
        }
    }
}

/// Reads keys on a thread of their own until nobody wants them any more.
fn keys() -> mpsc::Receiver<KeyEvent> {
    let (sender, receiver) = mpsc::channel(KEYS_MAX);
    std::thread::spawn(move || {
        while !sender.is_closed() {
            match event::poll(KEYS_POLL) {
                Ok(false) => {}
                Ok(true) => match event::read() {
                    Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                        if sender.blocking_send(key).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => return,
                },
                Err(_) => return,
            }
        }
    });
    receiver
}

/// Carries a key out; true is the wish to leave.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a key without a meaning has none, however many there will be"
)]
fn press(board: &mut Board, key: KeyEvent) -> bool {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return key.code == KeyCode::Char('c');
    }
    if board.typing {
        match key.code {
            KeyCode::Enter => board.typing = false,
            KeyCode::Esc => {
                board.typing = false;
                board.filter.clear();
            }
            KeyCode::Backspace => {
                board.filter.pop();
            }
            KeyCode::Char(character) => board.filter.push(character),
            _ => {}
        }
        return false;
    }
    match key.code {
        KeyCode::Char('q') => return true,
        KeyCode::Esc if board.filter.is_empty() => return true,
        KeyCode::Esc => board.filter.clear(),
        KeyCode::Char('/') => board.typing = true,
        KeyCode::Char('s') => board.order = board.order.next(),
        KeyCode::Down | KeyCode::Char('j') => board.step(1),
        KeyCode::Up | KeyCode::Char('k') => board.step(-1),
        KeyCode::PageDown => board.step(screen::PAGE),
        KeyCode::PageUp => board.step(-screen::PAGE),
        KeyCode::Home => board.step(isize::MIN),
        KeyCode::End => board.step(isize::MAX),
        _ => {}
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_what_the_foot_line_says() {
        let mut board = Board::new("here".to_owned(), String::new());
        let mut check = |keys: &[KeyCode], filter: &str, typing: bool, leaves: bool| {
            let mut left = false;
            for code in keys {
                left = press(&mut board, KeyEvent::from(*code));
            }
            assert_eq!(
                (board.filter.as_str(), board.typing, left),
                (filter, typing, leaves),
                "{keys:?}"
            );
        };
        let typed = |character| KeyCode::Char(character);
        check(&[typed('/'), typed('d'), typed('q')], "dq", true, false);
        check(&[KeyCode::Backspace, KeyCode::Enter], "d", false, false);
        check(&[typed('j'), typed('s'), KeyCode::End], "d", false, false);
        check(&[KeyCode::Esc], "", false, false);
        check(&[typed('q')], "", false, true);
        check(&[KeyCode::Esc], "", false, true);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert!(press(&mut board, interrupt));
    }
}
