//! How long messages stay: which segments are deleted, why, and when; and when sends are refused
//! because the disk is nearly full. Pure: input and a time in, actions out.
//!
//! A segment goes when all of its messages have been kept for `fileReservedTime` (or for the
//! `reserve.time` of a topic that has messages in it), at an hour of `deleteWhen`, or at any hour
//! while the disk is used above `diskMaxUsedSpaceRatio`. Before its time it goes only when its
//! topics exceed their `reserve.bytes`, `retentionBytes` is exceeded or the disk is used above
//! `diskSpaceCleanForciblyRatio`, and then, with `deleteUnconsumedWhenFull = false`, only when
//! every group that consumes it has consumed it. What waits for its delivery is never deleted.
//! Only the oldest segments of a log can go, and never the one that is written to.

pub mod disk;
pub mod forecast;
pub mod hours;
#[cfg(test)]
mod tests;

use std::iter;

use ringmq_base::SegmentInfo;
use ringmq_base::{LogId, LogPosition, config::BrokerConfig};

use super::attributes::HOUR_MS;
use disk::{DiskState, DiskUsage, Thresholds};
use hours::Hours;

/// Segments that one step deletes at most: then everything is measured again.
const DELETIONS_MAX: usize = 10;

/// What the operator wants, from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// fileReservedTime.
    pub reserved_ms: i64,
    /// deleteWhen.
    pub hours: Hours,
    pub thresholds: Thresholds,
    /// cleanFileForciblyEnable.
    pub clean_forcibly: bool,
    /// retentionBytes; `None` without a limit.
    pub bytes_max: Option<u64>,
    /// deleteUnconsumedWhenFull.
    pub delete_unconsumed: bool,
    /// spareSegmentsMax, for each log.
    pub spares_max: usize,
}

impl Policy {
    pub fn of(config: &BrokerConfig) -> Policy {
        let reserved_hours = i64::try_from(config.file_reserved_time_hours).unwrap_or(i64::MAX);
        Policy {
            reserved_ms: reserved_hours.saturating_mul(HOUR_MS),
            hours: Hours::parse(&config.delete_when),
            thresholds: Thresholds {
                warn: config.disk_max_used_space_ratio,
                clean: config.disk_space_clean_forcibly_ratio,
                refuse: config.disk_space_warning_level_ratio,
            },
            clean_forcibly: config.clean_file_forcibly_enable,
            bytes_max: Some(config.retention_bytes).filter(|bytes| *bytes > 0),
            delete_unconsumed: config.delete_unconsumed_when_full,
            spares_max: config.spare_segments_max as usize,
        }
    }

    /// When everything in a segment has been kept for that long, or for as long as others.
    fn expires_ms(&self, segment: &SegmentInfo, reserved_ms: Option<i64>) -> i64 {
        segment.last_stored_ms.saturating_add(reserved_ms.unwrap_or(self.reserved_ms))
    }
}

/// Positions of a log where messages of topics with the same rules may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// `None`: as long as [`Policy::reserved_ms`].
    pub reserved_ms: Option<i64>,
    /// Their topics have newer messages of as many bytes as `reserve.bytes` asks for.
    pub surplus: bool,
    pub from: LogPosition,
    /// Of the last message.
    pub to: LogPosition,
}

impl Reserve {
    /// When what it is about has been kept long enough in a segment.
    fn expires_ms(&self, segment: &SegmentInfo, policy: &Policy) -> i64 {
        policy.expires_ms(segment, self.reserved_ms)
    }
}

/// The first message of a log that some group has not consumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unconsumed {
    pub position: LogPosition,
    pub group: String,
    pub topic: String,
    pub queue_id: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogUsage {
    pub log: LogId,
    /// In order.
    pub segments: Vec<SegmentInfo>,
    /// Files that are kept for reuse, in bytes.
    pub spare_bytes: u64,
    /// The first message that waits for its delivery.
    pub waiting: Option<LogPosition>,
    /// Looked up only if the policy or somebody asks.
    pub unconsumed: Option<Unconsumed>,
    /// Empty if no topic has rules of its own.
    pub reserves: Vec<Reserve>,
    /// The file system gave it no space: it refuses sends, whatever the fill of the disk is said
    /// to be. A quota does that, for example.
    pub full: bool,
}

