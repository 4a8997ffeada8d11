//! What will be deleted when, if nothing changes: the answer to "why is my disk full" and "is it
//! still there".

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use ringmq_base::SegmentInfo;
use ringmq_remoting::body::{
    StorageDisk, StorageLog, StoragePlan, StorageRules, StorageSegment, StorageUnconsumed,
};

use super::{LogUsage, Policy, Reason, RetentionInput, choose, disk::DiskState, state_after};

/// Tells about every segment. `state`: that of the last step. The zone is that of deleteWhen.
pub fn forecast(
    policy: &Policy,
    input: &RetentionInput,
    state: DiskState,
    now_ms: i64,
    zone: &TimeZone,
) -> StoragePlan {
    let state = state_after(state, policy, input);
    let now: BTreeMap<_, _> = choose(policy, input, state, now_ms)
        .deletions
        .into_iter()
        .map(|deletion| ((deletion.log, deletion.before), deletion.reason))
        .collect();
    let any_hour = state > DiskState::Normal;
    let logs = input.logs.iter().map(|log| {
        let mut before = None;
        let mut plans = Vec::with_capacity(log.segments.len());
        for segment in &log.segments {
            let (delete_at, why) = match now.get(&(log.log, segment.end)) {
                Some(reason) => (Some(now_ms), reason.text().to_owned()),
                None => later(policy, log, segment, any_hour, now_ms, zone),
            };
            // Nothing goes before what stands in front of it.
            let delete_at = match before {
                None => delete_at,
                Some(before) => delete_at.zip(before).map(|(own, before)| own.max(before)),
            };
            before = Some(delete_at);
            plans.push(StorageSegment {
                start: segment.start.0,
                bytes: segment.file_bytes,
                first_stored: segment.first_stored_ms,
                last_stored: segment.last_stored_ms,
                delete_at,
                why,
            });
        }
        StorageLog {
            log: log.log.get(),
            spare_bytes: log.spare_bytes,
            unconsumed: log.unconsumed.as_ref().map(|first| StorageUnconsumed {
                position: first.position.0,
                group: first.group.clone(),
                topic: first.topic.clone(),
                queue_id: first.queue_id,
            }),
            segments: plans,
        }
    });
    StoragePlan {
        now: now_ms,
        disk: input.disk.as_ref().map(|disk| StorageDisk {
            path: disk.path.display().to_string(),
            total_bytes: disk.total,
            free_bytes: disk.free,
            used_permille: disk.used_permille(),
            state: state.name().to_owned(),
            warn_above: policy.thresholds.warn,
            clean_above: policy.thresholds.clean,
            refuse_above: policy.thresholds.refuse,
        }),
        logs: logs.collect(),
        ..StoragePlan::default()
    }
}

/// When a segment goes that does not go now.
fn later(
    policy: &Policy,
    log: &LogUsage,
    segment: &SegmentInfo,
    any_hour: bool,
    now_ms: i64,
    zone: &TimeZone,
) -> (Option<i64>, String) {
    if !segment.complete {
        let active = log.segments.last().is_some_and(|last| last.start == segment.start);
        let why = if active { "written to" } else { "not yet complete on stable storage" };
        return (None, why.to_owned());
    }
    if log.is_held(segment) {
        return (None, "messages in it wait for their delivery".to_owned());
    }
    let expires = log.expires_ms(segment, policy).max(now_ms);
    let at = if any_hour { Some(expires) } else { policy.hours.next_ms(expires, zone) };
    let reason = if any_hour { Reason::ExpiredDiskUsed } else { Reason::Expired };
    (at, reason.text().to_owned())
}

/// The part of the plan that is configuration.
pub fn rules(config: &ringmq_base::config::BrokerConfig, zone: &TimeZone) -> StorageRules {
    StorageRules {
        file_reserved_time: config.file_reserved_time_hours,
        delete_when: config.delete_when.clone(),
        time_zone: zone.iana_name().unwrap_or("local time").to_owned(),
        clean_file_forcibly_enable: config.clean_file_forcibly_enable,
        retention_bytes: config.retention_bytes,
        delete_unconsumed_when_full: config.delete_unconsumed_when_full,
    }
}
