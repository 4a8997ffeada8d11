//! Pages as text.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use super::cell::Cell;
use super::page::{Page, Part, Table};
use super::yaml;

/// How answers are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The columns of RocketMQ's mqadmin.
    #[default]
    Table,
    /// A table with all columns.
    Wide,
    /// One JSON value; of commands that go on, one a line.
    Json,
    /// One YAML document; of commands that go on, one after the other.
    Yaml,
    /// A line of names, then a line a row.
    Csv,
}

/// Writes to standard output.
#[derive(Debug)]
pub struct Printer {
    pub format: Format,
    /// Heads of columns are bold.
    colours: bool,
    /// Columns of the last row of a stream, to say them once.
    streamed: Option<&'static str>,
}

impl Printer {
    /// Colours are for terminals only, and not if `NO_COLOR` is set.
    pub fn new(format: Format) -> Printer {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Printer { format, colours: wanted && io::stdout().is_terminal(), streamed: None }
    }

    pub fn is_for_people(&self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    /// Whether all is asked for that there is.
    pub fn is_wide(&self) -> bool {
        self.format != Format::Table
    }

    /// Empties the terminal for the next answer; without one, answers stand below each other.
    ///
    /// # Errors
    /// As [`Printer::page`].
    pub fn clear(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.is_for_people() && out.is_terminal() {
            out.write_all(b"\x1b[H\x1b[2J")?;
        }
        out.flush()
    }

    /// Prints a whole answer.
    ///
    /// # Errors
    /// If standard output takes nothing, as when its reader has ended.
    pub fn page(&self, page: &Page) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(self.render(page).as_bytes())?;
        out.flush()
    }

    /// Prints a line, for people only.
    ///
    /// # Errors
    /// As [`Printer::page`].
    pub fn line(&self, text: &str) -> io::Result<()> {
        if self.is_for_people() {
            writeln!(io::stdout().lock(), "{text}")?;
        }
        Ok(())
    }

    /// Prints one row of an answer that goes on: `text` for people, as the row of a table with
    /// these columns for programs.
    ///
    /// # Errors
    /// As [`Printer::page`].
    pub fn row(&mut self, table: &Table, text: &str, row: &[Cell]) -> io::Result<()> {
        let line = match self.format {
            Format::Table | Format::Wide => format!("{text}\n"),
            Format::Json => format!("{}\n", table.object(row)),
            Format::Yaml => format!("---\n{}", yaml::document(&table.object(row))),
            Format::Csv => {
                let head = self.streamed != Some(table.name);
                self.streamed = Some(table.name);
                let heads = if head { csv_heads(table) } else { String::new() };
                heads + &csv_row(row)
            }
        };
        let mut out = io::stdout().lock();
        out.write_all(line.as_bytes())?;
        out.flush()
    }

    pub(super) fn render(&self, page: &Page) -> String {
        match self.format {
            Format::Table | Format::Wide => self.for_people(page),
            Format::Json => {
                let text = serde_json::to_string_pretty(&page.value());
                text.expect("values are JSON") + "\n"
            }
            Format::Yaml => yaml::document(&page.value()),
            Format::Csv => csv(page),
        }
    }

    fn for_people(&self, page: &Page) -> String {
        let mut text = String::new();
        for part in &page.parts {
            match part {
                Part::Table(table) => text += &self.aligned(table),
                Part::Text(line)
                | Part::Fact { text: line, .. }
                | Part::Done { text: line, .. }
                | Part::Document { text: line, .. } => {
                    text += line;
                    text.push('\n');
                }
            }
        }
        text
    }

    /// Two spaces between columns, as wide as they must be, so that `awk` finds them.
    fn aligned(&self, table: &Table) -> String {
        let shown: Vec<usize> = (0..table.columns.len())
            .filter(|place| self.format == Format::Wide || !table.columns[*place].wide)
            .collect();
        let width = |place: usize| {
            let cells = table.rows.iter().map(|row| row[place].text.chars().count());
            let head = if table.headed { table.columns[place].head.chars().count() } else { 0 };
            cells.max().unwrap_or(0).max(head)
        };
        let widths: Vec<usize> = shown.iter().map(|place| width(*place)).collect();
        let line = |texts: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for ((text, width), place) in texts.zip(&widths).zip(&shown) {
                match table.columns[*place].right {
                    true => line += &format!("{text:>width$}  "),
                    false => line += &format!("{text:<width$}  "),
                }
            }
            line.trim_end().to_owned()
        };
        let mut text = String::new();
        if table.headed {
            let heads = line(&mut shown.iter().map(|place| table.columns[*place].head));
            text += &if self.colours { format!("\x1b[1m{heads}\x1b[0m") } else { heads };
            text.push('\n');
        }
        for row in &table.rows {
            text += &line(&mut shown.iter().map(|place| row[*place].text.as_str()));
            text.push('\n');
        }
        text
    }
}

