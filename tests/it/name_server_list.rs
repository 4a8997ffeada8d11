//! Name servers that come and go while a broker runs: by its file, and by an address server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringmq_remoting::codes::{request, response};

use crate::client::Client;
use crate::name_server::NameServer;
use crate::process;
use crate::server::{Server, Settings, await_route, configure};

const PATIENCE: Duration = Duration::from_secs(60);

fn name_servers<const COUNT: usize>(directory: &Path) -> [NameServer; COUNT] {
    std::array::from_fn(|number| {
        let own = directory.join(number.to_string());
        std::fs::create_dir(&own).expect("the directory is ours");
        let server = NameServer::start(&own, &[("bindAddress", format!("127.0.0.{}", number + 1))]);
        // The broker is killed at the end.
        server.process.allows("is dropped: its connection has ended");
        server
    })
}

fn list(servers: &[&NameServer]) -> String {
    servers.iter().map(|server| server.address.to_string()).collect::<Vec<_>>().join(";")
}

fn await_no_route(names: SocketAddr) {
    let began = Instant::now();
    let fields = [("topic", "TBW102")];
    let ask = || {
        let mut client = Client::connect(names).expect("it listens");
        client.call(request::GET_ROUTEINFO_BY_TOPIC, &fields, b"").expect("an answer").code
    };
    while ask() != response::TOPIC_NOT_EXIST {
        assert!(began.elapsed() < PATIENCE, "{names} still knows the broker");
        std::thread::sleep(Duration::from_millis(5));
    }
}

// Single: registration is the control shard's.
#[test]
fn what_the_file_says_of_name_servers_takes_effect_at_sighup() {
    let directory = process::directory("namesrv-sighup");
    let [first, second, third] = name_servers(directory.path());
    let with = |servers: &[&NameServer]| {
        let extra = vec![("namesrvAddr", list(servers))];
        Settings { extra, ..Settings::default() }
    };
    let mut server = Server::start(directory.path(), &with(&[&first, &second]));
    await_route(first.address, PATIENCE);
    await_route(second.address, PATIENCE);
    let after = [&second, &third];
    configure(directory.path(), server.address.port(), &with(&after));
    server.process.signal(Signal::SIGHUP);
    server.process.await_line("SIGHUP: changed: namesrvAddr = ");
    await_route(third.address, PATIENCE);
    await_no_route(first.address);
    let answer = server.client().call(request::GET_BROKER_CONFIG, &[], b"").expect("an answer");
    let text = String::from_utf8(answer.body).expect("text");
    let shown = text.lines().find(|line| line.starts_with("namesrvAddr="));
    assert_eq!(shown.expect("a key").replace('\\', ""), format!("namesrvAddr={}", list(&after)));
    await_route(second.address, PATIENCE);
    let told = server.process.output();
    assert_eq!(
        told.matches(&format!("registered namesrv={}", second.address)).count(),
        1,
        "{told}"
    );
}

/// An HTTP server; what it answers with, and what it was asked.
struct AddressServer {
    port: u16,
    body: Arc<Mutex<String>>,
    asked: Arc<Mutex<String>>,
}

impl AddressServer {
    fn start(body: &str) -> AddressServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let body = Arc::new(Mutex::new(body.to_owned()));
        let asked = Arc::new(Mutex::new(String::new()));
        let (told, noted) = (body.clone(), asked.clone());
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.expect("a connection");
                let mut question = [0; 4096];
                let count = stream.read(&mut question).expect("a question");
                let question = String::from_utf8_lossy(&question[..count]).into_owned();
                *noted.lock().expect("no panic") = question;
                let body = told.lock().expect("no panic").clone();
                let length = body.len();
                let answer = if number % 2 == 0 {
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")
                } else {
                    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                    format!("{head}{length:x}\r\n{body}\r\n0\r\n\r\n")
                };
                stream.write_all(answer.as_bytes()).expect("the broker reads");
            }
        });
        AddressServer { port, body, asked }
    }

    fn tell(&self, body: &str) {
        *self.body.lock().expect("no panic") = body.to_owned();
    }
}

// Single: registration is the control shard's.
#[test]
fn an_address_server_says_which_name_servers_there_are() {
    let directory = process::directory("namesrv-http");
    let [first, second] = name_servers(directory.path());
    let addresses = AddressServer::start(&list(&[&first]));
    let extra = vec![
        ("fetchNamesrvAddrByAddressServer", "true".to_owned()),
        ("rmqAddressServerDomain", format!("127.0.0.1:{}", addresses.port)),
        ("fetchNamesrvAddrInterval", "1000".to_owned()),
    ];
    let mut server = Server::start(directory.path(), &Settings { extra, ..Settings::default() });
    await_route(first.address, PATIENCE);
    let asked = addresses.asked.lock().expect("no panic").clone();
    assert!(asked.starts_with("GET /rocketmq/nsaddr HTTP/1.1\r\n"), "{asked}");
    addresses.tell(&format!("{}\n", list(&[&second])));
    await_route(second.address, PATIENCE);
    await_no_route(first.address);
    server.process.expects("tells no name servers, those of before stay: its answer has no port");
    addresses.tell("<html>out of order</html>");
    server.process.await_line("tells no name servers");
    await_route(second.address, PATIENCE);
}
