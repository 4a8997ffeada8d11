use std::{
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use ringmq_io::{Clock, mailbox::mailbox};

use crate::support::{on_executor, on_executors};

#[test]
fn plain_threads_wake_a_sleeping_executor() {
    let (sender, receiver) = mailbox(64);
    let producers: Vec<_> = (0..3_usize)
        .map(|producer| {
            let sender = sender.clone();
            thread::spawn(move || {
                for number in 0..2000_usize {
                    if number % 100 == 0 {
                        thread::sleep(Duration::from_millis(1));
                    }
                    while sender.try_send((producer, number)).is_err() {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    on_executor(move |_| {
        let mut inbox = receiver.lock().expect("no panic").take().expect("one body");
        async move {
            let mut next = [0; 3];
            for _ in 0..6000 {
                let (producer, number) = inbox.recv().await;
                assert_eq!(number, next[producer], "the order of each sender is kept");
                next[producer] += 1;
            }
            assert!(inbox.try_recv().is_none());
        }
    });
    for producer in producers {
        producer.join().expect("no panic");
    }
}

/// Would take 20 ms a message, a pulse, if wake-ups were lost.
#[test]
fn two_executors_answer_each_other_without_waiting_for_the_pulse() {
    const ROUNDS: u32 = 2000;
    let (to_first, first) = mailbox::<u32>(1);
    let (to_second, second) = mailbox::<u32>(1);
    let ends = Arc::new(Mutex::new((Some(first), Some(second))));
    let taken = on_executors(2, move |shard, runtime| {
        let (to_first, to_second, ends) = (to_first.clone(), to_second.clone(), ends.clone());
        async move {
            let end = {
                let mut ends = ends.lock().expect("no panic");
                if shard.index() == 0 { ends.0.take() } else { ends.1.take() }
            };
            let mut inbox = end.expect("each takes its own");
            let start = Instant::now();
            if shard.index() == 0 {
                runtime.sleep(Duration::from_millis(1)).await;
            }
            for round in 0..ROUNDS {
                if shard.index() == 0 {
                    to_second.try_send(round).expect("the other has answered all");
                    assert_eq!(inbox.recv().await, round);
                } else {
                    let message = inbox.recv().await;
                    to_first.try_send(message).expect("the other waits");
                }
            }
            start.elapsed()
        }
    });
    assert!(taken[0] < Duration::from_millis(20) * ROUNDS / 4, "{ROUNDS} rounds: {taken:?}");
}
