//! Ranges of a log that are known to be damaged: reads of them are refused without a try on the
//! disk while that is fresh.

use std::{cell::RefCell, path::PathBuf, time::Duration};

use ringmq_io::signal::Notify;

use crate::api::errors::ReadError;

/// A damaged range is tried again on the disk when it was last seen so long ago.
const FRESH: Duration = Duration::from_secs(10);
/// Ranges remembered; more are told and counted only.
const RANGES_MAX: usize = 1000;

/// A range of the log that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRange {
    pub from: u64,
    pub to: u64,
    pub path: PathBuf,
    pub found: String,
    pub seen: Duration,
}

/// The damaged ranges of a log, as far as scrubbing has found them.
#[derive(Default)]
pub struct KnownDamage {
    damaged: RefCell<Vec<DamagedRange>>,
    /// The phase of the log changed.
    pub changed: Notify,
}

impl KnownDamage {
    /// The error of a read of `from..to` that is known to fail.
    pub fn refuse(&self, from: u64, to: u64, now: Duration) -> Option<ReadError> {
        let damaged = self.damaged.borrow();
        let touches = |one: &&DamagedRange| one.from < to && from < one.to;
        let one = damaged.iter().find(touches)?;
        (now.saturating_sub(one.seen) < FRESH).then(|| ReadError::Damaged {
            path: one.path.clone(),
            from: one.from,
            to: one.to,
            found: one.found.clone(),
        })
    }

    /// A read of `from..to` came to an end: what was known of the range is forgotten if it was
    /// good, else known anew.
    pub fn tried(&self, from: u64, to: u64, good: bool, now: Duration) {
        let mut damaged = self.damaged.borrow_mut();
        if damaged.is_empty() {
            return;
        }
        if good {
            damaged.retain(|one| to <= one.from || one.to <= from);
        } else {
            let touched = damaged.iter_mut().filter(|one| one.from < to && from < one.to);
            touched.for_each(|one| one.seen = now);
        }
    }

    /// Damaged ranges known now.
    pub fn known(&self) -> u64 {
        self.damaged.borrow().len() as u64
    }

    /// Takes what a round found in `from..to` in place of what was known.
    pub fn replace(&self, from: u64, to: u64, found: Vec<DamagedRange>) {
        let mut damaged = self.damaged.borrow_mut();
        damaged.retain(|one| to <= one.from || one.to <= from);
        let room = RANGES_MAX.saturating_sub(damaged.len());
        damaged.extend(found.into_iter().take(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: u64, to: u64) -> DamagedRange {
        let (path, found) = (PathBuf::from("x"), "a wrong checksum".to_owned());
        DamagedRange { from, to, path, found, seen: Duration::from_secs(100) }
    }

    #[test]
    fn known_damage_is_refused_while_it_is_fresh_and_forgotten_when_it_is_repaired() {
        let scrub = KnownDamage::default();
        let at = Duration::from_secs;
        scrub.replace(0, 1000, vec![range(100, 200), range(500, 600)]);
        assert_eq!(scrub.known(), 2);
        assert!(scrub.refuse(0, 100, at(101)).is_none());
        assert!(scrub.refuse(199, 300, at(101)).is_some());
        assert!(scrub.refuse(550, 560, at(111)).is_none(), "it may be repaired: try");
        scrub.tried(550, 560, false, at(111));
        assert!(scrub.refuse(550, 560, at(112)).is_some());
        scrub.tried(550, 560, true, at(130));
        assert!(scrub.refuse(550, 560, at(130)).is_none());
        scrub.replace(0, 1000, Vec::new());
        assert_eq!(scrub.known(), 0);
    }
}
