//! Consumer offsets of a group that an administrator resets while clients commit what they were at
//! before. After an acknowledged reset the group is where the reset said, or where it has gone on
//! from there; and it is never where nobody has sent it. A reset to a time goes to the first
//! message that is not older.

use std::{rc::Rc, time::Duration};

use ringmq_remoting::{body::ResetOffsetBody, codes::response, fastjson};
use ringmq_test_client::Answer;

use super::{
    client::Client,
    model::{Fate, Issue, Known, Model, Queue},
    requests::Request,
    workload::Worker,
};

pub const GROUP: &str = "reset";
/// Older commits are passed over for so long; less than in the product, for safety.
const HOLD: Duration = Duration::from_secs(55);

/// Where a reset to a time goes is not known before its answer.
const ANYWHERE: i64 = -1;

/// What was asked that changes the offset of the group in a queue, or lets commits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Reset,
    Commit,
    /// A pull from there.
    Pull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It may have been done, now or later.
    Unknown,
    Done,
    PassedOver,
}

#[derive(Clone, Copy, Debug)]
pub struct Asked {
    kind: Kind,
    offset: i64,
    /// In events, as its end.
    begun: u64,
    ended: u64,
    at: Duration,
    process: usize,
    outcome: Outcome,
    /// It was not durable when its process was killed: what was before it may be back.
    may_be_lost: bool,
}

impl Asked {
    fn goes_to(&self, offset: i64) -> bool {
        self.offset == offset || self.offset == ANYWHERE
    }

    /// An answer has said that it was done, before another one was asked for.
    fn done_before(&self, begun: u64) -> bool {
        self.outcome == Outcome::Done && self.ended < begun
    }
}

impl Worker {
    /// Commits, pulls and resets of the group, and looks where it is.
    pub async fn reset(&mut self, client: &Rc<Client>) {
        let made = self.world.model.borrow().groups.get(GROUP).map(|group| group.known);
        if made != Some(Known::There) {
            return;
        }
        let group: Rc<str> = GROUP.into();
        for _ in 0..1 + self.random.below(5) {
            let queue = self.fixed_queue();
            let (last, end) = {
                let model = self.world.model.borrow();
                (model.reset_last(&queue), model.end_known(&queue))
            };
            match self.random.below(8) {
                0..=2 => {
                    let offset = self.random.below(40) as i64;
                    let (group, queue) = (group.clone(), queue.clone());
                    client.issue(Request::Commit { group, queue, offset }).await;
                }
                3 | 4 => {
                    let offset = match last {
                        Some(last) if self.random.chance(2, 3) => last,
                        _ => self.random.below(20) as i64,
                    };
                    let (group, queue, wait) = (group.clone(), queue.clone(), Duration::ZERO);
                    client.issue(Request::Pull { group, queue, offset, wait }).await;
                }
                5 => {
                    let offset = self.random.below(end as u64 + 1) as i64;
                    let time_ms = self.world.model.borrow().stored_ms(&queue, offset);
                    let (group, queue) = (group.clone(), queue.clone());
                    let reset = match time_ms.filter(|_| offset % 2 == 1) {
                        Some(time_ms) => Request::ResetToTime { group, queue, time_ms },
                        None => Request::Reset { group, queue, offset },
                    };
                    client.issue(reset).await;
                }
                6 => {
                    let group = group.clone();
                    client.issue(Request::Heartbeat { client: self.number, group }).await;
                }
                _ => client.all_answered().await,
            }
            let group = group.clone();
            client.issue(Request::QueryOffset { group, queue }).await;
        }
    }
}

impl Model {
    /// Where the group was reset to last.
    fn reset_last(&self, queue: &Queue) -> Option<i64> {
        let all = self.resets.get(queue)?;
        let mut resets = all.iter().rev().filter(|asked| asked.kind == Kind::Reset);
        resets.find_map(|reset| (reset.offset != ANYWHERE).then_some(reset.offset))
    }

    /// When the message at an offset was stored, if it was read.
    fn stored_ms(&self, queue: &Queue, offset: i64) -> Option<i64> {
        self.stored_times(queue).find(|(at, _)| *at == offset).map(|(_, time_ms)| time_ms)
    }

    /// Offsets and times of the messages that were read.
    fn stored_times(&self, queue: &Queue) -> impl Iterator<Item = (i64, i64)> {
        let messages = self.of_queue(queue).iter().map(|id| self.message(*id));
        messages.filter_map(|message| Some((message.name?.0, message.stored_ms?)))
    }

    /// The queue is known to have messages up to there.
    fn end_known(&self, queue: &Queue) -> i64 {
        let stored = self.of_queue(queue).iter().map(|id| self.message(*id));
        let stored = stored.filter(|message| message.fate == Fate::Stored);
        stored.filter_map(|message| Some(message.name?.0 + 1)).max().unwrap_or(0)
    }

    /// Takes note of a request that is about the group.
    pub fn reset_issued(&mut self, request: &Request, event: u64, at: Duration) {
        let (kind, group, queue, offset) = match request {
            Request::Reset { group, queue, offset } => (Kind::Reset, group, queue, *offset),
            Request::Commit { group, queue, offset } => (Kind::Commit, group, queue, *offset),
            Request::ResetToTime { group, queue, .. } => (Kind::Reset, group, queue, ANYWHERE),
            Request::Pull { group, queue, offset, .. } => (Kind::Pull, group, queue, *offset),
            _ => return,
        };
        if **group != *GROUP {
            return;
        }
        let process = self.process;
        self.resets.entry(queue.clone()).or_default().push(Asked {
            kind,
            offset,
            begun: event,
            ended: u64::MAX,
            at,
            process,
            outcome: Outcome::Unknown,
            may_be_lost: false,
        });
    }

