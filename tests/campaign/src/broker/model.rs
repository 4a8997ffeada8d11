//! What clients have asked and heard, over all processes of a broker, and what follows from it.

use std::{collections::BTreeMap, ops::Range, rc::Rc, time::Duration};

use ringmq_remoting::codes::response;

use super::{
    requests::Request,
    resets::{self, Asked},
    sent_back::{self, SentBack},
    timers::{Clock, Timed},
    transactions::{self, Half},
};

/// A topic and the number of one of its queues.
pub type Queue = (Rc<str>, i32);

/// Problems after which a run says no more.
const PROBLEMS_MAX: usize = 20;

/// What is known of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// No answer yet.
    Open,
    /// SEND_OK.
    Stored,
    /// Any other answer.
    Refused(i32),
    /// The connection or the process ended first, or the log failed.
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Message {
    pub queue: Queue,
    pub client: u32,
    pub body_bytes: usize,
    pub property_bytes: usize,
    pub fate: Fate,
    /// The messages of its batch.
    pub batch: Option<Range<u64>>,
    /// When the answer came, in events.
    pub answered_at: u64,
    /// Queue offset and physical offset, from an answer or as read.
    pub name: Option<(i64, i64)>,
    pub seen: bool,
    /// When the broker stored it, in milliseconds since 1970, as read.
    pub stored_ms: Option<i64>,
    /// Its topic was being deleted: it may be gone.
    pub exempt: bool,
}

/// Whether a topic or a group is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    There,
    Gone,
    /// A request that changes it is under way, or was not answered.
    Unsure,
}

#[derive(Clone, Debug)]
pub struct Thing {
    pub known: Known,
    /// Counts what was asked of it.
    pub epoch: u64,
    pub queues: i32,
    /// For topics that were made again: when that was asked, in events, after the deletion.
    pub made_again_at: Option<u64>,
    before: Known,
}

#[derive(Clone, Copy, Debug)]
pub struct Commit {
    pub offset: i64,
    pub acknowledged: Option<Duration>,
    /// It has to be there in all processes from now on.
    pub firm: bool,
}

/// What excuses refusals at the moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Excuses {
    pub full: bool,
    /// Operations of the disk failed in this process.
    pub failing: bool,
    pub stopping: bool,
}

impl Excuses {
    /// What either of them excuses.
    pub fn or(self, other: Excuses) -> Excuses {
        Excuses {
            full: self.full || other.full,
            failing: self.failing || other.failing,
            stopping: self.stopping || other.stopping,
        }
    }
}

/// What holds from the moment at which a request is sent.
#[derive(Clone, Copy, Debug)]
pub struct Issue {
    pub event: u64,
    pub at: Duration,
    pub epoch: u64,
    pub known: Known,
    pub excuses: Excuses,
    /// The latest time that a clock has shown.
    pub latest_ms: i64,
}

#[derive(Debug, Default)]
pub struct Model {
    messages: Vec<Message>,
    by_queue: BTreeMap<Queue, Vec<u64>>,
    names: BTreeMap<(Queue, i64), u64>,
    physical: BTreeMap<i64, u64>,
    /// Messages that were sent as halves of transactions.
    pub halves: BTreeMap<u64, Half>,
    /// Messages that are kept back until their time.
    pub timed: BTreeMap<u64, Timed>,
    pub clock: Clock,
    /// What consumers give back.
    pub back: SentBack,
    /// What is asked about the group whose offsets are reset, by queue.
    pub resets: BTreeMap<Queue, Vec<Asked>>,
    pub topics: BTreeMap<Rc<str>, Thing>,
    pub groups: BTreeMap<Rc<str>, Thing>,
    pub commits: BTreeMap<(Rc<str>, Queue), Vec<Commit>>,
    pub locks: BTreeMap<Queue, (u32, Duration)>,
    pub excuses: Excuses,
    /// A full disk excuses what was under way until then, in this process.
    pub full_until: Duration,
    /// Number of the process that runs.
    pub process: usize,
    pub events: u64,
    /// The clock of the clients goes on from one process to the next.
    pub one_clock: bool,
    /// Sends make topics.
    pub auto_create: bool,
    /// Largest body that every segment takes.
    pub legal_body: usize,
    pub problems: Vec<String>,
    /// Answers of each kind: code and number of them.
    pub answers: BTreeMap<i32, u64>,
}

/// The body of a message: its number, and bytes that follow from it.
pub fn contents(number: u64, bytes: usize) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    let fill = (8..bytes).map(|at| (number as usize * 7 + at * 13) as u8);
    body.extend(fill);
    body
}

/// What the producer names a message.
pub fn unique_key(number: u64) -> String {
    format!("{number:032X}")
}

