//! Messages that consumers give back: each comes again, once for each time that it was given back,
//! not before the delay of its level, with its count one higher; or, after so many times, it is in
//! the dead letter topic of its group. Over all processes.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use ringmq_base::record::Record;
use ringmq_remoting::codes::response;
use ringmq_test_client::Answer;

use super::{
    client::Client,
    model::{Fate, Issue, Model, Queue, contents, properties},
    requests::Request,
    timers::LEVELS_MS,
    workload::{self, Worker},
};

const RETRY: &str = "%RETRY%";
const DEAD: &str = "%DLQ%";
/// Groups that give messages back.
const GROUPS: u64 = 2;
/// The level of what is given back for the n-th time is this and n, if nobody says which.
const FIRST_LEVEL: i32 = 3;

/// A message that is given back.
#[derive(Clone, Debug)]
pub struct Back {
    pub group: Rc<str>,
    id: u64,
    /// Where it is read.
    pub physical: i64,
    /// How often it was given back before.
    times: i32,
    /// Below 0: to the dead letters; 0: the broker chooses.
    pub level: i32,
    pub times_max: i32,
}

/// What a message becomes that is given back: its topic, the message and how often it was given
/// back.
type Copy = (Rc<str>, u64, i32);

/// How often something was given back.
#[derive(Clone, Copy, Debug, Default)]
struct Given {
    /// Without those that were refused.
    asked: usize,
    acknowledged: usize,
    /// None comes before: milliseconds since 1970.
    since_ms: i64,
}

#[derive(Debug, Default)]
pub struct SentBack {
    given: BTreeMap<Copy, Given>,
    /// What came of it, by the place: which it is, and its physical offset.
    come: BTreeMap<(Rc<str>, i64), (Copy, i64)>,
    /// Places that were found since all was last begun to be read.
    found: BTreeSet<(Rc<str>, i64)>,
    /// When all that was acknowledged is due.
    last_ms: i64,
}

/// The topics that messages come to which were given back.
pub fn topics() -> impl Iterator<Item = Rc<str>> {
    let of = |number| [RETRY, DEAD].map(|prefix| format!("{prefix}back-{number}").into());
    (0..GROUPS).flat_map(of)
}

/// Whether it is one of those, of which nobody knows whether it is there.
pub fn is_own(topic: &str) -> bool {
    topic.starts_with(RETRY) || topic.starts_with(DEAD)
}

impl Back {
    fn is_dead(&self) -> bool {
        self.level < 0 || self.times >= self.times_max
    }

    fn copy(&self) -> Copy {
        let prefix = if self.is_dead() { DEAD } else { RETRY };
        (format!("{prefix}{}", self.group).into(), self.id, self.times + 1)
    }

    fn delay_ms(&self) -> i64 {
        let level = match self.level {
            0 => FIRST_LEVEL + self.times,
            level => level,
        };
        let index = usize::try_from(level - 1).unwrap_or(0).min(LEVELS_MS.len() - 1);
        if self.is_dead() { 0 } else { LEVELS_MS[index] }
    }
}

impl Worker {
    /// Gives messages back, or takes what comes again.
    pub async fn give_back(&mut self, client: &Rc<Client>) {
        let group: Rc<str> = format!("back-{}", self.random.below(GROUPS)).into();
        if self.random.chance(1, 3) {
            let queue: Queue = (format!("{RETRY}{group}").into(), 0);
            let end = self.world.model.borrow().come_again(&queue.0).len() as u64;
            let behind = self.random.below(3);
            let offset = end.saturating_sub(behind) as i64;
            let wait = Duration::from_millis(self.random.below(400));
            client.issue(Request::Pull { group, queue, offset, wait }).await;
            return;
        }
        for _ in 0..1 + self.random.below(3) {
            let random = self.random.below(1 << 20);
            let found = self.world.model.borrow().given_back_next(&group, random);
            let Some((id, physical, times)) = found else {
                return;
            };
            let level = [0, 0, 1, 1, 2, -1][self.random.index(6)];
            let times_max = [1, 2, 16][self.random.index(3)];
            let back = Back { group: group.clone(), id, physical, times, level, times_max };
            client.issue(Request::SendBack(back)).await;
        }
    }
}

impl Model {
    /// What is known to have come again in a topic, in its order: message, physical offset, times.
    fn come_again(&self, topic: &Rc<str>) -> Vec<(u64, i64, i32)> {
        let of_topic = self.back.come.range((topic.clone(), 0)..=(topic.clone(), i64::MAX));
        of_topic.map(|(_, ((_, id, times), physical))| (*id, *physical, *times)).collect()
    }

