//! Holds every answer against the model: what was promised, and what may be said when.

use std::{ops::Range, time::Duration};

use ringmq_base::{PhysicalOffset, record::Record};
use ringmq_remoting::{
    body::LockBatchResponseBody, codes::response, fastjson, message_id::MessageId,
};
use ringmq_test_client::Answer;

use super::{
    model::{Fate, Issue, Known, LOCK, Model, PROPERTY_BYTES_MAX, Queue, contents, properties},
    plan::BODY_BYTES_MAX,
    requests::Request,
    resets, sent_back, timers, transactions,
};

impl Model {
    /// An answer has come.
    pub fn answered(&mut self, request: &Request, issue: &Issue, answer: &Answer, now: Duration) {
        *self.answers.entry(answer.code).or_default() += 1;
        match request {
            Request::Send { queue, ids, batch } => {
                self.send_answered(queue, ids, *batch, issue, answer);
            }
            Request::Half { id, .. } => {
                if !self.half_answered(*id, answer) {
                    self.refused(request, issue, answer);
                }
            }
            Request::End { id, commit } => {
                if !self.end_answered(*id, *commit, answer) {
                    self.refused(request, issue, answer);
                }
            }
            Request::Timed { queue, id } => {
                if !self.kept_back(*id, answer) {
                    self.send_answered(queue, &(*id..id + 1), false, issue, answer);
                }
            }
            Request::Cancel { id, .. } => {
                if !self.cancel_answered(*id, issue, answer) {
                    self.refused(request, issue, answer);
                }
            }
            Request::SendBack(back) => {
                if !self.back_answered(back, issue, answer) {
                    self.refused(request, issue, answer);
                }
            }
            Request::Pull { queue, offset, .. } => {
                self.reset_answered(queue, issue, answer);
                self.pull_answered(queue, *offset, issue, answer);
            }
            Request::Commit { .. } => self.commit_answered(request, issue, answer, now),
            Request::Reset { queue, .. } | Request::ResetToTime { queue, .. } => {
                self.time_told(request, issue, answer);
                self.reset_answered(queue, issue, answer);
                if answer.code != response::SUCCESS {
                    self.refused(request, issue, answer);
                }
            }
            Request::HugeCommit { .. } => {}
            Request::QueryOffset { .. } => self.offset_told(request, issue, answer, now),
            Request::Lock { client, queue } => {
                self.lock_answered((*client, queue), issue, answer, now)
            }
            Request::MakeTopic { .. }
            | Request::DeleteTopic { .. }
            | Request::MakeGroup { .. }
            | Request::DeleteGroup { .. } => {
                self.changed(request, answer.code);
                if answer.code != response::SUCCESS {
                    self.refused(request, issue, answer);
                }
            }
            Request::MinOffset { .. }
            | Request::MaxOffset { .. }
            | Request::Heartbeat { .. }
            | Request::Unlock { .. }
            | Request::Topics
            | Request::Groups => {
                if answer.code != response::SUCCESS {
                    self.refused(request, issue, answer);
                }
            }
        }
    }

    fn commit_answered(
        &mut self,
        request: &Request,
        issue: &Issue,
        answer: &Answer,
        now: Duration,
    ) {
        let Request::Commit { group, queue, offset } = request else {
            return;
        };
        self.reset_answered(queue, issue, answer);
        let gone = answer.code == response::TOPIC_NOT_EXIST;
        if gone && issue.known != Known::There {
            return;
        }
        if answer.code != response::SUCCESS {
            return self.refused(request, issue, answer);
        }
        let commits = self.commits.get_mut(&(group.clone(), queue.clone()));
        let commits = commits.into_iter().flatten();
        for commit in commits.filter(|commit| commit.offset == *offset) {
            commit.acknowledged = Some(now);
        }
    }

    /// A request other than a send or a pull is refused.
    fn refused(&mut self, request: &Request, issue: &Issue, answer: &Answer) {
        let Answer { code, remark, .. } = answer;
        let excuses = self.excuses_since(issue);
        let excused = match *code {
            response::SYSTEM_BUSY => true,
            response::SERVICE_NOT_AVAILABLE | response::SYSTEM_ERROR => {
                excuses.full || excuses.failing || excuses.stopping
            }
            _ => false,
        };
        if !excused {
            self.wrong(format!("{request:?} is refused with {code}: {remark}"));
        }
    }

