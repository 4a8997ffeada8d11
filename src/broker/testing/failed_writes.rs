//! A log whose write fails, or that cannot grow: everybody who waits for it hears so, on whatever
//! shard.

use ringmq_io::sim::{Fault, FaultRule, OperationKind, Sim};
use ringmq_remoting::codes::response;

use super::cluster::{Broker, QUEUES, TOPIC, clients, on_all_heard};

#[test]
fn whoever_waits_for_a_write_that_fails_is_refused() {
    let text = "the log accepts no more writes since an operation of its device failed (";
    on_all_heard(2, |shards, seed, complaints| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let _broker = Broker::start(&runtime, shards, &[]);
            let mut clients = clients(&runtime, shards).await;
            assert_eq!(clients[0].make_topic(TOPIC).await.code, response::SUCCESS);
            let rule = FaultRule::every(Some(OperationKind::Write), Fault::InputOutput);
            sim.disk().add_fault(rule.where_path_contains(".seg"));
            for client in &mut clients {
                for queue in 0..QUEUES {
                    // the first has the write fail, the second finds the log fenced
                    for _ in 0..2 {
                        let refused = client.send_to(TOPIC, queue, false, "", b"lost").await;
                        let expected = response::SERVICE_NOT_AVAILABLE;
                        assert_eq!(refused.code, expected, "{}", refused.remark);
                        assert!(refused.remark.contains(text), "{}", refused.remark);
                    }
                }
            }
            let said = complaints.take();
            let fenced = said.iter().filter(|line| line.contains("message=log fenced"));
            assert!(fenced.count() > 0, "{said:?}");
        });
    });
}

/// What a disk does without space, and a process without descriptors.
#[test]
fn sends_that_meet_a_log_without_room_are_told_why() {
    let full = ["cannot grow by ", " are free; free some space"];
    let none = ["no room is left in the log since ", "; it is tried again every moment"];
    for (fault, parts) in [(Fault::NoSpace, full), (Fault::NoDescriptor, none)] {
        on_all_heard(1, |shards, seed, complaints| {
            let sim = Sim::new(seed);
            sim.run(async |runtime| {
                let _broker = Broker::start(&runtime, shards, &[]);
                let mut clients = clients(&runtime, shards).await;
                assert_eq!(clients[0].make_topic(TOPIC).await.code, response::SUCCESS);
                for kind in [OperationKind::Create, OperationKind::Open, OperationKind::Allocate] {
                    let rule = FaultRule::every(Some(kind), fault);
                    sim.disk().add_fault(rule.where_path_contains("log-"));
                }
                for client in &mut clients {
                    let mut sent = 0;
                    let refused = loop {
                        let answer = client.send_to(TOPIC, 0, false, "", &[7; 9000]).await;
                        if answer.code == response::SERVICE_NOT_AVAILABLE {
                            break answer;
                        }
                        sent += 1;
                        assert!(sent < 4000, "the log has endless room");
                    };
                    for part in parts {
                        assert!(refused.remark.contains(part), "{}", refused.remark);
                    }
                }
                let said = complaints.take();
                let text = "the log cannot grow; appends are refused when its space is used up";
                assert!(said.iter().any(|line| line.contains(text)), "{said:?}");
            });
        });
    }
}
