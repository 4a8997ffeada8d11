//! Both sides of TLS on a simulated network.

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use futures_lite::future::zip;
use ringmq_base::config::{BrokerConfig, TlsClientKeys};
use ringmq_io::{
    Clock, Listener, Net, Runtime, Stream,
    sim::{Sim, SimRuntime, SimStream},
};

use crate::{Acceptor, Came, Connector, Handshakes, TlsStream};

pub const HOST: &str = "localhost";

fn acceptor(keys: &[(&str, &str)]) -> Acceptor {
    let set: Vec<_> = keys.iter().map(|(key, to)| ((*key).into(), (*to).into())).collect();
    let config = BrokerConfig::load(None, &set).expect("sound keys").config;
    Acceptor::open(config.tls()).expect("a certificate is made")
}

pub fn connector() -> Connector {
    let keys = TlsClientKeys { enable: true, ..BrokerConfig::default().tls_client() };
    Connector::open(&keys).expect("nothing is read").expect("it is on")
}

/// A connection: what was accepted, and what the client has.
async fn pair(runtime: &SimRuntime, acceptor: &Acceptor) -> (TlsStream<SimStream>, SimStream) {
    let address = SocketAddr::from(([127, 0, 0, 1], 9876));
    let listener = runtime.net().listen(address).expect("the port is free");
    let (accepted, client) = zip(listener.accept(), runtime.net().connect(address)).await;
    let server = runtime.net().adopt(accepted.expect("it listens")).expect("it is there");
    let server = TlsStream::accepted(server, &Handshakes::new(acceptor));
    (server, client.expect("it listens"))
}

pub fn byte(place: usize, of: u8) -> u8 {
    (place / 251) as u8 ^ (place as u8) ^ of
}

pub async fn write_all<S: Stream>(stream: &TlsStream<S>, count: usize, of: u8) {
    let bytes: Vec<u8> = (0..count).map(|place| byte(place, of)).collect();
    let mut written = 0;
    while written < count {
        // As a broker does: what the socket takes at once, and the rest from where that ended.
        match stream.try_write(&bytes[written..]) {
            Ok(count) => written += count,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        if written < count {
            written += stream.write(&bytes[written..]).await.expect("connected");
        }
    }
    assert_eq!(stream.output_bytes(), 0);
}

async fn read_all(
    runtime: &SimRuntime,
    stream: &TlsStream<SimStream>,
    (count, of, room): (usize, u8, usize),
) {
    let mut buffer = vec![0; room];
    let mut read = 0;
    while read < count {
        match stream.read_data(runtime, &mut buffer).await.expect("connected") {
            0 => panic!("it ended after {read} of {count}"),
            some => {
                let right = (read..read + some).map(|place| byte(place, of));
                assert!(right.eq(buffer[..some].iter().copied()), "from {read} on");
                read += some;
            }
        }
        let (bytes, _) = stream.input();
        assert!(bytes <= 96 * 1024, "{bytes}");
    }
    assert_eq!(read, count);
    // A client has the certificate of its server.
    let (bytes, partial) = stream.input();
    assert!(bytes < 1000 && !partial, "{bytes}");
}

#[test]
fn bytes_come_through_in_order_both_ways_whatever_the_socket_takes() {
    let acceptor = acceptor(&[]);
    for seed in 0..24 {
        let sim = Sim::new(seed);
        sim.set_socket_bytes([100, 3_000, 64 * 1024][seed as usize % 3]);
        let connector = (seed % 4 > 0).then(connector);
        sim.run(async |runtime| {
            let (server, client) = pair(&runtime, &acceptor).await;
            let client = async {
                let tls = connector.as_ref();
                let connected = TlsStream::connected(client, tls, HOST, &runtime).await;
                let client = connected.expect("it is taken");
                let read = read_all(&runtime, &client, (300_000, 1, 5_000));
                zip(write_all(&client, 200_000, 2), read).await;
                client
            };
            let serve = async {
                // The handshake, and the first byte.
                let mut first = [0];
                assert_eq!(server.read_data(&runtime, &mut first).await.expect("connected"), 1);
                assert_eq!(first[0], byte(0, 2));
                let mut read = 1;
                let reading = async {
                    let mut buffer = vec![0; 40_000];
                    while read < 200_000 {
                        let some = server.read_data(&runtime, &mut buffer).await.expect("more");
                        let right = (read..read + some).map(|place| byte(place, 2));
                        assert!(some > 0 && right.eq(buffer[..some].iter().copied()));
                        read += some;
                    }
                };
                zip(reading, write_all(&server, 300_000, 1)).await;
            };
            let (client, ()) = zip(client, serve).await;
            client.shutdown();
            let ended = server.read_data(&runtime, &mut [0; 10]).await;
            assert_eq!(ended.expect("a clean end"), 0);
        });
    }
}

/// Reads until it ends; the most memory that was held meanwhile.
async fn until_ended(runtime: &SimRuntime, server: &TlsStream<SimStream>) -> (io::Error, usize) {
    let (mut buffer, mut most) = ([0; 4096], 0);
    loop {
        match server.read(runtime, &mut buffer).await {
            Ok(Came::Nothing) => assert!(server.input().1, "it has begun"),
            Ok(Came::Bytes(count) | Came::Opened(count)) => panic!("{count} bytes of data"),
            Err(error) => return (error, most),
        }
        most = most.max(server.input().0);
    }
}

#[test]
fn a_handshake_that_is_begun_is_bounded_in_time_and_memory() {
    let acceptor = acceptor(&[]);
    // A record that says that a handshake message of 64 KiB comes, and records that bring it.
    let long = |first: bool| {
        let mut record = vec![0x16, 3, 1, 0x40, 0];
        record.extend(if first { [1, 0, 0xFF, 0xFF] } else { [0; 4] });
        record.resize(5 + 0x4000, 0);
        record
    };
    let endless: Vec<u8> = (0..40).flat_map(|number| long(number == 0)).collect();
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("one byte", vec![0x16], "longer than 10s"),
        ("a byte now and then", long(true)[..200].to_vec(), "longer than 10s"),
        ("half a record", long(true)[..9_000].to_vec(), "longer than 10s"),
        ("noise", [vec![0x16, 3, 1], vec![0xA5; 70_000]].concat(), ""),
        ("a message without end", endless, ""),
    ];
    for (what, bytes, why) in cases {
        let sim = Sim::new(7);
        sim.run(async |runtime| {
            let (server, client) = pair(&runtime, &acceptor).await;
            let began = runtime.monotonic();
            let send = async {
                let mut rest = &bytes[..];
                let most = if what == "a byte now and then" { 1 } else { usize::MAX };
                while let Ok(count @ 1..) = client.write(&rest[..rest.len().min(most)]).await {
                    rest = &rest[count..];
                    if rest.is_empty() {
                        break;
                    }
                    if most == 1 {
                        runtime.sleep(Duration::from_millis(100)).await;
                    }
                }
                // It says nothing more, and stays.
                while let Ok(1..) = client.read(&mut [0; 100]).await {}
            };
            let read = async {
                let ended = until_ended(&runtime, &server).await;
                server.shutdown();
                ended
            };
            let ((error, most), ()) = zip(read, send).await;
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{what}: {error}");
            assert!(error.to_string().contains(why), "{what}: {error}");
            assert!(most <= 1024 * 1024, "{what}: {most} bytes");
            assert!(most >= bytes.len().min(16 * 1024), "{what}: what is held counts: {most}");
            let took = (runtime.monotonic() - began).as_secs();
            assert!(took <= 11, "{what}: {took} s");
        });
    }
}

