//! Tests of the executor and of the network on it.

use std::{cell::RefCell, future::pending, net::SocketAddr, rc::Rc, time::Duration};

use super::{START_MS, Sim, SimRuntime, Stopped};
use crate::{
    Clock, Listener, Net, Runtime, Shares, SocketBuffers, Spawn, Stream, listen_when_free,
};

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn time_moves_only_when_nothing_can_run_and_then_to_the_next_timer() {
    let sim = Sim::new(1);
    let order = sim.run(async |runtime| {
        let order = Rc::new(RefCell::new(Vec::new()));
        for wait in [30, 10, 20_u64] {
            let (order, inner) = (order.clone(), runtime.clone());
            runtime.spawn(Shares::Foreground, "sleeper", async move {
                inner.sleep(millis(wait)).await;
                order.borrow_mut().push((wait, inner.monotonic(), inner.now_ms()));
            });
        }
        assert_eq!(runtime.now_ms(), START_MS);
        runtime.sleep(Duration::from_secs(3600)).await;
        order.take()
    });
    let expected = |wait: u64| (wait, millis(wait), START_MS + wait as i64);
    assert_eq!(order, [expected(10), expected(20), expected(30)]);
    assert_eq!(sim.now(), Duration::from_secs(3600));
}

#[test]
fn a_dropped_sleep_does_not_hold_the_clock() {
    let sim = Sim::new(1);
    sim.run(async |runtime| {
        let long = runtime.sleep(Duration::from_secs(1000));
        let short = runtime.sleep(millis(1));
        futures_lite::future::or(long, short).await;
        let stopped = Sim::new(2).try_run(async |_| pending::<()>().await);
        assert!(matches!(stopped, Err(Stopped::Deadlock { .. })));
        runtime.sleep(millis(1)).await;
    });
    assert_eq!(sim.now(), millis(2));
}

#[test]
fn a_deadlock_is_reported_with_seed_and_names() {
    let sim = Sim::new(99);
    let stopped = sim.try_run(async |runtime| {
        runtime.spawn(Shares::Foreground, "flusher of log 3", pending());
        runtime.spawn(Shares::Background, "gone before", async {});
        runtime.sleep(millis(5)).await;
        pending::<()>().await;
    });
    let stopped = stopped.expect_err("nothing can end this");
    let waiting = vec!["main".to_owned(), "flusher of log 3".to_owned()];
    assert_eq!(stopped, Stopped::Deadlock { seed: 99, at: millis(5), waiting });
    assert!(stopped.to_string().contains("seed 99"), "{stopped}");
    assert!(stopped.to_string().contains("flusher of log 3"), "{stopped}");
}

#[test]
fn a_time_limit_ends_a_program_that_never_ends() {
    let sim = Sim::new(4);
    sim.set_time_limit(Duration::from_secs(60));
    let stopped = sim.try_run(async |runtime| {
        loop {
            runtime.sleep(millis(700)).await;
        }
    });
    assert!(matches!(stopped, Err::<(), _>(Stopped::TimeLimit { seed: 4, .. })));
    assert!(sim.now() <= Duration::from_secs(60));
}

#[test]
fn a_task_that_never_waits_for_time_is_reported() {
    let stopped = Sim::new(4).try_run(async |runtime| {
        let own = runtime.clone();
        runtime.spawn(Shares::Background, "spinner", async move {
            loop {
                own.yield_if_needed().await;
            }
        });
        runtime.sleep(millis(1)).await;
    });
    let stopped = stopped.expect_err("time cannot move");
    assert!(stopped.to_string().contains("spinner"), "{stopped}");
}

#[test]
fn the_wall_clock_jumps_and_the_monotonic_one_does_not() {
    let sim = Sim::new(4);
    sim.jump_wall_clock(-5_000);
    let (wall, monotonic) = sim.run(async |runtime| (runtime.now_ms(), runtime.monotonic()));
    assert_eq!((wall, monotonic), (START_MS - 5_000, Duration::ZERO));
}

