//! Which topics changed when, for registrations that name only those.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

/// Changes that are remembered at most: as many as there can be topics. With more of them a
/// registration of all topics says no more.
const CHANGES_MAX: usize = ringmq_rules::limits::TOPICS_MAX;

/// The changes of topics, numbered from 1 on.
#[derive(Debug, Default)]
pub struct Changes {
    count: u64,
    /// The last change of each topic, by number and by name.
    names: BTreeMap<u64, Arc<str>>,
    numbers: BTreeMap<Arc<str>, u64>,
    /// Changes up to this one are forgotten.
    forgotten: u64,
}

impl Changes {
    /// Number of the last change.
    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn add(&mut self, topic: &Arc<str>) {
        self.count += 1;
        match self.numbers.entry(topic.clone()) {
            Entry::Occupied(mut entry) => {
                let earlier = entry.insert(self.count);
                self.names.remove(&earlier);
            }
            Entry::Vacant(entry) => {
                entry.insert(self.count);
            }
        }
        self.names.insert(self.count, topic.clone());
        if self.names.len() > CHANGES_MAX {
            self.forget(self.count);
        }
    }

    /// Something changed that all topics are registered with.
    pub fn add_all(&mut self) {
        self.count += 1;
        self.forget(self.count);
    }

    /// The topics that changed after `number`, in the order of their last change; `None` if that is
    /// not known any more.
    pub fn since(&self, number: u64) -> Option<Vec<Arc<str>>> {
        let known = number >= self.forgotten;
        known.then(|| self.names.range(number + 1..).map(|(_, name)| name.clone()).collect())
    }

    /// Nobody asks for changes up to `number` any more.
    pub fn forget(&mut self, number: u64) {
        self.forgotten = self.forgotten.max(number);
        let kept = self.names.split_off(&(self.forgotten + 1));
        for name in std::mem::replace(&mut self.names, kept).into_values() {
            self.numbers.remove(&name);
        }
    }

    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        assert_eq!(self.names.len(), self.numbers.len());
        self.names.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(changes: &Changes, number: u64) -> Option<Vec<String>> {
        Some(changes.since(number)?.iter().map(|name| name.to_string()).collect())
    }

    #[test]
    fn each_topic_is_named_once_by_its_last_change() {
        let mut changes = Changes::default();
        for name in ["a", "b", "a", "c"] {
            changes.add(&Arc::from(name));
        }
        assert_eq!(changes.count(), 4);
        assert_eq!(since(&changes, 0).expect("known"), ["b", "a", "c"]);
        assert_eq!(since(&changes, 3).expect("known"), ["c"]);
        assert!(since(&changes, 4).expect("known").is_empty());
    }

    #[test]
    fn what_was_forgotten_is_not_known_and_takes_no_memory() {
        let mut changes = Changes::default();
        for name in ["a", "b", "c"] {
            changes.add(&Arc::from(name));
        }
        changes.forget(2);
        assert_eq!(changes.remembered(), 1);
        assert_eq!(since(&changes, 1), None);
        assert_eq!(since(&changes, 2).expect("known"), ["c"]);
        changes.forget(1);
        assert_eq!(since(&changes, 1), None, "nothing comes back");
    }

    #[test]
    fn after_a_change_of_all_topics_no_single_ones_are_named() {
        let mut changes = Changes::default();
        changes.add(&Arc::from("a"));
        changes.add_all();
        assert_eq!((changes.count(), since(&changes, 1)), (2, None));
        changes.add(&Arc::from("b"));
        assert_eq!(since(&changes, 2).expect("known"), ["b"]);
    }

    #[test]
    fn ever_new_names_do_not_fill_the_memory() {
        let mut changes = Changes::default();
        for number in 0..=CHANGES_MAX {
            changes.add(&Arc::from(number.to_string()));
        }
        assert_eq!(changes.remembered(), 0);
        assert_eq!(changes.since(1), None);
        changes.add(&Arc::from("new"));
        assert_eq!(since(&changes, changes.count() - 1).expect("known"), ["new"]);
    }
}
