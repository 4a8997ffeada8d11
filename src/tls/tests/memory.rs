//! What a connection with TLS holds in memory, beside what it says that it holds at most. One test,
//! so that nobody else allocates meanwhile.

use std::{
    alloc::System, fs, io::Write, net::SocketAddr, path::Path, rc::Rc, sync::Arc, time::Duration,
};

use cap::Cap;
use futures_lite::future::{or, zip};
use pkcs8::{LineEnding, der::pem};
use ringmq_base::config::BrokerConfig;
use ringmq_io::{
    Clock, Listener, Net, Runtime, Stream,
    sim::{Sim, SimRuntime, SimStream},
};
use ringmq_tls::{Acceptor, Came, Handshakes, IDLE_BYTES, TlsStream};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
    version::{TLS12, TLS13},
};

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

const HOST: &str = "localhost";
const RECORD: usize = 16 * 1024;

/// A stream that stays when the connection that has it is dropped.
type Kept = Rc<SimStream>;

/// Both ends of a connection; the server's may have TLS.
async fn pair(runtime: &SimRuntime, handshakes: &Rc<Handshakes>) -> (TlsStream<Kept>, Kept) {
    let address = SocketAddr::from(([127, 0, 0, 1], 9876));
    let listener = runtime.net().listen(address).expect("the port is free");
    let (accepted, client) = zip(listener.accept(), runtime.net().connect(address)).await;
    let server = runtime.net().adopt(accepted.expect("it listens")).expect("it is there");
    let server = TlsStream::accepted(Rc::new(server), handshakes);
    (server, Rc::new(client.expect("it listens")))
}

/// Reads with so much room until nothing comes any more.
async fn read_on(runtime: &SimRuntime, server: &TlsStream<Kept>, room: usize) {
    let mut buffer = vec![0; room];
    loop {
        let quiet = async {
            runtime.sleep(Duration::from_millis(200)).await;
            None
        };
        let read = async { Some(server.read(runtime, &mut buffer).await) };
        match or(read, quiet).await {
            None => return,
            Some(Ok(Came::Bytes(0) | Came::Opened(0))) => panic!("it has ended"),
            Some(Ok(_)) => {}
            Some(Err(error)) => panic!("{error}"),
        }
    }
}

async fn send(client: &Kept, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let count = client.write(bytes).await.expect("connected");
        bytes = &bytes[count..];
    }
}

fn written(tls: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut bytes).expect("memory takes all");
    }
    bytes
}

async fn shake_hands(client: &Kept, tls: &mut ClientConnection) {
    loop {
        send(client, &written(tls)).await;
        if !tls.is_handshaking() {
            return;
        }
        let mut bytes = [0; 4096];
        let count = client.read(&mut bytes).await.expect("connected");
        let mut came = &bytes[..count];
        while !came.is_empty() {
            assert!(tls.read_tls(&mut came).expect("memory") > 0, "the server has ended it");
            tls.process_new_packets().expect("sound records");
        }
    }
}

/// What the server accepts connections with, and clients of both versions.
struct Setup {
    handshakes: Rc<Handshakes>,
    clients: [Arc<ClientConfig>; 2],
}

/// A certificate of some length, with its key.
fn certificate(names: usize) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let name = |number| format!("a-name-of-this-host-number-{number}.example.org");
    let names: Vec<_> = [HOST.to_owned()].into_iter().chain((0..names).map(name)).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("sound names");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    (made.cert.der().clone(), key.into())
}

/// `shown`: names in the certificate that the server asks clients for, if it does.
fn setup(directory: &Path, shown: Option<usize>) -> Setup {
    let (own, key) = certificate(20);
    let write = |name: &str, label: &str, der: &[u8]| {
        let path = directory.join(name);
        let text = pem::encode_string(label, LineEnding::LF, der).expect("sound");
        fs::write(&path, text).expect("a temporary directory");
        path.to_str().expect("UTF-8").to_owned()
    };
    let mut set = vec![
        ("tls.server.certPath".to_owned(), write("own.pem", "CERTIFICATE", &own)),
        ("tls.server.keyPath".to_owned(), write("own.key", "PRIVATE KEY", key.secret_der())),
    ];
    set.extend(shown.map(|_| ("tls.server.need.client.auth".to_owned(), "require".to_owned())));
    let config = BrokerConfig::load(None, &set).expect("sound keys").config;
    let acceptor = Acceptor::open(config.tls()).expect("sound files");
    let clients = [&TLS12, &TLS13].map(|version: &'static SupportedProtocolVersion| {
        let mut roots = RootCertStore::empty();
        roots.add(own.clone()).expect("a certificate");
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(&[version]).expect("it is there");
        let builder = builder.with_root_certificates(roots);
        Arc::new(match shown.map(certificate) {
            Some((shown, key)) => builder.with_client_auth_cert(vec![shown], key).expect("sound"),
            None => builder.with_no_client_auth(),
        })
    });
    Setup { handshakes: Handshakes::new(&acceptor), clients }
}

