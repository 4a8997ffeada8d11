//! Connections that are handed to what stands for a kernel.

use std::{
    cell::Cell,
    io::{self, Read, Write},
    net::SocketAddr,
    rc::Rc,
};

use futures_lite::future::zip;
use ringmq_base::config::{BrokerConfig, TlsClientKeys};
use ringmq_io::{
    Listener, Net, Runtime, Stream,
    kernel_tls::Offer,
    sim::{Sim, SimRuntime, SimStream},
};
use rustls::ClientConnection;

use super::in_kernel::InKernel;
use crate::{
    Acceptor, Connector, Handshakes, TlsStream,
    tests::{HOST, byte, connector, write_all},
};

fn kernel_acceptor(offer: Offer) -> Acceptor {
    let config = BrokerConfig::load(None, &[]).expect("sound keys").config;
    Acceptor::open_with(config.tls(), Some(offer)).expect("a certificate is made")
}

fn kernel_connector() -> Connector {
    let keys = TlsClientKeys { enable: true, ..BrokerConfig::default().tls_client() };
    Connector::open_with(&keys, Some(Offer::ALL)).expect("nothing is read")
}

type Both = (TlsStream<Rc<InKernel<SimStream>>>, Rc<InKernel<SimStream>>, SimStream);

/// What was accepted, what is below it, and what the client has.
async fn pair_in_kernel(runtime: &SimRuntime, offer: Offer, can: bool) -> Both {
    let address = SocketAddr::from(([127, 0, 0, 1], 9876));
    let listener = runtime.net().listen(address).expect("the port is free");
    let (accepted, client) = zip(listener.accept(), runtime.net().connect(address)).await;
    let server = runtime.net().adopt(accepted.expect("it listens")).expect("it is there");
    let below = Rc::new(InKernel::new(server, can));
    let handshakes = Handshakes::new(&kernel_acceptor(offer));
    let server = TlsStream::accepted(below.clone(), &handshakes);
    (server, below, client.expect("it listens"))
}

async fn read_all_of<S: Stream>(
    runtime: &SimRuntime,
    stream: &TlsStream<S>,
    (count, of, room): (usize, u8, usize),
) {
    let (mut buffer, mut read) = (vec![0; room], 0);
    while read < count {
        let some = stream.read_data(runtime, &mut buffer).await.expect("connected");
        assert!(some > 0, "it ended after {read} of {count}");
        let right = (read..read + some).map(|place| byte(place, of));
        assert!(right.eq(buffer[..some].iter().copied()), "from {read} on");
        read += some;
    }
}

async fn write_bytes<S: Stream>(stream: &TlsStream<S>, bytes: &[u8]) {
    let mut written = 0;
    while written < bytes.len() {
        written += stream.write(&bytes[written..]).await.expect("connected");
    }
}

#[test]
fn bytes_come_through_a_kernel_in_order_both_ways_whatever_the_socket_takes() {
    let clients = Cell::new(0);
    for seed in 0..24 {
        let sim = Sim::new(seed);
        sim.set_socket_bytes([100, 3_000, 64 * 1024][seed as usize % 3]);
        sim.run(async |runtime| {
            let (server, below, client) = pair_in_kernel(&runtime, Offer::ALL, true).await;
            // The client's side in its kernel, too, for some.
            let at_client = Rc::new(InKernel::new(client, seed % 2 == 0));
            let client = async {
                let tls = kernel_connector();
                let connected =
                    TlsStream::connected(at_client.clone(), Some(&tls), HOST, &runtime).await;
                let client = connected.expect("it is taken");
                let read = read_all_of(&runtime, &client, (300_000, 1, 5_000));
                zip(write_all(&client, 200_000, 2), read).await;
                client
            };
            let serve = async {
                read_all_of(&runtime, &server, (1_000, 2, 1_000)).await;
                let read = async {
                    let mut rest = vec![0; 16 * 1024];
                    let mut read = 1_000;
                    while read < 200_000 {
                        let some = server.read_data(&runtime, &mut rest).await.expect("more");
                        assert!(some > 0 && server.input().0 < 1_000);
                        let right = (read..read + some).map(|place| byte(place, 2));
                        assert!(right.eq(rest[..some].iter().copied()), "from {read} on");
                        read += some;
                    }
                };
                zip(write_all(&server, 300_000, 1), read).await;
            };
            let (client, ()) = zip(client, serve).await;
            assert!(below.ready.get() && below.keys.get() == (1, 1), "seed {seed}");
            // Not while it always has something to send.
            assert!(seed % 2 == 0 || !at_client.ready.get(), "seed {seed}");
            clients.set(clients.get() + u32::from(at_client.ready.get()));
            assert_eq!((server.output_bytes(), server.sealed_bytes(1000)), (0, 0));
            // Its end is the other side's.
            client.shutdown();
            assert_eq!(server.read_data(&runtime, &mut [0; 10]).await.expect("the end"), 0);
        });
    }
    assert!(clients.get() > 0, "none of the clients");
}

