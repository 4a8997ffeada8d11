//! Messages that are kept back, until a time of their own or for a delay level, and their
//! cancellation. None comes before its time, none is lost or comes twice, over all processes and
//! whatever the clock does between them; those of a log come in the order of their times, and what
//! was cancelled in time never comes.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use ringmq_base::record::Record;
use ringmq_io::Clock as _;
use ringmq_remoting::{codes::response, message_id::MessageId};
use ringmq_test_client::Answer;

use super::{
    checker::log_of,
    client::{Client, World},
    model::{Fate, Issue, Known, Model, Queue},
    requests::Request,
    workload::Worker,
};

/// The topic whose messages are all kept back.
pub const TOPIC: &str = "Timed";
/// Slots by which messages are cancelled, in milliseconds.
pub const PRECISION_MS: i64 = 100;
/// Of the delay levels.
pub const LEVELS_MS: [i64; 2] = [1000, 2000];
const LEVEL_MS: i64 = LEVELS_MS[0];
/// How much later than its time a message may come when nothing is in the way.
const DELIVERED_AFTER_MS: i64 = 2500;

/// The wall clocks of all processes, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    pub now_ms: i64,
    /// The latest time that any has shown.
    pub latest_ms: i64,
    /// A process began earlier than one before it ended.
    pub went_back: bool,
    /// The time of all messages has come and they should be there.
    pub all_are_due: bool,
}

/// What is known of a message that is kept back.
#[derive(Clone, Debug)]
pub struct Timed {
    /// Its time; of a delay level the earliest that it can be.
    pub due_ms: i64,
    pub by_level: bool,
    /// Physical offset where it waits, of the answer.
    kept: Option<i64>,
    /// The latest time when the answer came.
    acknowledged_ms: i64,
    handle: Option<String>,
    cancelled: Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancelled {
    No,
    /// Somebody has asked for it.
    Maybe,
    /// It was acknowledged before its time.
    Yes,
}

impl Worker {
    /// Sends messages to come later and cancels some.
    pub async fn keep_back(&mut self, client: &Rc<Client>) {
        let made = self.world.model.borrow().topics.get(TOPIC).map(|topic| topic.known);
        if made != Some(Known::There) {
            // The process that made it was killed before.
            return;
        }
        for _ in 0..1 + self.random.below(6) {
            let queue: Queue = (TOPIC.into(), self.random.below(self.plan.queues as u64) as i32);
            let size = match self.random.below(30) {
                0 => 20_000,
                _ => 8 + self.random.below(300),
            };
            let most = [30, 300, 300, 2000][self.random.index(4)];
            let mut due_ms = self.world.runtime.now_ms() + self.random.below(most) as i64;
            if self.random.chance(1, 3) {
                due_ms = due_ms / 50 * 50;
            }
            let by_level = self.random.chance(1, 4);
            let id = {
                let mut model = self.world.model.borrow_mut();
                let sizes = [(size as usize, 40)];
                let id = model.new_messages(&queue, self.number, &sizes, false).start;
                model.timed.insert(id, Timed::new(due_ms, by_level));
                id
            };
            client.issue(Request::Timed { queue, id }).await;
        }
        for _ in 0..self.random.below(4) {
            let random = self.random.below(1 << 20);
            let found = self.world.model.borrow().cancelled_next(random);
            let Some(id) = found else {
                return;
            };
            let has_handle = self.world.model.borrow().timed[&id].handle.is_some();
            let recall = has_handle && self.random.chance(1, 2);
            let queue = (TOPIC.into(), self.random.below(self.plan.queues as u64) as i32);
            client.issue(Request::Cancel { id, queue, recall }).await;
        }
    }
}

/// Waits until all that was kept back should be there.
pub async fn await_all(world: &Rc<World>) {
    let last = {
        let model = world.model.borrow();
        let last = model.timed.values().map(Timed::latest_ms).max();
        last.unwrap_or(0).max(model.all_back_ms())
    };
    // What was due when this process started has to be read and stored first as well.
    let wait = (last - world.runtime.now_ms()).max(0) + DELIVERED_AFTER_MS;
    world.runtime.sleep(Duration::from_millis(u64::try_from(wait).unwrap_or(0))).await;
    world.model.borrow_mut().clock.all_are_due = true;
}

impl Timed {
    fn new(due_ms: i64, by_level: bool) -> Timed {
        Timed {
            due_ms,
            by_level,
            kept: None,
            acknowledged_ms: i64::MAX,
            handle: None,
            cancelled: Cancelled::No,
        }
    }