#[test]
fn a_crash_drops_all_tasks_and_the_next_run_starts_without_them() {
    struct OnDrop(Rc<RefCell<u32>>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            *self.0.borrow_mut() += 1;
        }
    }
    let dropped = Rc::new(RefCell::new(0));
    let sim = Sim::new(3);
    let inner = dropped.clone();
    sim.run(async |runtime| {
        for _ in 0..3 {
            let held = OnDrop(inner.clone());
            let own = runtime.clone();
            runtime.spawn(Shares::Foreground, "holder", async move {
                let _held = held;
                own.sleep(Duration::from_secs(1)).await;
                panic!("must not live so long");
            });
        }
        runtime.sleep(millis(1)).await;
    });
    assert_eq!(*dropped.borrow(), 0);
    sim.crash();
    assert_eq!(*dropped.borrow(), 3);
    sim.run(async |runtime| runtime.sleep(Duration::from_secs(2)).await);
}

#[test]
fn the_seed_decides_the_order_of_tasks() {
    let order = |seed| {
        Sim::new(seed).run(async |runtime: SimRuntime| {
            let order = Rc::new(RefCell::new(Vec::new()));
            for task in 0..6 {
                let order = order.clone();
                runtime.spawn(Shares::Foreground, "one of six", async move {
                    order.borrow_mut().push(task);
                });
            }
            runtime.sleep(millis(1)).await;
            order.take()
        })
    };
    assert_eq!(order(5), order(5));
    let orders: std::collections::BTreeSet<_> = (0..50).map(order).collect();
    assert!(orders.len() > 30, "50 seeds gave only {} orders", orders.len());
}

const ADDRESS: &str = "127.0.0.1:10911";

fn address() -> SocketAddr {
    ADDRESS.parse().expect("a literal address")
}

async fn write_all(stream: &impl Stream, bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = stream.write(rest).await.expect("the peer reads");
        rest = &rest[count..];
    }
}

async fn read_to_end(stream: &impl Stream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 1000];
    loop {
        match stream.read(&mut buffer).await.expect("the peer writes or ends") {
            0 => return all,
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Two connections send more than the buffers hold through an echo.
async fn echo(runtime: SimRuntime) -> Vec<Vec<u8>> {
    let listener = runtime.net().listen(address()).expect("a free port");
    let server = runtime.clone();
    runtime.spawn(Shares::Foreground, "acceptor", async move {
        for _ in 0..2 {
            let accepted = listener.accept().await.expect("an accepted connection");
            let stream = server.net().adopt(accepted).expect("a connection of this simulation");
            server.spawn(Shares::Foreground, "echo", async move {
                let mut buffer = [0; 700];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    write_all(&stream, &buffer[..count]).await;
                }
            });
        }
    });
    runtime.sleep(millis(1)).await;
    let mut received = Vec::new();
    for fill in [1, 2_u8] {
        let stream = Rc::new(runtime.net().connect(address()).await.expect("a listener"));
        let writer = stream.clone();
        runtime.spawn(Shares::Foreground, "client", async move {
            write_all(&*writer, &[fill; 200_000]).await;
        });
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        while all.len() < 200_000 {
            let count = stream.read(&mut buffer).await.expect("the echo answers");
            all.extend_from_slice(&buffer[..count]);
        }
        stream.shutdown();
        received.push(all);
    }
    received
}

#[test]
fn an_echo_brings_back_what_was_sent() {
    for seed in 0..20 {
        let received = Sim::new(seed).run(echo);
        assert!(received[0].iter().all(|byte| *byte == 1), "seed {seed}");
        assert!(received[1].iter().all(|byte| *byte == 2), "seed {seed}");
    }
}

#[test]
fn twins_of_one_seed_have_one_trace_on_the_network() {
    let trace = |seed| {
        let sim = Sim::new(seed);
        sim.run(echo);
        (sim.trace_hash(), sim.now())
    };
    assert_eq!(trace(11), trace(11));
    assert_ne!(trace(11), trace(12));
}

#[test]
fn a_server_waits_a_second_for_its_port() {
    Sim::new(1).run(async |runtime| {
        let net = runtime.net();
        let predecessor = net.listen(address()).expect("a free port");
        let began = runtime.monotonic();
        let taken = listen_when_free(&runtime, address(), SocketBuffers::default())
            .await
            .err()
            .expect("a taken port");
        assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
        let waited = runtime.monotonic() - began;
        assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(2), "{waited:?}");
        let clock = runtime.clone();
        runtime.spawn(Shares::Foreground, "predecessor", async move {
            clock.sleep(Duration::from_millis(300)).await;
            drop(predecessor);
        });
        listen_when_free(&runtime, address(), SocketBuffers::default())
            .await
            .expect("it was freed in time");
    });
}

