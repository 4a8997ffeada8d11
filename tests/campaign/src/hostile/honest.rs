//! An honest client: sends, pulls, long polls, new connections and questions for routes, each due
//! at its time whatever became of the ones before, and measured from that time on.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ringmq_base::record::Record;
use ringmq_remoting::codes::{request, response};
use ringmq_test_client::{Answer, Pull, Send, queue_fields, topic_fields};

use super::{
    disk::DiskProbe,
    priority,
    wire::{Link, texts},
};

const TOPIC: &str = "honest";
const QUIET_TOPIC: &str = "honest_quiet";
const GROUP: &str = "honest_group";
const QUEUES: i32 = 8;
const BODY_BYTES: usize = 200;
/// How long a long poll asks to be kept.
const POLL: Duration = Duration::from_secs(1);
/// A long poll that comes back sooner makes its consumer spin.
const POLL_MIN: Duration = Duration::from_millis(900);

/// A kind of request, and how many of it are due a second from each of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Send,
    Pull,
    Connect,
    Route,
    Poll,
    /// A write of the disk that sends wait for, by this program.
    Disk,
}

/// Clients of each kind. Two of a kind are on different shards.
const CLIENTS: [(Kind, u64); 9] = [
    (Kind::Send, 100),
    (Kind::Send, 100),
    (Kind::Pull, 100),
    (Kind::Pull, 100),
    (Kind::Connect, 20),
    (Kind::Route, 50),
    (Kind::Poll, 1),
    (Kind::Poll, 1),
    (Kind::Disk, 100),
];

/// What became of one request.
#[derive(Clone, Debug)]
pub struct Sample {
    pub kind: Kind,
    /// When it was due.
    pub due: Instant,
    pub took: Duration,
    /// What was wrong, if it failed.
    pub failure: Option<String>,
}

