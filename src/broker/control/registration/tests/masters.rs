//! What name servers tell a slave of its master.

use std::{cell::RefCell, rc::Rc, time::Duration};

use ringmq_io::{Shares, Spawn as _, sim::Sim};

use super::{super::master::*, *};
use crate::{
    shard::{Shard, role::Role, settings::BrokerSettings},
    testing::{cluster::after_a_kill, shard_of},
};

type Shards = Rc<RefCell<Vec<Rc<Shard<SimRuntime>>>>>;

fn slave(runtime: &SimRuntime, keys: &[(&str, &str)]) -> Shards {
    let change = |settings: &mut BrokerSettings| {
        settings.role = Role::Slave;
        settings.config.broker_id = 1;
    };
    Broker::start_with(runtime, 2, keys, change).shards
}

/// The master for clients, as every shard knows it; `None` while they differ.
fn known(shards: &Shards) -> Option<Option<String>> {
    let of = |shard: &Rc<Shard<SimRuntime>>| {
        let view = shard.view.borrow();
        let (ha, client) = view.slave.as_ref().expect("a slave").addresses();
        assert_eq!(shard.log_copies.master.get(), ha, "the streams dial it");
        client.map(|master| master.to_string())
    };
    let all: Vec<_> = shards.borrow().iter().map(of).collect();
    let first = all.first()?.clone();
    (all.len() == 2 && all.iter().all(|one| *one == first)).then_some(first)
}

#[test]
fn a_slave_hears_of_a_master_that_comes_later_and_of_one_that_moves() {
    let sim = Sim::new(1);
    sim.run(async |runtime| {
        Broker::start(&runtime, 2, &[]);
        create(&mut Client::connect(&runtime).await, "T").await;
    });
    after_a_kill(&sim, async |runtime| {
        let server = NameServer::start(&runtime, address(1));
        let shards = slave(&runtime, &[LOCAL]);
        until(&runtime, "it registers", || server.count() > 0).await;
        assert!(server.registrations.borrow()[0].topics.contains("T"));
        let said = server.registrations.borrow()[0].fields.clone();
        assert_eq!((&*said["brokerId"], &*said["haServerAddr"]), ("1", "127.0.0.1:10912"));
        runtime.sleep(Duration::from_secs(5)).await;
        assert!(server.count() >= 3, "it asks for its master: {}", server.count());
        *server.master.borrow_mut() = Some(("10.0.0.1:10912", "10.0.0.1:10911"));
        let is_first = || known(&shards) == Some(Some("10.0.0.1:10911".to_owned()));
        let began = runtime.monotonic();
        until(&runtime, "the master is known", is_first).await;
        assert!(runtime.monotonic() - began < Duration::from_secs(5));
        let (before, later) = (server.count(), PERIOD / 2);
        runtime.sleep(later).await;
        assert_eq!(server.count(), before, "it asks no more");
        // It leaves: that says nothing of whether it serves its slaves.
        *server.master.borrow_mut() = None;
        runtime.sleep(PERIOD).await;
        assert!(is_first(), "what was told stays");
        *server.master.borrow_mut() = Some(("10.0.0.9:10912", "10.0.0.9:10911"));
        let is_next = || known(&shards) == Some(Some("10.0.0.9:10911".to_owned()));
        until(&runtime, "the next master is known", is_next).await;
        assert_eq!(server.farewells.get(), 0, "a slave stays registered");
    });
}

/// Who has no store is nobody yet, and leaves when it has asked.
#[test]
fn an_empty_slave_asks_for_its_master_without_being_registered() {
    Sim::new(3).run(async |runtime| {
        let server = NameServer::start(&runtime, address(1));
        slave(&runtime, &[LOCAL]);
        until(&runtime, "it asks", || server.farewells.get() > 1).await;
        for one in &*server.registrations.borrow() {
            assert!(one.topics.is_empty() && one.fields["brokerId"] == "1", "{:?}", one.fields);
        }
        let settings = BrokerSettings::new(config(&[LOCAL]), 1, 0).expect("sound");
        let shard = shard_of(&runtime, settings);
        assert_eq!(ask(&shard).await, None);
        *server.master.borrow_mut() = Some(("127.0.0.1:10912", "127.0.0.1:10911"));
        assert_eq!(ask(&shard).await, None, "that is itself");
        *server.master.borrow_mut() = Some(("10.0.0.1:10912", "10.0.0.1:10911"));
        assert_eq!(ask(&shard).await.as_deref(), Some("10.0.0.1:10912"));
    });
}

#[test]
fn the_configured_address_counts_more_and_own_ones_do_not_count() {
    let settings = |keys: &[(&str, &str)]| {
        let settings = BrokerSettings::new(config(keys), 1, 0).expect("sound");
        BrokerSettings { role: Role::Slave, ..settings }
    };
    let told =
        |ha: &str, client: &str| MasterAddress { ha: Some(ha.into()), client: Some(client.into()) };
    let master = Master::new(&settings(&[("haMasterAddress", "fixed:7")]));
    assert!(!master.is_sought());
    assert!(master.note(&told("10.0.0.1:10912", "10.0.0.1:10911")));
    assert_eq!(master.address(), told("fixed:7", "10.0.0.1:10911"));
    let master = Master::new(&settings(&[]));
    assert!(master.is_sought());
    assert!(!master.note(&told("127.0.0.1:10912", "127.0.0.1:10911")), "that is itself");
    assert!(!master.note(&told("", "")));
    assert!(master.note(&told("10.0.0.1:10912", "10.0.0.1:10911")));
    assert!(!master.note(&told("10.0.0.1:10912", "10.0.0.1:10911")), "nothing new");
    assert!(!master.note(&MasterAddress::default()), "it has left the name server");
    assert!(!master.is_sought());
    let alone = BrokerSettings::new(config(&[]), 1, 0).expect("sound");
    assert!(!Master::new(&alone).note(&told("10.0.0.1:10912", "10.0.0.1:10911")));
}

#[test]
fn whoever_waits_for_the_master_is_woken() {
    Sim::new(2).run(async |runtime| {
        let settings = BrokerSettings::new(config(&[]), 1, 0).expect("sound");
        let master = Rc::new(Master::new(&BrokerSettings { role: Role::Slave, ..settings }));
        let (own, woken) = (master.clone(), Rc::new(Cell::new(false)));
        let seen = woken.clone();
        runtime.spawn(Shares::Foreground, "connects to the master", async move {
            while own.is_sought() {
                own.changed().await;
            }
            seen.set(true);
        });
        runtime.sleep(Duration::from_secs(1)).await;
        assert!(!woken.get());
        master.note(&MasterAddress { ha: Some("10.0.0.1:1".into()), client: None });
        runtime.sleep(Duration::from_millis(1)).await;
        assert!(woken.get());
    });
}