    /// Some message that its group may have consumed, often one that has come again.
    fn given_back_next(&self, group: &str, random: u64) -> Option<(u64, i64, i32)> {
        let index = usize::try_from(random / 2).expect("small");
        let again = self.come_again(&format!("{RETRY}{group}").into());
        if random.is_multiple_of(2) && !again.is_empty() {
            return Some(again[index % again.len()]);
        }
        let first = self.of_queue(&(workload::TOPIC.into(), (index % 2) as i32));
        let id = *first.get(index / 2 % first.len().max(1))?;
        let message = self.message(id);
        let stored = message.fate == Fate::Stored;
        message.name.filter(|_| stored).map(|(_, physical)| (id, physical, 0))
    }

    pub fn back_issued(&mut self, back: &Back) {
        let since_ms = self.clock.now_ms + back.delay_ms();
        let given = self.back.given.entry(back.copy()).or_default();
        let earliest = if given.asked == 0 { since_ms } else { given.since_ms.min(since_ms) };
        *given = Given { asked: given.asked + 1, since_ms: earliest, ..*given };
    }

    /// True unless it was refused for a reason that has to be excused.
    pub fn back_answered(&mut self, back: &Back, issue: &Issue, answer: &Answer) -> bool {
        let excuses = self.excuses_since(issue);
        let given = self.back.given.get_mut(&back.copy()).expect("it was issued");
        if answer.code == response::SUCCESS {
            given.acknowledged += 1;
            self.back.last_ms = self.back.last_ms.max(self.clock.latest_ms + back.delay_ms());
            return true;
        }
        // What a log has that failed or is closed is decided by the next start.
        if !excuses.failing && !excuses.stopping {
            given.asked -= 1;
        }
        false
    }

    /// When all that was given back should have come.
    pub fn all_back_ms(&self) -> i64 {
        self.back.last_ms
    }

    /// All that was given back is going to be read.
    pub fn read_back(&mut self) {
        self.back.found.clear();
    }

    /// A message of a topic for those was served.
    pub fn found_back(&mut self, (topic, _): &Queue, record: &Record<'_>) {
        let place = (topic.clone(), record.queue_offset);
        let shown = format!("{topic} at {}", record.queue_offset);
        let number = record.body.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        let Some(id) = number.filter(|id| *id < self.messages()) else {
            return self.wrong(format!("{shown} is a message that nobody sent"));
        };
        let message = self.message(id).clone();
        let copy: Copy = (topic.clone(), id, record.reconsume_times);
        let Some(given) = self.back.given.get(&copy).copied() else {
            let times = record.reconsume_times;
            let text = format!("{shown} is message {id}, given back {times} times: nobody did");
            return self.wrong(text);
        };
        if record.body != contents(id, message.body_bytes) {
            self.wrong(format!("{shown}: the body of message {id} is another"));
        }
        let own = properties(id, message.property_bytes);
        let origin = format!("RETRY_TOPIC\u{1}{}\u{2}", workload::TOPIC).into_bytes();
        for part in [own.strip_suffix(b"\x02").unwrap_or(&own), &origin] {
            if !record.properties.windows(part.len()).any(|found| found == part) {
                self.wrong(format!("{shown}: the properties of message {id} are others"));
            }
        }
        self.too_early(&shown, (id, given.since_ms), true, record.store_timestamp);
        self.back.found.insert(place.clone());
        let is = (copy.clone(), record.physical_offset);
        if let Some(was) = self.back.come.insert(place, is.clone())
            && was != is
        {
            self.wrong(format!("{shown} is {is:?}, it was {was:?}"));
        }
        let come = self.back.come.values().filter(|(come, _)| *come == copy).count();
        if come > given.asked {
            let asked = given.asked;
            self.wrong(format!("{shown}: {copy:?} was given back {asked} times, this is one more"));
        }
    }

    /// All that came again has been read, as far as it could be.
    pub fn judge_back(&mut self) {
        let mut problems = Vec::new();
        for (place, is) in &self.back.come {
            if !self.back.found.contains(place) {
                problems.push(format!("{place:?} was {is:?} and is not there"));
            }
        }
        let mut come: BTreeMap<&Copy, usize> = BTreeMap::new();
        self.back.come.values().for_each(|(copy, _)| *come.entry(copy).or_default() += 1);
        for (copy, given) in self.back.given.iter().filter(|_| self.clock.all_are_due) {
            let come = come.get(copy).copied().unwrap_or(0);
            if come < given.acknowledged {
                problems.push(format!("{copy:?} came {come} times: {given:?}"));
            }
        }
        problems.into_iter().for_each(|text| self.wrong(text));
    }
}