#[test]
fn a_connection_that_the_kernel_does_not_take_stays_in_user_space() {
    Sim::new(1).run(async |runtime| {
        let (server, below, client) = pair_in_kernel(&runtime, Offer::ALL, false).await;
        let client = async {
            let tls = connector();
            let connected = TlsStream::connected(client, Some(&tls), HOST, &runtime).await;
            let client = connected.expect("it is taken");
            let read = read_all_of(&runtime, &client, (50_000, 1, 5_000));
            zip(write_all(&client, 50_000, 2), read).await;
        };
        let serve = async {
            let read = read_all_of(&runtime, &server, (50_000, 2, 5_000));
            read.await;
            write_all(&server, 50_000, 1).await;
        };
        zip(client, serve).await;
        assert!(!below.ready.get());
    });
}

/// A client of rustls, a step at a time.
struct Peer {
    tls: ClientConnection,
    stream: SimStream,
}

impl Peer {
    fn new(stream: SimStream) -> Peer {
        Peer { tls: connector().client(HOST).expect("a name"), stream }
    }

    async fn send(&mut self) {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).expect("memory takes all");
        }
        let mut sent = 0;
        while sent < bytes.len() {
            sent += self.stream.write(&bytes[sent..]).await.expect("connected");
        }
    }

    /// Takes what comes next; whether it was the end.
    async fn receive(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let count = self.stream.read(&mut bytes).await.expect("connected");
        let mut came = &bytes[..count];
        while !came.is_empty() {
            self.tls.read_tls(&mut came).expect("memory");
            self.tls.process_new_packets().expect("sound records");
        }
        count == 0
    }

    async fn shake_hands(&mut self) {
        while self.tls.is_handshaking() {
            self.send().await;
            if self.tls.is_handshaking() {
                assert!(!self.receive().await, "it ends");
            }
        }
    }

    async fn read(&mut self, count: usize) -> Vec<u8> {
        let mut all = vec![0; count];
        let mut read = 0;
        while read < count {
            match self.tls.reader().read(&mut all[read..]) {
                Ok(0) => panic!("it has ended"),
                Ok(some) => read += some,
                Err(_) => assert!(!self.receive().await, "it ends"),
            }
        }
        all
    }
}

/// What comes in one piece with the end of the handshake is read, and all that follows.
#[test]
fn nothing_is_lost_of_what_comes_with_the_handshake_and_keys_change_in_both_directions() {
    for seed in 0..12 {
        Sim::new(seed).run(async |runtime| {
            let (server, below, client) = pair_in_kernel(&runtime, Offer::ALL, true).await;
            let mut peer = Peer::new(client);
            let client = async {
                while peer.tls.is_handshaking() {
                    peer.send().await;
                    peer.receive().await;
                }
                // The last of the handshake has not been sent.
                peer.tls.writer().write_all(b"first").expect("there is room");
                peer.send().await;
                assert_eq!(peer.read(5).await, b"FIRST");
                for round in 0..5 {
                    // The server is to change its keys as well.
                    peer.tls.refresh_traffic_keys().expect("TLS 1.3");
                    peer.tls.writer().write_all(&[round; 5]).expect("there is room");
                    peer.send().await;
                    assert_eq!(peer.read(5).await, [round; 5]);
                }
                peer.tls.send_close_notify();
                peer.send().await;
                while !peer.receive().await {}
                // The server has said that it ends.
                assert_eq!(peer.tls.reader().read(&mut [0; 5]).expect("not cut"), 0);
            };
            let serve = async {
                // Smaller than a KeyUpdate.
                let mut buffer = [0; 3];
                let mut all = Vec::new();
                loop {
                    match server.read_data(&runtime, &mut buffer).await.expect("connected") {
                        0 => break,
                        count => all.extend_from_slice(&buffer[..count]),
                    }
                    if all.len() == 5 {
                        all.make_ascii_uppercase();
                        write_bytes(&server, &all).await;
                        all.clear();
                    }
                }
                assert_eq!(server.read_data(&runtime, &mut buffer).await.expect("the end"), 0);
                server.shutdown();
            };
            zip(client, serve).await;
            assert_eq!(below.keys.get(), (6, 6), "seed {seed}");
        });
    }
}

