//! Writes the KV configuration in the shape of Java's file, as it is after a change that is not
//! made yet, a piece at a time: `{"configTable":{namespace:{key:value}}}`.

use std::ops::Bound::{Excluded, Unbounded};

use super::{Change, KvTable};
use crate::{
    json::text,
    work::{PIECE_BYTES, PIECE_ENTRIES},
};

pub struct FileWriter<'c> {
    change: Option<&'c Change<'c>>,
    at: At,
}

enum At {
    Begin,
    /// Behind this namespace.
    Behind(String),
    /// In a namespace, behind a key.
    In {
        namespace: String,
        key: Option<String>,
    },
}

impl<'c> FileWriter<'c> {
    pub fn new(change: Option<&'c Change<'c>>) -> FileWriter<'c> {
        FileWriter { change, at: At::Begin }
    }

    /// The next piece; true if it is the last. The table must be the same each time.
    pub fn write(&mut self, table: &KvTable, out: &mut String) -> bool {
        for _ in 0..PIECE_ENTRIES {
            if out.len() >= PIECE_BYTES {
                return false;
            }
            if self.step(table, out) {
                return true;
            }
        }
        false
    }

    /// One entry, or the end of a namespace.
    fn step(&mut self, table: &KvTable, out: &mut String) -> bool {
        let (behind, first) = match &self.at {
            At::Begin => {
                out.push_str("{\"configTable\":{");
                (None, true)
            }
            At::Behind(namespace) => (Some(namespace.as_str()), false),
            At::In { namespace, key } => {
                let next = self.next_entry(table, namespace, key.as_deref());
                let Some((next, value)) = next else {
                    out.push('}');
                    self.at = At::Behind(namespace.clone());
                    return false;
                };
                out.push_str(if key.is_some() { "," } else { "" });
                text(out, next);
                out.push(':');
                text(out, value);
                self.at = At::In { namespace: namespace.clone(), key: Some(next.to_owned()) };
                return false;
            }
        };
        let Some(next) = self.next_namespace(table, behind).map(str::to_owned) else {
            out.push_str("}}");
            return true;
        };
        out.push_str(if first { "" } else { "," });
        text(out, &next);
        out.push_str(":{");
        self.at = At::In { namespace: next, key: None };
        false
    }

    fn next_namespace<'t>(&self, table: &'t KvTable, behind: Option<&str>) -> Option<&'t str>
    where
        'c: 't,
    {
        let range = (behind.map_or(Unbounded, Excluded), Unbounded);
        let there = table.namespaces.range::<str, _>(range).next().map(|(name, _)| name.as_str());
        let made = self.change.filter(|change| change.makes_namespace);
        let made = made.map(|change| change.namespace);
        let made = made.filter(|name| behind.is_none_or(|behind| *name > behind));
        match (there, made) {
            (Some(there), Some(made)) => Some(there.min(made)),
            (there, made) => there.or(made),
        }
    }

    fn next_entry<'t>(
        &self,
        table: &'t KvTable,
        namespace: &str,
        behind: Option<&str>,
    ) -> Option<(&'t str, &'t str)>
    where
        'c: 't,
    {
        let change = self.change.filter(|change| change.namespace == namespace);
        let mut there = table.entries_after(namespace, behind);
        let there = there.find(|(key, _)| change.is_none_or(|change| change.key != *key));
        let put = change.and_then(|change| Some((change.key, change.value?)));
        let put = put.filter(|(key, _)| behind.is_none_or(|behind| *key > behind));
        match (there, put) {
            (Some(there), Some(put)) => Some(if there.0 < put.0 { there } else { put }),
            (there, put) => there.or(put),
        }
    }
}

/// The whole file.
#[cfg(test)]
pub fn json(table: &KvTable) -> String {
    let (mut writer, mut out) = (FileWriter::new(None), String::new());
    loop {
        let mut piece = String::new();
        let complete = writer.write(table, &mut piece);
        out.push_str(&piece);
        if complete {
            return out;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(table: &KvTable, change: &Change<'_>) -> String {
        let (mut writer, mut out) = (FileWriter::new(Some(change)), String::new());
        while !writer.write(table, &mut out) {}
        out
    }

    #[test]
    fn a_change_is_written_as_it_will_be() {
        let mut table = KvTable::default();
        for (namespace, key) in [("b", "k"), ("b", "m"), ("d", "k")] {
            table.apply(&Change::put(namespace, key, Some("1")));
        }
        let names = ["", "a", "b", "c", "d", "e"];
        for namespace in names {
            for key in ["", "j", "k", "l", "m", "n"] {
                let changes = [
                    Change::put(namespace, key, Some("2")),
                    Change::put(namespace, key, None),
                    Change::delete(namespace, key),
                ];
                for change in &changes {
                    let mut changed = table.clone();
                    changed.apply(change);
                    assert_eq!(with(&table, change), json(&changed), "{change:?}");
                }
            }
        }
        let one = Change::put("a", "k", Some("1"));
        let empty = KvTable::default();
        assert_eq!(with(&empty, &one), r#"{"configTable":{"a":{"k":"1"}}}"#);
    }

    #[test]
    fn a_large_table_is_written_in_pieces() {
        let mut table = KvTable::default();
        for number in 0..2_000 {
            table.apply(&Change::put("n", &number.to_string(), Some("value")));
        }
        let (mut writer, mut pieces) = (FileWriter::new(None), 1);
        let mut piece = String::new();
        while !writer.write(&table, &mut piece) {
            assert!(piece.len() < 2 * PIECE_BYTES);
            piece.clear();
            pieces += 1;
        }
        assert!(pieces > 7, "{pieces}");
        assert_eq!(KvTable::from_json(json(&table).as_bytes(), 1 << 20), Ok(table));
    }
}
