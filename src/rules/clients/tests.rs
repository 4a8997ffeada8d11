use super::*;
use crate::limits::{SUBSCRIPTION_BYTES, SUBSCRIPTIONS_BYTES_MAX};

const A: ConnectionId = ConnectionId { shard: 0, slot: 1, generation: 0 };
const B: ConnectionId = ConnectionId { shard: 1, slot: 0, generation: 0 };

fn channel(connection: ConnectionId, client_id: &str) -> Channel<'_> {
    let address = "10.0.0.1:5000".parse().expect("address");
    Channel { connection, client_id, address, language: Language::Java, version: 409 }
}

fn consumer<'a>(group: &'a str, topics: &[(&str, i64)]) -> ConsumerRegistration<'a> {
    let subscription = |(topic, version): &(&str, i64)| {
        Subscription::new(topic, "*", Vec::new(), Vec::new(), *version, "TAG")
    };
    ConsumerRegistration {
        group,
        consume_type: ConsumeType::Passively,
        message_model: MessageModel::Clustering,
        consume_from_where: ConsumeFromWhere::LastOffset,
        subscriptions: topics.iter().map(subscription).collect(),
        notify: true,
    }
}

/// Whether the members are told.
fn notified(events: &[ClientEvent]) -> bool {
    events.iter().any(|event| matches!(event, ClientEvent::GroupChanged { .. }))
}

fn ids(table: &ClientTable) -> Vec<&str> {
    table.consumers("g").map(|client| &*client.client_id).collect()
}

fn published(events: &[ClientEvent]) -> Option<Option<Arc<GroupSubscriptions>>> {
    events.iter().find_map(|event| match event {
        ClientEvent::SubscriptionsChanged { subscriptions, .. } => Some(subscriptions.clone()),
        _ => None,
    })
}

#[test]
fn members_hear_of_each_other_and_of_new_topics_but_not_of_plain_heartbeats() {
    let mut table = ClientTable::default();
    let mut register = |connection, id, topics: &[(&str, i64)], now| {
        let registration = consumer("g", topics);
        table.register_consumer(&channel(connection, id), registration, now).expect("room")
    };
    let events = register(A, "a", &[("t", 1)], 0);
    assert!(notified(&events));
    assert!(published(&events).is_some());
    let events = register(B, "b", &[("t", 1)], 0);
    assert!(notified(&events));
    assert_eq!(published(&events), None);
    assert!(!notified(&register(A, "a", &[("t", 1)], 1)));
    let events = register(A, "a", &[("t", 1), ("u", 1)], 2);
    assert!(notified(&events));
    let topics = published(&events).flatten().expect("published").topics.len();
    assert_eq!(topics, 2);
    assert!(notified(&register(A, "a", &[("u", 1)], 3)));
}

#[test]
fn a_newer_expression_is_published_without_a_rebalance_and_an_older_one_is_ignored() {
    let mut table = ClientTable::default();
    let mut register = |text: &str, version| {
        let mut registration = consumer("g", &[]);
        let subscription = Subscription::new("t", text, Vec::new(), Vec::new(), version, "TAG");
        registration.subscriptions.push(subscription);
        table.register_consumer(&channel(A, "a"), registration, 0).expect("room")
    };
    register("x", 5);
    let events = register("y", 6);
    assert!(!notified(&events));
    let text = published(&events)
        .flatten()
        .expect("published")
        .topics
        .get("t")
        .expect("subscribed")
        .text
        .clone();
    assert_eq!(text, "y");
    assert_eq!(published(&register("x", 5)), None);
    assert_eq!(
        table.subscriptions("g").expect("online").topics.get("t").expect("subscribed").version,
        6
    );
}

