use std::{cell::RefCell, rc::Rc, thread, time::Duration};

use super::*;
use crate::{Clock, Shares, Spawn, sim::Sim};

#[test]
fn a_full_mailbox_gives_the_message_back() {
    let (sender, _receiver) = mailbox(2);
    sender.try_send(1).expect("there is room for two");
    sender.try_send(2).expect("there is room for two");
    let Err(Full(message)) = sender.try_send(3) else { panic!("there is no room for a third") };
    assert_eq!(message, 3);
}

#[test]
fn a_mailbox_without_a_receiver_gives_the_message_back() {
    let (sender, receiver) = mailbox(2);
    drop(receiver);
    assert!(sender.try_send(1).is_err());
}

#[test]
fn messages_wait_for_the_receiver_and_keep_their_order() {
    let (sender, mut inbox) = mailbox(8);
    sender.try_send(0).expect("room");
    sender.try_send(1).expect("room");
    Sim::new(1).run(async move |_| {
        for expected in 0..2 {
            assert_eq!(inbox.recv().await, expected);
        }
        assert_eq!(inbox.try_recv(), None);
    });
}

#[test]
fn a_sleeping_receiver_of_a_simulation_is_woken_by_every_batch() {
    for seed in 0..50 {
        Sim::new(seed).run(async move |runtime| {
            let (sender, mut inbox) = mailbox(4);
            let got = Rc::new(RefCell::new(Vec::new()));
            let record = got.clone();
            runtime.spawn(Shares::Foreground, "receiver", async move {
                loop {
                    let message = inbox.recv().await;
                    record.borrow_mut().push(message);
                }
            });
            for message in 0..20 {
                runtime.sleep(Duration::from_millis(message % 3)).await;
                while sender.try_send(message).is_err() {
                    runtime.sleep(Duration::from_millis(1)).await;
                }
            }
            runtime.sleep(Duration::from_secs(1)).await;
            assert_eq!(*got.borrow(), (0..20).collect::<Vec<_>>(), "seed {seed}");
        });
    }
}

#[test]
fn plain_threads_send_each_in_order() {
    let (sender, mut receiver) = mailbox::<(usize, usize)>(16);
    let threads: Vec<_> = (0..3)
        .map(|thread| {
            let sender = sender.clone();
            thread::spawn(move || {
                for number in 0..1000 {
                    while sender.try_send((thread, number)).is_err() {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let mut next = [0; 3];
    while next.iter().sum::<usize>() < 3000 {
        if let Ok((thread, number)) = receiver.queue.try_recv() {
            assert_eq!(number, next[thread]);
            next[thread] += 1;
        }
    }
    for thread in threads {
        thread.join().expect("the sender does not panic");
    }
    let _ = &mut receiver;
}

#[test]
fn a_thread_that_may_wait_gets_its_message_into_a_full_mailbox() {
    let (sender, mut receiver) = mailbox(1);
    sender.try_send(1).expect("room");
    let waiting = std::thread::spawn(move || {
        let sent = sender.send_blocking(2).is_ok();
        (sent, sender)
    });
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.push(futures_lite::future::block_on(receiver.recv()));
    }
    assert_eq!(seen, [1, 2]);
    let (sent, sender) = waiting.join().expect("no panic");
    assert!(sent);
    drop(receiver);
    assert!(sender.send_blocking(3).is_err(), "nobody receives any more");
}
