//! A log whose write fails: everybody who waits for it hears so, on whatever shard.

use ringmq_io::sim::{Fault, FaultRule, OperationKind, Sim};
use ringmq_remoting::codes::response;

use super::cluster::{Broker, QUEUES, TOPIC, clients, on_all};

#[test]
fn whoever_waits_for_a_write_that_fails_is_refused() {
    on_all(2, |shards, seed| {
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
                        assert!(refused.remark.contains("log"), "{}", refused.remark);
                    }
                }
            }
        });
    });
}
