//! Stories of brokers that come, change and go.

use super::{
    test::{Registration, bounds, master, slave, table, topic, version},
    *,
};

fn queues(table: &RouteTable, topic: &str) -> Vec<(String, i32, i32)> {
    let route = table.route(topic);
    let queues = route.into_iter().flat_map(|route| route.queues);
    queues.map(|(name, data)| (name.to_owned(), data.write_queue_nums, data.perm)).collect()
}

#[test]
fn a_master_brings_its_topics_and_a_slave_learns_its_master() {
    let mut table = table();
    let (first, _) = table.register(&master("b", "m:1"), 0).expect("fits");
    assert!(first.first && first.master_address.is_none());
    let (second, _) = table.register(&slave("b", "s:1", 1), 0).expect("fits");
    assert_eq!(second.master_address.as_deref(), Some("m:1"));
    assert_eq!(second.ha_server.as_deref(), Some("m:19"));
    assert_eq!(queues(&table, "t"), [("b".to_owned(), 8, 6)]);
    assert_eq!(table.route("t").expect("known").brokers[0].addresses.len(), 2);
    assert!(!table.register(&master("b", "m:1"), 1).expect("fits").0.first);
}

#[test]
fn topics_of_a_slave_do_not_count() {
    let mut table = table();
    table.register(&slave("b", "s:1", 1), 0).expect("fits");
    assert!(table.route("t").is_none());
    assert_eq!(table.sizes(), (0, 0, 1));
}

#[test]
fn an_incremental_registration_keeps_the_topics_that_it_does_not_name() {
    let mut table = table();
    table.register(&master("b", "m:1"), 0).expect("fits");
    let change =
        Registration { version: version(2), topics: vec![topic("v", 2)], ..master("b", "m:1") };
    table.register(&change, 1).expect("fits");
    assert_eq!(queues(&table, "t"), [("b".to_owned(), 8, 6)]);
    assert_eq!(queues(&table, "v"), [("b".to_owned(), 2, 6)]);
    assert!(!table.is_changed("c", "m:1", version(2)));
}

#[test]
fn queue_data_change_only_with_the_version() {
    let mut table = table();
    table.register(&master("b", "m:1"), 0).expect("fits");
    let mut again = master("b", "m:1");
    again.topics = vec![topic("t", 1), topic("new", 3)];
    table.register(&again, 1).expect("fits");
    assert_eq!(queues(&table, "t"), [("b".to_owned(), 8, 6)], "same version: old data stay");
    assert_eq!(queues(&table, "new"), [("b".to_owned(), 3, 6)], "unknown topics are taken");
    again.version = version(2);
    table.register(&again, 2).expect("fits");
    assert_eq!(queues(&table, "t"), [("b".to_owned(), 1, 6)]);
}

#[test]
fn one_topic_from_an_unknown_broker_does_not_settle_the_version() {
    let mut table = table();
    let one = Registration { topics: vec![topic("t", 8)], ..master("b", "m:1") };
    table.register(&one, 0).expect("fits");
    assert!(table.is_changed("c", "m:1", version(1)), "the broker must send all topics");
    assert_eq!(queues(&table, "t").len(), 1);
    table.register(&one, 1).expect("fits");
    assert!(!table.is_changed("c", "m:1", version(1)), "a broker may have one topic only");
}

#[test]
fn the_last_address_takes_name_cluster_and_topics_along() {
    let mut table = table();
    table.register(&master("b", "m:1"), 0).expect("fits");
    table.register(&slave("b", "s:1", 1), 0).expect("fits");
    assert!(table.unregister("c", "b", "m:1"));
    assert_eq!(queues(&table, "t"), [("b".to_owned(), 8, 6)], "the slave still serves reads");
    assert!(!table.unregister("other", "b", "s:1"));
    assert!(table.unregister("c", "b", "s:1"));
    assert!(!table.unregister("c", "b", "s:1"));
    table.settle();
    assert_eq!(table.sizes(), (0, 0, 0));
    assert!(table.clusters_after(None).next().is_none());
}

