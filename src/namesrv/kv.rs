//! The KV configuration: namespaces of keys and values that administrators keep in the name
//! server, above all the order topics ([`ORDER_TOPIC_NAMESPACE`]).

pub mod file;
pub mod store;
pub mod writer;

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
};

use ringmq_remoting::fastjson;
use serde::Deserialize;

/// Namespace whose keys are topics and whose values are `broker:queues;broker:queues`.
pub const ORDER_TOPIC_NAMESPACE: &str = "ORDER_TOPIC_CONFIG";

/// Longest namespace or key.
const KEY_BYTES_MAX: usize = 255;
/// Longest value.
const VALUE_BYTES_MAX: usize = 64 * 1024;
/// Memory of an entry, or of a namespace, besides its texts.
const ENTRY_BYTES: usize = 160;

type Namespaces = BTreeMap<String, BTreeMap<String, String>>;

/// How much may be in the table.
#[derive(Clone, Copy, Debug)]
pub struct KvLimits {
    pub entries: usize,
    /// Memory.
    pub bytes: usize,
}

/// Why an entry is refused. `Display` is the remark of the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    #[error("the {what} has {bytes} bytes; at most {limit} are allowed")]
    Key { what: &'static str, bytes: usize, limit: usize },
    #[error("the value has {bytes} bytes; at most {VALUE_BYTES_MAX} are allowed")]
    Value { bytes: usize },
    #[error("there are already {limit} entries; delete some, or raise kvEntriesMax")]
    Full { limit: usize },
    #[error(
        "the entries take {held} bytes of memory, and this would be beyond the limit of {limit}; \
         delete some, or raise kvBytesMax"
    )]
    Bytes { held: usize, limit: usize },
    #[error("the change was not taken because it cannot be stored: {problem}")]
    NotStored { problem: String },
}

/// The file's shape. Values may be numbers or booleans in files that people wrote.
#[derive(Deserialize)]
struct Loaded {
    #[serde(rename = "configTable", default)]
    config_table: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
}

/// A change of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    pub namespace: &'a str,
    pub key: &'a str,
    /// `None`: the entry is unset.
    pub value: Option<&'a str>,
    /// The namespace is there afterwards, if it was not before.
    pub makes_namespace: bool,
}

impl<'a> Change<'a> {
    /// Without a value the entry is unset, as in Java, and its namespace is there.
    pub fn put(namespace: &'a str, key: &'a str, value: Option<&'a str>) -> Change<'a> {
        Change { namespace, key, value, makes_namespace: true }
    }

    /// The namespace stays, as in Java.
    pub fn delete(namespace: &'a str, key: &'a str) -> Change<'a> {
        Change { namespace, key, value: None, makes_namespace: false }
    }
}

/// All entries. Pure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KvTable {
    namespaces: Namespaces,
    /// Entries; a namespace without any counts as one.
    entries: usize,
    /// Memory of all, as it is counted.
    bytes: usize,
}

impl KvTable {
    pub fn get(&self, namespace: &str, key: &str) -> Option<&str> {
        self.namespaces.get(namespace)?.get(key).map(String::as_str)
    }

    /// All entries of a namespace; `None` if it never had one.
    pub fn namespace(&self, namespace: &str) -> Option<&BTreeMap<String, String>> {
        self.namespaces.get(namespace)
    }

