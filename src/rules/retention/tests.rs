use jiff::tz::TimeZone;

use super::{disk::refusal, forecast::forecast, *};

const GIB: u64 = 1 << 30;
const NOW: i64 = 1_000 * HOUR_MS;

fn policy() -> Policy {
    Policy::of(&BrokerConfig::default())
}

/// Complete segments of 1 GiB whose last messages are that many hours old, and an active one.
fn log(number: u16, ages: &[i64]) -> LogUsage {
    let mut segments = Vec::new();
    for (at, age) in ages.iter().chain([&0]).enumerate() {
        let start = at as u64 * GIB;
        segments.push(SegmentInfo {
            start: LogPosition(start),
            end: LogPosition(start + GIB),
            file_bytes: GIB,
            first_stored_ms: Some(NOW - (age + 1) * HOUR_MS),
            last_stored_ms: NOW - age * HOUR_MS,
            complete: at < ages.len(),
        });
    }
    LogUsage {
        log: LogId::new(number).expect("in range"),
        segments,
        spare_bytes: 0,
        waiting: None,
        unconsumed: None,
        reserves: Vec::new(),
        full: false,
    }
}

fn disk(used_percent: u64) -> DiskUsage {
    DiskUsage { path: "/data".into(), total: 100 * GIB, free: (100 - used_percent) * GIB }
}

fn input(logs: Vec<LogUsage>, used_percent: u64, hour: u8) -> RetentionInput {
    RetentionInput { logs, disk: Some(disk(used_percent)), hour, asked: false }
}

/// Log and end (in GiB) of what a fresh broker deletes.
fn deleted(policy: &Policy, input: &RetentionInput) -> Vec<(u16, u64)> {
    let actions = Retention::default().step(policy, input, NOW);
    actions.deletions.iter().map(|one| (one.log.get(), one.before.0 / GIB)).collect()
}

fn unconsumed(gib: u64) -> Option<Unconsumed> {
    let (group, topic) = ("group".to_owned(), "topic".to_owned());
    Some(Unconsumed { position: LogPosition(gib * GIB + 5000), group, topic, queue_id: 0 })
}

#[test]
fn expired_segments_go_at_the_hour_only() {
    let logs = vec![log(0, &[100, 80, 71, 1])];
    assert_eq!(deleted(&policy(), &input(logs.clone(), 50, 3)), []);
    assert_eq!(deleted(&policy(), &input(logs.clone(), 50, 4)), [(0, 1), (0, 2)]);
    let asked = RetentionInput { asked: true, ..input(logs, 50, 3) };
    assert_eq!(deleted(&policy(), &asked), [(0, 1), (0, 2)]);
}

#[test]
fn expired_segments_go_at_any_hour_when_the_disk_is_used_much() {
    let logs = vec![log(0, &[100, 71])];
    assert_eq!(deleted(&policy(), &input(logs.clone(), 75, 12)), [], "75 % is not above 75 %");
    assert_eq!(deleted(&policy(), &input(logs, 76, 12)), [(0, 1)]);
}

#[test]
fn the_oldest_of_all_logs_go_first_when_the_disk_is_nearly_full() {
    let logs = vec![log(0, &[50, 20, 10]), log(1, &[40, 30, 1])];
    // 88 - 84 = 4 GiB have to go.
    let gone = deleted(&policy(), &input(logs.clone(), 88, 12));
    assert_eq!(gone, [(0, 1), (1, 1), (1, 2), (0, 2)]);
    let gentle = Policy { clean_forcibly: false, ..policy() };
    assert_eq!(deleted(&gentle, &input(logs, 88, 12)), []);
}

#[test]
fn a_log_without_space_makes_room_whatever_the_disk_says() {
    let mut logs = vec![log(0, &[50, 20]), log(1, &[60, 10])];
    logs[0].full = true;
    assert_eq!(deleted(&policy(), &input(logs.clone(), 10, 12)), [(1, 1)], "the oldest one");
    let gentle = Policy { clean_forcibly: false, ..policy() };
    assert_eq!(deleted(&gentle, &input(logs, 10, 12)), []);
}