#[test]
fn an_id_may_change_its_address_and_an_address_its_id() {
    let mut table = table();
    table.register(&master("b", "old:1"), 0).expect("fits");
    table.register(&master("b", "new:1"), 0).expect("fits");
    assert_eq!(table.sizes().2, 1, "the old address is forgotten");
    table.register(&slave("b", "s:1", 1), 0).expect("fits");
    table.unregister("c", "b", "new:1");
    table.register(&Registration { broker_id: 0, ..slave("b", "s:1", 1) }, 0).expect("fits");
    let addresses = &table.route("t").expect("known").brokers[0].addresses;
    assert_eq!(addresses, &[(0, "s:1")], "promoted, no longer listed as slave");
}

#[test]
fn a_broker_of_an_earlier_state_cannot_take_an_id() {
    let mut table = table();
    let state = |state_version| DataVersion { state_version, ..version(1) };
    table.register(&Registration { version: state(5), ..master("b", "m:1") }, 0).expect("fits");
    let late = Registration { version: state(4), ..master("b", "x:1") };
    assert!(table.register(&late, 0).expect("an answer").0.outdated);
    assert_eq!(table.route("t").expect("known").brokers[0].addresses, [(0, "m:1")]);
    let next = Registration { version: state(6), ..master("b", "x:1") };
    assert!(!table.register(&next, 0).expect("fits").0.outdated);
    assert_eq!(table.route("t").expect("known").brokers[0].addresses, [(0, "x:1")]);
}

#[test]
fn a_name_belongs_to_one_cluster_but_may_move() {
    let mut table = table();
    table.register(&master("b", "m:1"), 0).expect("fits");
    let elsewhere = Registration { cluster: "d".to_owned(), ..master("b", "x:1") };
    let error = table.register(&elsewhere, 0).expect_err("two clusters").to_string();
    assert!(error.contains("another brokerName"), "{error}");
    let moved = Registration { cluster: "d".to_owned(), ..master("b", "m:1") };
    table.register(&moved, 0).expect("the only member moves");
    assert_eq!(table.clusters_after(None).collect::<Vec<_>>(), [("d", "b")]);
    assert_eq!(table.sizes().2, 1);
}

#[test]
fn limits_refuse_brokers_and_leave_topics_out() {
    let mut table = table();
    let bad = Registration { broker_name: "x".repeat(128), ..master("b", "m:1") };
    assert!(matches!(table.register(&bad, 0), Err(RouteError::Name { .. })));
    let bad = Registration { broker_id: -1, ..master("b", "m:1") };
    assert!(matches!(table.register(&bad, 0), Err(RouteError::BrokerId { .. })));
    let bad = Registration { cluster: "a\nb".to_owned(), ..master("b", "m:1") };
    assert!(matches!(table.register(&bad, 0), Err(RouteError::Characters { .. })));

    let mut many = master("b", "m:1");
    many.topics = (0..20).map(|n| topic(&format!("t{n}"), 1)).collect();
    many.topics.push(topic("", 1));
    let (_, left_out) = table.register(&many, 0).expect("in part");
    assert_eq!(table.sizes(), (16, 16, 1));
    assert_eq!(left_out.len(), 5);
    assert!(left_out[0].contains("raise topicsMax"));
    for n in 1..8 {
        let one =
            Registration { topics: Vec::new(), ..master(&format!("b{n}"), &format!("{n}:1")) };
        table.register(&one, 0).expect("fits");
    }
    let error = table.register(&master("z", "z:1"), 0).expect_err("8 are the limit");
    assert!(error.to_string().contains("raise brokersMax"));
}