#[test]
fn ports_are_taken_refused_and_freed() {
    Sim::new(1).run(async |runtime| {
        let net = runtime.net();
        let refused = net.connect(address()).await.err().expect("nobody listens");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        let listener = net.listen(address()).expect("a free port");
        let taken = net.listen(address()).err().expect("a taken port");
        assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
        let unaccepted = net.connect(address()).await.expect("the backlog takes it");
        drop(listener);
        assert_eq!(read_to_end(&unaccepted).await, b"");
        let any = net.listen("0.0.0.0:0".parse().expect("a literal")).expect("any port");
        assert_ne!(any.local().port(), 0);
        net.listen(address()).expect("the port is free again");
    });
}

#[test]
fn a_connection_ends_for_the_peer_however_it_ends() {
    Sim::new(1).run(async |runtime| {
        let listener = runtime.net().listen(address()).expect("a free port");
        // Dropped before anybody took it over.
        let client = runtime.net().connect(address()).await.expect("a listener");
        drop(listener.accept().await.expect("a connection"));
        assert_eq!(read_to_end(&client).await, b"");
        // Dropped with bytes on the way: they arrive before the end.
        let client = runtime.net().connect(address()).await.expect("a listener");
        let accepted = listener.accept().await.expect("a connection");
        let server = runtime.net().adopt(accepted).expect("its own connection");
        write_all(&server, b"last words").await;
        drop(server);
        assert_eq!(read_to_end(&client).await, b"last words");
        let broken = client.write(b"hello?").await.expect_err("nobody is there");
        assert_eq!(broken.kind(), std::io::ErrorKind::BrokenPipe);
        // Shut down by this side: its own read ends.
        let client = runtime.net().connect(address()).await.expect("a listener");
        client.shutdown();
        assert_eq!(read_to_end(&client).await, b"");
    });
}

#[test]
fn a_writer_waits_for_room_and_try_write_does_not() {
    Sim::new(1).run(async |runtime| {
        let listener = runtime.net().listen(address()).expect("a free port");
        let client = runtime.net().connect(address()).await.expect("a listener");
        let accepted = listener.accept().await.expect("a connection");
        let server = runtime.net().adopt(accepted).expect("its own connection");
        let full = loop {
            if let Err(error) = client.try_write(&[7; 10_000]) {
                break error;
            }
        };
        assert_eq!(full.kind(), std::io::ErrorKind::WouldBlock);
        let reader = runtime.clone();
        runtime.spawn(Shares::Foreground, "late reader", async move {
            reader.sleep(millis(50)).await;
            read_to_end(&server).await;
        });
        client.write(&[7; 10]).await.expect("room comes");
        assert!(runtime.monotonic() >= millis(50));
    });
}

#[test]
fn a_mailbox_wakes_the_task_of_another_runtime() {
    let sim = Sim::new(8);
    let other = sim.runtime_on(&super::SimDisk::new(9));
    let received = sim.run(async |runtime| {
        let (sender, mut inbox) = crate::mailbox::<u32>(4);
        let (back, mut replies) = crate::mailbox::<u32>(4);
        other.spawn(Shares::Foreground, "adder", async move {
            loop {
                let number = inbox.recv().await;
                back.try_send(number + 1).expect("one is under way at a time");
            }
        });
        let mut last = 0;
        for _ in 0..1000 {
            sender.try_send(last).expect("one is under way at a time");
            last = replies.recv().await;
            if last % 100 == 0 {
                runtime.sleep(millis(1)).await;
            }
        }
        last
    });
    assert_eq!(received, 1000);
}
