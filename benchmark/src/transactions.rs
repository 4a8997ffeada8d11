//! Transactional messages: what becomes of each follows from its key alone, so that a question of
//! the broker about any of them, however late, has the answer that belongs to it.

use std::collections::HashSet;

use anyhow::ensure;
use ringmq_base::record::Record;
use ringmq_remoting::codes::{property, request};
use ringmq_remoting::encode;
use ringmq_remoting::frame::Serialization;
use ringmq_remoting::message_id::MessageId;

use crate::reply::Reply;
use crate::stamp::{UNIQUE_PREFIX_DIGITS, UNIQUE_TAIL_DIGITS};
use crate::statistics::Counters;

/// Opaque of the decisions, which nobody answers: below those of requests.
const END_OPAQUE: i32 = 999_999_998;
/// Questions that are remembered, so that one that comes twice is noticed.
const QUESTIONS_MAX: usize = 200_000;

/// What becomes of the messages, as shares of 1.
#[derive(Debug, Clone, Copy, PartialEq, clap::Args)]
pub struct Rates {
    /// Part of the messages that is rolled back at once.
    #[arg(long, default_value_t = 0.0, value_parser = parse_share)]
    pub send_rollback_rate: f64,
    /// Part of the others that stays undecided until the broker asks.
    #[arg(long, default_value_t = 0.0, value_parser = parse_share)]
    pub send_unknown_rate: f64,
    /// Part of the answers to the broker's questions that rolls back.
    #[arg(long, default_value_t = 0.0, value_parser = parse_share)]
    pub check_rollback_rate: f64,
    /// Part of the other answers that leaves it undecided.
    #[arg(long, default_value_t = 0.0, value_parser = parse_share)]
    pub check_unknown_rate: f64,
}

fn parse_share(text: &str) -> anyhow::Result<f64> {
    let share: f64 = text.parse()?;
    ensure!((0.0..=1.0).contains(&share), "a part is between 0 and 1");
    Ok(share)
}

/// What a producer says about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Commit,
    Rollback,
    Unknown,
}

impl Fate {
    /// `commitOrRollback` on the wire.
    fn code(self) -> &'static str {
        match self {
            Fate::Unknown => "0",
            Fate::Commit => "8",
            Fate::Rollback => "12",
        }
    }
}

impl Rates {
    /// What is said about a message at the question `check`; 0: right after it was sent.
    pub fn fate(&self, key: &[u8], check: u32) -> Fate {
        let (rollback, unknown) = match check {
            0 => (self.send_rollback_rate, self.send_unknown_rate),
            _ => (self.check_rollback_rate, self.check_unknown_rate),
        };
        let mut random = fastrand::Rng::with_seed(hash(key) ^ u64::from(check));
        // The first numbers of near seeds are near, too.
        let _ = random.u64(..);
        if random.f64() < rollback {
            Fate::Rollback
        } else if random.f64() < unknown {
            Fate::Unknown
        } else {
            Fate::Commit
        }
    }
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, step)
}

/// The decisions of one thread.
#[derive(Debug)]
pub struct Decisions {
    rates: Rates,
    group: String,
    broker: String,
    prefix: [u8; UNIQUE_PREFIX_DIGITS],
    questions: HashSet<(u64, u32)>,
}

impl Decisions {
    /// For messages of `group` on `broker` whose keys begin with `prefix`.
    pub fn new(
        rates: Rates,
        group: &str,
        broker: &str,
        prefix: [u8; UNIQUE_PREFIX_DIGITS],
    ) -> Decisions {
        let (group, broker) = (group.to_owned(), broker.to_owned());
        Decisions { rates, group, broker, prefix, questions: HashSet::new() }
    }

    /// Appends what is decided about a message whose half the broker has stored.
    pub fn sent(&self, reply: &Reply<'_>, tail: &[u8; UNIQUE_TAIL_DIGITS], output: &mut Vec<u8>) {
        let stored = reply.ext_text("msgId").and_then(|id| MessageId::parse(&id));
        let (Some((_, physical)), Some(offset)) = (stored, reply.ext_number("queueOffset")) else {
            return;
        };
        let key = [&self.prefix[..], &tail[..]].concat();
        let fate = self.rates.fate(&key, 0);
        self.end(fate, &key, (physical, offset), false, output);
    }