    fn send_answered(
        &mut self,
        queue: &Queue,
        ids: &Range<u64>,
        batch: bool,
        issue: &Issue,
        answer: &Answer,
    ) {
        let thing = self.topic(&queue.0);
        let steady = thing.epoch == issue.epoch;
        let (known, excuses) = (issue.known, self.excuses_since(issue));
        let legal = self.is_legal(ids, batch);
        let what = if batch { "batch" } else { "message" };
        let shown = format!("{what} {ids:?} of {}/{}", queue.0, queue.1);
        if answer.code == response::SUCCESS {
            self.fate(ids, &Fate::Stored);
            if !legal {
                self.wrong(format!("SEND_OK for the {shown}, which is too large"));
            }
            if steady && known == Known::Gone && !self.auto_create {
                self.wrong(format!("SEND_OK for the {shown}, whose topic was deleted before"));
            }
            if self.auto_create {
                let thing = self.topic(&queue.0);
                thing.known = Known::There;
                thing.queues = thing.queues.max(queue.1 + 1);
            }
            return self.send_ok(ids, &shown, answer);
        }
        let Answer { code, remark, .. } = answer;
        // What a log has that failed is decided by the next start.
        let failed = *code == response::SERVICE_NOT_AVAILABLE && excuses.failing;
        let fate = if failed { Fate::Unknown } else { Fate::Refused(*code) };
        self.fate(ids, &fate);
        let excused = match *code {
            response::SYSTEM_BUSY => true,
            response::MESSAGE_ILLEGAL => !legal,
            response::TOPIC_NOT_EXIST => !steady || known != Known::There,
            response::SERVICE_NOT_AVAILABLE => excuses.full || excuses.failing || excuses.stopping,
            response::SYSTEM_ERROR => excuses.stopping || excuses.failing,
            _ => false,
        };
        if !excused {
            self.wrong(format!("the {shown} is refused with {code}: {remark}"));
        }
    }

    /// Whether the broker has to take all of it, for its size.
    fn is_legal(&self, ids: &Range<u64>, batch: bool) -> bool {
        let messages = || ids.clone().map(|id| self.message(id));
        let each = messages().all(|message| {
            message.property_bytes <= PROPERTY_BYTES_MAX && message.body_bytes <= self.legal_body
        });
        let all = messages().map(|message| 22 + message.body_bytes + message.property_bytes);
        each && (!batch || all.sum::<usize>() as u64 <= BODY_BYTES_MAX)
    }

    fn send_ok(&mut self, ids: &Range<u64>, shown: &str, answer: &Answer) {
        let told = answer.fields.get("msgId").cloned().unwrap_or_default();
        let places: Vec<_> = told.split(',').map(MessageId::parse).collect();
        let Some(first) = answer.find_number("queueOffset") else {
            return self.wrong(format!("SEND_OK for the {shown} names no queue offset"));
        };
        if places.len() as u64 != ids.end - ids.start {
            let count = places.len();
            return self.wrong(format!("SEND_OK for the {shown} names {count} ids"));
        }
        for ((id, place), offset) in ids.clone().zip(places).zip(first..) {
            match place {
                Some((_, physical)) => self.name(id, offset, physical, "SEND_OK"),
                None => self.wrong(format!("SEND_OK for the {shown} names an id that is none")),
            }
        }
    }