/// As it is when others have their turn while it is made.
#[test]
fn a_plan_of_before_others_changed_the_group_is_made_again() {
    let mut table = ClientTable::default();
    let versions = |table: &ClientTable| -> Vec<(String, i64)> {
        let subscriptions = table.subscriptions("g").expect("online");
        subscriptions.topics.values().map(|one| (one.topic.to_string(), one.version)).collect()
    };
    let own = |topics: &[(&str, i64)]| -> Vec<(String, i64)> {
        topics.iter().map(|(topic, version)| ((*topic).to_owned(), *version)).collect()
    };
    let note = |table: &mut ClientTable, topics: &[(&str, i64)]| {
        table.register_consumer(&channel(A, "a"), consumer("g", topics), 0).expect("room");
    };
    let plan = |table: &ClientTable, topics: &[(&str, i64)]| {
        Plan::new(table.subscriptions("g"), consumer("g", topics)).expect("sound")
    };
    // The group was not there, and has a newer one then.
    let mut first = plan(&table, &[("t", 4), ("u", 1)]);
    assert!(first.fits(None));
    note(&mut table, &[("t", 5)]);
    assert!(!first.fits(table.subscriptions("g").as_ref()));
    // What the group has newer is gone then.
    let mut second = plan(&table, &[("s", 1), ("t", 3)]);
    let events = table.register_planned(&channel(B, "b"), "g", &mut first, 0).expect("room");
    assert!(notified(&events) && published(&events).is_some());
    assert_eq!(versions(&table), own(&[("t", 5), ("u", 1)]));
    note(&mut table, &[("u", 1)]);
    table.register_planned(&channel(B, "b"), "g", &mut second, 0).expect("room");
    assert_eq!(versions(&table), own(&[("s", 1), ("t", 3)]));
    // The group has gone.
    let mut third = plan(&table, &[("s", 1), ("t", 3)]);
    table.close(A);
    table.close(B);
    let events = table.register_planned(&channel(B, "b"), "g", &mut third, 0).expect("room");
    assert!(notified(&events) && published(&events).is_some());
    assert_eq!(versions(&table), own(&[("s", 1), ("t", 3)]));
    table.close(B);
    assert_eq!((table.bytes, table.connections.len()), (0, 0));
}

#[test]
fn the_last_member_to_leave_takes_the_subscriptions_along() {
    let mut table = ClientTable::default();
    for (connection, id) in [(A, "a"), (B, "b")] {
        let registration = consumer("g", &[("t", 1)]);
        table.register_consumer(&channel(connection, id), registration, 0).expect("room");
    }
    assert!(table.groups_and_topic("t", "").eq([(&"g".into(), true)]));
    assert!(table.groups_and_topic("t", "g").next().is_none());
    assert!(notified(&table.close(A)));
    assert_eq!(ids(&table), ["b"]);
    let events = table.unregister_consumer(B, "g");
    assert_eq!((notified(&events), published(&events)), (false, Some(None)));
    assert!(ids(&table).is_empty());
    assert_eq!(table.close(B), []);
    assert!(table.connections.is_empty());
}

#[test]
fn silent_clients_expire_after_two_minutes() {
    let mut table = ClientTable::default();
    for (connection, id) in [(A, "a"), (B, "b")] {
        let registration = consumer("g", &[("t", 1)]);
        table.register_consumer(&channel(connection, id), registration, 0).expect("room");
    }
    table.register_producer(&channel(A, "a"), "p", 0).expect("room");
    table.register_producer(&channel(A, "a"), "p", 100_000).expect("room");
    let registration = consumer("g", &[("t", 1)]);
    table.register_consumer(&channel(B, "b"), registration, 100_000).expect("room");
    let expired = |table: &ClientTable, now, most| {
        let (mut to, mut all, mut slices) = (LookedTo::default(), Vec::new(), 0);
        while !to.is_end() {
            all.extend(table.expired_some(&mut to, most, now));
            slices += 1;
        }
        (all, slices)
    };
    assert_eq!(expired(&table, 120_000, 9), (vec![], 2));
    assert_eq!(expired(&table, 120_001, 9), (vec![A], 2));
    assert!(notified(&table.close(A)));
    for number in 0..10 {
        let name = format!("q{number}");
        table.register_producer(&channel(B, "b"), &name, 0).expect("room");
    }
    let (all, slices) = expired(&table, 120_001, 3);
    assert_eq!((all, slices), (vec![B; 4], 5));
}

