//! One thread a queue: pulls, and prints what it gets.

use std::{
    io::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::bail;
use ringmq_base::record::Record;
use ringmq_remoting::codes::{request, response};

use super::super::{
    channel::{Answer, Channel, Closer},
    now_ms,
    print::{Bounds, received},
    route::Queue,
};

/// As Java's push consumer asks.
const PULL_BATCH: &str = "32";
/// A pull may wait for messages (2) and brings its subscription (4).
const PULL_FLAGS: &str = "6";
const SUSPEND: Duration = Duration::from_secs(15);
const SUSPEND_MS: &str = "15000";
/// After a pull that failed.
const RETRY: Duration = Duration::from_secs(1);
/// Nothing is known of where the group is.
const UNKNOWN: i64 = -1;

pub struct Worker {
    shared: Arc<Shared>,
}

struct Shared {
    stopped: AtomicBool,
    /// Offset of the first message that was not taken; [`UNKNOWN`] until the broker has said it.
    next: AtomicI64,
    closer: Mutex<Option<Closer>>,
}

impl Worker {
    pub fn start(queue: Queue, group: &'static str, thread: String) -> Worker {
        let shared = Arc::new(Shared {
            stopped: AtomicBool::new(false),
            next: AtomicI64::new(UNKNOWN),
            closer: Mutex::new(None),
        });
        let pulling = Pulling { queue, group, thread, shared: shared.clone() };
        thread::spawn(move || pulling.run());
        Worker { shared }
    }

    /// Takes no further message.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        if let Ok(closer) = self.shared.closer.lock()
            && let Some(closer) = &*closer
        {
            closer.close();
        }
    }

    /// Offset of the first message that was not taken; below 0 if that is not known.
    pub fn offset(&self) -> i64 {
        self.shared.next.load(Ordering::SeqCst)
    }
}

struct Pulling {
    queue: Queue,
    group: &'static str,
    thread: String,
    shared: Arc<Shared>,
}

impl Pulling {
    fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::SeqCst)
    }

    fn run(&self) {
        let mut complaint = String::new();
        while !self.is_stopped() {
            let Err(error) = self.pull_on() else { return };
            let text = format!("{}, queue {}: {error:#}", self.queue.broker, self.queue.id);
            if !self.is_stopped() {
                if text != complaint {
                    eprintln!("{text}");
                    complaint = text;
                }
                thread::sleep(RETRY);
            }
        }
    }

    /// Pulls until the connection ends or the worker is stopped.
    fn pull_on(&self) -> anyhow::Result<()> {
        let mut channel = Channel::connect(&self.queue.address)?;
        if let Ok(mut closer) = self.shared.closer.lock() {
            *closer = Some(channel.closer()?);
        }
        if self.shared.next.load(Ordering::SeqCst) == UNKNOWN {
            let committed = self.committed(&mut channel)?;
            self.shared.next.store(committed, Ordering::SeqCst);
        }
        while !self.is_stopped() {
            let next = self.shared.next.load(Ordering::SeqCst);
            let answer = self.pull(&mut channel, next)?;
            let told = answer.number("nextBeginOffset").unwrap_or(next);
            match answer.code {
                response::SUCCESS => {
                    self.print(&answer)?;
                    // What was not printed any more is for whoever has the queue next.
                    if !self.is_stopped() {
                        self.shared.next.store(told, Ordering::SeqCst);
                    }
                }
                response::PULL_NOT_FOUND
                | response::PULL_RETRY_IMMEDIATELY
                | response::PULL_OFFSET_MOVED => self.shared.next.store(told, Ordering::SeqCst),
                code => bail!("CODE: {code}  DESC: {}", answer.remark),
            }
        }
        Ok(())
    }

    /// Where the group is in the queue; at its beginning, if it has never been there.
    fn committed(&self, channel: &mut Channel) -> anyhow::Result<i64> {
        let id = self.queue.id.to_string();
        let fields =
            [("consumerGroup", self.group), ("topic", &*self.queue.topic), ("queueId", &*id)];
        let answer = channel.call(request::QUERY_CONSUMER_OFFSET, &fields, &[])?;
        if answer.code == response::QUERY_NOT_FOUND {
            return Ok(0);
        }
        let answer = answer.success()?;
        Ok(answer.number("offset").unwrap_or(0))
    }

    fn pull(&self, channel: &mut Channel, offset: i64) -> anyhow::Result<Answer> {
        let (id, offset) = (self.queue.id.to_string(), offset.to_string());
        let fields = [
            ("consumerGroup", self.group),
            ("topic", &*self.queue.topic),
            ("queueId", &*id),
            ("queueOffset", &*offset),
            ("maxMsgNums", PULL_BATCH),
            ("sysFlag", PULL_FLAGS),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", SUSPEND_MS),
            ("subscription", "*"),
            ("subVersion", "0"),
            ("expressionType", "TAG"),
        ];
        channel.call_for(request::PULL_MESSAGE, &fields, &[], SUSPEND)
    }

    /// Prints the messages of an answer, each as it is taken.
    fn print(&self, answer: &Answer) -> anyhow::Result<()> {
        let number = |field| answer.number(field).unwrap_or(0);
        let bounds = Bounds { smallest: number("minOffset"), largest: number("maxOffset") };
        let mut rest = answer.body.as_slice();
        while !rest.is_empty() && !self.is_stopped() {
            let record = Record::decode(rest)?;
            let line = received(&self.thread, &self.queue, &record, &bounds, now_ms());
            writeln!(std::io::stdout(), "{line}")?;
            self.shared.next.store(record.queue_offset + 1, Ordering::SeqCst);
            rest = rest.get(record.size..).unwrap_or_default();
        }
        Ok(())
    }
}
