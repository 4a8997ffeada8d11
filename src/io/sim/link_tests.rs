//! Tests of the links between nodes: cut, held, slow, refused, reset.

use std::{
    future::Future,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use futures_lite::future::or;

use super::{Links, Node, Sim, SimDisk, SimRuntime, SimStream};
use crate::{Clock, Listener, Net, Runtime, Stream};

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

const BUFFER: usize = 1000;

/// Two nodes with a connection between them.
struct Pair {
    sim: Sim,
    links: Links,
    near: Node,
    far: Node,
}

struct Ends {
    runtime: SimRuntime,
    /// Of the process that has connected.
    client: SimRuntime,
    near: SimStream,
    far: SimStream,
}

impl Pair {
    fn new(seed: u64) -> Pair {
        let sim = Sim::new(seed);
        sim.set_socket_bytes(BUFFER);
        let node =
            |last: u8| sim.add_node(Ipv4Addr::new(10, 0, 0, last), &SimDisk::new(u64::from(last)));
        let (near, far) = (node(1), node(2));
        let links = sim.links();
        Pair { sim, links, near, far }
    }

    fn run<T>(&self, test: impl AsyncFnOnce(Ends) -> T) -> T {
        self.sim.run(async |runtime| {
            let (near, far) = (self.near.boot(), self.far.boot());
            let listener = far.net().listen(self.address()).expect("a free port");
            let client = near.net().connect(self.address()).await.expect("it listens");
            let accepted = listener.accept().await.expect("a connection");
            let server = far.net().adopt(accepted).expect("of this simulation");
            let ends = Ends { runtime, client: near.clone(), near: client, far: server };
            let outcome = test(ends).await;
            drop(listener);
            outcome
        })
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.far.ip(), 10_911)
    }
}

impl Ends {
    async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        let late = async {
            self.runtime.sleep(limit).await;
            None
        };
        or(async { Some(future.await) }, late).await
    }

    async fn connect(&self, pair: &Pair) -> std::io::Result<SimStream> {
        self.client.net().connect(pair.address()).await
    }

    async fn near_reads(&self, limit: Duration) -> Option<std::io::Result<usize>> {
        self.within(limit, self.near.read(&mut [0; 8])).await
    }

    async fn far_reads(&self, limit: Duration) -> Option<std::io::Result<usize>> {
        self.within(limit, self.far.read(&mut [0; 8])).await
    }
}

fn moved(outcome: Option<std::io::Result<usize>>) -> usize {
    outcome.expect("in time").expect("not closed")
}

const LONG: Duration = Duration::from_secs(10);

#[test]
fn a_cut_both_ways_stops_bytes_and_ends_until_it_heals() {
    for seed in 0..20 {
        let pair = Pair::new(seed);
        pair.run(async |ends| {
            // On its way when the link is cut.
            ends.near.try_write(&[1]).expect("room");
            pair.links.cut_both(&pair.near, &pair.far);
            ends.near.try_write(&[2]).expect("room");
            ends.far.try_write(&[3]).expect("room");
            assert!(ends.far_reads(LONG).await.is_none(), "nobody is told");
            assert!(ends.near_reads(LONG).await.is_none(), "nobody is told");
            ends.near.shutdown();
            assert!(ends.far_reads(LONG).await.is_none(), "of the end either");
            let began = ends.runtime.monotonic();
            pair.links.heal_all();
            // Sent again at most as late after the cut as it lasted.
            let mut bytes = [0; 8];
            let mut all = Vec::new();
            while let count @ 1.. = ends.far.read(&mut bytes).await.expect("in order") {
                all.extend_from_slice(&bytes[..count]);
            }
            assert_eq!(all, [1, 2]);
            assert!(ends.runtime.monotonic() - began <= 3 * LONG + millis(1));
        });
    }
}

#[test]
fn a_cut_one_way_lets_the_other_way_through_until_buffers_are_full() {
    let pair = Pair::new(2);
    pair.run(async |ends| {
        pair.links.cut(&pair.near, &pair.far);
        assert!(!pair.links.is_open(&pair.near, &pair.far));
        assert!(pair.links.is_open(&pair.far, &pair.near));
        ends.near.try_write(&[1]).expect("room");
        assert!(ends.far_reads(LONG).await.is_none());
        ends.far.try_write(&[2]).expect("room");
        assert_eq!(moved(ends.near_reads(LONG).await), 1);
        // What is read is not confirmed: the writer comes to an end.
        let mut written = 1;
        while ends.within(millis(50), ends.far.write(&[7])).await.is_some() {
            written += 1;
            moved(ends.near_reads(LONG).await);
        }
        assert_eq!(written, BUFFER);
        pair.links.heal(&pair.near, &pair.far);
        assert_eq!(moved(ends.within(LONG, ends.far.write(&[7])).await), 1);
        assert_eq!(moved(ends.far_reads(3 * 60 * LONG).await), 1);
    });
}

#[test]
fn a_connection_is_not_made_while_either_way_is_cut() {
    for one_way in [true, false] {
        let pair = Pair::new(3);
        pair.run(async |ends| {
            let (from, to) =
                if one_way { (&pair.near, &pair.far) } else { (&pair.far, &pair.near) };
            pair.links.cut(from, to);
            let own = ends.runtime.clone();
            let began = own.monotonic();
            let late = ends.connect(&pair).await.err().expect("nothing comes through");
            assert_eq!(late.kind(), ErrorKind::TimedOut);
            let took = own.monotonic() - began;
            assert!((120..130).contains(&took.as_secs()), "{took:?}");
            let healing = async {
                own.sleep(millis(3500)).await;
                pair.links.heal_all();
                std::future::pending().await
            };
            let began = own.monotonic();
            or(ends.connect(&pair), healing).await.expect("healed");
            let took = own.monotonic() - began;
            assert!((3..8).contains(&took.as_secs()), "{took:?}");
        });
    }
}