/// Each table with its own heads; what is not in tables as a table of keys and values.
fn csv(page: &Page) -> String {
    let mut text = String::new();
    let mut last = None;
    for part in &page.parts {
        if let Part::Table(table) = part {
            if last != Some(table.name) {
                text += if last.is_some() { "\n" } else { "" };
                text += &csv_heads(table);
            }
            last = Some(table.name);
            table.rows.iter().for_each(|row| text += &csv_row(row));
        }
    }
    if last.is_none() {
        text += &csv_of(&page.value());
    }
    text
}

/// A list of objects as rows, anything else as keys and values.
fn csv_of(value: &Value) -> String {
    let mut text = String::new();
    let line = |values: &mut dyn Iterator<Item = String>| {
        values.map(|text| csv_field(&text)).collect::<Vec<_>>().join(",") + "\n"
    };
    match value {
        Value::Array(rows) => {
            let keys = rows.iter().find_map(Value::as_object).map(|row| row.keys().cloned());
            let keys: Vec<String> = keys.map(Iterator::collect).unwrap_or_default();
            text += &line(&mut keys.iter().cloned());
            for row in rows {
                text += &line(&mut keys.iter().map(|key| plain(&row[key.as_str()])));
            }
        }
        Value::Object(members) => {
            text += "key,value\n";
            for (key, value) in members {
                text += &line(&mut [key.clone(), plain(value)].into_iter());
            }
        }
        other => text += &line(&mut std::iter::once(plain(other))),
    }
    text
}

fn csv_heads(table: &Table) -> String {
    let keys: Vec<_> = table.columns.iter().map(|column| column.key).collect();
    keys.join(",") + "\n"
}

fn csv_row(row: &[Cell]) -> String {
    let fields: Vec<_> = row.iter().map(|cell| csv_field(&plain(&cell.value))).collect();
    fields.join(",") + "\n"
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// As RFC 4180 has it.
fn csv_field(text: &str) -> String {
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::Column;
    use super::*;

    const COLUMNS: &[Column] = &[
        Column::new("#Broker Name", "broker"),
        Column::new("#QID", "queue").right(),
        Column::new("#Why", "why").wide(),
    ];

    fn rendered(format: Format, page: &Page) -> String {
        Printer { format, colours: false, streamed: None }.render(page)
    }

    #[test]
    fn a_table_is_shown_in_every_format() {
        let mut table = Table::new("queues", COLUMNS);
        table.row(["broker-a".into(), 0.into(), "a \"b\", c".into()]);
        table.row(["b".into(), 12.into(), Cell::missing("-")]);
        let page = Page::default().table(table);
        let table = "#Broker Name  #QID\nbroker-a         0\nb               12\n";
        assert_eq!(rendered(Format::Table, &page), table);
        let wide = "#Broker Name  #QID  #Why\nbroker-a         0  a \"b\", c\n\
                    b               12  -\n";
        assert_eq!(rendered(Format::Wide, &page), wide);
        let csv = "broker,queue,why\nbroker-a,0,\"a \"\"b\"\", c\"\nb,12,\n";
        assert_eq!(rendered(Format::Csv, &page), csv);
        let value: Value = serde_json::from_str(&rendered(Format::Json, &page)).expect("JSON");
        assert_eq!(value[1], serde_json::json!({"broker": "b", "queue": 12, "why": null}));
        let with_fact = page.fact("total", "Total: 12", 12);
        assert_eq!(rendered(Format::Table, &with_fact), format!("{table}Total: 12\n"));
        let value: Value = serde_json::from_str(&rendered(Format::Json, &with_fact)).expect("JSON");
        assert_eq!((&value["total"], &value["queues"][0]["queue"]), (&12.into(), &0.into()));
    }

    #[test]
    fn what_was_done_is_a_line_or_an_object() {
        let mut page = Page::default();
        page.done("create topic to a success.", [("broker", "a".into())]);
        page.done("create topic to b success.", [("broker", "b".into())]);
        assert!(rendered(Format::Table, &page).ends_with("to b success.\n"));
        assert_eq!(rendered(Format::Csv, &page), "broker\na\nb\n");
        assert_eq!(rendered(Format::Yaml, &page), "- broker: \"a\"\n- broker: \"b\"\n");
    }
}
