//! Draws the board.

use std::collections::VecDeque;
use std::time::Duration;

use divisor_engine::Decimal;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Text, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

use super::board::{Board, Line, TREND_MAX};

/// Rows that Page Up and Page Down pass.
pub(super) const PAGE: isize = 15;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// A level of nine digits with two places, and its change.
const LEVEL_WIDTH: u16 = 14;
const CHANGE_WIDTH: u16 = 12;
const PERCENT_WIDTH: u16 = 10;
const RATE_WIDTH: u16 = 8;
const AGE_WIDTH: u16 = 7;
const STATE_WIDTH: u16 = 11;
/// Below this the line of the last minute says nothing.
const TREND_WIDTH: u16 = 8;
const CODE_WIDTH: u16 = 12;
/// Stands before the row that is selected.
const MARK: &str = "▸ ";

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, board: &mut Board, now: Duration, is_coloured: bool) {
    let [head, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(head_line(board, now)), head);
    table(frame, body, board, now, is_coloured);
    frame.render_widget(Paragraph::new(foot_line(board)), foot);
}

fn faint() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn head_line(board: &mut Board, now: Duration) -> Text<'static> {
    let rate = board.rate.per_second(now);
    let state = board.status.as_ref().map_or("?", |status| &status.state);
    let mut spans = vec![
        Span::styled("Divisor", Style::new().add_modifier(Modifier::BOLD)),
        Span::styled(format!("  {}  ", board.url), faint()),
        Span::raw(state.to_owned()),
        Span::styled(
            format!("  {} indexes  {rate:.0} levels/s", board.len()),
            faint(),
        ),
    ];
    if let Some(status) = &board.status {
        let parts = format!("  store {}  journal {}", status.store, status.journal);
        spans.push(Span::styled(parts, faint()));
    }
    Text::from(spans)
}

fn foot_line(board: &Board) -> Text<'static> {
    if board.typing {
        return Text::from(vec![
            Span::raw(format!("/{}", board.filter)),
            Span::styled("▏", Style::new().add_modifier(Modifier::SLOW_BLINK)),
            Span::styled("  Enter keeps, Esc drops the filter", faint()),
        ]);
    }
    let filter = if board.filter.is_empty() {
        String::new()
    } else {
        format!("filter “{}”  ", board.filter)
    };
    let order = board.order.as_str();
    Text::styled(
        format!("{filter}q quit  ↑↓ move  / filter  s sort: {order}"),
        faint(),
    )
}

fn table(frame: &mut Frame<'_>, area: Rect, board: &mut Board, now: Duration, is_coloured: bool) {
    let others = LEVEL_WIDTH + CHANGE_WIDTH + PERCENT_WIDTH + RATE_WIDTH + AGE_WIDTH + STATE_WIDTH;
    let spare = area.width.saturating_sub(others + 10);
    let trend = spare.saturating_sub(CODE_WIDTH).min(TREND_MAX as u16);
    let trend = if trend < TREND_WIDTH { 0 } else { trend };
    let selected = board.selected;
    let shown = board.shown();
    let selected = selected.min(shown.len().saturating_sub(1));
    let height = usize::from(area.height.saturating_sub(1)).max(1);
    // Only what fits is made into rows: a thousand indexes cost as much as thirty.
    let first = (selected + 1).saturating_sub(height);
    let rows = shown.iter().skip(first).take(height);
    let rows: Vec<Row<'_>> = rows
        .map(|(code, line)| row(code, line, now, usize::from(trend), is_coloured))
        .collect();
    let widths = [
        Constraint::Min(CODE_WIDTH),
        Constraint::Length(LEVEL_WIDTH),
        Constraint::Length(CHANGE_WIDTH),
        Constraint::Length(PERCENT_WIDTH),
        Constraint::Length(trend),
        Constraint::Length(RATE_WIDTH),
        Constraint::Length(AGE_WIDTH),
        Constraint::Length(STATE_WIDTH),
    ];
    let titles = [
        "index",
        "level",
        "change",
        "%",
        "last minute",
        "levels/s",
        "age",
        "status",
    ];
    let header = titles.iter().enumerate().map(|(at, title)| match at {
        0 | 4 | 7 => Cell::from(*title),
        _ => right((*title).to_owned()),
    });
    let table = Table::new(rows, widths)
        .header(Row::new(header).style(faint()))
        .row_highlight_style(Style::new().add_modifier(Modifier::BOLD))
        .highlight_symbol(MARK)
        .column_spacing(1);
    let mut state = TableState::new().with_selected((!shown.is_empty()).then(|| selected - first));
    frame.render_stateful_widget(table, area, &mut state);
    board.selected = selected;
}