impl LogUsage {
    pub fn bytes(&self) -> u64 {
        self.spare_bytes + self.segments.iter().map(|segment| segment.file_bytes).sum::<u64>()
    }

    /// The rules for messages that may be in the segment.
    fn rules(&self, segment: &SegmentInfo) -> impl Iterator<Item = &Reserve> {
        let (start, end) = (segment.start, segment.end);
        self.reserves.iter().filter(move |reserve| reserve.from < end && reserve.to >= start)
    }

    /// When everything in the segment has been kept long enough.
    pub fn expires_ms(&self, segment: &SegmentInfo, policy: &Policy) -> i64 {
        let expires = self.rules(segment).map(|reserve| reserve.expires_ms(segment, policy));
        expires.max().unwrap_or_else(|| policy.expires_ms(segment, None))
    }

    /// Some topics keep enough bytes without the segment, and it is too old for all others.
    fn is_surplus(&self, segment: &SegmentInfo, policy: &Policy, now_ms: i64) -> bool {
        let kept =
            |reserve: &Reserve| !reserve.surplus && reserve.expires_ms(segment, policy) > now_ms;
        self.rules(segment).any(|reserve| reserve.surplus) && !self.rules(segment).any(kept)
    }

    /// Messages in it wait for their delivery.
    pub fn is_held(&self, segment: &SegmentInfo) -> bool {
        self.waiting.is_some_and(|waiting| waiting < segment.end)
    }

    /// Some group has not consumed all of it, and the policy protects that.
    pub fn is_protected(&self, segment: &SegmentInfo, policy: &Policy) -> bool {
        let unconsumed = self.unconsumed.as_ref();
        !policy.delete_unconsumed && unconsumed.is_some_and(|first| first.position < segment.end)
    }
}

/// All that a decision needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionInput {
    pub logs: Vec<LogUsage>,
    /// `None` if the disk did not tell.
    pub disk: Option<DiskUsage>,
    /// Hour of the local time, 0 to 23.
    pub hour: u8,
    /// Somebody asked to delete what has expired, at whatever hour.
    pub asked: bool,
}

/// Why a segment is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has expired and it is the hour to delete, or somebody asked.
    Expired,
    /// It has expired and the disk is used above diskMaxUsedSpaceRatio.
    ExpiredDiskUsed,
    /// Its topics exceed their `reserve.bytes` without it.
    TopicBytes,
    /// retentionBytes is exceeded.
    Bytes,
    /// The disk is used above diskSpaceCleanForciblyRatio.
    DiskFull,
}

impl Reason {
    pub const fn text(self) -> &'static str {
        match self {
            Reason::Expired => "older than fileReservedTime",
            Reason::ExpiredDiskUsed => {
                "older than fileReservedTime, disk above diskMaxUsedSpaceRatio"
            }
            Reason::TopicBytes => "topics larger than their reserve.bytes",
            Reason::Bytes => "store larger than retentionBytes",
            Reason::DiskFull => "disk above diskSpaceCleanForciblyRatio",
        }
    }
}

/// One segment to delete: the first of its log when its turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    pub log: LogId,
    /// The log begins here afterwards.
    pub before: LogPosition,
    pub bytes: u64,
    pub last_stored_ms: i64,
    pub reason: Reason,
}

/// What a step decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actions {
    /// In this order.
    pub deletions: Vec<Deletion>,
    /// There is more to delete: step again soon.
    pub more: bool,
    /// Files to keep for reuse, for each log.
    pub spares: usize,
    pub disk: DiskState,
    /// The state before, if it is another one.
    pub disk_before: Option<DiskState>,
    /// Bytes that should go but may not; see the forecast for the reasons.
    pub bytes_kept: u64,
}

/// The one thing that is remembered between steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    pub disk: DiskState,
}

impl Retention {
    /// Decides. `now_ms`: milliseconds since 1970.
    pub fn step(&mut self, policy: &Policy, input: &RetentionInput, now_ms: i64) -> Actions {
        let before = self.disk;
        self.disk = state_after(before, policy, input);
        let chosen = choose(policy, input, self.disk, now_ms);
        let more = chosen.deletions.len() > DELETIONS_MAX;
        let mut deletions = chosen.deletions;
        deletions.truncate(DELETIONS_MAX);
        Actions {
            deletions,
            more,
            // Spare files are space that a full disk needs.
            spares: if self.disk == DiskState::Normal { policy.spares_max } else { 0 },
            disk: self.disk,
            disk_before: (before != self.disk).then_some(before),
            bytes_kept: chosen.bytes_kept,
        }
    }
}