#[test]
fn the_smallest_slave_acts_for_a_lost_master_without_write_permission() {
    let mut table = table();
    table.rules.support_acting_master = true;
    let acting = |registration: Registration| Registration {
        enable_acting_master: Some(true),
        ..registration
    };
    table.register(&acting(master("b", "m:1")), 0).expect("fits");
    table.register(&acting(slave("b", "s:1", 2)), 0).expect("fits");
    table.unregister("c", "b", "m:1");
    table.settle();
    assert_eq!(queues(&table, "t"), [("b".to_owned(), 8, 4)]);
    let route = table.route("t").expect("known");
    assert_eq!(route.brokers[0].addresses, [(0, "s:1")], "shown as master");

    table.register(&acting(slave("b", "s:1", 2)), 0).expect("fits");
    assert_eq!(queues(&table, "t"), [("b".to_owned(), 8, 4)]);
    table.register(&acting(master("b", "m:1")), 0).expect("fits");
    assert_eq!(queues(&table, "t"), [("b".to_owned(), 8, 6)], "the master is back");
}

#[test]
fn full_registrations_may_delete_what_they_no_longer_name() {
    let mut table = table();
    table.rules.delete_topic_with_broker_registration = true;
    table.register(&master("b", "m:1"), 0).expect("fits");
    let fewer = Registration {
        version: version(2),
        topics: vec![topic("t", 8), topic("v", 8)],
        ..master("b", "m:1")
    };
    table.register(&fewer, 1).expect("fits");
    assert!(table.route("u").is_none());
    assert_eq!(table.sizes().1, 2);
    let change = Registration { topics: vec![topic("w", 8)], ..master("b", "m:1") };
    table.register(&Registration { version: version(3), ..change }, 2).expect("fits");
    assert_eq!(table.sizes().1, 3, "a change of one topic deletes nothing");
}

/// D8: as many topics as a broker of RingMQ may have, in the requests that it sends them by.
#[test]
fn a_registration_in_parts_brings_all_topics_and_deletes_none() {
    const TOPICS: usize = 200_000;
    let bounds = Bounds { entries: 1_000_000, ..bounds() };
    let rules = Rules { delete_topic_with_broker_registration: true, ..Rules::default() };
    let mut table = RouteTable::new(bounds, rules);
    let names: Vec<String> = (0..TOPICS).map(|number| format!("{number:0>127}")).collect();
    for (counter, part) in (1..).zip(names.chunks(TOPICS / 8)) {
        let registration = Registration {
            topics: part.iter().map(|name| topic(name, 8)).collect(),
            incremental: true,
            version: version(counter),
            ..master("b", "m:1")
        };
        let (_, left_out) = table.register(&registration, 0).expect("fits");
        assert!(left_out.is_empty());
    }
    assert_eq!(table.sizes(), (TOPICS, TOPICS, 1));
    assert_eq!(table.data_version("c", "m:1"), Some(version(8)));
    assert!(table.route(&names[0]).is_some() && table.route(&names[TOPICS - 1]).is_some());
}

/// M3: what a connection has brought counts, and who is there already is never refused for want of
/// room.
#[test]
fn bytes_are_limited_for_all_and_for_each_connection() {
    const TOPIC: usize = 300;
    let few = |bytes, bytes_per_connection| {
        let bounds = Bounds { bytes, bytes_per_connection, entries: 1_000_000, ..bounds() };
        RouteTable::new(bounds, Rules::default())
    };
    let mut many = master("b", "m:1");
    many.topics = (0..1_000).map(|number| topic(&format!("topic-{number}"), 1)).collect();

    let mut table = few(1 << 30, 100 * TOPIC);
    let (_, left_out) = table.register(&many, 0).expect("in part");
    assert!(left_out[0].contains("raise routeBytesPerConnectionMax"), "{}", left_out[0]);
    assert!(table.bytes() <= 100 * TOPIC && table.bytes() > 99 * TOPIC);
    let other = Registration { connection: ConnectionId(2), ..master("d", "d:1") };
    assert!(table.register(&other, 0).expect("another has room").1.is_empty());
    table.agrees();

    let mut table = few(100 * TOPIC, 1 << 30);
    let honest = Registration { connection: ConnectionId(2), ..master("d", "d:1") };
    table.register(&honest, 0).expect("fits");
    let (_, left_out) = table.register(&many, 0).expect("in part");
    assert!(left_out[0].contains("raise routeBytesMax"), "{}", left_out[0]);
    assert!(table.bytes() <= 100 * TOPIC);
    table.register(&honest, 1).expect("it is there already");
    let error = table.register(&master("e", "e:1"), 1).expect_err("no room for a new one");
    assert!(error.to_string().contains("raise routeBytesMax"), "{error}");
    table.agrees();
    // What has gone makes room at once, though it is removed a little at a time.
    table.unregister("c", "b", "m:1");
    assert!(table.register(&master("e", "e:1"), 1).expect("fits").1.is_empty());
    table.agrees();
}

