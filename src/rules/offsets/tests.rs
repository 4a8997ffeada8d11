use super::*;

fn offsets(topic: &str, group: &str, offsets: &[(i32, i64)]) -> MetaChange {
    MetaChange::Offsets { topic: topic.into(), group: group.into(), offsets: offsets.to_vec() }
}

fn listed(table: &OffsetTable, most: usize) -> Vec<MetaChange> {
    let (mut all, mut to) = (Vec::new(), ListedTo::default());
    loop {
        let some = table.list(None, &mut to, most);
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

fn all_dirty(table: &mut OffsetTable) -> Vec<MetaChange> {
    table.take_dirty(usize::MAX)
}

#[test]
fn only_what_changed_is_persisted_and_only_once() {
    let mut table = OffsetTable::default();
    for (queue, offset) in [(1, 5), (0, 7), (1, 6)] {
        assert_eq!(table.commit("t", "g", queue, offset), Ok(Commit::Stored));
    }
    table.commit("a", "g", 0, 1).expect("room");
    let all = [offsets("a", "g", &[(0, 1)]), offsets("t", "g", &[(0, 7), (1, 6)])];
    assert_eq!(all_dirty(&mut table), all);
    assert_eq!(all_dirty(&mut table), []);
    assert_eq!(table.commit("t", "g", 1, 6), Ok(Commit::Stored));
    assert_eq!(all_dirty(&mut table), []);
    assert_eq!(table.commit("t", "g", 1, 2), Ok(Commit::WentBack { from: 6 }));
    assert_eq!(all_dirty(&mut table), [offsets("t", "g", &[(1, 2)])]);
    assert_eq!(table.len(), 3);
}

#[test]
fn what_was_not_made_durable_is_given_again_as_it_is_then() {
    let mut table = OffsetTable::default();
    for (topic, group, queue) in [("t", "g", 0), ("t", "g", 1), ("u", "g", 0)] {
        table.commit(topic, group, queue, 5).expect("room");
    }
    let failed = all_dirty(&mut table);
    assert_eq!((failed.len(), table.dirty_len()), (2, 0));
    table.commit("t", "g", 1, 6).expect("room");
    table.apply(&MetaChange::OffsetsDelete { topic: Some("u".into()), group: None });
    failed.iter().chain(&failed).for_each(|change| table.mark_dirty(change));
    assert_eq!(all_dirty(&mut table), [offsets("t", "g", &[(0, 5), (1, 6)])]);
    assert!(all_dirty(&mut table).is_empty() && table.topics_of_group("g", "").eq([&"t".into()]));
}

#[test]
fn all_of_a_topic_or_of_a_group_can_be_written_again() {
    let mut table = OffsetTable::default();
    for (topic, group) in [("t", "g"), ("t", "h"), ("u", "g")] {
        table.commit(topic, group, 3, 1).expect("room");
    }
    all_dirty(&mut table);
    table.commit("t", "g", 4, 1).expect("room");
    assert_eq!(table.mark_dirty_behind(Some("t"), None, "", 9), None);
    let of_topic = [offsets("t", "g", &[(3, 1), (4, 1)]), offsets("t", "h", &[(3, 1)])];
    assert_eq!(all_dirty(&mut table), of_topic);
    assert_eq!(table.mark_dirty_behind(None, Some("g"), "", 9), None);
    let of_group = [offsets("t", "g", &[(3, 1), (4, 1)]), offsets("u", "g", &[(3, 1)])];
    assert_eq!(all_dirty(&mut table), of_group);
}

/// D2: queue ids are numbers of the client's choice, so one group can have very many.
#[test]
fn no_change_has_more_offsets_than_fit_a_record() {
    let mut table = OffsetTable::default();
    let count = OFFSETS_OF_CHANGE_MAX as i32 + 1;
    for queue in 0..count {
        table.commit("t", "g", queue, i64::MAX).expect("room");
    }
    let sizes = |changes: &[MetaChange]| -> Vec<usize> {
        changes.iter().map(|change| serde_json::to_vec(change).expect("JSON").len()).collect()
    };
    let changes = all_dirty(&mut table);
    assert_eq!(changes.len(), 2);
    assert!(sizes(&changes).iter().all(|size| *size < 4 << 20), "{:?}", sizes(&changes));
    changes.iter().for_each(|change| table.mark_dirty(change));
    assert_eq!(all_dirty(&mut table), changes);
}

#[test]
fn very_many_changed_queues_are_given_a_few_at_a_time() {
    let mut table = OffsetTable::default();
    for (group, count) in [("a", 50_000), ("b", 1), ("c", 50_000)] {
        for queue in (0..count).rev() {
            table.commit("t", group, queue, 1).expect("room");
            table.commit("t", group, queue, 2).expect("room");
        }
    }
    let mut given = OffsetTable::default();
    while table.dirty_len() > 0 {
        let changes = table.take_dirty(1000);
        let count = |change: &MetaChange| match change {
            MetaChange::Offsets { offsets, .. } => offsets.len(),
            _ => 0,
        };
        let given_now: usize = changes.iter().map(count).sum();
        assert!((1..=1000).contains(&given_now), "{given_now}");
        changes.iter().for_each(|change| given.apply(change));
    }
    assert_eq!(listed(&given, usize::MAX), listed(&table, usize::MAX));
}

#[test]
fn offsets_under_names_that_no_topic_or_group_has_are_refused() {
    let mut table = OffsetTable::default();
    let long = "x".repeat(3 << 20);
    for (topic, group) in [("t\u{2}", "g"), ("t", "g\n"), (&*long, "g"), ("t", &*long)] {
        let refusal = table.commit(topic, group, 0, 1).expect_err("not a name");
        assert!(refusal.remark.len() < 300, "{}", refusal.remark);
    }
    assert!(table.is_empty() && all_dirty(&mut table).is_empty());
    let retry = ["%RETRY%", &"g".repeat(255)].concat();
    assert_eq!(table.commit(&retry, &"g".repeat(255), 0, 1), Ok(Commit::Stored));
}

#[test]
fn a_snapshot_restores_the_table() {
    let mut table = OffsetTable::default();
    table.commit("t", "g", 0, 7).expect("room");
    table.commit("%RETRY%g", "g", 0, -1).expect("room");
    let mut again = OffsetTable::default();
    listed(&table, 1).iter().for_each(|change| again.apply(change));
    assert_eq!(listed(&again, 100), listed(&table, 100));
    assert_eq!(all_dirty(&mut again), []);
    assert_eq!(again.query("t", "g", 0), Some(7));
    assert_eq!(again.query("%RETRY%g", "g", 0), None);
    assert_eq!(again.len(), 2);
}

#[test]
fn offsets_are_listed_a_few_at_a_time_and_each_once() {
    let mut table = OffsetTable::default();
    for (topic, group, queues) in [("t", "g", 3), ("u", "g", 5000), ("t", "h", 1), ("a", "i", 2)] {
        for queue in 0..queues {
            table.commit(topic, group, queue, 1).expect("room");
        }
    }
    for most in [1, 2, 3, 7, 2048, 5006] {
        let (mut again, mut to) = (OffsetTable::default(), ListedTo::default());
        let mut count = 0;
        loop {
            let some = table.list(None, &mut to, most);
            let sizes = some.iter().map(|change| match change {
                MetaChange::Offsets { offsets, .. } => offsets.len(),
                _ => 0,
            });
            let (given, largest) = sizes.fold((0, 0), |(sum, max), n| (sum + n, n.max(max)));
            assert!(given <= most && largest <= OFFSETS_OF_CHANGE_MAX, "{given}, {largest}");
            if given == 0 {
                break;
            }
            count += given;
            some.iter().for_each(|change| again.apply(change));
        }
        assert_eq!((count, again.len()), (5006, 5006), "{most} at a time");
    }
    let mut to = ListedTo::default();
    let of_group = [offsets("a", "i", &[(0, 1), (1, 1)])];
    assert_eq!(table.list(Some("i"), &mut to, 100), of_group);
    assert_eq!(table.list(Some("i"), &mut to, 100), []);
    assert_eq!(table.list(Some("nobody"), &mut ListedTo::default(), 100), []);
}

#[test]
fn offsets_are_forgotten_a_few_at_a_time() {
    let mut table = OffsetTable::default();
    for number in 0..10 {
        for (topic, group) in [("t", format!("g{number}")), ("u", "g0".to_owned())] {
            table.commit(topic, &group, number, 1).expect("room");
        }
    }
    assert!(!table.remove(Some("t"), None, 9));
    assert_eq!((table.len(), table.groups_of_topic("t", "").count()), (11, 1));
    assert!(table.remove(Some("t"), None, 9));
    assert!(table.topics_of_group("g0", "").eq([&"u".into()]) && table.dirty_len() == 1);
    assert!(table.remove(Some("u"), Some("g0"), 9) && table.is_empty());
}

#[test]
fn offsets_go_with_their_topic_or_group() {
    let mut table = OffsetTable::default();
    for (topic, group) in [("t", "g"), ("t", "h"), ("u", "g"), ("u", "h")] {
        table.commit(topic, group, 0, 1).expect("room");
    }
    table.apply(&MetaChange::OffsetsDelete { topic: Some("t".into()), group: None });
    assert!(table.groups_of_topic("t", "").next().is_none());
    table.apply(&MetaChange::OffsetsDelete { topic: None, group: Some("g".into()) });
    assert!(table.topics_of_group("g", "").next().is_none());
    assert!(table.groups_of_topic("u", "").eq([&"h".into()]));
    table.apply(&MetaChange::OffsetsDelete { topic: None, group: None });
    assert_eq!(table.len(), 1);
    table.commit("t", "g", 0, 9).expect("room");
    let dirty = all_dirty(&mut table);
    assert_eq!(dirty, [offsets("t", "g", &[(0, 9)]), offsets("u", "h", &[(0, 1)])]);
}

#[test]
fn an_unknown_offset_is_zero_only_on_a_young_queue() {
    assert_eq!(answer_query(Some(3), 9, false, None), Ok(3));
    assert_eq!(answer_query(None, 0, true, None), Ok(0));
    for (min, in_memory, zero) in [(5, true, None), (0, false, None), (0, true, Some(false))] {
        let refusal = answer_query(None, min, in_memory, zero).expect_err("not found");
        assert_eq!(refusal.code, code::QUERY_NOT_FOUND);
    }
}

#[test]
fn the_table_is_bounded_in_bytes_and_what_goes_makes_room() {
    let mut table = OffsetTable::with_limit(64 << 20);
    let group = "g".repeat(255);
    let mut topics = 0;
    let refusal = loop {
        let topic = format!("{topics:0>127}");
        match table.commit(&topic, &group, 0, 1) {
            Ok(_) => topics += 1,
            Err(refusal) => break refusal,
        }
    };
    assert!((30_000..40_000).contains(&topics), "{topics}");
    assert!(refusal.remark.contains("at most 67108864 fit"), "{}", refusal.remark);
    assert!(table.commit(&"0".repeat(127), &group, 0, 2).is_ok(), "a known one takes no memory");
    let delete = MetaChange::OffsetsDelete { topic: Some("0".repeat(127)), group: None };
    table.apply(&delete);
    assert!(table.commit("short", "g", 0, 1).is_ok());
    let before = table.bytes;
    let all = table.list(None, &mut ListedTo::default(), usize::MAX);
    let mut restored = OffsetTable::default();
    for change in &all {
        restored.apply(change);
    }
    assert_eq!((restored.bytes, restored.count), (before, table.count));
    table.apply(&MetaChange::OffsetsDelete { topic: None, group: Some(group) });
    table.apply(&MetaChange::OffsetsDelete { topic: None, group: Some("g".to_owned()) });
    assert_eq!((table.bytes, table.count), (0, 0));
}

#[test]
fn offsets_are_marked_and_forgotten_in_slices_whatever_their_number() {
    let mut table = OffsetTable::default();
    for group in 0..20 {
        for queue in 0..5000 {
            table.commit("t", &format!("g{group:02}"), queue, 1).expect("room");
        }
    }
    table.commit("u", "g03", 0, 1).expect("room");
    table.take_dirty(usize::MAX);
    let (mut after, mut slices) = (Arc::from(""), 0);
    while let Some(next) = table.mark_dirty_behind(Some("t"), None, &after, 9) {
        assert!(table.dirty_len() <= 4 * (slices + 1) && next > after, "{next}");
        (after, slices) = (next, slices + 1);
    }
    assert_eq!((table.dirty_len(), slices), (20, 4));
    let written = table.take_dirty(usize::MAX).into_iter().map(|change| match change {
        MetaChange::Offsets { offsets, .. } => offsets.len(),
        _ => 0,
    });
    assert_eq!(written.sum::<usize>(), 100_000);
    assert_eq!(table.mark_dirty_behind(Some("t"), Some("g03"), "", 9), None);
    assert_eq!(table.mark_dirty_behind(None, Some("g03"), "t", 9), None);
    assert_eq!(table.dirty_len(), 2);
    let mut slices = 0;
    while !table.remove(Some("t"), None, 9) {
        slices += 1;
        assert_eq!(table.len(), 100_001 - slices * 20_000);
    }
    assert_eq!((table.len(), slices), (1, 4));
}
