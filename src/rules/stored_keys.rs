//! Keys of the configuration that administrators changed while the broker ran. They are part of the
//! metadata, so that a restart keeps them, until the key is changed in the configuration itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::meta::MetaChange;

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredKey {
    pub key: String,
    /// `None`: what the configuration says counts again.
    pub value: Option<String>,
    /// What the configuration said then: with another value there that one counts, as the newer.
    pub instead_of: String,
}

/// All of them by name: as many as there are live keys, each with a value of its limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredKeys(BTreeMap<String, StoredKey>);

impl StoredKeys {
    pub fn apply(&mut self, change: &MetaChange) {
        let MetaChange::Keys { keys } = change else { return };
        for key in keys {
            match key.value {
                Some(_) => self.0.insert(key.key.clone(), key.clone()),
                None => self.0.remove(&key.key),
            };
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &StoredKey> {
        self.0.values()
    }

    /// What makes a table like this one of an empty one.
    pub fn put(&self) -> Option<MetaChange> {
        let keys: Vec<StoredKey> = self.iter().cloned().collect();
        (!keys.is_empty()).then_some(MetaChange::Keys { keys })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: &str, value: Option<&str>) -> MetaChange {
        let (key, value) = (key.to_owned(), value.map(str::to_owned));
        MetaChange::Keys { keys: vec![StoredKey { key, value, instead_of: "0".to_owned() }] }
    }

    #[test]
    fn the_last_value_counts_until_it_is_taken_back() {
        let mut keys = StoredKeys::default();
        assert_eq!(keys.put(), None);
        for made in [change("a", Some("1")), change("b", Some("2")), change("a", Some("3"))] {
            keys.apply(&made);
        }
        let mut again = StoredKeys::default();
        again.apply(&keys.put().expect("two keys"));
        assert_eq!(again, keys);
        let values: Vec<_> = keys.iter().map(|key| key.value.as_deref()).collect();
        assert_eq!(values, [Some("3"), Some("2")]);
        keys.apply(&change("a", None));
        assert_eq!(keys.put(), Some(change("b", Some("2"))));
    }
}