#[test]
fn held_packets_come_when_they_are_released_and_none_is_lost() {
    let pair = Pair::new(4);
    pair.run(async |ends| {
        pair.links.hold(&pair.near, &pair.far);
        for byte in [1, 2, 3] {
            ends.near.try_write(&[byte]).expect("room");
        }
        assert!(ends.far_reads(60 * LONG).await.is_none());
        pair.links.heal(&pair.near, &pair.far);
        let began = ends.runtime.monotonic();
        for _ in 0..3 {
            moved(ends.far_reads(LONG).await);
        }
        assert!(ends.runtime.monotonic() - began < millis(1));
    });
}

#[test]
fn a_reset_is_an_error_at_both_ends() {
    let pair = Pair::new(5);
    pair.run(async |ends| {
        ends.near.try_write(&[1]).expect("room");
        pair.links.reset(&pair.far, &pair.near);
        for stream in [&ends.near, &ends.far] {
            let error = stream.read(&mut [0; 8]).await.expect_err("reset");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            let error = stream.write(&[1]).await.expect_err("reset");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        assert!(ends.connect(&pair).await.is_ok(), "others are not");
    });
}

#[test]
fn links_refuse_and_are_slow_each_way_by_itself() {
    let pair = Pair::new(6);
    pair.run(async |ends| {
        pair.links.refuse(&pair.near, &pair.far, true);
        let error = ends.connect(&pair).await.err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        pair.links.refuse(&pair.near, &pair.far, false);

        pair.links.delay(&pair.near, &pair.far, millis(30), millis(10));
        let took = async |from: &SimStream, to: &SimStream| {
            let began = ends.runtime.monotonic();
            from.write(&[1]).await.expect("room");
            to.read(&mut [0; 8]).await.expect("it arrives");
            ends.runtime.monotonic() - began
        };
        let slow = took(&ends.near, &ends.far).await;
        assert!((millis(30)..millis(43)).contains(&slow), "{slow:?}");
        let quick = took(&ends.far, &ends.near).await;
        assert!(quick < millis(3), "{quick:?}");
        let began = ends.runtime.monotonic();
        ends.connect(&pair).await.expect("it listens");
        assert!(ends.runtime.monotonic() - began >= millis(30));

        pair.links.limit(&pair.far, &pair.near, Some(10_000));
        let began = ends.runtime.monotonic();
        let (mut sent, mut read) = (0, 0);
        while read < 500 {
            if sent < 500 {
                sent += ends.far.try_write(&vec![7; 500 - sent]).expect("room");
            }
            read += ends.near.read(&mut [0; 500]).await.expect("it arrives");
        }
        let took = ends.runtime.monotonic() - began;
        assert!((millis(50)..millis(60)).contains(&took), "{took:?}");
        ends.far.shutdown();
        assert_eq!(moved(ends.near_reads(LONG).await), 0);
    });
}

#[test]
fn an_end_travels_as_long_as_bytes() {
    let pair = Pair::new(7);
    pair.run(async |ends| {
        pair.links.delay(&pair.near, &pair.far, millis(30), Duration::ZERO);
        let began = ends.runtime.monotonic();
        ends.near.shutdown();
        ends.far.try_write(&[1]).expect("it has not heard");
        assert_eq!(moved(ends.far_reads(LONG).await), 0);
        let took = ends.runtime.monotonic() - began;
        assert!((millis(30)..millis(31)).contains(&took), "{took:?}");
        let error = ends.far.try_write(&[1]).expect_err("it has heard");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_killed_node_behind_a_cut_is_heard_of_when_the_cut_heals() {
    let pair = Pair::new(8);
    pair.run(async |ends| {
        pair.links.cut_both(&pair.near, &pair.far);
        drop(ends.far);
        pair.far.kill();
        let late = async {
            ends.runtime.sleep(LONG).await;
            None
        };
        let reading = async { Some(ends.near.read(&mut [0; 8]).await) };
        assert!(or(reading, late).await.is_none());
        pair.links.heal_all();
        assert_eq!(ends.near.read(&mut [0; 8]).await.expect("the end"), 0);
    });
}

#[test]
fn a_connection_is_named_until_an_end_of_it_has_gone() {
    let named = |pair: &Pair| pair.links.connections(&pair.near, &pair.far);
    let pair = Pair::new(1);
    pair.run(async |ends| {
        assert_eq!(named(&pair), [ends.near.local()]);
        assert!(pair.links.connections(&pair.far, &pair.near).is_empty(), "none the other way");
        pair.links.cut_both(&pair.near, &pair.far);
        assert_eq!(named(&pair).len(), 1, "a cut ends nothing");
        drop(ends.far);
        assert!(named(&pair).is_empty());
    });
    let pair = Pair::new(2);
    pair.run(async |ends| {
        assert_eq!(named(&pair), [ends.near.local()]);
        pair.links.reset(&pair.near, &pair.far);
        assert!(named(&pair).is_empty());
    });
}