fn row(code: &str, line: &Line, now: Duration, trend: usize, is_coloured: bool) -> Row<'static> {
    let level = line.level.as_ref();
    let change = level.and_then(|level| level.chg);
    let moved = moved(change, is_coloured);
    let shown = |value: Option<Decimal>| value.map_or_else(|| "-".to_owned(), |v| v.to_string());
    let arrow = match change.map(|change| change.mantissa().signum()) {
        Some(1) => "▲ ",
        Some(-1) => "▼ ",
        _ => "",
    };
    let percent = level.and_then(|level| level.chg_pct);
    let percent = percent.map_or_else(String::new, |percent| format!("{}%", signed(percent)));
    let seconds = now.saturating_sub(line.seen).as_secs();
    let age = level.map_or_else(|| "-".to_owned(), |_| age(seconds));
    let rate = line.rate.clone().per_second(now);
    let state = level.map_or(line.state.as_str(), |level| level.status.as_str());
    let stale = level.map_or(0, |level| level.stale);
    let state = if stale > 0 {
        format!("{state} ({stale})")
    } else {
        state.to_owned()
    };
    Row::new([
        Cell::from(code.to_owned()),
        right(shown(level.map(|level| level.level))),
        right(change.map_or_else(|| "-".to_owned(), |c| format!("{arrow}{}", signed(c))))
            .style(moved),
        right(percent).style(moved),
        Cell::from(bars(&line.trend, trend)).style(moved),
        right(format!("{rate:.1}")),
        right(age),
        Cell::from(state),
    ])
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Text::from(text).alignment(Alignment::Right))
}

fn signed(value: Decimal) -> String {
    let sign = if value.is_positive() { "+" } else { "" };
    format!("{sign}{value}")
}

fn moved(change: Option<Decimal>, is_coloured: bool) -> Style {
    match change.map(|change| change.mantissa().signum()) {
        Some(1) if is_coloured => Style::new().fg(Color::Green),
        Some(-1) if is_coloured => Style::new().fg(Color::Red),
        _ => Style::new(),
    }
}

