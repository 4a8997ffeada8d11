//! Transactions: half messages of all clients, ended by whoever comes along, once or more often;
//! and what follows from the answers. A half is decided once and stays so, over all processes; what
//! is not committed is never served, what is committed is there once, and what was given up is
//! where it belongs and nowhere else.

use std::rc::Rc;

use ringmq_base::record::Record;
use ringmq_remoting::{codes::response, message_id::MessageId};
use ringmq_test_client::Answer;

use super::{
    client::{Client, World},
    model::{Fate, Known, Model, Queue, contents},
    requests::Request,
    workload::Worker,
};

/// The topic whose messages are all sent as halves.
pub const TOPIC: &str = "Transactions";
/// Where halves go that were asked for too often.
pub const GIVEN_UP: &str = "TRANS_CHECK_MAX_TIME_TOPIC";

/// What is known of a half message.
#[derive(Clone, Debug, Default)]
pub struct Half {
    /// Queue offset and physical offset, of the answer.
    pub place: Option<(i64, i64)>,
    /// Somebody has asked to commit it.
    committing: bool,
    /// How often somebody has asked to end it.
    ends: u32,
    /// The end that was done: whether it was a commit.
    ended: Option<bool>,
    /// The broker says that it is decided, and nobody else has asked for that.
    claimed: bool,
    given_up: bool,
    /// The broker was too busy for it.
    refused: bool,
    /// Times that it was found among those given up, in the read that is under way.
    found: u32,
}

impl Worker {
    /// Sends some halves, or ends some.
    pub async fn transact(&mut self, client: &Rc<Client>) {
        let made = self.world.model.borrow().topics.get(TOPIC).map(|topic| topic.known);
        if made != Some(Known::There) {
            // The process that made it was killed before.
            return;
        }
        if self.random.chance(1, 2) {
            for _ in 0..1 + self.random.below(4) {
                let queue: Queue =
                    (TOPIC.into(), self.random.below(self.plan.queues as u64) as i32);
                let size = match self.random.below(20) {
                    0 => 20_000,
                    _ => 8 + self.random.below(300),
                };
                let sizes = [(size as usize, 40)];
                let ids = {
                    let mut model = self.world.model.borrow_mut();
                    model.new_messages(&queue, self.number, &sizes, false)
                };
                client.issue(Request::Half { queue, id: ids.start }).await;
            }
            return;
        }
        for _ in 0..1 + self.random.below(6) {
            let known = self.world.model.borrow().ended_next(self.random.below(1 << 20));
            let Some(id) = known else {
                return;
            };
            let commit = self.random.chance(2, 3);
            client.issue(Request::End { id, commit }).await;
            if self.random.chance(1, 4) {
                client.issue(Request::End { id, commit: !commit }).await;
            }
        }
    }
}

/// The last process ends what is left, and asks again for what is decided.
pub async fn end_all(world: &Rc<World>) {
    let Some(client) = world.connect(800_000, false).await else {
        return;
    };
    let halves = world.model.borrow().halves.clone();
    let placed = halves.iter().filter(|(_, half)| half.place.is_some());
    for (number, (id, half)) in placed.enumerate() {
        let commit = half.ended != Some(true) || number % 2 == 0;
        client.call(Request::End { id: *id, commit }).await;
    }
    client.end();
}

impl Model {
    pub fn half(&self, id: u64) -> &Half {
        &self.halves[&id]
    }

    /// Some half that can be ended, often one that is decided.
    fn ended_next(&self, random: u64) -> Option<u64> {
        let placed: Vec<_> = self.halves.iter().filter(|(_, half)| half.place.is_some()).collect();
        let open: Vec<_> = placed.iter().filter(|(_, half)| half.ended.is_none()).collect();
        let index = usize::try_from(random / 4).expect("small");
        match random % 4 {
            0 => placed.get(index % placed.len().max(1)).map(|(id, _)| **id),
            _ => open.get(index % open.len().max(1)).map(|(id, _)| **id),
        }
    }

    pub fn half_issued(&mut self, id: u64) {
        self.halves.insert(id, Half::default());
    }