#[test]
fn a_client_with_two_connections_is_listed_for_each_as_in_java() {
    let mut table = ClientTable::default();
    for connection in [A, B] {
        let registration = consumer("g", &[("t", 1)]);
        let now = i64::from(connection.shard);
        table.register_consumer(&channel(connection, "same"), registration, now).expect("room");
    }
    assert_eq!(ids(&table), ["same", "same"]);
    assert_eq!(table.find_consumer("g", "same").expect("online").connection, B);
    assert!(table.find_consumer("g", "other").is_none());
}

#[test]
fn of_two_subscriptions_to_a_topic_in_one_heartbeat_the_newer_counts() {
    for versions in [[9, 8], [8, 9], [9, 9]] {
        let mut table = ClientTable::default();
        let registration = consumer("g", &[("t", versions[0]), ("t", versions[1])]);
        table.register_consumer(&channel(A, "a"), registration, 0).expect("room");
        assert_eq!(
            table.subscriptions("g").expect("online").topics.get("t").expect("subscribed").version,
            9
        );
    }
}

#[test]
fn subscriptions_are_bounded_by_their_bytes_not_by_their_number() {
    let mut table = ClientTable::default();
    let topics = |count| (0..count).map(|index| format!("topic-{index:06}")).collect::<Vec<_>>();
    let mut register = |count| {
        let names = topics(count);
        let all: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
        table.register_consumer(&channel(A, "a"), consumer("g", &all), 0).map(|_| ())
    };
    let most = SUBSCRIPTIONS_BYTES_MAX / (SUBSCRIPTION_BYTES + "topic-000000".len() + "x".len());
    register(most).expect("within the budget");
    let refusal = register(most + 1).expect_err("beyond the budget");
    assert!(refusal.remark.contains("use more groups"), "{}", refusal.remark);
    assert_eq!(table.subscriptions("g").expect("online").topics.len(), most);
}

#[test]
fn memberships_are_bounded_by_their_bytes_and_leave_with_their_connection() {
    let mut table = ClientTable::default();
    let name = |number: usize| format!("{number:0>255}");
    let connection = |number: usize| ConnectionId { slot: number as u32, ..A };
    let join = |table: &mut ClientTable, number: usize| {
        let id = connection(number / GROUPS_PER_CONNECTION_MAX);
        table.register_producer(&channel(id, "c"), &name(number), 0)
    };
    let one = MEMBERSHIP_BYTES + 255 + "c".len();
    let most = CLIENTS_BYTES_MAX / one;
    let mut number = 0;
    let refusal = loop {
        match join(&mut table, number) {
            Ok(()) => number += 1,
            Err(refusal) => break refusal,
        }
    };
    assert!(table.bytes == number * one && number <= most, "{number}");
    assert!(refusal.remark.contains("bytes of 134217728"), "{}", refusal.remark);
    // What is there already is only noted again.
    join(&mut table, 0).expect("known");
    let first = ConnectionId { slot: u32::MAX, ..A };
    let room = (CLIENTS_BYTES_MAX - table.bytes) / (CLIENTS_SHARE + 1) / one;
    for number in 0..room {
        table.register_producer(&channel(first, "c"), &name(number), 0).expect("its share");
    }
    assert!(table.register_producer(&channel(first, "c"), &name(room), 0).is_err());
    table.close(first);
    for number in 0..=number / GROUPS_PER_CONNECTION_MAX {
        table.close(connection(number));
    }
    assert_eq!((table.bytes, table.producer_groups().count()), (0, 0));
    assert!(table.connections.is_empty());
}