#[test]
fn the_active_segment_never_goes() {
    let actions = Retention::default().step(&policy(), &input(vec![log(0, &[3])], 99, 4), NOW);
    assert_eq!(actions.deletions.len(), 1);
    assert_eq!(actions.bytes_kept, 14 * GIB);
}

#[test]
fn a_limit_of_bytes_holds_for_all_logs_together() {
    let logs = vec![log(0, &[5, 3]), log(1, &[4, 2])];
    let limited = Policy { bytes_max: Some(4 * GIB), ..policy() };
    assert_eq!(deleted(&limited, &input(logs, 10, 12)), [(0, 1), (1, 1)]);
}

#[test]
fn what_waits_for_delivery_is_never_deleted() {
    let mut one = log(0, &[100, 90, 80]);
    one.waiting = Some(LogPosition(GIB + 4096));
    assert_eq!(deleted(&policy(), &input(vec![one], 99, 4)), [(0, 1)]);
}

#[test]
fn unconsumed_messages_are_protected_until_they_expire_if_the_operator_says_so() {
    let mut one = log(0, &[90, 60, 50]);
    one.unconsumed = unconsumed(0);
    assert_eq!(deleted(&policy(), &input(vec![one.clone()], 99, 12)).len(), 3, "as Java");
    let careful = Policy { delete_unconsumed: false, ..policy() };
    assert_eq!(deleted(&careful, &input(vec![one.clone()], 99, 12)), [(0, 1)], "it has expired");
    one.unconsumed = unconsumed(2);
    assert_eq!(deleted(&careful, &input(vec![one.clone()], 99, 12)), [(0, 1), (0, 2)]);
    let limited = Policy { bytes_max: Some(1), ..careful };
    assert_eq!(deleted(&limited, &input(vec![one], 10, 12)), [(0, 1), (0, 2)]);
}

#[test]
fn the_longest_reserve_time_in_a_segment_counts() {
    let mut one = log(0, &[200, 100, 10, 5]);
    let position = |gib: u64| LogPosition(gib * GIB + 4096);
    one.reserves = vec![
        Reserve { reserved_ms: None, surplus: false, from: LogPosition(0), to: position(2) },
        Reserve {
            reserved_ms: Some(150 * HOUR_MS),
            surplus: false,
            from: position(1),
            to: position(1),
        },
        Reserve {
            reserved_ms: Some(4 * HOUR_MS),
            surplus: false,
            from: position(2),
            to: position(4),
        },
    ];
    assert_eq!(deleted(&policy(), &input(vec![one.clone()], 10, 4)), [(0, 1)], "100 < 150 hours");
    one.segments.drain(..3);
    assert_eq!(deleted(&policy(), &input(vec![one], 10, 4)), [(0, 4)], "only short ones in it");
}

#[test]
fn a_segment_goes_at_any_hour_when_its_topics_keep_enough_bytes_without_it() {
    let mut one = log(0, &[100, 90, 10, 5, 1]);
    let position = |gib: u64| LogPosition(gib * GIB + 4096);
    let rule = |surplus, from, to| Reserve { reserved_ms: None, surplus, from, to };
    one.reserves =
        vec![rule(true, position(0), position(3)), rule(false, position(3), position(5))];
    assert_eq!(deleted(&policy(), &input(vec![one.clone()], 10, 12)), [(0, 1), (0, 2), (0, 3)]);
    // A topic without a limit is in the first three, and expired in the first two.
    one.reserves.push(rule(false, LogPosition(0), position(2)));
    assert_eq!(deleted(&policy(), &input(vec![one.clone()], 10, 12)), [(0, 1), (0, 2)]);
    one.reserves.pop();
    one.unconsumed = unconsumed(1);
    let careful = Policy { delete_unconsumed: false, ..policy() };
    assert_eq!(deleted(&careful, &input(vec![one], 10, 12)), [(0, 1), (0, 2)], "or expired");
}

