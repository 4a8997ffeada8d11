//! Changes of the broker's metadata as values: decided by the tables' `plan_*` functions, made
//! durable by the caller, and carried out by `apply`, both live and when a store is opened.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    group::Group,
    stored_keys::StoredKey,
    timer::wheel::Frontier,
    topic::{Topic, arc_str},
};

/// Version of a table; name servers and slaves compare it to see whether it changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataVersion {
    /// Milliseconds since 1970 of the last change.
    pub timestamp: i64,
    pub counter: i64,
    /// Of RocketMQ 5 controllers; 0 without one.
    #[serde(default)]
    pub state_version: i64,
}

impl DataVersion {
    #[must_use]
    pub fn next(self, now: i64) -> DataVersion {
        DataVersion { timestamp: now, counter: self.counter.wrapping_add(1), ..self }
    }
}

/// One change. Applying a change twice does no harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum MetaChange {
    TopicPut {
        topic: Topic,
        version: DataVersion,
    },
    TopicDelete {
        #[serde(with = "arc_str")]
        topic: Arc<str>,
        version: DataVersion,
        /// Where the queues of the topic live, also when it is made again. Missing in old records.
        #[serde(default)]
        first_log: Option<u16>,
        /// The next offsets of its queues, `(queue id, offset)`: a topic of the same name begins
        /// there, so that an offset never names two messages.
        #[serde(default)]
        ends: Vec<(i32, i64)>,
    },
    GroupPut {
        group: Group,
        version: DataVersion,
    },
    GroupDelete {
        #[serde(with = "arc_str")]
        group: Arc<str>,
        version: DataVersion,
    },
    /// Consumer offsets of some queues, `(queue id, offset)`.
    Offsets {
        #[serde(with = "arc_str")]
        topic: Arc<str>,
        #[serde(with = "arc_str")]
        group: Arc<str>,
        offsets: Vec<(i32, i64)>,
    },
    /// Consumer offsets are gone: all of a topic, of a group, or of both together.
    OffsetsDelete {
        topic: Option<String>,
        group: Option<String>,
    },
    /// The next message of a delay level to deliver.
    DelayOffset {
        level: i32,
        offset: i64,
    },
    /// The transactions of a log: the first half message that may be undecided, and the last sweeps
    /// over them, `(milliseconds since 1970, the next half message then)`.
    Transactions {
        log: u16,
        first: i64,
        sweeps: Vec<(i64, i64)>,
    },
    /// Keys of the configuration that were changed while the broker ran.
    Keys {
        keys: Vec<StoredKey>,
    },
    /// How far the messages of a queue of the timer topic are delivered.
    TimerFrontier {
        queue: i32,
        frontier: Frontier,
    },
    /// Queues of a topic that a client of a group has locked, or nobody.
    Locks {
        #[serde(with = "arc_str")]
        group: Arc<str>,
        client: Option<String>,
        topic: String,
        broker: String,
        queues: Vec<i32>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_survive_json() {
        let version = DataVersion::default().next(1_700_000_000_000);
        let changes = [
            MetaChange::TopicPut { topic: Topic::new("T", 4, 6), version },
            MetaChange::TopicDelete {
                topic: "T".into(),
                version,
                first_log: Some(1),
                ends: vec![(0, 7)],
            },
            MetaChange::GroupPut { group: Group::new("G"), version },
            MetaChange::GroupDelete { group: "G".into(), version },
            MetaChange::Offsets {
                topic: "T".into(),
                group: "G".into(),
                offsets: vec![(0, 42), (3, i64::MAX)],
            },
            MetaChange::OffsetsDelete { topic: None, group: Some("G".into()) },
            MetaChange::DelayOffset { level: 3, offset: 1000 },
            MetaChange::Transactions { log: 1, first: 7, sweeps: vec![(1_700_000_000_000, 9)] },
            MetaChange::Keys {
                keys: vec![StoredKey {
                    key: "fileReservedTime".to_owned(),
                    value: Some("24".to_owned()),
                    instead_of: "72".to_owned(),
                }],
            },
            MetaChange::TimerFrontier {
                queue: 1,
                frontier: Frontier { read: 9, due_ms: 1_700_000_000_000, offset: 7, first: 4 },
            },
            MetaChange::Locks {
                group: "G".into(),
                client: Some("10.0.0.1@7".to_owned()),
                topic: "T".to_owned(),
                broker: "broker-a".to_owned(),
                queues: vec![0, 3],
            },
        ];
        for change in changes {
            let json = serde_json::to_string(&change).expect("serializes");
            assert_eq!(serde_json::from_str::<MetaChange>(&json).expect("reads"), change);
        }
    }

    #[test]
    fn deletions_of_the_first_release_are_read() {
        let version = DataVersion::default();
        let topic = "T".into();
        let new = MetaChange::TopicDelete { topic, version, first_log: None, ends: Vec::new() };
        let json = serde_json::to_string(&new).expect("serializes");
        let old = json.replace(r#","firstLog":null,"ends":[]"#, "");
        assert_ne!(json, old);
        assert_eq!(serde_json::from_str::<MetaChange>(&old).expect("reads"), new);
    }

    #[test]
    fn the_version_counts_and_takes_the_time() {
        let version = DataVersion::default().next(5).next(7);
        assert_eq!((version.counter, version.timestamp), (2, 7));
    }
}