    /// Answers a question of the broker.
    pub fn asked(&mut self, reply: &Reply<'_>, counters: &Counters, output: &mut Vec<u8>) {
        let place = (reply.ext_number("commitLogOffset"), reply.ext_number("tranStateTableOffset"));
        let ((Some(physical), Some(offset)), Ok(record)) = (place, Record::decode(reply.body))
        else {
            return;
        };
        let Some(key) = find(record.properties, property::UNIQ_KEY) else { return };
        // Of another run: nobody knows what was meant.
        if !key.starts_with(&self.prefix) {
            self.end(Fate::Rollback, key, (physical, offset), true, output);
            return;
        }
        let times = find(record.properties, property::TRANSACTION_CHECK_TIMES);
        let times = times.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        let times: u32 = times.unwrap_or(1).max(1);
        Counters::add(&counters.checks, 1);
        if self.questions.len() >= QUESTIONS_MAX {
            self.questions.clear();
        }
        if !self.questions.insert((hash(key), times)) {
            Counters::add(&counters.duplicated_checks, 1);
        }
        // What was decided before needed no question.
        let decided = (0..times).map(|check| self.rates.fate(key, check));
        let decided = decided.into_iter().find(|fate| *fate != Fate::Unknown);
        if decided.is_some() {
            Counters::add(&counters.unexpected_checks, 1);
        }
        let fate = decided.unwrap_or_else(|| self.rates.fate(key, times));
        self.end(fate, key, (physical, offset), true, output);
    }

    fn end(
        &self,
        fate: Fate,
        key: &[u8],
        (physical, offset): (i64, i64),
        of_check: bool,
        output: &mut Vec<u8>,
    ) {
        let (physical, offset) = (physical.to_string(), offset.to_string());
        let key = String::from_utf8_lossy(key);
        let fields = [
            ("producerGroup", self.group.as_str()),
            ("tranStateTableOffset", &offset),
            ("commitLogOffset", &physical),
            ("commitOrRollback", fate.code()),
            ("fromTransactionCheck", if of_check { "true" } else { "false" }),
            ("msgId", &key),
            ("transactionId", &key),
            ("bname", &self.broker),
        ];
        let (json, code) = (Serialization::Json, request::END_TRANSACTION);
        let made = encode::request(output, json, code, END_OPAQUE, true, &fields, &[]);
        made.expect("the fields of a decision are short");
    }
}

/// The value of a property.
fn find<'a>(properties: &'a [u8], name: &str) -> Option<&'a [u8]> {
    properties.split(|byte| *byte == 2).find_map(|pair| {
        let rest = pair.strip_prefix(name.as_bytes())?;
        rest.strip_prefix(&[1])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates_are_as_frequent_as_asked_and_the_same_each_time() {
        let rates = Rates {
            send_rollback_rate: 0.2,
            send_unknown_rate: 0.5,
            check_rollback_rate: 1.0,
            check_unknown_rate: 0.0,
        };
        let mut counts = [0; 3];
        for number in 0..10_000u32 {
            let key = format!("7F000001{number:08X}");
            let fate = rates.fate(key.as_bytes(), 0);
            assert_eq!(fate, rates.fate(key.as_bytes(), 0));
            assert_eq!(rates.fate(key.as_bytes(), 3), Fate::Rollback);
            counts[fate as usize] += 1;
        }
        let [commit, rollback, unknown] = counts;
        assert!((3_700..4_300).contains(&commit), "{counts:?}");
        assert!((1_700..2_300).contains(&rollback), "{counts:?}");
        assert!((3_700..4_300).contains(&unknown), "{counts:?}");
    }

    #[test]
    fn properties_are_found_by_their_whole_name() {
        let properties = b"KEYS\x01UNIQ_KEY\x02UNIQ_KEY\x01AC11\x02WAIT\x01true";
        assert_eq!(find(properties, "UNIQ_KEY"), Some(&b"AC11"[..]));
        assert_eq!(find(properties, "UNIQ"), None);
    }
}