/// The properties of a message, of the length or a few bytes more.
pub fn properties(number: u64, bytes: usize) -> Vec<u8> {
    let mut text = format!("UNIQ_KEY\u{1}{}\u{2}", unique_key(number));
    if bytes > text.len() + 3 {
        let fill = "f".repeat(bytes - text.len() - 3);
        text = format!("{text}p\u{1}{fill}\u{2}");
    }
    text.into_bytes()
}

/// Properties of a record, with what the broker adds, have 32,767 bytes at most.
pub const PROPERTY_BYTES_MAX: usize = 32_600;
pub const PROPERTY_BYTES_ILLEGAL: usize = 32_760;

/// How long a client counts on the lock of a queue, whether the broker is there or not; the product
/// keeps it for longer.
pub const LOCK: Duration = Duration::from_secs(30);

impl Model {
    pub fn new(auto_create: bool, legal_body: usize) -> Model {
        Model { auto_create, legal_body, ..Model::default() }
    }

    pub fn wrong(&mut self, text: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(text);
        }
    }

    pub fn message(&self, number: u64) -> &Message {
        &self.messages[number as usize]
    }

    pub fn messages(&self) -> u64 {
        self.messages.len() as u64
    }

    pub fn of_queue(&self, queue: &Queue) -> &[u64] {
        self.by_queue.get(queue).map_or(&[], Vec::as_slice)
    }

    /// Makes messages for one request; the sizes are of bodies and properties.
    pub fn new_messages(
        &mut self,
        queue: &Queue,
        client: u32,
        sizes: &[(usize, usize)],
        batch: bool,
    ) -> Range<u64> {
        let first = self.messages();
        let ids = first..first + sizes.len() as u64;
        for (number, (body_bytes, property_bytes)) in (first..).zip(sizes) {
            self.messages.push(Message {
                queue: queue.clone(),
                client,
                body_bytes: (*body_bytes).max(8),
                property_bytes: properties(number, *property_bytes).len(),
                fate: Fate::Open,
                batch: batch.then(|| ids.clone()),
                answered_at: u64::MAX,
                name: None,
                seen: false,
                stored_ms: None,
                exempt: false,
            });
        }
        self.by_queue.entry(queue.clone()).or_default().extend(ids.clone());
        ids
    }

    pub fn topic(&mut self, name: &Rc<str>) -> &mut Thing {
        self.topics.entry(name.clone()).or_insert(Thing {
            known: Known::Gone,
            epoch: 0,
            queues: 0,
            made_again_at: None,
            before: Known::Gone,
        })
    }

    fn group(&mut self, name: &Rc<str>) -> &mut Thing {
        self.groups.entry(name.clone()).or_insert(Thing {
            known: Known::Gone,
            epoch: 0,
            queues: 0,
            made_again_at: None,
            before: Known::Gone,
        })
    }

    /// A request leaves its client.
    pub fn issued(&mut self, request: &Request, now: Duration) -> Issue {
        self.events += 1;
        let event = self.events;
        let excuses = self.excuses;
        let latest_ms = self.clock.latest_ms;
        let mut issue = Issue { event, at: now, epoch: 0, known: Known::There, excuses, latest_ms };
        self.reset_issued(request, event, now);
        match request {
            Request::Send { queue, ids, .. } => {
                let made = self.auto_create;
                let thing = self.topic(&queue.0);
                (issue.epoch, issue.known) = (thing.epoch, thing.known);
                if made && thing.known == Known::Gone {
                    thing.known = Known::Unsure;
                }
                let exempt = thing.known != Known::There && !made;
                for id in ids.clone() {
                    self.messages[id as usize].exempt = exempt;
                }
            }
            // The broker makes it when it needs it.
            Request::Pull { queue, .. }
                if *queue.0 == *transactions::GIVEN_UP || sent_back::is_own(&queue.0) =>
            {
                issue.known = Known::Unsure;
            }
            Request::Pull { queue, .. } => {
                let thing = self.topic(&queue.0);
                (issue.epoch, issue.known) = (thing.epoch, thing.known);
            }
            Request::Timed { queue, id } => {
                let thing = self.topic(&queue.0);
                (issue.epoch, issue.known) = (thing.epoch, thing.known);
                self.timed_issued(*id);
            }
            Request::Cancel { id, .. } => self.cancel_issued(*id),
            Request::MakeTopic { topic, queues } => {
                let thing = self.topic(topic);
                thing.change();
                thing.queues = thing.queues.max(*queues);
                if thing.before == Known::Gone && thing.epoch > 1 {
                    thing.made_again_at = Some(event);
                }
            }
            Request::DeleteTopic { topic } => {
                self.topic(topic).change();
                for message in &mut self.messages {
                    message.exempt |= message.queue.0 == *topic;
                }
            }
            Request::SendBack(back) => self.back_issued(back),
            Request::Half { id, .. } => self.half_issued(*id),
            Request::End { id, commit } => self.end_issued(*id, *commit),
            Request::Unlock { client, queue } => {
                let holds = self.locks.get(queue).is_some_and(|(holder, _)| holder == client);
                self.locks.retain(|locked, _| !holds || locked != queue);
            }
            Request::MakeGroup { group } | Request::DeleteGroup { group } => {
                self.group(group).change();
            }
            Request::Commit { group, queue, offset } if **group != *resets::GROUP => {
                let key = (group.clone(), queue.clone());
                let commit = Commit { offset: *offset, acknowledged: None, firm: false };
                self.commits.entry(key).or_default().push(commit);
            }
            _ => {}
        }
        issue
    }

    /// What excuses an answer: what held at any time since the request was sent. Answers may be
    /// read late.
    pub fn excuses_since(&self, issue: &Issue) -> Excuses {
        let mut excuses = self.excuses.or(issue.excuses);
        excuses.full |= issue.at < self.full_until;
        excuses
    }

    /// The connection of a request is gone before its answer came.
    pub fn lost(&mut self, request: &Request) {
        if let Request::Send { ids, .. } = request {
            for id in ids.clone() {
                self.messages[id as usize].fate = Fate::Unknown;
            }
        }
        if let Request::End { id, .. } = request {
            self.end_unknown(*id);
        }
        if let Request::Timed { id, .. } = request {
            self.messages[*id as usize].fate = Fate::Unknown;
        }
        if let Request::Unlock { queue, .. } | Request::Lock { queue, .. } = request {
            self.locks.remove(queue);
        }
    }

    /// Settles the fate of the messages of a request; the error is a sentence.
    pub fn fate(&mut self, ids: &Range<u64>, fate: &Fate) {
        self.events += 1;
        let event = self.events;
        for id in ids.clone() {
            let message = &mut self.messages[id as usize];
            message.fate = fate.clone();
            message.answered_at = event;
        }
    }

    /// A message has this name, as an answer or a read says.
    pub fn name(&mut self, id: u64, offset: i64, physical: i64, who: &str) {
        let queue = self.message(id).queue.clone();
        let shown = format!("message {id} of {}/{}", queue.0, queue.1);
        match self.message(id).name {
            Some(name) if name != (offset, physical) => {
                let text = format!("{who} names {shown} {offset} at {physical}, it was {name:?}");
                return self.wrong(text);
            }
            Some(_) => return,
            None => self.messages[id as usize].name = Some((offset, physical)),
        }
        if let Some(other) = self.names.insert((queue, offset), id)
            && other != id
        {
            self.wrong(format!("{who} names {shown} {offset}, which is message {other}"));
        }
        if let Some(other) = self.physical.insert(physical, id)
            && other != id
        {
            self.wrong(format!("{who} names {shown} at {physical}, where message {other} is"));
        }
    }

    /// It was read, with the time at which it was stored.
    pub fn see(&mut self, id: u64, stored_ms: i64) {
        let message = &mut self.messages[id as usize];
        (message.seen, message.stored_ms) = (true, Some(stored_ms));
    }

    /// A change of a topic or group was answered.
    pub fn changed(&mut self, request: &Request, code: i32) {
        let excuses = self.excuses;
        let (thing, done) = match request {
            Request::MakeTopic { topic, .. } => (self.topic(topic), Known::There),
            Request::DeleteTopic { topic } => (self.topic(topic), Known::Gone),
            Request::MakeGroup { group } => (self.group(group), Known::There),
            Request::DeleteGroup { group } => (self.group(group), Known::Gone),
            _ => return,
        };
        thing.known = match code {
            response::SUCCESS => done,
            // What reached a failing disk is not known.
            _ if excuses.failing => Known::Unsure,
            // A deletion is several changes.
            _ if done == Known::Gone => Known::Unsure,
            _ => thing.before,
        };
    }

    /// What can be said after a process that has ended in some way.
    pub fn process_ended(&mut self, clean: bool, firm_before: Option<Duration>, now: Duration) {
        for message in &mut self.messages {
            if message.fate == Fate::Open {
                message.fate = Fate::Unknown;
            }
        }
        for commits in self.commits.values_mut() {
            for commit in commits {
                let early = |at: Duration| firm_before.is_some_and(|before| at <= before);
                commit.firm |= commit.acknowledged.is_some_and(|at| clean || early(at));
                commit.acknowledged = None;
            }
        }
        self.resets_end(clean);
        // Their clients count on them all the same.
        self.locks.retain(|_, (_, since)| now < *since + LOCK);
        if !self.one_clock {
            self.locks.values_mut().for_each(|(_, since)| *since = Duration::ZERO);
        }
        self.process += 1;
    }
}

impl Thing {
    fn change(&mut self) {
        self.before = self.known;
        self.known = Known::Unsure;
        self.epoch += 1;
    }
}
