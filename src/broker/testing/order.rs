//! Locks of queues for ordered consumption, in time.

use std::time::Duration;

use ringmq_io::{Clock as _, sim::Sim};
use ringmq_remoting::{
    body::{LockBatchRequestBody, LockBatchResponseBody, MessageQueue},
    codes::{request, response},
    fastjson,
};

use super::{
    Client,
    cluster::{Broker, TOPIC, on_all},
};

/// The queues of the topic that the client gets, or renews.
async fn lock(client: &mut Client, id: &str, queues: std::ops::Range<i32>) -> Vec<i32> {
    let queue = |queue_id| MessageQueue::new(TOPIC, "sim", queue_id);
    let body = LockBatchRequestBody {
        consumer_group: "ordered".to_owned(),
        client_id: id.to_owned(),
        only_this_broker: false,
        mq_set: queues.map(queue).collect(),
    };
    let answer = client.call(request::LOCK_BATCH_MQ, &[], &fastjson::to_vec(&body)).await;
    assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
    let locked: LockBatchResponseBody = fastjson::from_slice(&answer.body).expect("queues");
    locked.lock_ok_mq_set.into_iter().map(|queue| queue.queue_id).collect()
}

#[test]
fn the_locks_of_a_client_that_is_gone_are_free_a_minute_after_it_renewed_them() {
    on_all(1, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            Broker::start(&runtime, shards, &[]);
            let mut gone = Client::connect(&runtime).await;
            let mut other = Client::connect(&runtime).await;
            gone.make_topic(TOPIC).await;
            assert_eq!(lock(&mut gone, "gone", 0..4).await, [0, 1, 2, 3]);
            runtime.sleep(Duration::from_secs(20)).await;
            assert_eq!(lock(&mut gone, "gone", 0..2).await, [0, 1]);
            drop(gone);
            // What it did not renew is free first; queues that are added are at once.
            for (seconds, wanted) in [(39, &[4, 5][..]), (2, &[2, 3, 4, 5]), (18, &[2, 3, 4, 5])] {
                runtime.sleep(Duration::from_secs(seconds)).await;
                assert_eq!(lock(&mut other, "other", 0..6).await, wanted, "{seconds}");
            }
            runtime.sleep(Duration::from_secs(2)).await;
            assert_eq!(lock(&mut other, "other", 0..6).await, [0, 1, 2, 3, 4, 5]);
        });
    });
}