    fn pull_answered(&mut self, queue: &Queue, offset: i64, issue: &Issue, answer: &Answer) {
        let Answer { code, remark, .. } = answer;
        let excuses = self.excuses_since(issue);
        match *code {
            response::SUCCESS => {}
            response::PULL_NOT_FOUND
            | response::PULL_OFFSET_MOVED
            | response::PULL_RETRY_IMMEDIATELY
            | response::SYSTEM_BUSY => return,
            response::TOPIC_NOT_EXIST if issue.known != Known::There => return,
            response::SERVICE_NOT_AVAILABLE | response::SYSTEM_ERROR
                if excuses.full || excuses.failing || excuses.stopping =>
            {
                return;
            }
            _ => {
                let there = issue.known == Known::There;
                if there && self.topic(&queue.0).epoch == issue.epoch {
                    self.wrong(format!("a pull of {queue:?} is refused with {code}: {remark}"));
                }
                return;
            }
        }
        let mut rest = answer.body.as_slice();
        let mut expected = offset;
        while !rest.is_empty() {
            let Ok(record) = Record::decode(rest) else {
                return self.wrong(format!("a pull of {queue:?} brings what is no record"));
            };
            if record.queue_offset != expected {
                let found = record.queue_offset;
                self.wrong(format!("a pull of {queue:?} brings {found}, due is {expected}"));
            }
            match &*queue.0 {
                transactions::GIVEN_UP => self.found_given_up(&record),
                topic if sent_back::is_own(topic) => self.found_back(queue, &record),
                _ => self.served(queue, issue, &record),
            }
            expected = record.queue_offset + 1;
            rest = rest.get(record.size..).unwrap_or_default();
        }
        if answer.find_number("nextBeginOffset") != Some(expected) {
            let next = answer.fields.get("nextBeginOffset");
            self.wrong(format!("a pull of {queue:?} up to {expected} goes on at {next:?}"));
        }
    }

    fn served(&mut self, queue: &Queue, issue: &Issue, record: &Record<'_>) {
        let offset = record.queue_offset;
        let place = format!("{}/{} at {offset}", queue.0, queue.1);
        let number = record.body.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        let Some(id) = number.filter(|id| *id < self.messages()) else {
            return self.wrong(format!("{place} is a message that nobody sent"));
        };
        if !self.may_be_served(id) {
            return self.wrong(format!("{place} is the half {id}, which nobody has committed"));
        }
        let message = self.message(id).clone();
        if record.body != contents(id, message.body_bytes) {
            self.wrong(format!("{place}: the body of message {id} is another"));
        }
        let own = properties(id, message.property_bytes);
        let separated = own.strip_suffix(b"\x02").unwrap_or(&own);
        if !record.properties.windows(separated.len()).any(|part| part == separated) {
            self.wrong(format!("{place}: the properties of message {id} are others"));
        }
        if message.queue != *queue || record.topic != &*queue.0 || record.queue_id != queue.1 {
            self.wrong(format!("{place} is message {id}, sent to {:?}", message.queue));
        }
        if let Fate::Refused(code) = message.fate {
            self.wrong(format!("{place} is message {id}, which was refused with {code}"));
        }
        let thing = self.topic(&queue.0);
        if let (Some(made), Known::There) = (thing.made_again_at, thing.known)
            && message.fate == Fate::Stored
            && message.answered_at < made
            && issue.event > made
        {
            self.wrong(format!("{place} is message {id} of the topic that was deleted before"));
        }
        self.timed_served(id, &place, record);
        self.name(id, offset, record.physical_offset, "a pull");
        self.see(id, record.store_timestamp);
    }

    fn lock_answered(
        &mut self,
        (client, queue): (u32, &Queue),
        issue: &Issue,
        answer: &Answer,
        now: Duration,
    ) {
        if answer.code != response::SUCCESS {
            let request = Request::Lock { client, queue: queue.clone() };
            return self.refused(&request, issue, answer);
        }
        let Ok(body) = fastjson::from_slice::<LockBatchResponseBody>(&answer.body) else {
            return self.wrong("the answer to a lock has no body".to_owned());
        };
        if body.lock_ok_mq_set.is_empty() {
            return;
        }
        if let Some((holder, since)) = self.locks.insert(queue.clone(), (client, now))
            && holder != client
            && now < since + LOCK
        {
            self.wrong(format!("{queue:?} is locked for client {client} and {holder} at once"));
        }
    }

