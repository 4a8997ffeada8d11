//! The parts of an answer.

use serde_json::{Map, Value};

use super::cell::Cell;

/// A column: what people read above it, and the name that programs know it by.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub head: &'static str,
    pub key: &'static str,
    pub right: bool,
    /// Shown to people by `-o wide` only.
    pub wide: bool,
}

impl Column {
    pub const fn new(head: &'static str, key: &'static str) -> Column {
        Column { head, key, right: false, wide: false }
    }

    #[must_use]
    pub const fn right(mut self) -> Column {
        self.right = true;
        self
    }

    #[must_use]
    pub const fn wide(mut self) -> Column {
        self.wide = true;
        self
    }
}

/// Rows under columns.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: &'static str,
    pub columns: &'static [Column],
    pub rows: Vec<Vec<Cell>>,
    /// Whether people see the heads of the columns: some of RocketMQ's lists have none.
    pub headed: bool,
}

impl Table {
    /// An empty table; programs know it by its name where a page has more than one part.
    pub fn new(name: &'static str, columns: &'static [Column]) -> Table {
        Table { name, columns, rows: Vec::new(), headed: true }
    }

    #[must_use]
    pub fn without_heads(mut self) -> Table {
        self.headed = false;
        self
    }

    /// Adds a row with a cell for each column.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        assert_eq!(N, self.columns.len(), "a cell for each column of {}", self.name);
        self.rows.push(cells.into());
    }

    fn value(&self) -> Value {
        self.rows.iter().map(|row| self.object(row)).collect()
    }

    pub(super) fn object(&self, row: &[Cell]) -> Value {
        let pairs = self.columns.iter().zip(row);
        let pairs = pairs.map(|(column, cell)| (column.key.to_owned(), cell.value.clone()));
        Value::Object(pairs.collect())
    }
}

#[derive(Clone, Debug)]
pub(super) enum Part {
    Table(Table),
    /// For people only.
    Text(String),
    /// A line for people, a member for programs.
    Fact {
        key: &'static str,
        text: String,
        value: Value,
    },
    /// Something that a command did: a line, or an object in the list `done`.
    Done {
        text: String,
        value: Value,
    },
    /// All that there is to say.
    Document {
        text: String,
        value: Value,
    },
}

/// What a command answers.
#[derive(Debug, Default)]
pub struct Page {
    pub(super) parts: Vec<Part>,
    /// What did not work although the command went on.
    pub problems: Vec<anyhow::Error>,
}

impl Page {
    pub fn table(mut self, table: Table) -> Page {
        self.parts.push(Part::Table(table));
        self
    }

    /// A line that only people read.
    pub fn text(mut self, text: impl Into<String>) -> Page {
        self.parts.push(Part::Text(text.into()));
        self
    }

    pub fn fact(
        mut self,
        key: &'static str,
        text: impl Into<String>,
        value: impl Into<Value>,
    ) -> Page {
        self.parts.push(Part::Fact { key, text: text.into(), value: value.into() });
        self
    }

    /// Says that something was done, in a line for people and members for programs.
    pub fn done<const N: usize>(&mut self, text: impl Into<String>, members: [(&str, Value); N]) {
        let members = members.into_iter().map(|(key, value)| (key.to_owned(), value));
        self.parts.push(Part::Done { text: text.into(), value: Value::Object(members.collect()) });
    }

    pub fn document(text: impl Into<String>, value: Value) -> Page {
        let parts = vec![Part::Document { text: text.into(), value }];
        Page { parts, problems: Vec::new() }
    }

    /// Adds the parts of another page.
    pub fn and(mut self, other: Page) -> Page {
        self.add(Ok(other));
        self
    }

    /// Whether nothing was done, found or shown.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Adds the result for one of several servers, and what did not work there.
    pub fn add(&mut self, result: anyhow::Result<Page>) {
        match result {
            Ok(page) => {
                self.parts.extend(page.parts);
                self.problems.extend(page.problems);
            }
            Err(problem) => self.problems.push(problem),
        }
    }

    /// For programs. Tables of one name alone are a list, a single document itself; else an object.
    pub(super) fn value(&self) -> Value {
        let is_fact = |part: &Part| matches!(part, Part::Fact { .. });
        let has_facts = self.parts.iter().any(is_fact);
        let mut members = Map::new();
        let mut done = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(_) => {}
                Part::Document { value, .. } => return value.clone(),
                Part::Done { value, .. } => done.push(value.clone()),
                Part::Fact { key, value, .. } => drop(members.insert((*key).into(), value.clone())),
                Part::Table(table) => match members.get_mut(table.name) {
                    Some(Value::Array(rows)) => {
                        rows.extend(table.rows.iter().map(|row| table.object(row)));
                    }
                    _ => drop(members.insert(table.name.into(), table.value())),
                },
            }
        }
        match members.len() {
            0 => Value::Array(done),
            1 if !has_facts && done.is_empty() => {
                members.into_iter().next().map(|(_, rows)| rows).unwrap_or_default()
            }
            _ => {
                if !done.is_empty() {
                    members.insert("done".to_owned(), Value::Array(done));
                }
                Value::Object(members)
            }
        }
    }
}