#[test]
fn subscriptions_count_for_the_member_that_changed_them_last() {
    let mut table = ClientTable::default();
    let own = |table: &ClientTable, id| table.connections.get(&id).map_or(0, |one| one.bytes);
    let register = |table: &mut ClientTable, id, topics: &[(&str, i64)]| {
        table.register_consumer(&channel(id, "c"), consumer("g", topics), 0).expect("room");
    };
    register(&mut table, A, &[("t", 1)]);
    let (a, one) = (own(&table, A), MEMBERSHIP_BYTES + 2);
    assert!(a > one + SUBSCRIPTION_BYTES && a == table.bytes);
    register(&mut table, B, &[("t", 1)]);
    assert_eq!((own(&table, A), own(&table, B), table.bytes), (a, one, a + one));
    register(&mut table, B, &[("t", 2)]);
    assert_eq!((own(&table, A), own(&table, B), table.bytes), (one, a, a + one));
    table.unregister_consumer(B, "g");
    assert_eq!((own(&table, A), own(&table, B), table.bytes), (a, 0, a));
    register(&mut table, B, &[("t", 2)]);
    table.close(A);
    assert_eq!((own(&table, B), table.bytes), (a, a));
    table.close(B);
    assert_eq!((table.bytes, table.connections.len()), (0, 0));
}

#[test]
fn subscriptions_of_many_groups_are_bounded_by_their_bytes() {
    let mut table = ClientTable::default();
    let topics: Vec<_> = (0..10_000).map(|number| format!("topic-{number}")).collect();
    let topics: Vec<_> = topics.iter().map(|topic| (topic.as_str(), 1)).collect();
    let mut groups = 0;
    let refusal = loop {
        let id = ConnectionId { slot: groups, ..A };
        let name = groups.to_string();
        match table.register_consumer(&channel(id, "c"), consumer(&name, &topics), 0) {
            Ok(_) => groups += 1,
            Err(refusal) => break refusal,
        }
    };
    assert!(table.bytes <= CLIENTS_BYTES_MAX && (20..50).contains(&groups), "{groups}");
    assert!(refusal.remark.contains("close clients"), "{}", refusal.remark);
    assert_eq!(table.consumer_groups().count(), groups as usize, "nothing is noted of it");
    assert!(!table.connections.contains_key(&ConnectionId { slot: groups, ..A }));
}

#[test]
fn producers_are_asked_in_turn_and_found_by_client_id() {
    let mut table = ClientTable::default();
    assert_eq!(table.pick_producer("p"), None);
    for (connection, id, group) in [(A, "a", "p"), (B, "b", "p"), (B, "b", "q")] {
        table.register_producer(&channel(connection, id), group, 0).expect("room");
    }
    let picked = [table.pick_producer("p"), table.pick_producer("p")];
    assert!(picked.contains(&Some(A)) && picked.contains(&Some(B)));
    assert_eq!(table.find_producer("b"), Some(B));
    table.unregister_producer(B, "p");
    assert_eq!(table.find_producer("b"), Some(B));
    table.unregister_producer(B, "q");
    assert_eq!(table.find_producer("b"), None);
    table.close(A);
    assert_eq!(table.producer_groups().count(), 0);
    assert!(table.connections.is_empty());
}

#[test]
fn one_connection_cannot_be_in_too_many_groups() {
    let mut table = ClientTable::default();
    let channel = channel(A, "a");
    for number in 0..GROUPS_PER_CONNECTION_MAX {
        table.register_producer(&channel, &number.to_string(), 0).expect("room");
    }
    assert!(table.register_producer(&channel, "one more", 0).is_err());
    assert!(table.register_consumer(&channel, consumer("g", &[]), 0).is_err());
    table.register_producer(&channel, "7", 0).expect("known already");
    assert!(table.register_producer(&channel, " ", 0).is_err());
}

#[test]
fn names_with_control_characters_are_not_registered() {
    let mut table = ClientTable::default();
    let odd = "a\u{1}b";
    assert!(table.register_producer(&channel(A, odd), "p", 0).is_err());
    assert!(table.register_producer(&channel(A, "a"), odd, 0).is_err());
    assert!(table.register_consumer(&channel(A, odd), consumer("g", &[]), 0).is_err());
    assert!(table.register_consumer(&channel(A, "a"), consumer(odd, &[]), 0).is_err());
    assert!(table.register_consumer(&channel(A, "a"), consumer("g", &[(odd, 1)]), 0).is_err());
    let long = "c".repeat(1025);
    assert!(table.register_producer(&channel(A, &long), "p", 0).is_err());
    assert!(table.connections.is_empty() && table.consumers.is_empty());
}
