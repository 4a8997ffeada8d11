//! A row of the doctor's table, and how the table is shown.

use std::process::ExitCode;

use serde_json::{Value, json};

/// How bad what was found is, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Ok,
    /// Worth knowing; nothing has to be done.
    Note,
    /// A server runs, but slower, for less long or for fewer clients than it could.
    Warning,
    /// A server does not start.
    Error,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Severity::Ok => "ok",
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }

    /// What the process ends with when this is the worst that was found.
    fn exit_code(self) -> u8 {
        match self {
            Severity::Ok | Severity::Note => 0,
            Severity::Warning => 1,
            Severity::Error => 2,
        }
    }
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub name: String,
    pub required: String,
    pub found: String,
    pub severity: Severity,
    /// Empty when nothing is to be done.
    pub remedy: String,
}

impl Condition {
    /// A condition that is met, unless [`Condition::but`] says otherwise.
    pub fn new(
        name: impl Into<String>,
        required: impl Into<String>,
        found: impl Into<String>,
    ) -> Condition {
        Condition {
            name: name.into(),
            required: required.into(),
            found: found.into(),
            severity: Severity::Ok,
            remedy: String::new(),
        }
    }

    /// What is wrong with it.
    pub fn but(self, severity: Severity, remedy: impl Into<String>) -> Condition {
        Condition { severity, remedy: remedy.into(), ..self }
    }

    /// As [`Condition::but`], if it `is` so.
    pub fn but_if(self, is: bool, severity: Severity, remedy: impl Into<String>) -> Condition {
        if is { self.but(severity, remedy) } else { self }
    }

    fn json(&self) -> Value {
        json!({
            "condition": self.name,
            "required": self.required,
            "found": self.found,
            "severity": self.severity.name(),
            "remedy": self.remedy,
        })
    }
}

pub fn exit_code(conditions: &[Condition]) -> ExitCode {
    worst(conditions).exit_code().into()
}

fn worst(conditions: &[Condition]) -> Severity {
    conditions.iter().map(|condition| condition.severity).max().unwrap_or(Severity::Ok)
}

/// A line a condition, the remedy below it, and how many there are of each severity.
pub fn table(conditions: &[Condition]) -> String {
    let cells = |row: &Condition| {
        let severity = row.severity.name().to_owned();
        [row.name.clone(), row.required.clone(), row.found.clone(), severity]
    };
    let titles = ["condition", "required", "found", "severity"].map(str::to_owned);
    let mut widths = titles.each_ref().map(String::len);
    for row in conditions {
        for (width, cell) in widths.iter_mut().zip(cells(row)) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [String; 4]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = padded.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    let mut text = line(titles);
    for condition in conditions {
        text += &line(cells(condition));
        if !condition.remedy.is_empty() {
            text += &format!("    -> {}\n", condition.remedy);
        }
    }
    let count = |severity| conditions.iter().filter(|row| row.severity == severity).count();
    text += &format!(
        "{} conditions: {} ok, {} notes, {} warnings, {} errors\n",
        conditions.len(),
        count(Severity::Ok),
        count(Severity::Note),
        count(Severity::Warning),
        count(Severity::Error),
    );
    text
}

pub fn json(conditions: &[Condition]) -> Value {
    let rows: Vec<Value> = conditions.iter().map(Condition::json).collect();
    json!({ "worst": worst(conditions).name(), "conditions": rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_columns_with_their_remedies_below() {
        let rows = [
            Condition::new("kernel", "Linux 5.13", "6.1"),
            Condition::new("swap", "none", "1 GiB").but(Severity::Warning, "swapoff -a"),
        ];
        let expected = "condition  required    found  severity\n\
                        kernel     Linux 5.13  6.1    ok\n\
                        swap       none        1 GiB  warning\n    -> swapoff -a\n\
                        2 conditions: 1 ok, 0 notes, 1 warnings, 0 errors\n";
        assert_eq!(table(&rows), expected);
        assert_eq!(json(&rows)["worst"], "warning");
        assert_eq!(json(&rows)["conditions"][1]["remedy"], "swapoff -a");
        let codes = [Severity::Ok, Severity::Note, Severity::Warning, Severity::Error];
        assert_eq!(codes.map(Severity::exit_code), [0, 0, 1, 2]);
        assert!(Severity::Error > Severity::Warning && Severity::Warning > Severity::Note);
    }
}