/// What rustls keeps of its own change of keys until something is written goes before the kernel
/// has the connection, and later changes follow from those keys.
#[test]
fn keys_that_change_with_the_end_of_the_handshake_are_those_that_the_kernel_gets() {
    for seed in 0..12 {
        Sim::new(seed).run(async |runtime| {
            let (server, below, client) = pair_in_kernel(&runtime, Offer::ALL, true).await;
            let mut peer = Peer::new(client);
            let client = async {
                while peer.tls.is_handshaking() {
                    peer.send().await;
                    peer.receive().await;
                }
                for round in 0..3 {
                    peer.tls.refresh_traffic_keys().expect("TLS 1.3");
                    peer.tls.writer().write_all(&[round; 5]).expect("there is room");
                    // The first time with the last of the handshake.
                    peer.send().await;
                    assert_eq!(peer.read(5).await, [round; 5]);
                }
            };
            let serve = async {
                for round in 0..3 {
                    let (mut buffer, mut read) = ([0; 5], 0);
                    while read < 5 {
                        let room = &mut buffer[read..];
                        read += server.read_data(&runtime, room).await.expect("connected");
                    }
                    // Once more: the kernel has the connection before anything is written.
                    let mut more = [0; 5];
                    let read = server.read_data(&runtime, &mut more);
                    assert!(futures_lite::future::poll_once(read).await.is_none());
                    assert_eq!(buffer, [round; 5]);
                    write_bytes(&server, &buffer).await;
                }
            };
            zip(client, serve).await;
            assert!(below.ready.get(), "seed {seed}");
        });
    }
}

#[test]
fn a_kernel_that_takes_keys_once_costs_the_connection_when_its_peer_changes_them() {
    Sim::new(1).run(async |runtime| {
        let (server, below, client) =
            pair_in_kernel(&runtime, Offer::ALL.taking_keys_once(), true).await;
        let mut peer = Peer::new(client);
        let client = async {
            peer.shake_hands().await;
            peer.tls.writer().write_all(b"first").expect("there is room");
            peer.tls.refresh_traffic_keys().expect("TLS 1.3");
            peer.send().await;
        };
        let serve = async {
            let mut buffer = [0; 5];
            let mut read = 0;
            while read < 5 {
                read += server.read_data(&runtime, &mut buffer[read..]).await.expect("data");
            }
            server.read_data(&runtime, &mut buffer).await.expect_err("a change of keys")
        };
        let ((), error) = zip(client, serve).await;
        assert_eq!(below.keys.get(), (1, 1));
        let said = error.to_string();
        let expected = "its peer changes keys (KeyUpdate), and the kernel takes no others before \
                        Linux 6.14";
        assert!(said.starts_with(expected) && said.contains("tls.kernel = off"), "{said}");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "it is reported");
    });
}

#[test]
fn records_without_data_and_records_that_were_changed_end_the_connection() {
    Sim::new(1).run(async |runtime| {
        let (server, _below, client) = pair_in_kernel(&runtime, Offer::ALL, true).await;
        let mut peer = Peer::new(client);
        let client = async {
            peer.shake_hands().await;
            peer.tls.writer().write_all(b"first").expect("there is room");
            peer.send().await;
            assert_eq!(peer.read(5).await, b"first");
            for _ in 0..1000 {
                peer.tls.refresh_traffic_keys().expect("TLS 1.3");
            }
            peer.send().await;
        };
        let serve = async {
            let mut buffer = [0; 5];
            let mut read = 0;
            while read < 5 {
                read += server.read_data(&runtime, &mut buffer[read..]).await.expect("data");
            }
            write_bytes(&server, &buffer).await;
            server.read_data(&runtime, &mut buffer).await
        };
        let ((), error) = zip(client, serve).await;
        let error = error.expect_err("too many").to_string();
        assert_eq!(error, "more than 16384 bytes of TLS bring no data");
    });
    Sim::new(2).run(async |runtime| {
        let (server, _below, client) = pair_in_kernel(&runtime, Offer::ALL, true).await;
        let mut peer = Peer::new(client);
        let client = async {
            peer.shake_hands().await;
            let mut record = [7; 100];
            record[..5].copy_from_slice(&[23, 3, 3, 0, 95]);
            let mut sent = 0;
            while sent < 100 {
                sent += peer.stream.write(&record[sent..]).await.expect("connected");
            }
            let mut alert = [0; 100];
            let heard = loop {
                let count = peer.stream.read(&mut alert).await.expect("connected");
                assert!(count > 0, "it ends");
                peer.tls.read_tls(&mut &alert[..count]).expect("memory");
                if let Err(heard) = peer.tls.process_new_packets() {
                    break heard.to_string();
                }
            };
            assert!(heard.contains("BadRecordMac"), "{heard}");
        };
        let serve = async {
            let read = server.read_data(&runtime, &mut [0; 100]).await;
            server.shutdown();
            read.expect_err("changed")
        };
        let ((), error) = zip(client, serve).await;
        assert_eq!(error.to_string(), "cannot decrypt peer's message");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    });
}
