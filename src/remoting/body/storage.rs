//! What a broker keeps on disk and until when: the answer to STORAGE_PLAN, RingMQ's own.

use serde::{Deserialize, Serialize};

/// Times are milliseconds since 1970, sizes bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoragePlan {
    pub broker_name: String,
    pub now: i64,
    /// `None` if the disk did not tell.
    pub disk: Option<StorageDisk>,
    pub rules: StorageRules,
    pub logs: Vec<StorageLog>,
    /// Since the broker started.
    pub deleted_segments: u64,
    pub deleted_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageDisk {
    pub path: String,
    pub total_bytes: u64,
    pub free_bytes: u64,
    /// In tenths of a percent.
    pub used_permille: u32,
    /// `normal`, `warn`, `clean` or `refuse`.
    pub state: String,
    /// Percentages of the disk in use above which the states begin.
    pub warn_above: u32,
    pub clean_above: u32,
    pub refuse_above: u32,
}

/// The configuration that the plan follows from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageRules {
    /// Hours.
    pub file_reserved_time: u64,
    pub delete_when: String,
    /// Of deleteWhen.
    pub time_zone: String,
    pub clean_file_forcibly_enable: bool,
    /// 0: no limit.
    pub retention_bytes: u64,
    pub delete_unconsumed_when_full: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageLog {
    pub log: u16,
    pub spare_bytes: u64,
    /// Where the first message stands that some group has not consumed, and which group.
    pub unconsumed: Option<StorageUnconsumed>,
    /// Oldest first; the last one is written to.
    pub segments: Vec<StorageSegment>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageUnconsumed {
    /// Of the log.
    pub position: u64,
    pub group: String,
    pub topic: String,
    pub queue_id: i32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageSegment {
    /// Position of the log that it begins at.
    pub start: u64,
    pub bytes: u64,
    pub first_stored: Option<i64>,
    pub last_stored: i64,
    /// When it will be deleted if nothing changes; `None` if that cannot be said.
    pub delete_at: Option<i64>,
    /// One phrase.
    pub why: String,
}
