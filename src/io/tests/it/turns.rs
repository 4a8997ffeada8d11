//! Who runs when: tasks that do not wait, wakes from other threads.

use std::{
    cell::Cell,
    rc::Rc,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use futures_channel::oneshot;
use ringmq_io::{Clock, Net, Runtime, Shares, Spawn, Stream};

use crate::support::on_executor;

/// Ends only if timers and sockets are looked at between the turns of a task that always has more
/// to do, whatever its shares.
#[test]
fn a_task_that_never_waits_leaves_others_their_turn() {
    for busy in [Shares::Foreground, Shares::Background] {
        on_executor(move |runtime| async move {
            let over = Rc::new(Cell::new(false));
            let (seen, computing) = (over.clone(), runtime.clone());
            runtime.spawn(busy, "computing", async move {
                while !seen.get() {
                    computing.yield_if_needed().await;
                }
            });
            let address = "127.0.0.1:0".parse().expect("an address");
            let listener = runtime.net().listen(address).expect("a port is free");
            let ours = runtime.net().connect(ringmq_io::Listener::local(&listener)).await;
            let ours = ours.expect("it listens");
            let accepted = ringmq_io::Listener::accept(&listener).await.expect("it was called");
            let theirs = runtime.net().adopt(accepted).expect("a connection");
            let mut byte = [0];
            for round in 0..5 {
                runtime.sleep(Duration::from_millis(1)).await;
                ours.write(&[round]).await.expect("there is room");
                assert_eq!(theirs.read(&mut byte).await.expect("it was sent"), 1);
                assert_eq!(byte, [round]);
            }
            over.set(true);
        });
    }
}

/// Any waker may be used, and dropped, on any thread. Would take a pulse of 20 ms each if the
/// executor did not hear of it.
#[test]
fn plain_threads_wake_tasks_that_wait_for_them() {
    const ROUNDS: u32 = 2000;
    let (ask, asked) = mpsc::channel::<oneshot::Sender<u32>>();
    let answering = thread::spawn(move || {
        for (number, sender) in (0..).zip(asked) {
            if number % 3 == 0 {
                thread::yield_now();
            }
            let _ = sender.send(number);
        }
    });
    let taken = on_executor(move |_| {
        let ask = ask.clone();
        async move {
            let start = Instant::now();
            for number in 0..ROUNDS {
                let (sender, receiver) = oneshot::channel();
                ask.send(sender).expect("the thread answers");
                assert_eq!(receiver.await, Ok(number));
            }
            start.elapsed()
        }
    });
    answering.join().expect("no panic");
    assert!(taken < Duration::from_millis(20) * ROUNDS / 4, "{ROUNDS} rounds: {taken:?}");
}