/// An age in one unit.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The last values as bars between their least and their greatest.
fn bars(values: &VecDeque<f64>, width: usize) -> String {
    let shown = values.iter().skip(values.len().saturating_sub(width));
    let low = shown.clone().copied().fold(f64::INFINITY, f64::min);
    let high = shown.clone().copied().fold(f64::NEG_INFINITY, f64::max);
    let top = (BARS.len() - 1) as f64;
    shown
        .map(|value| {
            let part = if high > low {
                (value - low) / (high - low)
            } else {
                0.5
            };
            // Between 0 and 7 by construction; a cast saturates.
            BARS.get((part * top).round() as usize)
                .copied()
                .unwrap_or(' ')
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use divisor_wire::topic::STATUS_TOPIC;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn level(index: &str, level: &str, chg: &str, pct: &str, seq: u64) -> String {
        format!(
            r#"{{"v":1,"index":"{index}","level":"{level}","chg":"{chg}","chg_pct":"{pct}",
            "prev_close":"100.00","ts":"2026-01-05T16:00:00Z","ts_calc":"2026-01-05T16:00:00Z",
            "epoch":1,"seq":{seq},"pos":{seq},"rev":1,"status":"live","stale":0}}"#
        )
    }

    fn seconds(at: u64) -> Duration {
        Duration::from_secs(at)
    }

    fn text(board: &mut Board, width: u16, height: u16, now: Duration) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal
            .draw(|frame| draw(frame, board, now, true))
            .unwrap();
        let buffer = terminal.backend().buffer().clone();
        let lines = buffer.content.chunks(usize::from(width));
        let line = |cells: &[ratatui::buffer::Cell]| {
            let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
            line.trim_end().to_owned()
        };
        lines.map(line).collect()
    }

    fn filled() -> Board {
        let mut board = Board::new("mqtt://broker:1883".to_owned(), String::new());
        for at in 0..5 {
            let value = format!("10{at}.00");
            let text = level("UP", &value, &format!("{at}.00"), &format!("{at}.00"), at);
            board.take("indexes/UP/level", text.as_bytes(), seconds(at));
        }
        let down = level("DOWN", "36124.23", "-33.35", "-0.09", 9);
        board.take("indexes/DOWN/level", down.as_bytes(), seconds(3));
        board.take("indexes/X/level", b"no level", seconds(3));
        board
    }

    #[test]
    fn shows_levels_changes_and_lines() {
        let mut board = filled();
        let status = r#"{"v":1,"state":"online","version":"0","epoch":1,"store":"ok",
            "journal":"ok","securities":1,"indexes":2,"pos":9,"projected":9,"client":"x"}"#;
        board.take(STATUS_TOPIC, status.as_bytes(), seconds(4));
        let lines = text(&mut board, 110, 6, seconds(5));
        assert!(
            lines[0].starts_with("Divisor  mqtt://broker:1883"),
            "{lines:#?}"
        );
        assert!(lines[0].contains("2 indexes  1 levels/s"), "{lines:#?}");
        assert!(lines[1].trim_start().starts_with("index"), "{lines:#?}");
        let parts = |line: &str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            parts(&lines[2]),
            [
                "▸", "DOWN", "36124.23", "▼", "-33.35", "-0.09%", "▅", "0.2", "2", "s", "live"
            ],
            "{lines:#?}"
        );
        assert_eq!(
            parts(&lines[3]),
            [
                "UP",
                "104.00",
                "▲",
                "+4.00",
                "+4.00%",
                "▁▃▅▆█",
                "1.0",
                "1",
                "s",
                "live"
            ],
            "{lines:#?}"
        );
        assert!(lines[5].contains("q quit"), "{lines:#?}");
    }

    #[test]
    fn a_narrow_window_leaves_the_line_out() {
        let lines = text(&mut filled(), 80, 5, seconds(5));
        assert!(!lines.concat().contains('▅'), "{lines:#?}");
        assert!(
            lines[2].contains("36124.23") && lines[2].ends_with("live"),
            "{lines:#?}"
        );
    }

    #[test]
    fn filters_sorts_and_scrolls() {
        let mut board = filled();
        let codes = |board: &mut Board| {
            let lines = text(board, 100, 4, seconds(5));
            let first = |line: &String| {
                line.trim_start_matches(MARK)
                    .split(' ')
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            };
            lines[2..3].iter().map(first).collect::<Vec<_>>()
        };
        // One row fits beside head, titles and foot: it is the marked one.
        assert_eq!(codes(&mut board), ["DOWN"]);
        board.step(1);
        assert_eq!(codes(&mut board), ["UP"]);
        board.step(isize::MAX);
        assert_eq!(codes(&mut board), ["UP"]);
        board.step(isize::MIN);
        board.order = board.order.next();
        assert_eq!(codes(&mut board), ["UP"], "the gain first");
        board.order = board.order.next();
        assert_eq!(codes(&mut board), ["DOWN"], "the loss first");
        board.filter = "up".to_owned();
        assert_eq!(codes(&mut board), ["UP"]);
        board.filter = "none of them".to_owned();
        assert_eq!(codes(&mut board), [""]);
    }

    #[test]
    fn bars_lie_between_least_and_greatest() {
        let check = |values: &[f64], width: usize, expected: &str| {
            let values: VecDeque<f64> = values.iter().copied().collect();
            assert_eq!(bars(&values, width), expected);
        };
        check(&[], 5, "");
        check(&[1.0, 1.0], 5, "▅▅");
        check(&[1.0, 2.0, 3.0], 5, "▁▅█");
        check(&[9.0, 1.0, 2.0], 2, "▁█");
        check(&[1.0], 0, "");
    }
}