    /// Entries of a namespace behind a key.
    pub fn entries_after(
        &self,
        namespace: &str,
        key: Option<&str>,
    ) -> impl Iterator<Item = (&str, &str)> {
        let behind = (key.map_or(Unbounded, Excluded), Unbounded);
        let entries = self.namespaces.get(namespace).into_iter();
        let entries = entries.flat_map(move |entries| entries.range::<str, _>(behind));
        entries.map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether a change changes anything.
    ///
    /// # Errors
    /// If it must not be made.
    pub fn check(&self, change: &Change<'_>, limits: KvLimits) -> Result<bool, KvError> {
        let Change { namespace, key, value, makes_namespace } = *change;
        if !makes_namespace {
            return Ok(self.get(namespace, key).is_some());
        }
        for (what, text) in [("namespace", namespace), ("key", key)] {
            let bytes = text.len();
            if bytes > KEY_BYTES_MAX {
                return Err(KvError::Key { what, bytes, limit: KEY_BYTES_MAX });
            }
        }
        let bytes = value.map_or(0, str::len);
        if bytes > VALUE_BYTES_MAX {
            return Err(KvError::Value { bytes });
        }
        let known = match value {
            Some(_) => self.get(namespace, key).is_some(),
            None => self.namespaces.contains_key(namespace),
        };
        let limit = limits.entries;
        if !known && self.entries >= limit {
            return Err(KvError::Full { limit });
        }
        let new_namespace = !self.namespaces.contains_key(namespace);
        let more = match value {
            Some(value) => entry_bytes(key, value),
            None => 0,
        } + if new_namespace { namespace_bytes(namespace) } else { 0 };
        let less = self.get(namespace, key).map_or(0, |value| entry_bytes(key, value));
        let (held, limit) = (self.bytes, limits.bytes);
        if more > less && held - less + more > limit {
            return Err(KvError::Bytes { held, limit });
        }
        Ok(true)
    }

    /// Makes a change.
    pub fn apply(&mut self, change: &Change<'_>) {
        let Change { namespace, key, value, makes_namespace } = *change;
        if !self.namespaces.contains_key(namespace) {
            if !makes_namespace {
                return;
            }
            self.bytes += namespace_bytes(namespace);
            // An empty one counts.
            self.entries += 1;
            self.namespaces.insert(namespace.to_owned(), BTreeMap::new());
        }
        let Some(entries) = self.namespaces.get_mut(namespace) else {
            return;
        };
        let before = entries.len().max(1);
        let old = match value {
            Some(value) => {
                self.bytes += entry_bytes(key, value);
                entries.insert(key.to_owned(), value.to_owned())
            }
            None => entries.remove(key),
        };
        self.bytes -= old.map_or(0, |old| entry_bytes(key, &old));
        self.entries = self.entries - before + entries.len().max(1);
    }

    /// Number of entries; a namespace without any counts as one.
    pub fn len(&self) -> usize {
        self.entries
    }

    pub fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }

    /// Memory in bytes, as it is counted.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Reads what Java or this program wrote, which becomes at most about `memory` bytes. Zeros and
    /// blanks at the end do not count; nulls are left out, numbers and booleans become text. The
    /// error says what is wrong where.
    pub fn from_json(bytes: &[u8], memory: usize) -> Result<KvTable, String> {
        let end = bytes.iter().rposition(|byte| !matches!(byte, 0 | b' ' | b'\n' | b'\r' | b'\t'));
        let text = end.and_then(|end| bytes.get(..=end)).unwrap_or_default();
        if text.is_empty() {
            return Ok(KvTable::default());
        }
        let loaded = fastjson::from_slice_within::<Loaded>(text, memory);
        let loaded = loaded.map_err(|error| error.to_string())?;
        let mut table = KvTable::default();
        for (namespace, entries) in loaded.config_table {
            table.apply(&Change::put(&namespace, "", None));
            for (key, value) in entries {
                let text = match value {
                    serde_json::Value::Null => continue,
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                };
                table.apply(&Change::put(&namespace, &key, Some(&text)));
            }
        }
        Ok(table)
    }
}

fn entry_bytes(key: &str, value: &str) -> usize {
    ENTRY_BYTES + key.len() + value.len()
}

