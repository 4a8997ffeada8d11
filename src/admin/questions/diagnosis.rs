//! What is wrong with a queue of a group, in words. Pure: all that was asked comes in.

use super::groups::ProcessQueue;
use crate::output::Cell;

/// A reader with messages that has not touched one for so long is stuck, as RocketMQ has it.
const STUCK_MS: i64 = 60_000;
/// A reader that has not pulled for so long has stopped: pulls wait 20 s at most, and RocketMQ's
/// clients themselves give up a queue after two minutes.
const SILENT_MS: i64 = 60_000;

/// What is known of a queue.
#[derive(Clone, Debug, Default)]
pub struct Known<'a> {
    /// Milliseconds since 1970.
    pub now: i64,
    /// Messages that are not consumed.
    pub lag: i64,
    /// Those of them that members have pulled, if the broker tells.
    pub inflight: Option<i64>,
    pub committed: Option<i64>,
    pub group: Group<'a>,
    /// Members that say that they read it, with what they say of it.
    pub readers: Vec<(&'a str, &'a ProcessQueue)>,
}

/// What is known of the group and the queue's topic.
#[derive(Clone, Debug, Default)]
pub struct Group<'a> {
    pub may_consume: bool,
    pub broadcasts: bool,
    pub in_order: bool,
    /// Members that are connected.
    pub members: usize,
    /// Those of them that do not tell what they read.
    pub silent: Vec<&'a str>,
    /// What members subscribe to of this topic.
    pub subscriptions: Vec<(&'a str, Option<&'a str>)>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Fine,
    Behind,
    Wrong,
}