/// A client that takes its answers a little at a time is seen to take them, as without TLS.
#[test]
fn what_a_slow_reader_takes_is_heard_of_before_a_whole_part_is_taken() {
    let acceptor = acceptor(&[]);
    for connector in [None, Some(connector())] {
        let sim = Sim::new(5);
        sim.set_socket_bytes(2_000);
        sim.run(async |runtime| {
            let (server, client) = pair(&runtime, &acceptor).await;
            let client = Rc::new(client);
            let shared = client.clone();
            let connected = TlsStream::connected(shared, connector.as_ref(), HOST, &runtime);
            let mut buffer = [0; 1_000];
            let begin = async {
                let client = connected.await.expect("it is taken");
                write_all(&client, 1, 0).await;
                client
            };
            let (_client, read) = zip(begin, server.read_data(&runtime, &mut buffer)).await;
            assert_eq!(read.expect("connected"), 1);
            let mut told = Vec::new();
            let write = async {
                let bytes = vec![7; 40_000];
                let mut written = 0;
                while written < bytes.len() {
                    let count = server.write(&bytes[written..]).await.expect("connected");
                    assert!(count > 0);
                    written += count;
                    told.push(written);
                }
            };
            let take = async {
                let (mut taken, mut buffer) = (0, [0; 500]);
                while taken < 40_000 {
                    taken += client.read(&mut buffer).await.expect("connected");
                }
            };
            zip(write, take).await;
            let gaps = told.iter().zip(&told[1..]).map(|(before, after)| after - before);
            assert!(gaps.max().is_some_and(|gap| gap <= 8_000), "{told:?}");
            assert_eq!(told.last(), Some(&40_000));
        });
    }
}

/// What stays in memory of a record that is not complete is counted.
#[test]
fn a_record_that_is_begun_counts() {
    let acceptor = acceptor(&[]);
    Sim::new(1).run(async |runtime| {
        let (server, client) = pair(&runtime, &acceptor).await;
        let connector = connector();
        let client = Rc::new(client);
        let connected = TlsStream::connected(client.clone(), Some(&connector), HOST, &runtime);
        let mut buffer = [0; 20_000];
        let serve = async {
            while server.read(&runtime, &mut buffer).await.expect("more") == Came::Nothing
                && server.input() != (0, false)
            {}
        };
        let (connected, ()) = zip(connected, serve).await;
        let connected = connected.expect("it is taken");
        assert_eq!(server.input(), (0, false));
        // The header of a record of data of 16 KiB, and some of it.
        let begun = [vec![0x17, 3, 3, 0x40, 0], vec![9; 10_000]].concat();
        let mut written = 0;
        while written < begun.len() {
            written += client.write(&begun[written..]).await.expect("connected");
        }
        while server.input().0 < begun.len() {
            assert_eq!(server.read(&runtime, &mut buffer).await.expect("more"), Came::Nothing);
        }
        assert!(server.input().1, "a record has begun");
        drop(connected);
    });
}