#[test]
fn a_step_deletes_a_few_and_asks_to_go_on() {
    let ages: Vec<i64> = (0..30).map(|at| 200 - at).collect();
    let actions = Retention::default().step(&policy(), &input(vec![log(0, &ages)], 10, 4), NOW);
    assert_eq!((actions.deletions.len(), actions.more), (DELETIONS_MAX, true));
}

#[test]
fn states_of_the_disk_come_at_their_thresholds_and_go_a_point_below() {
    let mut retention = Retention::default();
    let mut at = |used: u64| {
        let input = input(vec![], used, 12);
        retention.step(&policy(), &input, NOW).disk
    };
    use DiskState::{Clean, Normal, Refuse, Warn};
    let walk = [
        (75, Normal),
        (76, Warn),
        (75, Warn),
        (74, Normal),
        (86, Clean),
        (85, Clean),
        (84, Warn),
        (91, Refuse),
        (90, Refuse),
        (89, Clean),
        (100, Refuse),
        (50, Normal),
    ];
    for (used, state) in walk {
        assert_eq!(at(used), state, "at {used} %");
    }
}

#[test]
fn a_disk_that_does_not_tell_changes_nothing() {
    let mut retention = Retention { disk: DiskState::Refuse };
    let input = RetentionInput { disk: None, ..input(vec![log(0, &[1])], 0, 12) };
    let actions = retention.step(&policy(), &input, NOW);
    assert_eq!((actions.disk, actions.disk_before), (DiskState::Refuse, None));
    assert_eq!(actions.deletions, []);
}

#[test]
fn a_refusal_names_what_was_measured_the_limit_the_place_and_the_key() {
    let text = refusal(&disk(92), &policy().thresholds).remark;
    for part in ["92.0 %", "= 90 %", "/data", "diskSpaceWarningLevelRatio", "[CL: 0.92"] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
}

#[test]
fn ratios_are_rounded_up_as_in_java() {
    let disk = DiskUsage { path: "/".into(), total: 1000, free: 349 };
    assert!((disk.ratio() - 0.66).abs() < 1e-9);
    assert_eq!(disk.used_permille(), 651);
}

#[test]
fn the_forecast_tells_when_each_segment_goes() {
    let mut one = log(0, &[100, 70, 2, 1]);
    one.waiting = Some(LogPosition(2 * GIB + 4096));
    let plan = forecast(
        &policy(),
        &input(vec![one.clone()], 10, 12),
        DiskState::Normal,
        NOW,
        &TimeZone::UTC,
    );
    // NOW is 16:00 of a day.
    let at: Vec<_> = plan.logs[0].segments.iter().map(|one| one.delete_at).collect();
    let four = NOW + 12 * HOUR_MS;
    assert_eq!(at, [Some(four), Some(four), None, None, None]);
    assert_eq!(plan.logs[0].segments[4].why, "written to");
    assert!(plan.logs[0].segments[2].why.contains("wait"));
    one.waiting = None;
    let plan =
        forecast(&policy(), &input(vec![one], 87, 12), DiskState::Normal, NOW, &TimeZone::UTC);
    let segments = &plan.logs[0].segments;
    assert_eq!(segments[0].delete_at, Some(NOW));
    assert!(segments[0].why.contains("diskMaxUsedSpaceRatio"), "{}", segments[0].why);
    assert!(segments[1].why.contains("diskSpaceCleanForciblyRatio"), "{}", segments[1].why);
    assert_eq!(segments[3].delete_at, Some(NOW + 71 * HOUR_MS));
    assert_eq!(plan.disk.map(|disk| disk.state), Some("clean".to_owned()));
}