    /// A reset to a time was answered: it says where that is.
    pub fn time_told(&mut self, request: &Request, issue: &Issue, answer: &Answer) {
        if let Request::ResetToTime { queue, time_ms, .. } = request
            && answer.code == response::SUCCESS
        {
            let body = fastjson::from_slice::<ResetOffsetBody>(&answer.body);
            let told: Vec<_> = body.into_iter().flat_map(|body| body.offset_table.0).collect();
            let [(_, at)] = told.as_slice() else {
                return self.wrong(format!("a reset of {queue:?} to a time tells {told:?}"));
            };
            let all = self.resets.get_mut(queue).into_iter().flatten();
            all.filter(|asked| asked.begun == issue.event).for_each(|asked| asked.offset = *at);
            self.judge_time(queue, *time_ms, *at);
        }
    }

    /// The first message that is not older than a time is at this offset.
    fn judge_time(&mut self, queue: &Queue, time_ms: i64, at: i64) {
        // Times of a queue are in order as long as the clock is.
        if self.clock.went_back {
            return;
        }
        let wrong = |(offset, stored_ms): &(i64, i64)| (*offset < at) != (*stored_ms < time_ms);
        let found = self.stored_times(queue).find(wrong);
        if let Some((offset, stored_ms)) = found {
            self.wrong(format!(
                "a reset of {queue:?} to the time {time_ms} goes to {at}, but the message at \
                 {offset} is of {stored_ms}"
            ));
        }
    }

    /// Such a request was answered.
    pub fn reset_answered(&mut self, queue: &Queue, issue: &Issue, answer: &Answer) {
        self.events += 1;
        let (ended, process) = (self.events, self.process);
        let passed_over = answer.remark.contains("previously reset");
        let all = self.resets.get_mut(queue).into_iter().flatten();
        for asked in all.filter(|asked| asked.begun == issue.event) {
            let refused = !matches!(asked.kind, Kind::Pull) && answer.code != response::SUCCESS;
            if refused {
                // Some of it may be done.
                continue;
            }
            asked.ended = ended;
            asked.outcome = if passed_over { Outcome::PassedOver } else { Outcome::Done };
        }
        let mut all = self.resets.get(queue).into_iter().flatten();
        let by = |asked: &Asked| asked.kind == Kind::Reset && asked.process == process;
        if passed_over && !all.any(by) {
            self.wrong(format!("a commit of {queue:?} is passed over, and nobody has reset it"));
        }
    }

    /// The process ended; unless all was orderly, commits that are not durable yet may be lost.
    pub fn resets_end(&mut self, orderly: bool) {
        self.events += 1;
        for asked in self.resets.values_mut().flatten() {
            asked.may_be_lost |= asked.kind == Kind::Commit && !orderly;
            asked.ended = asked.ended.min(self.events);
        }
    }

    /// The offset of the group was told.
    pub fn reset_told(&mut self, queue: &Queue, issue: &Issue, found: Option<i64>, now: Duration) {
        let all = self.resets.get(queue).map_or(&[][..], Vec::as_slice);
        let writes = || all.iter().filter(|asked| asked.kind != Kind::Pull);
        let resets = || all.iter().filter(|asked| asked.kind == Kind::Reset);
        let shown = format!("group {GROUP} is at {found:?} of {queue:?}");
        let done = resets().filter(|reset| reset.done_before(issue.event));
        let Some(last) = done.max_by_key(|reset| reset.ended) else {
            // A group that nobody has sent anywhere begins at 0.
            let may = found.is_none_or(|at| at == 0 || writes().any(|asked| asked.goes_to(at)));
            if !may {
                self.wrong(format!("{shown}, nobody sent it there"));
            }
            return;
        };
        let others = || resets().filter(|reset| reset.begun != last.begun);
        let unsure = others().any(|reset| reset.ended > last.begun);
        let may = match found {
            None => false,
            Some(at) if unsure => writes().any(|asked| asked.goes_to(at)),
            Some(at) => {
                let mut may = writes().filter(|asked| asked.goes_to(at));
                may.any(|asked| may_be_there(all, asked, last, issue, now, self.process))
            }
        };
        if !may {
            let text = format!("{shown}, {last:?} was the last reset of {} requests", all.len());
            self.wrong(text);
        }
    }
}

/// Whether the group may be where a request sends it, behind the last reset.
fn may_be_there(
    all: &[Asked],
    asked: &Asked,
    last: &Asked,
    issue: &Issue,
    now: Duration,
    process: usize,
) -> bool {
    let is_last = asked.begun == last.begun;
    if asked.outcome == Outcome::PassedOver || (!is_last && asked.ended < last.begun) {
        return false;
    }
    // What was done behind it and before the question, and lasts, has taken its place.
    let behind = |other: &&Asked| {
        other.kind == Kind::Commit && !other.may_be_lost && other.begun > asked.ended
    };
    if all.iter().filter(behind).any(|other| other.done_before(issue.event)) {
        return false;
    }
    let held = last.process == asked.process
        && (process != last.process || now.saturating_sub(last.at) < HOLD);
    let pulled = || {
        let pulls = all.iter().filter(|pull| pull.kind == Kind::Pull);
        let mut from_there = pulls.filter(|pull| pull.offset == last.offset);
        from_there.any(|pull| pull.ended > last.begun && pull.begun < asked.ended)
    };
    is_last || !held || asked.offset == last.offset || (asked.offset > last.offset && pulled())
}
