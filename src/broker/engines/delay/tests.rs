//! Delayed messages that cannot be delivered, under a whole broker.

use std::time::Duration;

use ringmq_io::{
    Clock as _,
    sim::{Fault, FaultRule, OperationKind, Sim},
};
use ringmq_remoting::codes::response;

use crate::testing::{Client, config, damage, start};

const LARGE: usize = 60_000;

/// Little of the log stays in memory.
const COLD: [(&str, &str); 2] = [("hotTailBytes", "1048576"), ("blockCacheBytes", "1048576")];

/// Sends three messages that are due after five seconds, and what drives them out of the memory.
async fn send_delayed(client: &mut Client) {
    assert_eq!(client.send(b"makes the topic").await.code, response::SUCCESS);
    for body in ["delayed one", "delayed two", "delayed three"] {
        let sent = client.send_with("Topic", "DELAY\u{1}2\u{2}", body.as_bytes()).await;
        assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
    }
    for _ in 0..60 {
        assert_eq!(client.send_with("Other", "", &[7; LARGE]).await.code, response::SUCCESS);
    }
}

#[test]
fn a_damaged_message_is_passed_over_and_the_level_goes_on() {
    let sim = Sim::new(1);
    sim.run(async |runtime| {
        start(&runtime, config(&COLD));
        let mut client = Client::connect(&runtime).await;
        send_delayed(&mut client).await;
        damage(sim.disk(), b"delayed two");
        runtime.sleep(Duration::from_secs(8)).await;
        assert_eq!(client.stored("Topic").await, Some(3), "one and three are delivered once");
        let passed_over = client.runtime_value("scheduleMessagePassedOver").await;
        assert_eq!(passed_over.as_deref(), Some("1"));
        runtime.sleep(Duration::from_secs(8)).await;
        assert_eq!(client.stored("Topic").await, Some(3), "nothing is delivered again");
        assert_eq!(client.runtime_value("scheduleMessagePassedOver").await.as_deref(), Some("1"));
    });
}

#[test]
fn a_message_that_cannot_be_read_for_now_is_waited_for() {
    let sim = Sim::new(2);
    sim.run(async |runtime| {
        start(&runtime, config(&COLD));
        let mut client = Client::connect(&runtime).await;
        send_delayed(&mut client).await;
        let unreadable = FaultRule::every(Some(OperationKind::Read), Fault::InputOutput);
        sim.disk().add_fault(unreadable.where_path_contains(".seg"));
        runtime.sleep(Duration::from_secs(8)).await;
        assert_eq!(client.stored("Topic").await, Some(1), "none is delivered");
        sim.disk().clear_faults();
        runtime.sleep(Duration::from_secs(3)).await;
        assert_eq!(client.stored("Topic").await, Some(4), "all are delivered, none twice");
        assert_eq!(client.runtime_value("scheduleMessagePassedOver").await.as_deref(), Some("0"));
    });
}

/// Failed at 52af9f8: the level tried the first message for ever, and delivered the fourth again
/// with each try.
#[test]
fn messages_on_bad_sectors_are_passed_over_after_some_tries_and_the_level_goes_on() {
    let sim = Sim::new(3);
    sim.run(async |runtime| {
        start(&runtime, config(&COLD));
        let mut client = Client::connect(&runtime).await;
        send_delayed(&mut client).await;
        let sent = client.send_with("Topic", "DELAY\u{1}2\u{2}", b"delayed four").await;
        assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
        let holds = |path: &std::path::PathBuf| {
            let bytes = sim.disk().read_file(path).unwrap_or_default();
            bytes.windows(11).any(|part| part == b"delayed one")
        };
        let bad = sim.disk().files().into_iter().find(holds).expect("it is on the disk");
        let unreadable = FaultRule::every(Some(OperationKind::Read), Fault::InputOutput);
        sim.disk().add_fault(unreadable.on(bad));
        runtime.sleep(Duration::from_secs(10)).await;
        let passed_over = client.runtime_value("scheduleMessagePassedOver").await;
        assert_eq!(passed_over.as_deref(), Some("0"), "it is not given up at once");
        runtime.sleep(Duration::from_secs(40)).await;
        let passed_over = client.runtime_value("scheduleMessagePassedOver").await;
        assert_eq!(passed_over.as_deref(), Some("3"));
        assert_eq!(client.stored("Topic").await, Some(2), "four is delivered, once");
        sim.disk().clear_faults();
        runtime.sleep(Duration::from_secs(5)).await;
        assert_eq!(client.stored("Topic").await, Some(2), "what was passed over stays so");
    });
}
