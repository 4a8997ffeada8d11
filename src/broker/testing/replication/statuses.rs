//! What a send to a synchronous master is answered, and when.

use super::*;

/// Sends one message; the code of the answer and how long it took.
async fn send(host: &SimRuntime, client: &mut Client, number: u64) -> (i32, Duration) {
    let began = host.monotonic();
    let queue = (number % QUEUES as u64) as i32;
    let answer = client.send_to(TOPIC, queue, false, "", &body(number, 100)).await;
    assert!(answer.fields.contains_key("msgId"), "{}: {}", answer.code, answer.remark);
    (answer.code, host.monotonic() - began)
}

#[test]
fn a_send_waits_for_the_slave_as_long_as_there_is_one() {
    for (shards, logs) in [((1, 1), 1), ((2, 1), 2), ((1, 4), 4), ((4, 2), 4)] {
        let pair = Pair::new(5, Role::SyncMaster, shards, logs);
        println!("{shards:?} shards");
        pair.sim.run(async |host| {
            let mut client = pair.begin(&host).await;
            let none = response::SLAVE_NOT_AVAILABLE;
            assert_eq!(send(&host, &mut client, 0).await.0, none);
            pair.slave.start(&host).await;
            pair.until_in_sync(&host).await;
            for number in 1..20 {
                assert_eq!(send(&host, &mut client, number).await.0, response::SUCCESS);
                let held = numbers_on(&pair.slave.node.disk().power_cut(number));
                assert!(held.contains(&number), "{number} is not on the slave's disk");
            }
            // A slave that is gone is missed at once.
            pair.slave.die(false);
            let (code, took) = send(&host, &mut client, 20).await;
            assert!(took < Duration::from_secs(1), "{took:?}");
            assert!([none, response::FLUSH_SLAVE_TIMEOUT].contains(&code), "{code}");
            for number in 21..24 {
                assert_eq!(send(&host, &mut client, number).await.0, none);
            }
            pair.slave.start(&host).await;
            pair.until_in_sync(&host).await;
            assert_eq!(send(&host, &mut client, 24).await.0, response::SUCCESS);
            pair.until_equal(&host).await;
        });
        pair.compare();
    }
}

#[test]
fn a_slave_that_takes_nothing_holds_a_send_up_for_slave_timeout_and_no_other() {
    let pair = Pair::new(6, Role::SyncMaster, (2, 2), 2);
    pair.sim.run(async |host| {
        let mut client = pair.begin(&host).await;
        pair.slave.start(&host).await;
        pair.until_in_sync(&host).await;
        assert_eq!(send(&host, &mut client, 1).await.0, response::SUCCESS);
        pair.until_topic_is_known(&host).await;
        let mut reader = Client::connect_to(&host, pair.slave.node.ip()).await;
        // Nothing that it says arrives any more.
        pair.sim.links().cut(&pair.slave.node, &pair.master.node);
        let began = host.monotonic();
        let (sending, looking) = (send(&host, &mut client, 2), async {
            host.sleep(Duration::from_secs(2)).await;
            let on_disk = numbers_on(&pair.slave.node.disk().power_cut(1));
            assert!(on_disk.contains(&2), "the slave has it");
            assert_eq!(reader.end_of(TOPIC, 2).await, 0, "and does not show it");
        });
        let ((code, took), ()) = future::zip(sending, looking).await;
        assert_eq!(code, response::FLUSH_SLAVE_TIMEOUT);
        // It is committed by the master alone now, and the slave hears that.
        while reader.end_of(TOPIC, 2).await == 0 {
            assert!(host.monotonic() - began < PATIENCE);
            host.sleep(Duration::from_millis(5)).await;
        }
        let limits = Duration::from_millis(2_990)..Duration::from_millis(3_600);
        assert!(limits.contains(&took), "{took:?}");
        let (code, took) = send(&host, &mut client, 2 + QUEUES as u64).await;
        assert_eq!(code, response::SLAVE_NOT_AVAILABLE);
        assert!(took < Duration::from_millis(100), "{took:?}");
        pair.sim.links().heal_all();
        pair.until_in_sync(&host).await;
        for number in 20..30 {
            assert_eq!(send(&host, &mut client, number).await.0, response::SUCCESS);
        }
        pair.until_equal(&host).await;
    });
    pair.compare();
}

#[test]
fn an_asynchronous_master_waits_for_nobody() {
    let pair = Pair::new(7, Role::AsyncMaster, (2, 1), 2);
    pair.sim.run(async |host| {
        let mut client = pair.begin(&host).await;
        assert_eq!(send(&host, &mut client, 0).await.0, response::SUCCESS);
        pair.slave.start(&host).await;
        pair.until_equal(&host).await;
        pair.sim.links().cut_both(&pair.slave.node, &pair.master.node);
        for number in 1..10 {
            let (code, took) = send(&host, &mut client, number).await;
            assert_eq!(code, response::SUCCESS);
            assert!(took < Duration::from_millis(500), "{took:?}");
        }
        pair.sim.links().heal_all();
        pair.until_equal(&host).await;
    });
    pair.compare();
}
