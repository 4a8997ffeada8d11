use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    os::fd::AsRawFd,
    rc::Rc,
    sync::mpsc,
    thread,
    time::Duration,
};

use ringmq_io::{
    Accepted, Clock, Listener, Net, Runtime, Shares, SocketBuffers, Spawn, Stream,
    mailbox::{Receiver, mailbox},
    ring::{RingRuntime, RingStream},
    signal::oneshot,
};
use socket2::SockRef;
use std::sync::{Arc, Mutex};

use crate::support::{on_executor, on_executors};

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn write_all(stream: &RingStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let written = stream.write(bytes).await.expect("the peer reads");
        bytes = &bytes[written..];
    }
}

/// The two ends of a connection, as the client and the server have them.
pub async fn pair(runtime: &RingRuntime) -> (RingStream, RingStream) {
    let listener = runtime.net().listen(anywhere()).expect("listen");
    let (sender, receiver) = oneshot();
    let address = listener.local();
    let net = runtime.net().clone();
    runtime.spawn(Shares::Foreground, "accept", async move {
        sender.send(net.adopt(listener.accept().await.expect("accept")).expect("adopt"));
    });
    let client = runtime.net().connect(address).await.expect("connect");
    (client, receiver.await.expect("it was accepted"))
}

/// More than the socket buffers hold goes both ways at once, so neither direction may wait for the
/// other.
#[test]
fn one_task_reads_while_another_writes() {
    const BYTES: usize = 16 << 20;
    on_executor(|runtime| async move {
        let (client, server) = pair(&runtime).await;
        assert_eq!(client.local(), server.peer());
        assert_eq!(client.peer(), server.local());
        runtime.spawn(Shares::Foreground, "echo", async move {
            let mut buffer = vec![0; 65_536];
            loop {
                let count = server.read(&mut buffer).await.expect("read");
                if count == 0 {
                    return;
                }
                write_all(&server, &buffer[..count]).await;
            }
        });
        let client = Rc::new(client);
        let writer = client.clone();
        runtime.spawn(Shares::Foreground, "writer", async move {
            let mut chunk = vec![0_u8; 100_000];
            let mut sent = 0;
            while sent < BYTES {
                let count = chunk.len().min(BYTES - sent);
                for (index, byte) in chunk[..count].iter_mut().enumerate() {
                    *byte = ((sent + index) % 251) as u8;
                }
                write_all(&writer, &chunk[..count]).await;
                sent += count;
            }
        });
        let mut buffer = vec![0; 65_536];
        let mut got = 0;
        while got < BYTES {
            let count = client.read(&mut buffer).await.expect("read");
            assert!(count > 0, "the echo ended after {got} bytes");
            for (index, byte) in buffer[..count].iter().enumerate() {
                assert_eq!(usize::from(*byte), (got + index) % 251);
            }
            got += count;
        }
    });
}

