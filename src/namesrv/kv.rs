//! The KV configuration: namespaces of keys and values that administrators keep in the name
//! server, above all the order topics ([`ORDER_TOPIC_NAMESPACE`]).

pub mod file;
pub mod store;

use std::collections::BTreeMap;

use ringmq_remoting::fastjson;
use serde::{Deserialize, Serialize};

/// Namespace whose keys are topics and whose values are `broker:queues;broker:queues`.
pub const ORDER_TOPIC_NAMESPACE: &str = "ORDER_TOPIC_CONFIG";

/// Longest namespace or key.
const KEY_BYTES_MAX: usize = 255;
/// Longest value.
const VALUE_BYTES_MAX: usize = 64 * 1024;

type Namespaces = BTreeMap<String, BTreeMap<String, String>>;

/// Why an entry is refused. `Display` is the remark of the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    #[error("the {what} has {bytes} bytes; at most {limit} are allowed")]
    Key { what: &'static str, bytes: usize, limit: usize },
    #[error("the value has {bytes} bytes; at most {VALUE_BYTES_MAX} are allowed")]
    Value { bytes: usize },
    #[error("there are already {limit} entries; delete some, or raise kvEntriesMax")]
    Full { limit: usize },
    #[error("the change was not taken because it cannot be stored: {problem}")]
    NotStored { problem: String },
}

/// The file's shape. Values may be numbers or booleans in files that people wrote.
#[derive(Deserialize)]
struct Loaded {
    #[serde(rename = "configTable", default)]
    config_table: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
}

#[derive(Serialize)]
struct Stored<'a> {
    #[serde(rename = "configTable")]
    config_table: &'a Namespaces,
}

/// All entries. Pure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KvTable {
    namespaces: Namespaces,
}

impl KvTable {
    pub fn get(&self, namespace: &str, key: &str) -> Option<&str> {
        self.namespaces.get(namespace)?.get(key).map(String::as_str)
    }

    /// All entries of a namespace; `None` if it never had one.
    pub fn namespace(&self, namespace: &str) -> Option<&BTreeMap<String, String>> {
        self.namespaces.get(namespace)
    }

    /// Sets an entry. Without a value it is unset, as in Java, and its namespace is there.
    pub fn put(
        &mut self,
        namespace: &str,
        key: &str,
        value: Option<&str>,
        limit: usize,
    ) -> Result<(), KvError> {
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
        if !known && self.len() >= limit {
            return Err(KvError::Full { limit });
        }
        let entries = self.namespaces.entry(namespace.to_owned()).or_default();
        match value {
            Some(value) => drop(entries.insert(key.to_owned(), value.to_owned())),
            None => drop(entries.remove(key)),
        }
        Ok(())
    }

    /// False if there was no such entry. The namespace stays, as in Java.
    pub fn delete(&mut self, namespace: &str, key: &str) -> bool {
        let entries = self.namespaces.get_mut(namespace);
        entries.is_some_and(|entries| entries.remove(key).is_some())
    }

    /// Number of entries; a namespace without any counts as one.
    pub fn len(&self) -> usize {
        self.namespaces.values().map(|entries| entries.len().max(1)).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }

    /// As Java writes it: `{"configTable":{namespace:{key:value}}}`.
    pub fn to_json(&self) -> String {
        let stored = Stored { config_table: &self.namespaces };
        serde_json::to_string(&stored).expect("maps of strings have a JSON form")
    }

    /// Reads what Java or this program wrote. Zeros and blanks at the end do not count; nulls are
    /// left out, numbers and booleans become text. The error says what is wrong where.
    pub fn from_json(bytes: &[u8]) -> Result<KvTable, String> {
        let end = bytes.iter().rposition(|byte| !matches!(byte, 0 | b' ' | b'\n' | b'\r' | b'\t'));
        let text = end.and_then(|end| bytes.get(..=end)).unwrap_or_default();
        if text.is_empty() {
            return Ok(KvTable::default());
        }
        let loaded: Loaded = fastjson::from_slice(text).map_err(|error| error.to_string())?;
        let mut table = KvTable::default();
        for (namespace, entries) in loaded.config_table {
            let texts = entries.into_iter().filter_map(|(key, value)| match value {
                serde_json::Value::Null => None,
                serde_json::Value::String(text) => Some((key, text)),
                other => Some((key, other.to_string())),
            });
            table.namespaces.insert(namespace, texts.collect());
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_put_replaced_and_deleted() {
        let mut table = KvTable::default();
        assert_eq!(table.put("n", "k", Some("1"), 2), Ok(()));
        assert_eq!(table.put("n", "k", Some("2"), 2), Ok(()));
        assert_eq!(table.put("m", "k", Some(""), 2), Ok(()));
        assert_eq!(table.put("m", "l", Some(""), 2), Err(KvError::Full { limit: 2 }));
        assert_eq!(table.get("n", "k"), Some("2"));
        assert!(table.put("n", &"k".repeat(256), Some(""), 9).is_err());
        assert!(table.put("n", "k", Some(&"v".repeat(VALUE_BYTES_MAX + 1)), 9).is_err());
        assert!(table.delete("m", "k"));
        assert!(!table.delete("m", "k"));
        assert!(table.namespace("m").is_some_and(BTreeMap::is_empty), "emptied, not gone");
        assert!(table.namespace("x").is_none());
        assert_eq!(table.len(), 2);
    }

    /// D11: as a name server of RocketMQ 4.9.7 answers it.
    #[test]
    fn a_put_without_value_unsets_the_entry_and_makes_the_namespace() {
        let mut table = KvTable::default();
        assert_eq!(table.put("n", "k", None, 1), Ok(()));
        assert_eq!(table.get("n", "k"), None);
        assert!(table.namespace("n").is_some_and(BTreeMap::is_empty));
        assert_eq!(table.put("m", "k", None, 1), Err(KvError::Full { limit: 1 }));
        assert_eq!(table.put("", "", Some("v"), 2), Ok(()), "names may be empty");
        assert_eq!(table.put("", "", None, 2), Ok(()));
        assert_eq!(table.get("", ""), None);
        assert_eq!(KvTable::from_json(table.to_json().as_bytes()), Ok(table));
    }

    #[test]
    fn the_file_of_java_is_read() {
        let json = br#"{"configTable":{"ORDER_TOPIC_CONFIG":{"T":"a:4;b:4","U":null},"N":null}}"#;
        let table = KvTable::from_json(json).expect("valid");
        assert_eq!(table.get(ORDER_TOPIC_NAMESPACE, "T"), Some("a:4;b:4"));
        assert_eq!(table.len(), 1);
        assert_eq!(table.to_json(), r#"{"configTable":{"ORDER_TOPIC_CONFIG":{"T":"a:4;b:4"}}}"#);
        assert_eq!(KvTable::from_json(b"{}\0\0"), Ok(KvTable::default()));
        assert_eq!(KvTable::from_json(b"\0"), Ok(KvTable::default()));
        assert!(KvTable::from_json(b"{\"configTable\":{").is_err());
    }

    #[test]
    fn whatever_is_put_reads_back() {
        let mut table = KvTable::default();
        table.put("a\"b", "c\\\n", Some("\u{e9}\u{1F600}\0"), 9).expect("fits");
        assert_eq!(KvTable::from_json(table.to_json().as_bytes()), Ok(table));
    }
}