#[test]
fn a_connection_has_so_many_brokers_and_a_name_so_many_members() {
    let mut table = RouteTable::new(
        Bounds { brokers: 1_000, brokers_per_connection: 2, ..bounds() },
        Rules::default(),
    );
    let one = |number: usize, connection| Registration {
        topics: Vec::new(),
        connection: ConnectionId(connection),
        ..master(&format!("b{number}"), &format!("{number}:1"))
    };
    for number in 0..2 {
        table.register(&one(number, 1), 0).expect("fits");
    }
    let error = table.register(&one(2, 1), 0).expect_err("2 are the limit").to_string();
    assert!(error.contains("has brought 2 broker addresses, the limit is 2"), "{error}");
    table.register(&one(1, 1), 1).expect("it is there already");
    table.register(&one(2, 2), 0).expect("by another connection");
    for id in 1..MEMBERS_MAX {
        let id = id as i64;
        let member = Registration {
            broker_id: id,
            connection: ConnectionId(10 + id as u64),
            ..one(id as usize + 10, 0)
        };
        let member = Registration { broker_name: "b0".to_owned(), ..member };
        table.register(&member, 0).expect("fits");
    }
    let last = Registration { broker_id: 1_000, broker_name: "b0".to_owned(), ..one(1_000, 9) };
    let error = table.register(&last, 0).expect_err("too many members").to_string();
    assert!(error.contains("broker name b0 has 128 members, the limit is 128"), "{error}");
    table.agrees();
}

#[test]
fn what_a_registration_that_is_given_up_did_not_name_is_kept() {
    let mut table = table();
    table.rules.delete_topic_with_broker_registration = true;
    table.register(&master("b", "m:1"), 0).expect("fits");
    let announced = register::Announced {
        cluster: "c".to_owned(),
        broker_name: "b".to_owned(),
        address: "m:1".to_owned(),
        broker_id: 0,
        ha_server: String::new(),
        zone_name: None,
        heartbeat_timeout_ms: None,
        enable_acting_master: None,
        version: version(2),
        topics: 5,
        incremental: false,
        connection: ConnectionId(1),
    };
    let registered = table.begin(&announced, 0).expect("fits");
    let intake = registered.intake.as_ref().expect("of a master");
    let (name, data) = topic("v", 1);
    table.take(intake, &name, data).expect("fits");
    assert!(table.is_changed("c", "m:1", version(2)), "not all have come");
    assert_eq!(queues(&table, "u").len(), 1, "not named yet");
    table.give_up(&registered);
    table.settle();
    assert_eq!(table.listed(lookup::Which::All), ["t", "u", "v"]);
    assert!(table.is_changed("c", "m:1", version(2)));
    table.agrees();
}

#[test]
fn topics_of_a_broker_that_has_gone_meanwhile_are_not_taken() {
    let mut table = table();
    let announced = register::Announced {
        cluster: "c".to_owned(),
        broker_name: "b".to_owned(),
        address: "m:1".to_owned(),
        broker_id: 0,
        ha_server: String::new(),
        zone_name: None,
        heartbeat_timeout_ms: None,
        enable_acting_master: None,
        version: version(1),
        topics: 2,
        incremental: false,
        connection: ConnectionId(1),
    };
    let registered = table.begin(&announced, 0).expect("fits");
    table.unregister("c", "b", "m:1");
    let intake = registered.intake.as_ref().expect("of a master");
    let (name, data) = topic("t", 1);
    table.take(intake, &name, data).expect("nothing to do");
    table.finish(&announced, &registered);
    table.settle();
    table.agrees();
    assert_eq!((table.sizes(), table.bytes()), ((0, 0, 0), 0));
}
