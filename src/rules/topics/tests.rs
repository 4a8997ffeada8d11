use super::*;

const NOW: i64 = 1_700_000_000_000;

fn table(settings: TopicSettings) -> TopicTable {
    let mut table = TopicTable::new(settings);
    for change in table.plan_system_topics(NOW) {
        table.apply(&change);
    }
    table
}

fn update(topic: &str, queues: i32) -> TopicUpdate<'_> {
    TopicUpdate {
        topic,
        read_queues: queues,
        write_queues: queues,
        perm: 6,
        filter_type: TopicFilterType::SingleTag,
        sys_flag: 0,
        order: false,
        attributes: "",
    }
}

fn put(table: &mut TopicTable, change: &MetaChange) -> Arc<Topic> {
    table.apply(change);
    let MetaChange::TopicPut { topic, .. } = change else { panic!("a put") };
    table.get(&topic.name).expect("applied").clone()
}

#[test]
fn a_new_broker_has_the_system_topics_of_java() {
    let table = table(TopicSettings::default());
    let shape = |name| table.get(name).map(|topic| (topic.write_queues, topic.perm));
    assert_eq!(shape("TBW102"), Some((8, 7)));
    assert_eq!(shape("BenchmarkTest"), Some((1024, 6)));
    assert_eq!(shape("DefaultCluster"), Some((16, 7)));
    assert_eq!(shape("DEFAULT_BROKER"), Some((1, 7)));
    assert_eq!(shape("SCHEDULE_TOPIC_XXXX"), Some((18, 6)));
    assert_eq!(shape("DefaultCluster_REPLY_TOPIC"), Some((1, 6)));
    assert_eq!(shape("RMQ_SYS_TRACE_TOPIC"), None);
    assert!(table.plan_system_topics(NOW).is_empty());
    assert!(table.is_system_topic("rmq_sys_anything"));
    assert!(table.is_system_topic("DefaultCluster"));
    assert!(table.system_topics().contains("SELF_TEST_TOPIC"));
}

#[test]
fn an_unknown_topic_is_made_of_the_template_with_the_smaller_number_of_queues() {
    let mut table = table(TopicSettings::default());
    let change = table.plan_auto_create("T", "TBW102", 4, 0, NOW).expect("room").expect("made");
    let topic = put(&mut table, &change);
    assert_eq!((topic.read_queues, topic.write_queues, topic.perm), (4, 4, 6));
    let change = table.plan_auto_create("U", "TBW102", 99, 1, NOW).expect("room").expect("made");
    let topic = put(&mut table, &change);
    assert_eq!((topic.write_queues, topic.sys_flag), (8, 1));
    assert_eq!(table.plan_auto_create("V", "T", 4, 0, NOW), Ok(None));
    assert_eq!(table.plan_auto_create("V", "unknown", 4, 0, NOW), Ok(None));
}

#[test]
fn no_topic_is_made_of_a_name_that_is_not_allowed() {
    let table = table(TopicSettings::default());
    for name in ["", "a b", "a\u{1}b", "\u{4e2d}", &"t".repeat(128)] {
        assert!(table.plan_auto_create(name, "TBW102", 4, 0, NOW).is_err(), "{name}");
    }
    for name in ["%RETRY%a\u{2}b", &"t".repeat(263)] {
        assert!(table.plan_internal_topic(name, 1, 0, NOW).is_err(), "{name}");
    }
    // Clients in other languages name groups as they like.
    assert!(table.plan_internal_topic("%RETRY%a b.c", 1, 0, NOW).is_ok());
}

#[test]
fn without_auto_create_only_retry_topics_are_made() {
    let mut with = table(TopicSettings::default());
    let settings = TopicSettings { auto_create_topic: false, ..TopicSettings::default() };
    assert!(table(settings.clone()).get("TBW102").is_none());
    with.settings = settings;
    assert_eq!(with.plan_auto_create("T", "TBW102", 4, 0, NOW), Ok(None));
    for change in with.plan_system_topics(NOW) {
        assert_eq!(put(&mut with, &change).perm, 6);
    }
    assert!(with.plan_system_topics(NOW).is_empty());
    let change = with.plan_internal_topic("%RETRY%g", 1, 0, NOW).expect("room");
    let topic = put(&mut with, &change);
    assert_eq!((topic.write_queues, topic.perm), (1, 6));
}

#[test]
fn administrators_may_not_touch_system_topics_nor_bad_names() {
    let table = table(TopicSettings::default());
    let remark = |name| table.plan_update(update(name, 4), NOW).expect_err("refused").remark;
    assert_eq!(remark("TBW102"), "The topic[TBW102] is conflict with system topic.");
    assert!(remark("a b").contains("illegal characters"));
    let refusal = table.plan_delete("SCHEDULE_TOPIC_XXXX", Vec::new(), NOW).expect_err("refused");
    assert_eq!(refusal.code, code::SYSTEM_ERROR);
    assert_eq!(table.plan_delete("not-there", Vec::new(), NOW), Ok(None));
    assert!(table.plan_update(update("T", -1), NOW).is_err());
    assert!(table.plan_update(update("T", TOPIC_QUEUES_MAX + 1), NOW).is_err());
}

