//! Configuration as servers tell it: lines `key=value`.

use crate::output::{Cell, Column, Table};

pub const COLUMNS: &[Column] =
    &[Column::new("", "server").wide(), Column::new("", "key"), Column::new("", "value")];

/// Adds the settings of a server, sorted.
pub fn rows(table: &mut Table, server: &str, body: &[u8]) {
    for (key, value) in parse(body) {
        let name = Cell::new(format!("{key:<50}="), key.as_str());
        table.row([server.into(), name, value.into()]);
    }
}

/// Keys and values, sorted.
pub fn parse(body: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(body);
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let mut all: Vec<(String, String)> =
        lines.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect();
    all.sort();
    all
}