/// All honest clients, until it is dropped.
pub struct Honest {
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: Arc<AtomicBool>,
    /// Clients that have no priority, for want of rights.
    behind: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Honest {
    /// Makes the topics and begins. `directory` is on the disk of the broker's store.
    pub fn start(broker: SocketAddr, names: SocketAddr, directory: &Path) -> Honest {
        let mut link = Link::open(broker).expect("the broker listens");
        for topic in [TOPIC, QUIET_TOPIC] {
            let fields = topic_fields(topic, QUEUES);
            let answer = link.call(request::UPDATE_AND_CREATE_TOPIC, &fields, b"");
            answer.expect("an answer").expect(response::SUCCESS);
        }
        let (samples, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let behind = Arc::new(AtomicUsize::new(0));
        let threads = (0..)
            .zip(CLIENTS)
            .map(|(number, (kind, rate))| {
                let (samples, stop, behind) =
                    (Arc::clone(&samples), Arc::clone(&stop), Arc::clone(&behind));
                let address = if kind == Kind::Route { names } else { broker };
                let interval = Duration::from_nanos(1_000_000_000 / rate);
                let disk = (kind == Kind::Disk).then(|| {
                    let path = directory.join(format!("probe-{}", std::process::id()));
                    DiskProbe::create(&path).expect("the broker's disk can be written")
                });
                let mut client =
                    Client { kind, address, link: None, disk, number, turn: 0, at: [0; 8] };
                thread::spawn(move || {
                    behind.fetch_add(usize::from(!priority::go_first()), Ordering::Relaxed);
                    client.work(interval, &samples, &stop)
                })
            })
            .collect();
        Honest { samples, stop, behind, threads }
    }

    /// What the figures suffer from.
    pub fn notes(&self) -> Vec<String> {
        let behind = self.behind.load(Ordering::Relaxed);
        let text = format!("skipped: {behind} honest clients may not go before attackers (chrt)");
        if behind == 0 { Vec::new() } else { vec![text] }
    }

    /// Everything that is known of the requests that were due in this time.
    pub fn between(&self, from: Instant, to: Instant) -> Vec<Sample> {
        let samples = self.samples.lock().expect("no panic while locked");
        samples.iter().filter(|one| one.due >= from && one.due < to).cloned().collect()
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct Client {
    kind: Kind,
    address: SocketAddr,
    link: Option<Link>,
    disk: Option<DiskProbe>,
    number: u64,
    turn: u64,
    /// Where the pulls of each queue are.
    at: [i64; QUEUES as usize],
}

impl Client {
    fn work(&mut self, interval: Duration, samples: &Mutex<Vec<Sample>>, stop: &AtomicBool) {
        // clients do not all come at once
        let mut due = Instant::now() + interval.mul_f64(self.number as f64 / CLIENTS.len() as f64);
        while !stop.load(Ordering::Relaxed) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let asked = Instant::now();
            let failure = self.request(asked).err();
            if failure.is_some() {
                self.link = None;
            }
            let took = match self.kind {
                Kind::Poll => asked.elapsed().saturating_sub(POLL),
                _ => due.elapsed(),
            };
            let sample = Sample { kind: self.kind, due, took, failure };
            samples.lock().expect("no panic while locked").push(sample);
            self.turn += 1;
            due = match self.kind {
                Kind::Poll => Instant::now() + Duration::from_millis(10),
                _ => due + interval,
            };
        }
    }

    fn request(&mut self, asked: Instant) -> Result<(), String> {
        if self.kind == Kind::Connect {
            self.link = None;
        }
        match self.kind {
            Kind::Send => self.send(),
            Kind::Pull => self.pull(),
            Kind::Poll => self.poll(asked),
            Kind::Disk => {
                let written = self.disk.as_mut().map_or(Ok(()), DiskProbe::write);
                written.map_err(|error| format!("the disk: {error}"))
            }
            Kind::Connect => {
                let fields = queue_fields(TOPIC, 0);
                self.call(request::GET_MAX_OFFSET, &fields, b"", &[response::SUCCESS]).map(|_| ())
            }
            Kind::Route => {
                let code = request::GET_ROUTEINFO_BY_TOPIC;
                self.call(code, &texts(&[("topic", "TBW102")]), b"", &[0]).map(|_| ())
            }
        }
    }

    fn queue(&self) -> i32 {
        i32::try_from((self.turn + self.number) % QUEUES as u64).expect("few queues")
    }

    fn send(&mut self) -> Result<(), String> {
        let queue = self.queue();
        let send = Send { topic: TOPIC, queue, queues: QUEUES, properties: "", batch: false };
        let body = [7; BODY_BYTES];
        let codes = [response::SUCCESS];
        self.call(request::SEND_MESSAGE_V2, &send.fields(), &body, &codes).map(|_| ())
    }

    fn pull(&mut self) -> Result<(), String> {
        let queue = self.queue();
        let place = usize::try_from(queue).expect("not negative");
        let pull = pull(TOPIC, queue, self.at[place], Duration::ZERO);
        let codes = [response::SUCCESS, response::PULL_NOT_FOUND, response::PULL_RETRY_IMMEDIATELY];
        let answer = self.call(request::PULL_MESSAGE, &pull.fields(), b"", &codes)?;
        check_bodies(&answer)?;
        self.at[place] = answer.find_number("nextBeginOffset").unwrap_or(self.at[place]);
        Ok(())
    }

    fn poll(&mut self, asked: Instant) -> Result<(), String> {
        let pull = pull(QUIET_TOPIC, self.queue(), 0, POLL);
        let codes = [response::PULL_NOT_FOUND];
        self.call(request::PULL_MESSAGE, &pull.fields(), b"", &codes)?;
        match asked.elapsed() {
            took if took < POLL_MIN => Err(format!("a long poll of {POLL:?} took {took:?}")),
            _ => Ok(()),
        }
    }

    fn call(
        &mut self,
        code: i32,
        fields: &[ringmq_test_client::Field<'_>],
        body: &[u8],
        good: &[i32],
    ) -> Result<Answer, String> {
        let link = match &mut self.link {
            Some(link) => link,
            none => none.insert(Link::open(self.address).map_err(|error| format!("{error}"))?),
        };
        let answer = link.call(code, fields, body);
        let answer = answer.map_err(|error| format!("{:?}: {error}", self.kind))?;
        if good.contains(&answer.code) {
            return Ok(answer);
        }
        Err(format!("{:?} is answered {}: {}", self.kind, answer.code, answer.remark))
    }
}

fn pull(topic: &'static str, queue: i32, offset: i64, wait: Duration) -> Pull<'static> {
    Pull { group: GROUP, topic, queue, offset, messages_max: 32, wait }
}

fn check_bodies(answer: &Answer) -> Result<(), String> {
    let mut rest = answer.body.as_slice();
    while !rest.is_empty() {
        let record = Record::decode(rest).map_err(|error| error.to_string())?;
        if record.body != [7; BODY_BYTES] {
            return Err("a pull brings another body than was sent".to_owned());
        }
        rest = &rest[record.size..];
    }
    Ok(())
}