/// The state that follows a state.
pub(super) fn state_after(before: DiskState, policy: &Policy, input: &RetentionInput) -> DiskState {
    let by_fill = before.next(input.disk.as_ref(), &policy.thresholds);
    let full = input.logs.iter().any(|log| log.full);
    if full { by_fill.max(DiskState::Clean) } else { by_fill }
}

/// Everything that goes now.
pub(super) struct Chosen {
    pub deletions: Vec<Deletion>,
    pub bytes_kept: u64,
}

pub(super) fn choose(
    policy: &Policy,
    input: &RetentionInput,
    state: DiskState,
    now_ms: i64,
) -> Chosen {
    let mut queue = Oldest { policy, logs: &input.logs, taken: vec![0; input.logs.len()] };
    let mut deletions = Vec::new();
    let hour = input.asked || policy.hours.contains(input.hour);
    if hour || state > DiskState::Normal {
        let reason = if hour { Reason::Expired } else { Reason::ExpiredDiskUsed };
        let expired =
            |log: &LogUsage, segment: &SegmentInfo| log.expires_ms(segment, policy) <= now_ms;
        deletions.extend(iter::from_fn(|| queue.take(reason, expired)));
    }
    let may_go = |log: &LogUsage, segment: &SegmentInfo| {
        !log.is_protected(segment, policy) || log.expires_ms(segment, policy) <= now_ms
    };
    let surplus = |log: &LogUsage, segment: &SegmentInfo| {
        log.is_surplus(segment, policy, now_ms) && may_go(log, segment)
    };
    deletions.extend(iter::from_fn(|| queue.take(Reason::TopicBytes, surplus)));
    let mut freed: u64 = deletions.iter().map(|deletion| deletion.bytes).sum();
    let all: u64 = input.logs.iter().map(LogUsage::bytes).sum();
    let over_budget = policy.bytes_max.map_or(0, |most| all.saturating_sub(most));
    let over_disk = if state >= DiskState::Clean && policy.clean_forcibly {
        let above = input.disk.as_ref().map(|disk| disk.bytes_above(policy.thresholds.clean));
        // How much a full log lacks is not known: a segment at a time.
        above.unwrap_or(0).max(u64::from(input.logs.iter().any(|log| log.full)))
    } else {
        0
    };
    for (wanted, reason) in [(over_budget, Reason::Bytes), (over_disk, Reason::DiskFull)] {
        while freed < wanted {
            let Some(deletion) = queue.take(reason, may_go) else {
                break;
            };
            freed += deletion.bytes;
            deletions.push(deletion);
        }
    }
    Chosen { deletions, bytes_kept: over_budget.max(over_disk).saturating_sub(freed) }
}

/// The oldest segments of all logs, one after the other.
struct Oldest<'a> {
    policy: &'a Policy,
    logs: &'a [LogUsage],
    /// Segments taken of each log.
    taken: Vec<usize>,
}

impl Oldest<'_> {
    /// The oldest segment that is the first of its log and may go.
    fn take(
        &mut self,
        reason: Reason,
        may_go: impl Fn(&LogUsage, &SegmentInfo) -> bool,
    ) -> Option<Deletion> {
        let candidates = self.logs.iter().enumerate().filter_map(|(at, log)| {
            let segment = log.segments.get(*self.taken.get(at)?)?;
            let goes = segment.complete && !log.is_held(segment) && may_go(log, segment);
            goes.then_some((at, log, segment))
        });
        let oldest = |(_, log, segment): &(usize, &LogUsage, &SegmentInfo)| {
            (log.expires_ms(segment, self.policy), segment.last_stored_ms, log.log.get())
        };
        let (at, log, segment) = candidates.min_by_key(oldest)?;
        *self.taken.get_mut(at)? += 1;
        Some(Deletion {
            log: log.log,
            before: segment.end,
            bytes: segment.file_bytes,
            last_stored_ms: segment.last_stored_ms,
            reason,
        })
    }
}
