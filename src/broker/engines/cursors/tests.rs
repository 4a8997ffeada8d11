use ringmq_io::{
    Clock as _,
    sim::{Fault, Sim},
};
use ringmq_remoting::codes::response;

use super::*;
use crate::testing::{
    cluster::{Broker, TOPIC, after_a_kill, clients, on_all},
    metadata::fill_metadata,
};

#[test]
fn what_is_delivered_beside_a_full_metadata_log_is_not_delivered_again() {
    on_all(2, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let broker = Broker::start(&runtime, shards, &[]);
            let client = &mut clients(&runtime, shards).await[0];
            client.make_topic(TOPIC).await;
            fill_metadata(&sim, &broker, Fault::NoSpace).await;
            for level in ["1", "2"] {
                let properties = format!("DELAY\u{1}{level}\u{2}");
                let sent = client.send_to(TOPIC, 0, false, &properties, b"delayed").await;
                assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
            }
            runtime.sleep(Duration::from_secs(8)).await;
            assert_eq!(client.stored(TOPIC).await, Some(2));
            sim.disk().clear_faults();
            runtime.sleep(AGAIN * 2).await;
        });
        after_a_kill(&sim, async |runtime| {
            Broker::start(&runtime, shards, &[]);
            let client = &mut clients(&runtime, shards).await[0];
            runtime.sleep(Duration::from_secs(8)).await;
            assert_eq!(client.stored(TOPIC).await, Some(2));
        });
    });
}