    /// When it is due at the latest. A level counts from the moment at which it is stored.
    fn latest_ms(&self) -> i64 {
        match (self.by_level, self.kept) {
            (true, Some(_)) => self.acknowledged_ms + LEVEL_MS,
            _ => self.due_ms,
        }
    }

    /// The properties that keep the message back.
    pub fn properties(&self) -> String {
        match self.by_level {
            true => "DELAY\u{1}1\u{2}".to_owned(),
            false => format!("TIMER_DELIVER_MS\u{1}{}\u{2}", self.due_ms),
        }
    }

    pub fn handle(&self) -> &str {
        self.handle.as_deref().unwrap_or_default()
    }
}

impl Clock {
    /// How far to move the clock of a process that begins: mostly on from where the last one ended.
    pub fn jump(&self, now_ms: i64, chance: u64) -> i64 {
        match chance % 4 {
            0 => 0,
            more => (self.latest_ms + 400 * more as i64 - now_ms).max(0),
        }
    }
}

impl Model {
    /// A clock shows this time.
    pub fn see_clock(&mut self, now_ms: i64) {
        let clock = &mut self.clock;
        clock.went_back |= now_ms < clock.latest_ms;
        clock.latest_ms = clock.latest_ms.max(now_ms);
        clock.now_ms = now_ms;
    }

    /// Some message whose time has not come, if there is any.
    fn cancelled_next(&self, random: u64) -> Option<u64> {
        let waits = |timed: &Timed| !timed.by_level && timed.due_ms > self.clock.latest_ms;
        let waiting: Vec<_> = self.timed.iter().filter(|(_, timed)| waits(timed)).collect();
        waiting.get(random as usize % waiting.len().max(1)).map(|(id, _)| **id)
    }

    pub fn timed_issued(&mut self, id: u64) {
        let now_ms = self.clock.now_ms;
        let timed = self.timed.get_mut(&id).expect("it was made");
        if timed.by_level {
            timed.due_ms = now_ms + LEVEL_MS;
        }
    }

    /// True unless it was refused, or stored at once since its time had come.
    pub fn kept_back(&mut self, id: u64, answer: &Answer) -> bool {
        if answer.code != response::SUCCESS {
            return false;
        }
        let latest_ms = self.clock.latest_ms;
        let place = answer.fields.get("msgId").and_then(|text| MessageId::parse(text));
        let handle = answer.fields.get("recallHandle").cloned();
        let timed = self.timed.get_mut(&id).expect("it was issued");
        if !timed.by_level && handle.is_none() {
            let due_ms = timed.due_ms;
            if latest_ms < due_ms {
                self.wrong(format!("message {id} is due at {due_ms} and not kept back"));
            }
            return false;
        }
        timed.kept = place.map(|(_, position)| position);
        timed.acknowledged_ms = latest_ms;
        timed.handle = handle;
        if timed.kept.is_none() {
            self.wrong(format!("SEND_OK for message {id} does not say where it waits"));
        }
        self.fate(&(id..id + 1), &Fate::Stored);
        true
    }

    pub fn cancel_issued(&mut self, id: u64) {
        let timed = self.timed.get_mut(&id).expect("it was made");
        if timed.cancelled == Cancelled::No {
            timed.cancelled = Cancelled::Maybe;
        }
    }