#[test]
fn a_write_that_does_not_wait_says_when_there_is_no_room() {
    on_executor(|runtime| async move {
        let (client, server) = pair(&runtime).await;
        let chunk = vec![1; 1 << 20];
        let mut sent = 0;
        let error = loop {
            match client.try_write(&chunk) {
                Ok(count) => sent += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let (sender, receiver) = oneshot();
        runtime.spawn(Shares::Foreground, "reader", async move {
            let mut buffer = vec![0; 1 << 20];
            let mut got = 0;
            while got < sent + 1 {
                got += server.read(&mut buffer).await.expect("read");
            }
            sender.send(got);
        });
        assert_eq!(client.write(&[1]).await.expect("there is room in the end"), 1);
        assert_eq!(receiver.await, Some(sent + 1));
    });
}

#[test]
fn shutdown_ends_a_waiting_read_on_both_sides() {
    on_executor(|runtime| async move {
        let (client, server) = pair(&runtime).await;
        let client = Rc::new(client);
        let reader = client.clone();
        let (sender, receiver) = oneshot();
        runtime.spawn(Shares::Foreground, "reader", async move {
            sender.send(reader.read(&mut [0; 8]).await);
        });
        runtime.sleep(Duration::from_millis(5)).await;
        client.shutdown();
        assert_eq!(receiver.await.expect("it ended").expect("with the end of the stream"), 0);
        assert_eq!(server.read(&mut [0; 8]).await.expect("the peer sees the end"), 0);
    });
}

#[test]
fn dropping_a_stream_ends_the_connection_while_a_plain_client_waits() {
    let (tell, address) = mpsc::channel();
    let client = thread::spawn(move || {
        let address: SocketAddr = address.recv().expect("the server tells");
        let mut client = std::net::TcpStream::connect(address).expect("connect");
        client.write_all(b"x").expect("write");
        client.read(&mut [0; 8]).expect("the end")
    });
    let tell = Arc::new(Mutex::new(Some(tell)));
    on_executor(move |runtime| {
        let tell = tell.lock().expect("no panic").take().expect("one body");
        async move {
            let listener = runtime.net().listen(anywhere()).expect("listen");
            tell.send(listener.local()).expect("the client waits");
            let accepted = listener.accept().await.expect("accept");
            let flags = nix::fcntl::fcntl(&accepted.descriptor, nix::fcntl::FcntlArg::F_GETFD);
            assert_eq!(flags.expect("flags"), nix::libc::FD_CLOEXEC);
            let stream = runtime.net().adopt(accepted).expect("adopt");
            assert_eq!(stream.read(&mut [0; 8]).await.expect("read"), 1);
            drop(stream);
        }
    });
    assert_eq!(client.join().expect("the client does not panic"), 0);
}

/// They have no address any more; whoever waits after an error would let the others wait.
#[test]
fn connections_that_were_reset_before_they_are_accepted_are_no_errors() {
    const RESETS: usize = 300;
    on_executor(|runtime| async move {
        let listener = runtime.net().listen(anywhere()).expect("listen");
        for _ in 0..RESETS {
            let client = std::net::TcpStream::connect(listener.local()).expect("connect");
            let lingers_not = Some(Duration::ZERO);
            socket2::SockRef::from(&client).set_linger(lingers_not).expect("a socket");
        }
        let client = std::net::TcpStream::connect(listener.local()).expect("connect");
        let address = client.local_addr().expect("a socket");
        for _ in 0..=RESETS {
            let accepted = listener.accept().await.expect("no error of one connection's");
            if accepted.peer == address {
                return;
            }
        }
        panic!("the last connection was not accepted");
    });
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    on_executor(|runtime| async move {
        let listener = runtime.net().listen(anywhere()).expect("listen");
        let error = runtime.net().listen(listener.local()).expect_err("it is taken");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let free = listener.local();
        drop(listener);
        runtime.net().listen(free).expect("it can be had again at once");
    });
}

/// As a server does that is stopped and started again by whoever waited for its end.
#[test]
fn a_port_is_free_when_its_executor_has_ended() {
    for round in 0..20 {
        let (tell, told) = mpsc::channel();
        on_executor(move |runtime| {
            let tell = tell.clone();
            async move {
                let listener = runtime.net().listen(anywhere()).expect("listen");
                let address = listener.local();
                tell.send(address).expect("the test waits");
                let (sender, accepted) = oneshot();
                runtime.spawn(Shares::Foreground, "accept", async move {
                    sender.send(listener.accept().await.expect("accept"));
                    // Still waiting when the executor ends.
                    let _ = listener.accept().await;
                });
                let client = runtime.net().connect(address).await.expect("connect");
                accepted.await.expect("it was accepted");
                drop(client);
            }
        });
        let address = told.recv().expect("it listened");
        let again = std::net::TcpListener::bind(address);
        assert!(again.is_ok(), "round {round}, {address}: {again:?}");
    }
}

/// Somebody connects at the very end. Failed before: the task was told that nobody listens.
#[test]
fn a_task_that_still_accepts_when_its_executor_ends_hears_nothing_of_it() {
    let told = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..50 {
        let told = told.clone();
        on_executor(move |runtime| {
            let told = told.clone();
            async move {
                let listener = runtime.net().listen(anywhere()).expect("listen");
                let address = listener.local();
                runtime.spawn(Shares::Foreground, "accept", async move {
                    loop {
                        if let Err(error) = listener.accept().await {
                            told.lock().expect("no panic").push(error);
                            return;
                        }
                    }
                });
                for _ in 0..3 {
                    runtime.net().connect(address).await.expect("connect");
                }
            }
        });
    }
    let told = told.lock().expect("no panic");
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn a_refused_connection_is_an_error() {
    on_executor(|runtime| async move {
        let listener = runtime.net().listen(anywhere()).expect("listen");
        let address = listener.local();
        drop(listener);
        runtime.sleep(Duration::from_millis(5)).await;
        let error = runtime.net().connect(address).await.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

/// Shard 0 accepts, shard 1 serves: the connection crosses in a mailbox.
#[test]
fn an_accepted_connection_crosses_threads() {
    const CLIENTS: usize = 20;
    let (sender, receiver) = mailbox::<Accepted>(CLIENTS);
    let receiver: Arc<Mutex<Option<Receiver<Accepted>>>> = Arc::new(Mutex::new(Some(receiver)));
    on_executors(2, move |shard, runtime| {
        let sender = sender.clone();
        let receiver = receiver.clone();
        async move {
            if shard.index() == 1 {
                let mut inbox = receiver.lock().expect("no panic").take().expect("one takes it");
                for _ in 0..CLIENTS {
                    let accepted = inbox.recv().await;
                    assert!(accepted.descriptor.as_raw_fd() > 2);
                    let stream = runtime.net().adopt(accepted).expect("adopt");
                    let mut byte = [0];
                    assert_eq!(stream.read(&mut byte).await.expect("read"), 1);
                    write_all(&stream, &[byte[0] + 1]).await;
                }
                return;
            }
            let listener = runtime.net().listen(anywhere()).expect("listen");
            let address = listener.local();
            runtime.spawn(Shares::Foreground, "accept", async move {
                loop {
                    sender.try_send(listener.accept().await.expect("accept")).expect("room");
                }
            });
            for number in 0..CLIENTS {
                let client = runtime.net().connect(address).await.expect("connect");
                write_all(&client, &[number as u8]).await;
                let mut byte = [0];
                assert_eq!(client.read(&mut byte).await.expect("read"), 1);
                assert_eq!(usize::from(byte[0]), number + 1);
            }
        }
    });
}

/// Buffers of their size leave a stuck client less of the kernel's memory than it would take.
#[test]
fn accepted_connections_have_the_buffers_of_their_listener() {
    on_executor(|runtime| async move {
        let buffers = SocketBuffers { receive: 50_000, send: 30_000 };
        let listener = runtime.net().listen_with(anywhere(), buffers).expect("listen");
        let _client = runtime.net().connect(listener.local()).await.expect("connect");
        let accepted = listener.accept().await.expect("accept");
        let socket = SockRef::from(&accepted.descriptor);
        // The kernel counts twice as much, for what it needs beside.
        assert_eq!(socket.recv_buffer_size().expect("a socket"), 2 * 50_000);
        assert_eq!(socket.send_buffer_size().expect("a socket"), 2 * 30_000);
    });
}

/// All addresses are those of both families, and a peer of IPv4 is told as such.
#[test]
fn a_listener_on_all_addresses_is_reached_by_ipv4_and_by_ipv6() {
    let has_ipv6 = std::net::TcpListener::bind(("::1", 0)).is_ok();
    on_executor(move |runtime| async move {
        for all in ["0.0.0.0:0", "[::]:0"] {
            let listener = runtime.net().listen(all.parse().expect("an address")).expect("listen");
            let port = listener.local().port();
            let mut loopbacks = vec!["127.0.0.1"];
            loopbacks.extend(has_ipv6.then_some("::1"));
            for ip in loopbacks {
                let address = SocketAddr::new(ip.parse().expect("an address"), port);
                let client = runtime.net().connect(address).await.expect("connect");
                let accepted = listener.accept().await.expect("accept");
                assert_eq!(accepted.peer, client.local(), "{all} {ip}");
                let server = runtime.net().adopt(accepted).expect("adopt");
                assert_eq!(server.local(), address, "{all} {ip}");
                assert_eq!(server.peer().is_ipv6(), ip == "::1");
            }
        }
    });
}

#[test]
fn names_are_looked_up_and_unknown_ones_are_errors() {
    on_executor(|runtime| async move {
        let net = runtime.net();
        let found = net.look_up("127.0.0.1:9876").await.expect("an address");
        assert_eq!(found, ["127.0.0.1:9876".parse().expect("an address")]);
        let found = net.look_up("[::1]:9876").await.expect("an address");
        assert_eq!(found, ["[::1]:9876".parse().expect("an address")]);
        let found = net.look_up("localhost:9876").await.expect("every machine has it");
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 9876));
        assert!(net.look_up("no-such-host.invalid:9876").await.is_err());
        assert!(net.look_up("no port").await.is_err());
    });
}