impl Known<'_> {
    /// The first thing that explains the state of the queue.
    pub fn diagnosis(&self) -> (Level, String) {
        if let Some(wrong) = self.of_group().or_else(|| self.of_readers()) {
            return (Level::Wrong, wrong);
        }
        if self.group.broadcasts {
            return (Level::Fine, "each member keeps its own offsets (broadcasting)".to_owned());
        }
        match self.lag {
            ..=0 => (Level::Fine, "up to date".to_owned()),
            lag => {
                (Level::Behind, format!("is read, and {lag} messages behind{}", self.in_flight()))
            }
        }
    }

    fn in_flight(&self) -> String {
        let some = self.inflight.filter(|inflight| *inflight > 0);
        some.map_or_else(String::new, |some| format!(", of which {some} are in flight"))
    }

    fn of_group(&self) -> Option<String> {
        let group = &self.group;
        if !group.may_consume {
            return Some("the group may not consume (updateSubGroup -s false)".to_owned());
        }
        if group.members == 0 {
            return Some("no member of the group is connected".to_owned());
        }
        if group.subscriptions.iter().all(|(_, expression)| expression.is_none()) {
            // members that are silent may well subscribe
            return group
                .silent
                .is_empty()
                .then(|| "no member subscribes to this topic".to_owned());
        }
        let (first, wanted) = group.subscriptions.first()?;
        let (other, different) = group.subscriptions.iter().find(|(_, other)| other != wanted)?;
        let text = |expression: &Option<&str>| match expression {
            Some(expression) => format!("to {expression:?}"),
            None => "not at all".to_owned(),
        };
        Some(format!(
            "two members with different subscriptions: {first} {}, {other} {}",
            text(wanted),
            text(different)
        ))
    }

    fn of_readers(&self) -> Option<String> {
        let time = |ms: i64| Cell::clock(ms);
        if self.group.broadcasts {
            return None;
        }
        let ((reader, state), others) = match self.readers.split_first() {
            Some((first, others)) => (*first, others),
            None if self.group.silent.is_empty() => {
                return Some("nobody reads this queue".to_owned());
            }
            None => {
                let silent = self.group.silent.join(", ");
                let in_flight = self.in_flight();
                return Some(match in_flight.is_empty() {
                    true => format!("its reader is not known: {silent} does not tell"),
                    false => format!(
                        "its reader does not tell ({silent}): {} messages behind{in_flight}",
                        self.lag
                    ),
                });
            }
        };
        if let Some((other, _)) = others.first() {
            return Some(format!("two members read this queue: {reader} and {other}"));
        }
        if self.group.in_order && !state.locked {
            return Some(format!(
                "waits for the lock of another client, which may be dead: locks end 60 s after \
                 their holder; tried since {}",
                time(state.last_lock_timestamp)
            ));
        }
        if state.cached_msg_count > 0 && self.now - state.last_consume_timestamp > STUCK_MS {
            return Some(format!(
                "stuck on the message at offset {} since {}",
                state.cached_msg_min_offset,
                time(state.last_consume_timestamp)
            ));
        }
        if self.now - state.last_pull_timestamp > SILENT_MS {
            let since = time(state.last_pull_timestamp);
            return Some(format!("its reader has not pulled since {since}"));
        }
        let is_not_committed = self.lag > 0 && state.cached_msg_count == 0;
        (is_not_committed && state.commit_offset > self.committed.unwrap_or(-1))
            .then(|| "is consumed, but nothing is committed".to_owned())
            .filter(|_| self.committed.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_796_000_000_000;

    fn state() -> ProcessQueue {
        ProcessQueue {
            locked: true,
            last_pull_timestamp: NOW - 100,
            last_consume_timestamp: NOW - 100,
            ..ProcessQueue::default()
        }
    }

    fn known<'a>(readers: Vec<(&'a str, &'a ProcessQueue)>, lag: i64) -> Known<'a> {
        let subscriptions = vec![("a", Some("*")), ("b", Some("*"))];
        let group = Group { may_consume: true, members: 2, subscriptions, ..Group::default() };
        Known { now: NOW, lag, inflight: Some(0), committed: Some(5), group, readers }
    }

    #[test]
    fn each_trouble_has_its_words() {
        let (fine, mut stuck, mut silent, mut unlocked) = (state(), state(), state(), state());
        stuck.cached_msg_count = 3;
        stuck.cached_msg_min_offset = 17;
        stuck.last_consume_timestamp = NOW - STUCK_MS - 1;
        silent.last_pull_timestamp = NOW - SILENT_MS - 1;
        unlocked.locked = false;
        let mut paused = known(vec![("a", &fine)], 1);
        paused.group.may_consume = false;
        let mut empty = known(vec![], 1);
        empty.group.members = 0;
        let mut elsewhere = known(vec![], 1);
        elsewhere.group.subscriptions = vec![("a", None)];
        let mut different = known(vec![("a", &fine)], 1);
        different.group.subscriptions = vec![("a", Some("red")), ("b", Some("blue"))];
        let mut untold = known(vec![], 1);
        untold.group.silent = vec!["b"];
        let told = "its reader does not tell (b): 1 messages behind, of which 1 are in flight";
        let pulled = Known { inflight: Some(1), ..untold.clone() };
        let busy = Known { inflight: Some(4), ..known(vec![("a", &fine)], 7) };
        let mut ordered = known(vec![("a", &unlocked)], 1);
        ordered.group.in_order = true;
        for (known, level, part) in [
            (known(vec![("a", &fine)], 0), Level::Fine, "up to date"),
            (known(vec![("a", &fine)], 7), Level::Behind, "is read, and 7 messages behind"),
            (paused, Level::Wrong, "may not consume"),
            (empty, Level::Wrong, "no member of the group is connected"),
            (elsewhere, Level::Wrong, "no member subscribes to this topic"),
            (different, Level::Wrong, "different subscriptions: a to \"red\", b to \"blue\""),
            (known(vec![], 1), Level::Wrong, "nobody reads this queue"),
            (busy, Level::Behind, "7 messages behind, of which 4 are in flight"),
            (pulled, Level::Wrong, told),
            (untold, Level::Wrong, "its reader is not known: b does not tell"),
            (known(vec![("a", &fine), ("b", &fine)], 1), Level::Wrong, "two members read"),
            (ordered, Level::Wrong, "waits for the lock of another client"),
            (known(vec![("a", &stuck)], 3), Level::Wrong, "stuck on the message at offset 17"),
            (known(vec![("a", &silent)], 3), Level::Wrong, "its reader has not pulled since"),
        ] {
            let (found, text) = known.diagnosis();
            assert!(found == level && text.contains(part), "{part}: {found:?} {text}");
        }
    }
}
