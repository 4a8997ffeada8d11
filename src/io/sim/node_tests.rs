//! Tests of nodes: how they die, stand still, and what their clocks show.

use std::{
    cell::{Cell, RefCell},
    future::pending,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    rc::Rc,
    time::Duration,
};

use futures_lite::future::or;

use super::{Node, START_MS, Sim, SimDisk, SimRuntime};
use crate::{
    BlockBuffer, Clock, Disk, File, Listener, Net, OpenMode, Runtime, Shares, Spawn, Stream,
};

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn node(sim: &Sim, last: u8) -> Node {
    sim.add_node(ip(last), &SimDisk::new(u64::from(last)))
}

fn on(node: &Node) -> SocketAddr {
    SocketAddr::new(node.ip(), 10_911)
}

/// Counts every millisecond of its clock.
fn count(runtime: &SimRuntime) -> Rc<Cell<u64>> {
    let counted = Rc::new(Cell::new(0));
    let (own, count) = (runtime.clone(), counted.clone());
    runtime.spawn(Shares::Foreground, "counter", async move {
        loop {
            own.sleep(millis(1)).await;
            count.set(count.get() + 1);
        }
    });
    counted
}

/// Sends everything back, on one connection after the other.
fn echo(runtime: &SimRuntime) {
    let own = runtime.clone();
    runtime.spawn(Shares::Foreground, "echo", async move {
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 10_911);
        let listener = own.net().listen(any).expect("a free port");
        loop {
            let accepted = listener.accept().await.expect("a connection");
            let stream = own.net().adopt(accepted).expect("of this simulation");
            own.spawn(Shares::Foreground, "echo of one", async move {
                let mut buffer = [0; 700];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    if stream.write(&buffer[..count]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// The output of a future, unless it takes longer.
async fn within<T>(
    runtime: &SimRuntime,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let late = async {
        runtime.sleep(limit).await;
        None
    };
    or(async { Some(future.await) }, late).await
}

async fn ask(stream: &impl Stream, byte: u8) -> std::io::Result<usize> {
    stream.write(&[byte]).await?;
    stream.read(&mut [0; 8]).await
}

#[test]
fn the_death_of_a_node_ends_its_tasks_and_no_others() {
    struct OnDrop(Rc<Cell<bool>>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let sim = Sim::new(1);
    let (one, other) = (node(&sim, 1), node(&sim, 2));
    sim.run(async |runtime| {
        let (first, second) = (one.boot(), other.boot());
        let (dying, living) = (count(&first), count(&second));
        let dropped = Rc::new(Cell::new(false));
        let held = OnDrop(dropped.clone());
        first.spawn(Shares::Foreground, "holder", async move {
            let _held = held;
            pending::<()>().await;
        });
        runtime.sleep(millis(10)).await;
        one.kill();
        assert!(dropped.get() && !one.is_running());
        let at = dying.get();
        first.spawn(Shares::Foreground, "too late", async { panic!("of a dead process") });
        runtime.sleep(millis(10)).await;
        assert_eq!(dying.get(), at);
        assert!(living.get() >= 19, "{}", living.get());
        let again = count(&one.boot());
        runtime.sleep(millis(10)).await;
        assert!(again.get() >= 9 && dying.get() == at);
        assert_eq!(one.boots(), 1, "only its process died");
    });
}

#[test]
fn a_node_may_end_itself() {
    let sim = Sim::new(1);
    let one = node(&sim, 1);
    sim.run(async |runtime| {
        let own = one.clone();
        one.boot().spawn(Shares::Foreground, "suicide", async move {
            own.kill();
            pending::<()>().await;
        });
        runtime.sleep(millis(1)).await;
        assert!(!one.is_running());
        one.boot();
    });
}

/// Writes a block, durably or not, and begins one more.
async fn write_twice(runtime: SimRuntime, first: OpenMode) {
    let disk = runtime.disk().clone();
    let file = disk.create(Path::new("file"), first).await.expect("no faults");
    disk.sync_directory(Path::new("")).await.expect("no faults");
    for fill in [1, 2] {
        let mut buffer = disk.buffer(4096);
        buffer.bytes_mut().fill(fill);
        file.write(&buffer, 4096 * (u64::from(fill) - 1)).await.expect("no faults");
        runtime.sleep(millis(40)).await;
    }
}

/// What the first block of the file holds after the death of its node, over many seeds.
fn first_blocks(mode: OpenMode, die: fn(&Node)) -> Vec<Option<u8>> {
    let after = |seed| {
        let sim = Sim::new(seed);
        let one = sim.add_node(ip(1), &SimDisk::new(seed));
        sim.run(async |runtime| {
            let own = one.boot();
            own.spawn(Shares::Foreground, "writer", write_twice(own.clone(), mode));
            runtime.sleep(millis(20)).await;
            die(&one);
            let bytes = one.disk().read_file("file").expect("its name was synced");
            bytes.first().copied()
        })
    };
    (0..40).map(after).collect()
}

#[test]
fn a_kill_keeps_what_was_written_and_a_power_cut_what_was_stable() {
    let whole = vec![Some(1); 40];
    assert_eq!(first_blocks(OpenMode::Write, Node::kill), whole);
    assert_eq!(first_blocks(OpenMode::WriteDurable, Node::power_cut), whole);
    assert_ne!(first_blocks(OpenMode::Write, Node::power_cut), whole);
}

#[test]
fn the_disk_of_a_dead_node_completes_nothing_for_the_next_process() {
    let sim = Sim::new(3);
    let one = node(&sim, 1);
    sim.run(async |runtime| {
        for round in 0..20 {
            let own = one.boot();
            let path = format!("file-{round}");
            let disk = own.disk().clone();
            own.spawn(Shares::Foreground, "writer", async move {
                let file = disk.create(Path::new(&path), OpenMode::Write).await.expect("new");
                loop {
                    file.write(&disk.buffer(4096), 0).await.expect("no faults");
                }
            });
            runtime.sleep(Duration::from_micros(100 + 30 * round)).await;
            one.kill();
        }
    });
}

#[test]
fn a_paused_node_stands_still_and_does_late_what_was_due() {
    let sim = Sim::new(5);
    let (one, client) = (node(&sim, 1), node(&sim, 2));
    sim.set_socket_bytes(1000);
    sim.run(async |runtime| {
        let (server, own) = (one.boot(), client.boot());
        echo(&server);
        let counted = count(&server);
        let woken = Rc::new(Cell::new(Duration::ZERO));
        let (clock, at) = (server.clone(), woken.clone());
        server.spawn(Shares::Foreground, "sleeper", async move {
            clock.sleep(millis(50)).await;
            at.set(clock.monotonic());
        });
        runtime.sleep(millis(10)).await;
        let stream = own.net().connect(on(&one)).await.expect("it listens");
        ask(&stream, 1).await.expect("it answers");
        one.pause();
        let at = counted.get();
        // The kernel accepts for it, and takes what fits.
        let other = own.net().connect(on(&one)).await.expect("the backlog takes it");
        let mut taken = 0;
        let filling = async {
            loop {
                taken += other.write(&[7; 100]).await.expect("not closed");
            }
        };
        assert!(within(&own, Duration::from_secs(5), filling).await.is_none());
        assert_eq!(taken, 1000);
        assert!(within(&own, Duration::from_secs(5), ask(&stream, 2)).await.is_none());
        assert_eq!((counted.get(), woken.get()), (at, Duration::ZERO));
        one.resume();
        assert_eq!(stream.read(&mut [0; 8]).await.expect("it answers now"), 1);
        runtime.sleep(millis(5)).await;
        assert!(woken.get() > Duration::from_secs(10), "{:?}", woken.get());
        // One tick was due; it does not make up for the others.
        assert!((at + 1..at + 10).contains(&counted.get()));
    });
}

#[test]
fn a_paused_node_can_be_killed() {
    let sim = Sim::new(5);
    let one = node(&sim, 1);
    sim.run(async |runtime| {
        let before = count(&one.boot());
        one.pause();
        runtime.sleep(millis(10)).await;
        one.kill();
        let after = count(&one.boot());
        runtime.sleep(millis(10)).await;
        assert_eq!(before.get(), 0);
        assert!(after.get() >= 9 && !one.is_paused());
    });
}

#[test]
fn peers_of_a_killed_node_see_the_end_and_those_of_one_without_power_nothing() {
    let sim = Sim::new(7);
    let (one, client) = (node(&sim, 1), node(&sim, 2));
    let minute = Duration::from_secs(60);
    sim.run(async |_| {
        let own = client.boot();
        echo(&one.boot());
        let stream = own.net().connect(on(&one)).await.expect("it listens");
        one.kill();
        assert_eq!(stream.read(&mut [0; 8]).await.expect("the end"), 0);
        let refused = own.net().connect(on(&one)).await.err().expect("nobody listens");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

        echo(&one.boot());
        let stream = own.net().connect(on(&one)).await.expect("it listens");
        let silent = own.net().connect(on(&one)).await.expect("it listens");
        ask(&stream, 1).await.expect("it answers");
        one.power_cut();
        assert!(within(&own, minute, ask(&stream, 2)).await.is_none());
        let began = own.monotonic();
        let late = own.net().connect(on(&one)).await.err().expect("the machine is off");
        assert_eq!(late.kind(), std::io::ErrorKind::TimedOut);
        assert!(own.monotonic() - began > 2 * minute);
        // The machine is up, and knows nothing of the connections of before.
        echo(&one.boot());
        assert_eq!(one.boots(), 2);
        let reset = stream.read(&mut [0; 8]).await.expect_err("what was sent comes again");
        assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
        assert!(within(&own, minute, silent.read(&mut [0; 8])).await.is_none());
        silent.write(&[1]).await.expect("nobody has told");
        let reset = silent.read(&mut [0; 8]).await.expect_err("there is no such connection");
        assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
        let stream = own.net().connect(on(&one)).await.expect("it listens again");
        ask(&stream, 1).await.expect("it answers");
    });
}

#[test]
fn clocks_of_nodes_are_their_own() {
    let sim = Sim::new(8);
    let (fast, slow) = (node(&sim, 1), node(&sim, 2));
    fast.set_drift(50_000);
    slow.set_drift(-50_000);
    slow.jump_wall_clock(-60_000);
    sim.run(async |runtime| {
        runtime.sleep(Duration::from_secs(100)).await;
        let (fast_clock, slow_clock) = (fast.boot(), slow.boot());
        assert_eq!(fast_clock.monotonic(), Duration::ZERO, "it came up now");
        assert_eq!(fast_clock.now_ms(), START_MS + 105_000);
        assert_eq!(slow_clock.now_ms(), START_MS + 95_000 - 60_000);
        let waits = |clock: SimRuntime| {
            let host = runtime.clone();
            async move {
                let (began, own) = (host.monotonic(), clock.monotonic());
                clock.sleep(Duration::from_secs(10)).await;
                assert!(clock.monotonic() - own >= Duration::from_secs(10));
                host.monotonic() - began
            }
        };
        let took = waits(fast_clock.clone()).await;
        assert!((millis(9_523)..millis(9_525)).contains(&took), "{took:?}");
        let took = waits(slow_clock.clone()).await;
        assert!((millis(10_526)..millis(10_527)).contains(&took), "{took:?}");
        assert_eq!(runtime.now_ms(), START_MS + sim.now().as_millis() as i64);
        // The clock of the machine outlives the process, not the power.
        fast.kill();
        assert!(fast.boot().monotonic() > Duration::from_secs(20));
        fast.power_cut();
        assert_eq!(fast.boot().monotonic(), Duration::ZERO);
    });
}

#[test]
fn nodes_have_addresses_of_their_own() {
    let sim = Sim::new(9);
    let (one, other) = (node(&sim, 1), node(&sim, 2));
    sim.run(async |_| {
        let (first, second) = (one.boot(), other.boot());
        let listen = |runtime: &SimRuntime, text: &str| {
            runtime.net().listen(text.parse().expect("an address")).map(|listener| {
                // Accepts nothing, but is there.
                std::mem::forget(listener);
            })
        };
        listen(&first, "0.0.0.0:1000").expect("free");
        listen(&second, "0.0.0.0:1000").expect("free on the other node");
        listen(&first, "127.0.0.1:2000").expect("free");
        let foreign = listen(&first, "10.0.0.2:3000").expect_err("an address of another node");
        assert_eq!(foreign.kind(), std::io::ErrorKind::AddrNotAvailable);
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let net = second.net();
        let there = net.connect(at("10.0.0.1:1000")).await.expect("it listens");
        assert_eq!((there.local().ip(), there.peer().ip()), (ip(2), ip(1)));
        let hidden = net.connect(at("10.0.0.1:2000")).await.err().expect("of that node alone");
        assert_eq!(hidden.kind(), std::io::ErrorKind::ConnectionRefused);
        assert!(first.net().connect(at("127.0.0.1:2000")).await.is_ok());
        assert!(net.connect(at("127.0.0.1:2000")).await.is_err(), "each has a loopback");
    });
}

#[test]
fn twins_with_nodes_have_one_trace() {
    let trace = |seed| {
        let sim = Sim::new(seed);
        let nodes = [node(&sim, 1), node(&sim, 2), node(&sim, 3)];
        let seen = sim.run(async |runtime| {
            let mut random = runtime.random();
            let client = nodes[2].boot();
            let seen = Rc::new(RefCell::new(Vec::new()));
            for round in 0..12 {
                for node in nodes.iter().take(2).filter(|node| !node.is_running()) {
                    echo(&node.boot());
                }
                runtime.sleep(millis(1)).await;
                let stream = client.net().connect(on(&nodes[round % 2])).await;
                match random.below(4) {
                    0 => nodes[0].kill(),
                    1 => nodes[1].kill(),
                    2 => nodes[0].pause(),
                    _ => {}
                }
                if let Ok(stream) = stream {
                    let answer = within(&client, millis(3), ask(&stream, 1)).await;
                    seen.borrow_mut().push(answer.map(|is| is.is_ok()));
                }
                nodes[0].resume();
            }
            seen.take()
        });
        (sim.trace_hash(), seen)
    };
    for seed in 0..10 {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
    }
    assert_ne!(trace(1), trace(2));
}
