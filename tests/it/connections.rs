//! Connections that come in numbers or are gone at once, to both servers, beside a client that
//! behaves.

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringmq_remoting::codes::{request, response};
use socket2::{Domain, SockRef, Socket, Type};

use crate::client::Client;
use crate::name_server::NameServer;
use crate::process::{self, Process};
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    resets_before_they_are_accepted_hold_nobody_up,
    an_address_has_so_many_connections_and_others_are_served,
    connections_that_go_leave_their_places,
);

const RESETS: usize = 500;
/// A pause for each reset would make it 50 s.
const ANSWER_MAX: Duration = Duration::from_secs(5);
const PER_ADDRESS: usize = 6;

/// A connection whose closing sends a reset.
fn connect_to_reset(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the backlog has room");
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an open socket");
    stream
}

/// Resets connections while the process stands still, so that it has accepted none of them, and
/// then asks; how long that took.
fn answer_after_resets(process: &Process, address: SocketAddr, ask: impl Fn(&mut Client)) {
    process.halt();
    for _ in 0..RESETS {
        drop(connect_to_reset(address));
    }
    // It is behind the others in the backlog.
    let mut honest = Client::connect(address).expect("the backlog has room");
    process.signal(Signal::SIGCONT);
    let began = Instant::now();
    ask(&mut honest);
    ask(&mut Client::connect(address).expect("it listens"));
    let took = began.elapsed();
    assert!(took < ANSWER_MAX, "{RESETS} resets hold accepting up for {took:?}");
}

fn ask_broker(client: &mut Client) {
    let fields = [("topic", "TBW102"), ("queueId", "0")];
    let answer = client.call(request::GET_MAX_OFFSET, &fields, b"");
    answer.expect("an answer").expect(response::SUCCESS);
}

fn ask_name_server(client: &mut Client) {
    let answer = client.call(request::GET_BROKER_CLUSTER_INFO, &[], b"");
    answer.expect("an answer").expect(response::SUCCESS);
}

fn resets_before_they_are_accepted_hold_nobody_up(shards: u32) {
    let directory = process::directory("resets");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    // Reading their ends may fail, which is no news.
    answer_after_resets(&server.process, server.address, ask_broker);
    let names = NameServer::start(directory.path(), &[]);
    answer_after_resets(&names.process, names.address, ask_name_server);
}

/// Connects from one of the many addresses of this machine.
fn connect_from(last: u8, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into())?;
    socket.connect(&address.into())?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

fn is_served(stream: TcpStream, ask: impl Fn(&mut Client)) -> Client {
    let mut client = Client::over(stream);
    ask(&mut client);
    client
}

fn is_closed(mut stream: TcpStream) -> bool {
    matches!(stream.read(&mut [0; 1]), Ok(0))
        || stream.take_error().is_ok_and(|error| error.is_some())
}

/// Takes all connections that an address may have, and one more; then asks from another.
fn too_many(process: &Process, address: SocketAddr, ask: impl Fn(&mut Client) + Copy) {
    process.expects("127.0.0.2 has 6, and connectionsPerAddressMax allows 6");
    let mut held: Vec<Client> = (0..PER_ADDRESS)
        .map(|_| is_served(connect_from(2, address).expect("it listens"), ask))
        .collect();
    for _ in 0..3 {
        assert!(is_closed(connect_from(2, address).expect("it listens")), "one too many");
    }
    is_served(connect_from(3, address).expect("it listens"), ask);
    held.iter_mut().for_each(ask);
    drop(held);
    // The server hears of the end of those before it hears of this one, or a little later.
    let began = Instant::now();
    loop {
        let stream = connect_from(2, address).expect("it listens");
        let mut client = Client::over(stream);
        let fields = [("topic", "TBW102"), ("queueId", "0")];
        if client.call(request::GET_MAX_OFFSET, &fields, b"").is_ok() {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "places are not free again");
    }
}

fn an_address_has_so_many_connections_and_others_are_served(shards: u32) {
    let directory = process::directory("addresses");
    let keys = [
        ("connectionsPerAddressMax", PER_ADDRESS.to_string()),
        ("connectionsPerAddressExemptLoopback", "false".to_owned()),
    ];
    let settings = Settings { shards, extra: keys.to_vec(), ..Settings::default() };
    let server = Server::start(directory.path(), &settings);
    too_many(&server.process, server.address, ask_broker);
    let names = NameServer::start(directory.path(), &keys);
    too_many(&names.process, names.address, ask_name_server);
}

/// More connections than there are places, one after the other, of which some shards have more
/// than others at times.
fn connections_that_go_leave_their_places(shards: u32) {
    const PLACES: usize = 8;
    let directory = process::directory("places");
    let extra = vec![("connectionsMax", PLACES.to_string())];
    let server =
        Server::start(directory.path(), &Settings { shards, extra, ..Settings::default() });
    server.process.expects("8 are open, and connectionsMax allows 8");
    let mut held = Vec::new();
    let began = Instant::now();
    for round in 0..5 * PLACES {
        let mut client = server.client();
        let fields = [("topic", "TBW102"), ("queueId", "0")];
        match client.call(request::GET_MAX_OFFSET, &fields, b"") {
            Ok(_) => held.push(client),
            // All others are held, or the end of one that was dropped has not been heard of.
            Err(_) => {
                assert!(began.elapsed() < Duration::from_secs(20), "places are lost");
                if held.len() == PLACES {
                    // Those of one shard go, as far as one can tell.
                    let step = usize::try_from(shards).expect("few");
                    let mut number = round;
                    held.retain(|_| {
                        number += 1;
                        !number.is_multiple_of(step)
                    });
                }
            }
        }
    }
    let mut most = held.len();
    while most < PLACES {
        let mut client = server.client();
        let fields = [("topic", "TBW102"), ("queueId", "0")];
        if client.call(request::GET_MAX_OFFSET, &fields, b"").is_ok() {
            held.push(client);
            most += 1;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "places are lost");
    }
    assert!(server.client().call(request::GET_MAX_OFFSET, &[], b"").is_err(), "all are taken");
}
