//! Work on all topics of a broker name, a few at a time: removing them when the name goes, or when
//! a registration no longer names them, and taking write permission.

use std::sync::Arc;

use super::{RouteTable, owners::OwnerId};

/// Bit of a permission that allows writing.
const PERM_WRITE: i32 = 2;

/// What is to be done with the topics of an owner.
#[derive(Debug)]
pub(super) enum Job {
    /// Remove all, and the owner.
    Remove(OwnerId),
    /// Remove those that a registration did not name.
    Sweep(OwnerId),
    /// Keep them: that registration did not come to its end.
    Keep(OwnerId),
    /// Take write permission from the topics behind one, unless permissions were said anew since.
    Wipe { owner: OwnerId, said: u64, after: Option<Arc<str>> },
}

impl RouteTable {
    /// Does some of the work that waits, on so many topics. False if nothing is left.
    pub fn clear_some(&mut self, topics: usize) -> bool {
        let mut left = topics;
        while let Some(job) = self.jobs.pop_front() {
            if let Some(rest) = self.work(job, &mut left) {
                self.jobs.push_front(rest);
                return true;
            }
            if left == 0 {
                return !self.jobs.is_empty();
            }
            // A job without topics is work, too.
            left -= 1;
        }
        false
    }

    /// Whether there is work.
    pub fn has_to_clear(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Does a job on `left` topics at most; what is left of it.
    fn work(&mut self, job: Job, left: &mut usize) -> Option<Job> {
        match job {
            Job::Remove(id) => {
                if !self.remove_unnamed(id, left) {
                    return Some(job);
                }
                while let Some(topic) = self.pop_topic(id) {
                    self.remove_entry(&topic, id);
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        return Some(job);
                    }
                }
                self.forget_owner(id);
            }
            Job::Sweep(id) => {
                if !self.remove_unnamed(id, left) {
                    return Some(job);
                }
            }
            Job::Keep(id) => {
                while let Some(owner) = self.owners.get_mut(&id) {
                    let Some(topic) = owner.unnamed.pop_first() else {
                        break;
                    };
                    owner.topics.insert(topic);
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        return Some(job);
                    }
                }
            }
            Job::Wipe { owner, said, after } => {
                if self.owners.get(&owner).is_none_or(|owner| owner.said != said) {
                    return None;
                }
                let wipe = |perm| perm & !PERM_WRITE;
                let (last, count) = self.change_perm(owner, after.as_deref(), *left, wipe);
                *left = left.saturating_sub(count);
                return last.map(|last| Job::Wipe { owner, said, after: Some(last) });
            }
        }
        None
    }

    /// False if some are left.
    fn remove_unnamed(&mut self, id: OwnerId, left: &mut usize) -> bool {
        while let Some(owner) = self.owners.get_mut(&id) {
            let Some(topic) = owner.unnamed.pop_first() else {
                return true;
            };
            self.remove_entry(&topic, id);
            *left = left.saturating_sub(1);
            if *left == 0 {
                return false;
            }
        }
        true
    }

    fn pop_topic(&mut self, id: OwnerId) -> Option<Arc<str>> {
        self.owners.get_mut(&id)?.topics.pop_first()
    }

    fn forget_owner(&mut self, id: OwnerId) {
        if let Some(bytes) = self.owners.get(&id).map(|owner| owner.bytes) {
            self.uncount(id, bytes);
            self.owners.remove(&id);
        }
    }

    /// Changes the permission of up to `most` topics of an owner behind one; the last of them if
    /// there may be more, and how many they were.
    pub(super) fn change_perm(
        &mut self,
        id: OwnerId,
        after: Option<&str>,
        most: usize,
        change: impl Fn(i32) -> i32,
    ) -> (Option<Arc<str>>, usize) {
        let Some(owner) = self.owners.get(&id) else {
            return (None, 0);
        };
        let names = |set: &std::collections::BTreeSet<Arc<str>>| {
            use std::ops::Bound::{Excluded, Unbounded};
            let range = (after.map_or(Unbounded, Excluded), Unbounded);
            set.range::<str, _>(range).take(most).cloned().collect::<Vec<_>>()
        };
        let mut some = names(&owner.topics);
        // In a registration under way, some are elsewhere.
        some.extend(names(&owner.unnamed));
        some.sort_unstable();
        some.truncate(most);
        for topic in &some {
            if let Some(data) = self.entry(topic, id) {
                data.perm = change(data.perm);
            }
        }
        let count = some.len();
        (some.pop().filter(|_| count == most), count)
    }
}
