//! An open loop of sends at three times what a broker can take: what it takes then, and how long
//! what it takes needs.
//!
//! Sends are due at their times whatever became of those before. What cannot be written, because
//! the broker does not read on, is not offered again: a client would hear of it by its own timeout.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::sys::socket::{setsockopt, sockopt};
use ringmq_remoting::codes::request;
use ringmq_test_client::{Send, topic_fields};

use crate::hostile::{
    servers::{Servers, Settings},
    wire::{self, Link},
};

const CONNECTIONS: usize = 8;
/// Of each sender's socket, in bytes: what the kernel begins with on a network. Loopback has
/// packets of 64 KiB and begins with 2.6 MB, in which a send would wait before the broker can know
/// of it.
const SEND_BYTES: usize = 64 << 10;
const BODY_BYTES: usize = 128;
/// Sends of each connection under way while the peak is measured.
const DEPTH: u64 = 256;
const TIMES: f64 = 3.0;
const GOODPUT_MIN: f64 = 0.9;
const P99_TIMES: u32 = 5;
/// A p99 at the peak below this counts as this.
const P99_FLOOR: Duration = Duration::from_millis(2);
/// The reply header is `{"code":0,` for what was taken.
const TAKEN: &[u8] = b"{\"code\":0,";
const OPAQUE: &[u8] = b"\"opaque\":";
const DIGITS: usize = 9;
/// Opaques begin here, so that all have the same number of digits.
const FIRST_OPAQUE: u64 = 100_000_000;

#[derive(Default)]
struct Outcome {
    taken: u64,
    refused: u64,
    /// Could not be written when they were due.
    kept_back: u64,
    times: Vec<Duration>,
}

impl Outcome {
    fn p99(&mut self) -> Duration {
        self.times.sort_unstable();
        self.times.get(self.times.len() * 99 / 100).copied().unwrap_or_default()
    }
}

/// 60 s at three times the peak, 5 s without `--long`.
pub fn overload(directory: &Path, long: bool) -> Result<(), Vec<String>> {
    let seconds = |short, full| Duration::from_secs(if long { full } else { short });
    // one processor for the broker, what is left for the senders
    let settings = Settings { cores: Some("0".to_owned()), ..Settings::default() };
    let servers = Servers::start(directory, &settings);
    let address = servers.broker.address;
    let mut link = Link::open(address).map_err(|error| vec![error.to_string()])?;
    let fields = topic_fields("load", 8);
    let made = link.call(request::UPDATE_AND_CREATE_TOPIC, &fields, b"");
    made.map_err(|error| vec![error.to_string()])?;
    drive(address, Pacing::Depth(DEPTH), Duration::from_secs(1));
    let measured = seconds(3, 10);
    let mut peak = drive(address, Pacing::Depth(DEPTH), measured);
    let rate = peak.taken as f64 / measured.as_secs_f64();
    let overloaded = seconds(5, 60);
    let mut over = drive(address, Pacing::Rate(rate * TIMES), overloaded);
    let goodput = over.taken as f64 / overloaded.as_secs_f64();
    let (at_peak, p99) = (peak.p99(), over.p99());
    println!(
        "load: overload: peak {rate:.0} a second, p99 {at_peak:.1?}; at 3x {goodput:.0} taken \
         a second ({:.0} %), p99 {p99:.1?}, {} refused, {} could not be written, broker {} MiB",
        goodput * 100.0 / rate,
        over.refused,
        over.kept_back,
        servers.broker.resident().1 >> 20,
    );
    let mut broken = Vec::new();
    if goodput < GOODPUT_MIN * rate {
        broken.push(format!("{goodput:.0} sends a second are taken, {rate:.0} at the peak"));
    }
    let allowed = at_peak.max(P99_FLOOR) * P99_TIMES;
    if p99 > allowed {
        broken.push(format!("p99 of what is taken is {p99:.1?}, allowed {allowed:.1?}"));
    }
    if broken.is_empty() { Ok(()) } else { Err(broken) }
}

#[derive(Clone, Copy)]
enum Pacing {
    /// So many of each connection under way.
    Depth(u64),
    /// So many a second in all.
    Rate(f64),
}

