//! The only place that prints: data to stdout in one of three formats, talk to stderr.
//!
//! Colours are written always and stripped by anstream where they do not belong: in a pipe, with
//! `NO_COLOR`, with `--color never`.

use std::fmt;
use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// How data leaves on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// One object per line
    Json,
    /// With a header line
    Csv,
}

/// A kind of line: its columns for table and CSV, its fields for JSON.
pub(crate) trait Row: Serialize {
    /// The columns' names; those that start with `>` hold numbers and stand to the right.
    const COLUMNS: &'static [&'static str];

    /// The text of each column.
    fn cells(&self) -> Vec<String>;
}

/// Prints whole tables.
pub(crate) fn rows<R: Row>(format: Format, rows: &[R]) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    match format {
        Format::Table => table::<R>(&mut out, rows)?,
        Format::Json => {
            for row in rows {
                json_line(&mut out, row)?;
            }
        }
        Format::Csv => {
            csv_line(
                &mut out,
                R::COLUMNS.iter().map(|c| c.trim_start_matches('>')),
            )?;
            for row in rows {
                csv_line(&mut out, row.cells())?;
            }
        }
    }
    out.flush()
}

fn table<R: Row>(out: &mut impl Write, rows: &[R]) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(R::COLUMNS.iter().map(|c| c.trim_start_matches('>')));
    for row in rows {
        table.add_row(row.cells());
    }
    for (at, name) in R::COLUMNS.iter().enumerate() {
        if let (true, Some(column)) = (name.starts_with('>'), table.column_mut(at)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    writeln!(out, "{}", table.trim_fmt())
}

/// Prints one value as a line of JSON.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    json_line(&mut anstream::stdout().lock(), value)
}

fn json_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let line = serde_json::to_string(value).map_err(io::Error::other)?;
    writeln!(out, "{line}")
}

/// Prints one line of CSV, quoted where it must be.
pub(crate) fn csv<I: IntoIterator<Item = T>, T: AsRef<[u8]>>(fields: I) -> io::Result<()> {
    csv_line(&mut anstream::stdout().lock(), fields)
}

fn csv_line<I, T>(out: &mut impl Write, fields: I) -> io::Result<()>
where
    I: IntoIterator<Item = T>,
    T: AsRef<[u8]>,
{
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields).map_err(io::Error::other)?;
    out.write_all(
        &writer
            .into_inner()
            .map_err(|e| io::Error::other(e.to_string()))?,
    )
}

/// Prints a line of data as it is.
pub(crate) fn line(text: fmt::Arguments<'_>) -> io::Result<()> {
    writeln!(anstream::stdout().lock(), "{text}")
}

/// Says something on stderr. That nobody listens there is nobody's problem.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Green for a rise, red for a fall.
pub(crate) fn coloured(text: &str, rises: Option<bool>) -> String {
    match rises {
        Some(true) => format!("\x1b[32m{text}\x1b[0m"),
        Some(false) => format!("\x1b[31m{text}\x1b[0m"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Pair {
        name: String,
        count: u32,
    }

    impl Row for Pair {
        const COLUMNS: &'static [&'static str] = &["name", ">count"];

        fn cells(&self) -> Vec<String> {
            vec![self.name.clone(), self.count.to_string()]
        }
    }

    #[test]
    fn prints_tables_with_numbers_to_the_right() {
        let mut out = Vec::new();
        let pairs = [("a", 5), ("bcd", 1_000)].map(|(name, count)| Pair {
            name: name.to_owned(),
            count,
        });
        table(&mut out, &pairs).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(" a         5"), "{text}");
        assert!(text.contains(" bcd    1000"), "{text}");
    }

    #[test]
    fn quotes_csv() {
        let mut out = Vec::new();
        csv_line(&mut out, ["a,b", "c\"d", "e"]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\"a,b\",\"c\"\"d\",e\n");
    }
}