fn namespace_bytes(namespace: &str) -> usize {
    ENTRY_BYTES + namespace.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: usize = 1 << 20;

    fn limits(entries: usize) -> KvLimits {
        KvLimits { entries, bytes: MEMORY }
    }

    fn put(
        table: &mut KvTable,
        (namespace, key): (&str, &str),
        value: Option<&str>,
        limits: KvLimits,
    ) -> Result<(), KvError> {
        let change = Change::put(namespace, key, value);
        table.check(&change, limits)?;
        table.apply(&change);
        agrees(table);
        Ok(())
    }

    fn delete(table: &mut KvTable, namespace: &str, key: &str) -> bool {
        let change = Change::delete(namespace, key);
        let changes = table.check(&change, limits(0)).expect("deleting needs no room");
        table.apply(&change);
        agrees(table);
        changes
    }

    fn agrees(table: &KvTable) {
        let entries = table.namespaces.values().map(|entries| entries.len().max(1));
        assert_eq!(table.entries, entries.sum::<usize>());
        let names = table.namespaces.keys().map(|name| namespace_bytes(name)).sum::<usize>();
        let all = table.namespaces.values().flatten();
        let all = all.map(|(key, value)| entry_bytes(key, value));
        assert_eq!(table.bytes, names + all.sum::<usize>());
    }

    #[test]
    fn entries_are_put_replaced_and_deleted() {
        let mut table = KvTable::default();
        let two = limits(2);
        assert_eq!(put(&mut table, ("n", "k"), Some("1"), two), Ok(()));
        assert_eq!(put(&mut table, ("n", "k"), Some("2"), two), Ok(()));
        assert_eq!(put(&mut table, ("m", "k"), Some(""), two), Ok(()));
        assert_eq!(put(&mut table, ("m", "l"), Some(""), two), Err(KvError::Full { limit: 2 }));
        assert_eq!(table.get("n", "k"), Some("2"));
        assert!(put(&mut table, ("n", &"k".repeat(256)), Some(""), limits(9)).is_err());
        let long = "v".repeat(VALUE_BYTES_MAX + 1);
        assert!(put(&mut table, ("n", "k"), Some(&long), limits(9)).is_err());
        assert!(delete(&mut table, "m", "k"));
        assert!(!delete(&mut table, "m", "k"));
        assert!(table.namespace("m").is_some_and(BTreeMap::is_empty), "emptied, not gone");
        assert!(table.namespace("x").is_none());
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn entries_are_limited_in_bytes() {
        let mut table = KvTable::default();
        let limits = KvLimits { entries: 1000, bytes: 3 * ENTRY_BYTES + 100 };
        assert_eq!(put(&mut table, ("n", "k"), Some(&"v".repeat(50)), limits), Ok(()));
        assert_eq!(put(&mut table, ("n", "l"), Some(""), limits), Ok(()));
        let held = table.bytes();
        let full = put(&mut table, ("n", "m"), Some(""), limits).expect_err("no room");
        assert_eq!(full, KvError::Bytes { held, limit: limits.bytes });
        assert!(full.to_string().contains("raise kvBytesMax"), "{full}");
        assert!(put(&mut table, ("n", "k"), Some(&"v".repeat(99)), limits).is_err());
        assert_eq!(put(&mut table, ("n", "k"), Some("less"), limits), Ok(()));
        assert_eq!(table.bytes(), held - 46);
    }

    /// D11: as a name server of RocketMQ 4.9.7 answers it.
    #[test]
    fn a_put_without_value_unsets_the_entry_and_makes_the_namespace() {
        let mut table = KvTable::default();
        assert_eq!(put(&mut table, ("n", "k"), None, limits(1)), Ok(()));
        assert_eq!(table.get("n", "k"), None);
        assert!(table.namespace("n").is_some_and(BTreeMap::is_empty));
        let full = Err(KvError::Full { limit: 1 });
        assert_eq!(put(&mut table, ("m", "k"), None, limits(1)), full);
        assert_eq!(put(&mut table, ("", ""), Some("v"), limits(2)), Ok(()), "names may be empty");
        assert_eq!(put(&mut table, ("", ""), None, limits(2)), Ok(()));
        assert_eq!(table.get("", ""), None);
        assert_eq!(KvTable::from_json(writer::json(&table).as_bytes(), MEMORY), Ok(table));
    }

    #[test]
    fn the_file_of_java_is_read() {
        let json = br#"{"configTable":{"ORDER_TOPIC_CONFIG":{"T":"a:4;b:4","U":null},"N":null}}"#;
        let table = KvTable::from_json(json, MEMORY).expect("valid");
        agrees(&table);
        assert_eq!(table.get(ORDER_TOPIC_NAMESPACE, "T"), Some("a:4;b:4"));
        assert_eq!(table.len(), 1);
        let written = writer::json(&table);
        assert_eq!(written, r#"{"configTable":{"ORDER_TOPIC_CONFIG":{"T":"a:4;b:4"}}}"#);
        assert_eq!(KvTable::from_json(b"{}\0\0", MEMORY), Ok(KvTable::default()));
        assert_eq!(KvTable::from_json(b"\0", MEMORY), Ok(KvTable::default()));
        assert!(KvTable::from_json(b"{\"configTable\":{", MEMORY).is_err());
    }

    #[test]
    fn whatever_is_put_reads_back() {
        let mut table = KvTable::default();
        let odd = Some("\u{e9}\u{1F600}\0");
        put(&mut table, ("a\"b", "c\\\n"), odd, limits(9)).expect("fits");
        assert_eq!(KvTable::from_json(writer::json(&table).as_bytes(), MEMORY), Ok(table));
    }
}