    /// True unless it was refused for a reason that has to be excused.
    pub fn cancel_answered(&mut self, id: u64, issue: &Issue, answer: &Answer) -> bool {
        let latest_ms = self.clock.latest_ms;
        let timed = self.timed.get_mut(&id).expect("it was made");
        match answer.code {
            response::SUCCESS => {
                // What was not stored yet when this was asked for may come behind it, and within a
                // millisecond nobody can tell.
                if latest_ms < timed.due_ms && timed.acknowledged_ms < issue.latest_ms {
                    timed.cancelled = Cancelled::Yes;
                }
                true
            }
            // The slot has begun, or the time has come.
            response::MESSAGE_ILLEGAL | response::ILLEGAL_OPERATION => {
                latest_ms + PRECISION_MS >= timed.due_ms
            }
            _ => false,
        }
    }

    /// A message of the topic was served.
    pub fn timed_served(&mut self, id: u64, place: &str, record: &Record<'_>) {
        let Some(timed) = self.timed.get(&id).cloned() else {
            return;
        };
        self.too_early(place, (id, timed.due_ms), timed.by_level, record.store_timestamp);
        if timed.cancelled == Cancelled::Yes {
            self.wrong(format!("{place}: message {id} was cancelled before its time"));
        }
        let origin = record.prepared_transaction_offset;
        if timed.kept.is_some_and(|kept| kept != origin) {
            let kept = timed.kept;
            self.wrong(format!("{place}: message {id} was kept at {kept:?}, not at {origin}"));
        }
    }

    /// A message that was due at a time was stored then: whether that was too early.
    pub fn too_early(
        &mut self,
        place: &str,
        (id, due_ms): (u64, i64),
        by_level: bool,
        stored_ms: i64,
    ) {
        let clock = self.clock;
        let seen_ms = clock.latest_ms.min(stored_ms);
        // When the clock is set back, no level waits longer than its delay.
        if seen_ms < due_ms && !(by_level && clock.went_back) {
            let early = due_ms - seen_ms;
            self.wrong(format!("{place}: message {id} came {early} ms before its time"));
        }
    }

    /// Whether what was acknowledged has to be in its queue.
    pub fn has_come(&self, id: u64) -> bool {
        let come = |timed: &Timed| timed.cancelled == Cancelled::No && self.clock.all_are_due;
        self.timed.get(&id).is_none_or(come)
    }

    /// All that was delivered has been read: it is in order in each log.
    pub fn judge_times(&mut self) {
        let mut logs: BTreeMap<u16, Vec<(i64, u64)>> = BTreeMap::new();
        for id in self.timed.keys() {
            let message = self.message(*id);
            let name = message.name.filter(|_| message.seen);
            if let Some((_, physical)) = name
                && let Some(log) = log_of(physical)
            {
                logs.entry(log).or_default().push((physical, *id));
            }
        }
        for (log, mut delivered) in logs {
            delivered.sort_unstable();
            self.judge_log(log, &delivered);
        }
    }

    fn judge_log(&mut self, log: u16, delivered: &[(i64, u64)]) {
        let mut last = (i64::MIN, 0);
        let mut last_of: BTreeMap<(bool, i64), (i64, u64)> = BTreeMap::new();
        let mut problems = Vec::new();
        for (_, id) in delivered {
            let timed = &self.timed[id];
            let Some(kept) = timed.kept else {
                continue;
            };
            // Of two with one time, or with one level, that which was stored first.
            let same = if timed.by_level { (true, 0) } else { (false, timed.due_ms) };
            let in_time = timed.by_level || timed.acknowledged_ms < timed.due_ms;
            if let Some((before, other)) = last_of.insert(same, (kept, *id))
                && before > kept
                && in_time
            {
                problems.push(format!("log {log}: message {id} comes behind {other}, sent later"));
            }
            if timed.by_level {
                continue;
            }
            // What came when another was delivered already is behind it.
            if last.0 > timed.due_ms.max(timed.acknowledged_ms) {
                let (due_ms, other) = last;
                let earlier = due_ms - timed.due_ms;
                problems.push(format!(
                    "log {log}: message {id} comes behind {other}, which is due {earlier} ms later"
                ));
            }
            last = last.max((timed.due_ms, *id));
        }
        problems.into_iter().for_each(|text| self.wrong(text));
    }
}