fn drive(address: SocketAddr, pacing: Pacing, time: Duration) -> Outcome {
    let mut lanes: Vec<Lane> = (0..CONNECTIONS).map(|at| Lane::open(address, at)).collect();
    let mut outcome = Outcome::default();
    let began = Instant::now();
    let mut offered = 0_u64;
    while began.elapsed() < time {
        let mut moved = false;
        match pacing {
            Pacing::Depth(depth) => {
                for lane in &mut lanes {
                    while lane.under_way() < depth && lane.unsent() < Lane::PENDING_MAX {
                        lane.offer();
                    }
                }
            }
            Pacing::Rate(rate) => {
                let due = (began.elapsed().as_secs_f64() * rate) as u64;
                while offered < due {
                    let lane = &mut lanes[offered as usize % CONNECTIONS];
                    offered += 1;
                    if lane.unsent() < Lane::PENDING_MAX {
                        lane.offer();
                    } else {
                        outcome.kept_back += 1;
                    }
                }
            }
        }
        for lane in &mut lanes {
            moved |= lane.write();
            moved |= lane.read(&mut outcome);
        }
        if !moved {
            thread::sleep(Duration::from_micros(50));
        }
    }
    outcome
}

/// A connection that never waits.
struct Lane {
    stream: TcpStream,
    frame: Vec<u8>,
    opaque_at: usize,
    output: Vec<u8>,
    input: Vec<u8>,
    began: Vec<Instant>,
    answered: u64,
}

impl Lane {
    /// Bytes that wait for the socket: more is not offered.
    const PENDING_MAX: usize = 32 << 10;

    fn open(address: SocketAddr, number: usize) -> Lane {
        let stream = TcpStream::connect(address).expect("the broker listens");
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_nonblocking(true).expect("a socket");
        setsockopt(&stream, sockopt::SndBuf, &SEND_BYTES).expect("a socket");
        let queue = i32::try_from(number).expect("few lanes");
        let send = Send { topic: "load", queue, queues: 8, properties: "", batch: false };
        let opaque = i32::try_from(FIRST_OPAQUE).expect("it fits");
        let frame =
            wire::request(request::SEND_MESSAGE_V2, opaque, &send.fields(), &[7; BODY_BYTES]);
        let opaque_at = wire::place(&frame, OPAQUE) + OPAQUE.len();
        let (output, input, began) = (Vec::new(), Vec::new(), Vec::new());
        Lane { stream, frame, opaque_at, output, input, began, answered: 0 }
    }

    fn under_way(&self) -> u64 {
        self.began.len() as u64 - self.answered
    }

    fn unsent(&self) -> usize {
        self.output.len()
    }

    fn offer(&mut self) {
        let opaque = FIRST_OPAQUE + self.began.len() as u64;
        wire::patch(&mut self.frame, self.opaque_at, DIGITS, opaque);
        self.output.extend_from_slice(&self.frame);
        self.began.push(Instant::now());
    }

    fn write(&mut self) -> bool {
        if self.output.is_empty() {
            return false;
        }
        match self.stream.write(&self.output) {
            Ok(count) => drop(self.output.drain(..count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("the broker closes a sender: {error}"),
        }
        true
    }

    fn read(&mut self, outcome: &mut Outcome) -> bool {
        let mut chunk = [0; 65_536];
        match self.stream.read(&mut chunk) {
            Ok(0) => panic!("the broker closes a sender"),
            Ok(count) => self.input.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("the broker closes a sender: {error}"),
        }
        let now = Instant::now();
        let mut at = 0;
        while let Some(length) = self.input[at..].first_chunk::<4>() {
            let total = 4 + usize::try_from(u32::from_be_bytes(*length)).expect("64 bits");
            let Some(frame) = self.input.get(at..at + total) else {
                break;
            };
            self.answered += 1;
            if frame[8..].starts_with(TAKEN) {
                outcome.taken += 1;
                if let Some(began) = opaque(frame).and_then(|number| self.began.get(number)) {
                    outcome.times.push(now - *began);
                }
            } else {
                outcome.refused += 1;
            }
            at += total;
        }
        self.input.drain(..at);
        true
    }
}

/// Which send of its lane a reply answers.
fn opaque(frame: &[u8]) -> Option<usize> {
    let at = frame.windows(OPAQUE.len()).position(|part| part == OPAQUE)? + OPAQUE.len();
    let digits = std::str::from_utf8(frame.get(at..at + DIGITS)?).ok()?;
    usize::try_from(digits.parse::<u64>().ok()?.checked_sub(FIRST_OPAQUE)?).ok()
}