    /// The offset of a group is at least what has to be there, and one that was committed.
    fn offset_told(&mut self, request: &Request, issue: &Issue, answer: &Answer, now: Duration) {
        let Request::QueryOffset { group, queue } = request else {
            return;
        };
        let key = (group.clone(), queue.clone());
        let commits = self.commits.get(&key).map_or(&[][..], Vec::as_slice);
        let due = |commit: &&super::model::Commit| commit.firm || commit.acknowledged.is_some();
        let least = commits.iter().filter(due).map(|commit| commit.offset).max();
        let most = commits.iter().map(|commit| commit.offset).max();
        let found = match answer.code {
            response::SUCCESS => answer.find_number("offset"),
            response::QUERY_NOT_FOUND => None,
            _ => return self.refused(request, issue, answer),
        };
        if **group == *resets::GROUP {
            return self.reset_told(queue, issue, found, now);
        }
        if let Some(least) = least
            && found.is_none_or(|found| found < least)
        {
            let text =
                format!("group {group} is at {found:?} of {queue:?}, {least} was acknowledged");
            return self.wrong(text);
        }
        if let (Some(found), Some(most)) = (found, most)
            && found > most
        {
            self.wrong(format!("group {group} is at {found} of {queue:?}, {most} was the most"));
        }
    }

    /// All of a queue has been read: `found` by offset, from `min` to `max`.
    pub fn judge_queue(&mut self, queue: &Queue, found: &[(i64, u64)], crashed: bool) {
        let ids: Vec<u64> = self.of_queue(queue).to_vec();
        for id in &ids {
            let message = self.message(*id);
            let promised = message.seen || message.fate == Fate::Stored && self.has_come(*id);
            if !promised || message.exempt {
                continue;
            }
            let name = message.name.map(|(offset, _)| (offset, *id));
            if name.is_none_or(|name| found.binary_search(&name).is_err()) {
                let timed = self.timed.get(id);
                let text = format!(
                    "message {id} of {queue:?} was {:?} as {:?} and is not there{}",
                    message.fate,
                    message.name,
                    timed.map(|timed| format!(": {timed:?}")).unwrap_or_default()
                );
                self.wrong(text);
            }
        }
        self.judge_order(queue, found);
        self.judge_batches(queue, found, crashed);
    }

    fn judge_order(&mut self, queue: &Queue, found: &[(i64, u64)]) {
        let mut last: std::collections::BTreeMap<u32, u64> = std::collections::BTreeMap::new();
        let mut seen = std::collections::BTreeSet::new();
        for (offset, id) in found {
            if !seen.insert(*id) {
                self.wrong(format!("message {id} is twice in {queue:?}, again at {offset}"));
                continue;
            }
            let client = self.message(*id).client;
            // Transactions end in any order; what is kept back comes in that of its times.
            if let Some(before) = last.insert(client, *id)
                && before > *id
                && *queue.0 != *transactions::TOPIC
                && *queue.0 != *timers::TOPIC
            {
                let text = format!("in {queue:?} at {offset} message {id} is behind {before}");
                self.wrong(text);
            }
        }
    }

    fn judge_batches(&mut self, queue: &Queue, found: &[(i64, u64)], crashed: bool) {
        let mut index = 0;
        while let Some((offset, id)) = found.get(index) {
            index += 1;
            let Some(batch) = self.message(*id).batch.clone() else {
                continue;
            };
            if *id != batch.start {
                let text = format!("{queue:?} at {offset}: batch {batch:?} begins with {id}");
                self.wrong(text);
                continue;
            }
            let rest = batch.start + 1..batch.end;
            let behind = found.get(index..).unwrap_or_default().iter().map(|(_, id)| *id);
            let together = rest.clone().zip(behind).take_while(|(due, is)| due == is).count();
            index += together;
            // A crash may end a batch whose writes were under way.
            let may_be_cut = self.message(*id).fate == Fate::Unknown && crashed;
            if together as u64 != rest.end - rest.start && !may_be_cut {
                let count = together + 1;
                let text = format!(
                    "{queue:?} at {offset}: of batch {batch:?} only {count} lie behind each other"
                );
                self.wrong(text);
            }
        }
    }
}

/// The log that a physical offset is in.
pub fn log_of(physical: i64) -> Option<u16> {
    PhysicalOffset::from_wire(physical).map(|offset| offset.log().get())
}