#[test]
fn single_queue_topics_spread_over_the_logs_and_stay_there() {
    let mut table = table(TopicSettings { logs: 3, ..TopicSettings::default() });
    let mut logs = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let change = table.plan_update(update(name, 1), NOW).expect("allowed");
        logs.push(put(&mut table, &change).first_log);
        let change = table.plan_internal_topic(&format!("%RETRY%{name}"), 1, 0, NOW);
        put(&mut table, &change.expect("room"));
    }
    assert_eq!(logs, [0, 1, 2, 0]);
    let change = table.plan_update(update("c", 16), NOW).expect("allowed");
    assert_eq!(put(&mut table, &change).first_log, 2);
}

#[test]
fn replaying_a_snapshot_gives_the_same_table() {
    let mut first = table(TopicSettings { logs: 2, ..TopicSettings::default() });
    for name in ["a", "b"] {
        let change = first.plan_update(update(name, 1), NOW).expect("allowed");
        first.apply(&change);
    }
    let change = first.plan_delete("a", vec![(0, 7)], NOW + 1).expect("allowed").expect("there");
    first.apply(&change);
    assert!(first.get("a").is_none());
    let mut second = TopicTable::new(first.settings.clone());
    let changes = first.deletions_from(Bound::Unbounded).chain(first.puts_from(Bound::Unbounded));
    changes.for_each(|change| second.apply(&change));
    assert_eq!((&second.topics, &second.deleted), (&first.topics, &first.deleted));
    assert_eq!(second.version(), first.version());
    let again = second.plan_update(update("a", 1), NOW).expect("allowed");
    assert_eq!(put(&mut second, &again).first_log, 0, "it goes on where it was");
}

#[test]
fn what_is_remembered_of_deleted_topics_is_bounded_in_bytes() {
    let limit = TopicSettings { topics_deleted_bytes_max: 10_000, ..TopicSettings::default() };
    let mut table = table(limit);
    let name = |number: usize| format!("{number:0>127}");
    let ends = |count: i32| (0..count).map(|queue| (queue, 1)).collect::<Vec<_>>();
    let delete = |table: &mut TopicTable, number: usize, count: i32| {
        let change = table.plan_update(update(&name(number), 4), 1).expect("room");
        put(table, &change);
        let change = table.plan_delete(&name(number), ends(count), 2)?.expect("there");
        table.apply(&change);
        Ok::<_, Refusal>(())
    };
    let mut deleted = 0;
    let refusal = loop {
        match delete(&mut table, deleted, 4) {
            Ok(()) => deleted += 1,
            Err(refusal) => break refusal,
        }
    };
    assert_eq!((deleted, table.deleted().count()), (16, 16));
    assert!(refusal.remark.contains("at most 10000 fit"), "{}", refusal.remark);
    delete(&mut table, 0, 4).expect("known, with the same queues");
    delete(&mut table, 0, 100).expect_err("more queues");
    let before = table.deleted_bytes;
    let entry = table.entry(&Arc::from(name(0)));
    let change = table.plan_delete(&name(0), ends(6), 3).expect("there is room").expect("there");
    table.apply(&change);
    assert_ne!(table.deleted_bytes, before);
    table.restore(entry);
    assert_eq!(table.deleted_bytes, before);
}

#[test]
fn attributes_of_topics_are_bounded_in_bytes() {
    let mut table = table(TopicSettings { topics_max: 40, ..TopicSettings::default() });
    let most = 40 * ATTRIBUTES_BYTES;
    let attributes = format!("+reserve.time={}1", "0".repeat(12_000));
    let refusal = loop {
        let name = format!("t{}", table.len());
        let update = TopicUpdate { attributes: &attributes, ..update(&name, 1) };
        match table.plan_update(update, 1) {
            Ok(change) => put(&mut table, &change),
            Err(refusal) => break refusal,
        };
        assert!(table.attribute_bytes <= most);
    };
    assert!(refusal.remark.contains("at most 30720 fit"), "{}", refusal.remark);
    let first = table.iter().find(|topic| !topic.attributes.is_empty()).expect("one").name.clone();
    let change = table.plan_update(update(&first, 2), 1).expect("known, and no more than before");
    put(&mut table, &change);
    let change = table.plan_update(update("without", 1), 1).expect("it needs none");
    put(&mut table, &change);
    let delete = table.plan_delete(&first, Vec::new(), 2).expect("allowed").expect("there");
    table.apply(&delete);
    assert_eq!(table.attribute_bytes, 0);
}