    /// True unless it was refused.
    pub fn half_answered(&mut self, id: u64, answer: &Answer) -> bool {
        if answer.code != response::SUCCESS {
            let half = self.halves.get_mut(&id).expect("it was issued");
            half.refused = answer.code == response::SYSTEM_BUSY;
            return false;
        }
        let position = answer.fields.get("msgId").and_then(|text| MessageId::parse(text));
        match (answer.find_number("queueOffset"), position) {
            (Some(offset), Some((_, position))) => {
                let half = self.halves.get_mut(&id).expect("it was issued");
                half.place = Some((offset, position));
            }
            _ => self.wrong(format!("SEND_OK for the half {id} does not say where it is")),
        }
        true
    }

    pub fn end_issued(&mut self, id: u64, commit: bool) {
        let half = self.halves.get_mut(&id).expect("it was issued");
        half.ends += 1;
        half.committing |= commit;
    }

    /// Nobody hears what came of an end.
    pub fn end_unknown(&mut self, id: u64) {
        self.unsettle(id);
    }

    /// True unless it was refused for a reason that has to be excused.
    pub fn end_answered(&mut self, id: u64, commit: bool, answer: &Answer) -> bool {
        let half = self.halves[&id].clone();
        match answer.code {
            response::SUCCESS => {
                if let Some(before) = half.ended {
                    self.wrong(format!("half {id} is ended twice: commit {before}, then {commit}"));
                }
                if half.given_up {
                    self.wrong(format!("half {id} is ended (commit {commit}) and was given up"));
                }
                if !commit && self.message(id).seen {
                    self.wrong(format!("half {id} is rolled back and was served"));
                }
                let fate = if commit { Fate::Stored } else { Fate::Refused(12) };
                self.fate(&(id..id + 1), &fate);
                self.halves.get_mut(&id).expect("it was issued").ended = Some(commit);
                true
            }
            response::SYSTEM_ERROR if answer.remark.contains("is decided already") => {
                let half = self.halves.get_mut(&id).expect("it was issued");
                half.claimed |= half.ends == 1;
                self.unsettle(id);
                true
            }
            _ => {
                self.unsettle(id);
                false
            }
        }
    }

    fn unsettle(&mut self, id: u64) {
        if self.message(id).fate == Fate::Open {
            self.fate(&(id..id + 1), &Fate::Unknown);
        }
    }

    /// Whether a message that consumers get may be there: it is no half, or somebody wanted it.
    pub fn may_be_served(&self, id: u64) -> bool {
        self.halves.get(&id).is_none_or(|half| half.committing && !half.given_up)
    }

    /// The broker asks for a half.
    pub fn asked(&mut self, question: &Answer) {
        let number = Record::decode(&question.body).ok().and_then(|record| {
            let number = record.body.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
            number.filter(|_| record.topic == TOPIC)
        });
        let place = (question.number("tranStateTableOffset"), question.number("commitLogOffset"));
        match number.and_then(|number| self.halves.get_mut(&number)) {
            None => self.wrong("the broker asks for what is no half".to_owned()),
            Some(half) if half.place.is_some_and(|known| known != place) => {
                self.wrong(format!("the broker asks for a half at {place:?} that is elsewhere"));
            }
            Some(half) if half.refused => {
                self.wrong(format!("the broker asks for a half at {place:?} that it refused"));
            }
            // Its answer may have been lost.
            Some(half) => half.place = Some(place),
        }
    }

    /// All that were given up are going to be read.
    pub fn read_given_up(&mut self) {
        self.halves.values_mut().for_each(|half| half.found = 0);
    }

    pub fn found_given_up(&mut self, record: &Record<'_>) {
        let number = record.body.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        let half = number.and_then(|number| Some((number, self.halves.get_mut(&number)?)));
        let Some((id, half)) = half else {
            return self.wrong("what was given up is no half".to_owned());
        };
        half.found += 1;
        half.given_up = true;
        let half = half.clone();
        if record.body != contents(id, self.message(id).body_bytes) {
            self.wrong(format!("half {id} was given up with another body"));
        }
        if half.found > 1 {
            self.wrong(format!("half {id} was given up twice"));
        }
        if let Some(commit) = half.ended {
            self.wrong(format!("half {id} was given up and ended: commit {commit}"));
        }
        if self.message(id).seen {
            self.wrong(format!("half {id} was given up and served"));
        }
    }

    /// All that were given up have been read, as far as they could be.
    pub fn judge_given_up(&mut self) {
        let halves = self.halves.clone();
        for (id, half) in halves {
            if half.given_up && half.found == 0 {
                self.wrong(format!("half {id} was given up and is not there"));
            }
            if half.claimed && !half.given_up {
                self.wrong(format!("half {id} is called decided and nobody has decided"));
            }
        }
    }
}