/// What the peer has done when the server's memory is looked at.
#[derive(Clone, Copy, Debug)]
enum Story {
    /// The first bytes of a handshake, and it takes nothing of what it is answered.
    Hello(usize),
    /// A handshake message that is said to have 64 KiB, and so much of it.
    Endless(usize),
    /// A handshake, and records with so much data each, of which so many bytes are not sent; they
    /// are read with so much room.
    Records { records: usize, data: usize, held_back: usize, room: usize },
    /// As before, of which all but so many bytes were read.
    Untaken(usize),
    /// It was written so much, and takes so little.
    Unread(usize),
}

impl Story {
    async fn tell(
        self,
        runtime: &SimRuntime,
        (client, server): (&Kept, &TlsStream<Kept>),
        tls: &mut ClientConnection,
    ) {
        match self {
            Story::Hello(count) => {
                let hello = written(tls);
                let send = send(client, &hello[..count.min(hello.len())]);
                zip(send, read_on(runtime, server, 4096)).await;
            }
            Story::Endless(count) => {
                let mut bytes = vec![1, 0, 0xFF, 0xFF];
                bytes.resize(count, 0);
                let record = |part: &[u8]| {
                    let length = u16::try_from(part.len()).expect("short").to_be_bytes();
                    [&[0x16, 3, 1], &length[..], part].concat()
                };
                let bytes: Vec<u8> = bytes.chunks(RECORD).flat_map(record).collect();
                zip(send(client, &bytes), read_on(runtime, server, 4096)).await;
            }
            Story::Records { records, data, held_back, room } => {
                zip(shake_hands(client, tls), read_on(runtime, server, 4096)).await;
                let bytes = many(tls, records, data);
                let send = send(client, &bytes[..bytes.len() - held_back]);
                zip(send, read_on(runtime, server, room)).await;
            }
            Story::Untaken(untaken) => {
                zip(shake_hands(client, tls), read_on(runtime, server, 4096)).await;
                let bytes = many(tls, 3, RECORD);
                let take = async {
                    let mut left = 3 * RECORD - untaken;
                    while left > 0 {
                        let mut buffer = vec![0; left.min(4096)];
                        left -= server.read_data(runtime, &mut buffer).await.expect("connected");
                    }
                };
                zip(send(client, &bytes), take).await;
            }
            Story::Unread(count) => {
                zip(shake_hands(client, tls), read_on(runtime, server, 4096)).await;
                let bytes = vec![7; count];
                while server.try_write(&bytes).is_ok() {}
            }
        }
    }
}

/// The bytes of records with so much data each.
fn many(tls: &mut ClientConnection, records: usize, data: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..records {
        tls.writer().write_all(&vec![7; data]).expect("memory takes all");
        bytes.append(&mut written(tls));
    }
    bytes
}

/// Memory that goes with a connection, and what it says of it: for what is read, and is written.
fn measure(setup: &Setup, version: usize, story: Option<Story>) -> (usize, [usize; 2]) {
    Sim::new(3).run(async |runtime| {
        let (server, client) = pair(&runtime, &setup.handshakes).await;
        match story {
            Some(story) => {
                let name = ServerName::try_from(HOST).expect("a name");
                let config = setup.clients[version].clone();
                let mut tls = ClientConnection::new(config, name).expect("sound");
                story.tell(&runtime, (&client, &server), &mut tls).await;
            }
            None => {
                zip(send(&client, &[0]), read_on(&runtime, &server, 4096)).await;
            }
        }
        let said = [server.input().0, server.output_bytes()];
        let before = MEMORY.allocated();
        drop(server);
        (before - MEMORY.allocated(), said)
    })
}

#[test]
fn a_connection_holds_no_more_than_it_says() {
    let whole = |records, data| Story::Records { records, data, held_back: 0, room: 40_000 };
    let mut stories: Vec<Story> =
        vec![whole(0, 0), whole(3, RECORD), whole(1000, 1), whole(30, 700)];
    for held_back in [1, 100, 4_000, 4_200, 8_100, 8_300, 12_200, 12_400, 16_300, RECORD + 20] {
        stories.push(Story::Records { records: 2, data: RECORD, held_back, room: 40_000 });
    }
    stories.extend([1, 200, 100_000].map(Story::Hello));
    stories.extend([300, 5_000, 16_000, 30_000, 40_000, 65_000].map(Story::Endless));
    stories.extend([1, 100, RECORD - 1, RECORD + 1].map(Story::Untaken));
    stories.extend([1, 5_000, 64 * 1024, 1024 * 1024].map(Story::Unread));
    let directory = tempfile::tempdir().expect("a directory");
    let plain = setup(directory.path(), None);
    let (without, said) = measure(&plain, 0, None);
    assert_eq!(said, [0, 0]);
    for shown in [None, Some(1), Some(300)] {
        let setup = setup(directory.path(), shown);
        for (version, story) in stories.iter().flat_map(|story| [(0, story), (1, story)]) {
            let (holds, said) = measure(&setup, version, Some(*story));
            let most = without + IDLE_BYTES + said[0] + said[1];
            let what = format!("{shown:?} {version} {story:?}");
            println!("{what}: {holds}, at most {without} + {IDLE_BYTES} + {said:?}");
            assert!(holds <= most, "{what}: {holds} > {most}");
        }
    }
}
