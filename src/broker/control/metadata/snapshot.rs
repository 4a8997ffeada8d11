//! What a rewrite of the metadata log writes: the tables as they are, a few records at a time.

use std::{ops::Bound, rc::Rc, sync::Arc};

use ringmq_io::Runtime;
use ringmq_remoting::body::MessageQueue;
use ringmq_rules::{
    locks::SweptTo,
    meta::MetaChange,
    offsets::{ListedTo, OFFSETS_OF_CHANGE_MAX},
};

use super::pieces::encode;
use crate::control::Control;

/// Bytes of records that are made without a pause: a few hundred microseconds.
const SLICE_BYTES: usize = 64 * 1024;
/// Locks that are listed without a pause.
const SLICE_LOCKS: usize = 256;

/// What comes next, in the order in which a start has to read it. Names are the last ones that were
/// written.
enum At {
    DeletedTopics(Option<Arc<str>>),
    Topics(Option<Arc<str>>),
    DeletedGroups,
    Groups(Option<Arc<str>>),
    Keys,
    Offsets(ListedTo),
    Locks(SweptTo<MessageQueue>),
    OwnCursors,
    End,
}

/// Nobody may change the tables before the last record was given.
pub struct Snapshot<R: Runtime> {
    control: Rc<Control<R>>,
    at: At,
}

impl<R: Runtime> Snapshot<R> {
    pub fn new(control: Rc<Control<R>>) -> Snapshot<R> {
        Snapshot { control, at: At::DeletedTopics(None) }
    }

    /// The next records; none at the end.
    pub fn next(&mut self) -> Vec<Vec<u8>> {
        loop {
            let (records, next) = self.some();
            if let Some(next) = next {
                self.at = next;
            }
            if !records.is_empty() || matches!(self.at, At::End) {
                return records;
            }
        }
    }

    /// Some records, and what comes then if this is all of its kind.
    fn some(&mut self) -> (Vec<Vec<u8>>, Option<At>) {
        let tables = self.control.tables.borrow();
        let metadata = &self.control.metadata;
        let unless = |more: bool, next: At| (!more).then_some(next);
        match &mut self.at {
            At::DeletedTopics(after) => {
                let last = after.take();
                let (records, more) = slice(tables.topics.deletions_from(behind(&last)), after);
                (records, unless(more, At::Topics(None)))
            }
            At::Topics(after) => {
                let last = after.take();
                let (records, more) = slice(tables.topics.puts_from(behind(&last)), after);
                (records, unless(more, At::DeletedGroups))
            }
            At::DeletedGroups => {
                (tables.groups.deletions().map(|c| encode(&c)).collect(), Some(At::Groups(None)))
            }
            At::Groups(after) => {
                let last = after.take();
                let (records, more) = slice(tables.groups.puts_from(behind(&last)), after);
                (records, unless(more, At::Keys))
            }
            At::Keys => (
                tables.keys.put().iter().map(encode).collect(),
                Some(At::Offsets(ListedTo::default())),
            ),
            At::Offsets(to) => {
                let changes = metadata.offsets.borrow().list(None, to, OFFSETS_OF_CHANGE_MAX);
                let more = !changes.is_empty();
                (changes.iter().map(encode).collect(), unless(more, At::Locks(SweptTo::default())))
            }
            At::Locks(to) => {
                let changes = tables.locks.list(to, SLICE_LOCKS);
                let more = !changes.is_empty();
                (changes.iter().map(encode).collect(), unless(more, At::OwnCursors))
            }
            At::OwnCursors => (metadata.own_cursors().map(|c| encode(&c)).collect(), Some(At::End)),
            At::End => (Vec::new(), None),
        }
    }
}

fn behind(after: &Option<Arc<str>>) -> Bound<&str> {
    after.as_deref().map_or(Bound::Unbounded, Bound::Excluded)
}

/// The first of the changes as records; notes in `after` what the last one is about. False: these
/// were all.
fn slice(
    changes: impl Iterator<Item = MetaChange>,
    after: &mut Option<Arc<str>>,
) -> (Vec<Vec<u8>>, bool) {
    let (mut records, mut bytes) = (Vec::new(), 0);
    for change in changes {
        if bytes >= SLICE_BYTES {
            return (records, true);
        }
        let record = encode(&change);
        bytes += record.len();
        records.push(record);
        *after = match change {
            MetaChange::TopicDelete { topic, .. } => Some(topic),
            MetaChange::TopicPut { topic, .. } => Some(topic.name),
            MetaChange::GroupPut { group, .. } => Some(group.name),
            _ => unreachable!("changes of topics and groups only"),
        };
    }
    (records, false)
}
