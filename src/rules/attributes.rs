//! Attributes of topics, as RocketMQ 5 has them (`mqadmin updateTopic -a`), and one of RingMQ's
//! own: `reserve.bytes`. Source: `AttributeParser`, `AttributeUtil` and `TopicAttributes` of 5.3.3.

use std::collections::BTreeMap;

use ringmq_remoting::codes::response as code;

use super::refusal::Refusal;

pub type Attributes = BTreeMap<String, String>;

/// What attributes take in memory, about, in bytes: the smallest map has room for 11, and the
/// tables have each twice.
pub fn bytes_of(attributes: &Attributes) -> usize {
    if attributes.is_empty() {
        return 0;
    }
    let texts = attributes.iter().map(|(key, value)| key.len() + value.len() + 128);
    2 * (texts.sum::<usize>() + 512)
}

/// Hours that messages of the topic are kept; -1 as the broker keeps others.
const RESERVE_TIME: &str = "reserve.time";
/// Bytes of messages of the topic that are kept at least; older ones may go. -1 without a limit.
const RESERVE_BYTES: &str = "reserve.bytes";

pub const HOUR_MS: i64 = 3_600_000;

/// What may be set, and to what.
const KNOWN: [(&str, Values); 5] = [
    ("queue.type", Values::OneOf(&["SimpleCQ"])),
    ("cleanup.policy", Values::OneOf(&["DELETE"])),
    (
        "message.type",
        Values::OneOf(&["UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION", "MIXED"]),
    ),
    (RESERVE_TIME, Values::Number),
    (RESERVE_BYTES, Values::Number),
];

enum Values {
    OneOf(&'static [&'static str]),
    /// Above 0, or -1, which means that there is no limit. 0 would read as "keep nothing", which is
    /// what nobody means.
    Number,
}

impl Values {
    fn check(&self, key: &str, value: &str) -> Result<(), Refusal> {
        match self {
            Values::OneOf(known) if known.contains(&value) => Ok(()),
            Values::OneOf(known) => Err(refusal(format!(
                "value {value:?} of attribute {key} is not supported; supported: {}",
                known.join(", ")
            ))),
            Values::Number => match value.parse::<i64>() {
                Ok(-1 | 1..) => Ok(()),
                _ => Err(refusal(format!(
                    "value {value:?} of attribute {key} is out of range: a whole number of at \
                     least 1, or -1 for no limit"
                ))),
            },
        }
    }
}

/// What an administrator's `change` makes of the `current` attributes, which are `None` when the
/// topic is made: `+key=value` sets, `-key` takes away, with commas in between; all others stay.
///
/// # Errors
/// If the text has another form, names a key twice, takes away what is not there, or sets what
/// this broker does not know.
pub fn alter(current: Option<&Attributes>, change: &str) -> Result<Attributes, Refusal> {
    let mut altered = current.cloned().unwrap_or_default();
    let mut seen = Vec::new();
    for part in change.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let set = part.strip_prefix('+').and_then(|rest| rest.split_once('='));
        let (key, value) = match (set, part.strip_prefix('-')) {
            (Some((key, value)), _) => (key, Some(value)),
            (None, Some(key)) if !key.contains('=') => (key, None),
            _ => {
                return Err(refusal(format!(
                    "add/alter/delete attribute format is wrong: {part:?}; +key=value sets, -key \
                     takes away"
                )));
            }
        };
        if seen.contains(&key) {
            return Err(refusal(format!("key duplication: {key}")));
        }
        seen.push(key);
        match value {
            Some(value) => {
                known(key)?.check(key, value)?;
                altered.insert(key.to_owned(), value.to_owned());
            }
            None if current.is_none() => {
                let text = "only add attribute is supported while creating topic. key";
                return Err(refusal(format!("{text}: {key}")));
            }
            None => {
                if altered.remove(key).is_none() {
                    return Err(refusal(format!("attempt to delete a nonexistent key: {key}")));
                }
            }
        }
    }
    Ok(altered)
}

/// The answer to whoever sets attributes beyond what those of all topics, or of all groups, may
/// take.
#[cold]
pub fn too_many(of: &str, bytes: usize, most: usize) -> Refusal {
    refusal(format!(
        "the attributes of {of} are not stored: those of all of its kind take {bytes} bytes with \
         them, at most {most} fit; use shorter ones, or fewer"
    ))
}

fn known(key: &str) -> Result<&'static Values, Refusal> {
    match KNOWN.iter().find(|(name, _)| *name == key) {
        Some((_, values)) => Ok(values),
        None => {
            let names = KNOWN.map(|(name, _)| name).join(", ");
            Err(refusal(format!("unsupported key: {key}; supported: {names}")))
        }
    }
}

fn refusal(remark: String) -> Refusal {
    Refusal::new(code::SYSTEM_ERROR, remark)
}

/// `reserve.time` in milliseconds; `None` if the topic has none or no number above 0.
pub fn reserve_time_ms(attributes: &Attributes) -> Option<i64> {
    Some(positive(attributes, RESERVE_TIME)?.saturating_mul(HOUR_MS))
}

/// `reserve.bytes`; `None` if the topic has none or no number above 0.
pub fn reserve_bytes(attributes: &Attributes) -> Option<u64> {
    u64::try_from(positive(attributes, RESERVE_BYTES)?).ok()
}

fn positive(attributes: &Attributes, key: &str) -> Option<i64> {
    attributes.get(key)?.trim().parse().ok().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Attributes {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let old = map(&[("message.type", "FIFO"), ("reserve.time", "24")]);
        let altered = |change| alter(Some(&old), change).expect("a sound change");
        assert_eq!(altered(""), old);
        let all = [("message.type", "FIFO"), ("reserve.bytes", "9"), ("reserve.time", "48")];
        assert_eq!(altered("+reserve.time=48,+reserve.bytes=9"), map(&all));
        assert_eq!(altered("-reserve.time"), map(&[("message.type", "FIFO")]));
    }

    #[test]
    fn a_wrong_change_is_refused_with_what_is_wrong() {
        let old = map(&[("message.type", "FIFO")]);
        let cases = [
            ("message.type=FIFO", "format is wrong"),
            ("+message.type", "format is wrong"),
            ("-message.type=FIFO", "format is wrong"),
            ("-reserve.time", "nonexistent key: reserve.time"),
            ("+reserve.time=1,-reserve.time", "key duplication"),
            ("+colour=red", "unsupported key: colour; supported: queue.type"),
            ("+cleanup.policy=COMPACTION", "\"COMPACTION\""),
            ("+reserve.bytes=1G", "whole number"),
            ("+reserve.bytes=-2", "whole number"),
            ("+reserve.time=0", "at least 1, or -1 for no limit"),
        ];
        for (change, part) in cases {
            let refusal = alter(Some(&old), change).expect_err(change);
            assert!(refusal.remark.contains(part), "{change}: {}", refusal.remark);
        }
        let refusal = alter(None, "-message.type").expect_err("the topic is new");
        assert!(refusal.remark.starts_with("only add attribute"), "{}", refusal.remark);
    }

    #[test]
    fn limits_are_numbers_above_zero() {
        assert_eq!(reserve_time_ms(&map(&[("reserve.time", "24")])), Some(24 * HOUR_MS));
        assert_eq!(reserve_bytes(&map(&[("reserve.bytes", "4096")])), Some(4096));
        for none in ["-1", "0", "", "x"] {
            assert_eq!(reserve_time_ms(&map(&[("reserve.time", none)])), None);
            assert_eq!(reserve_bytes(&map(&[("reserve.bytes", none)])), None);
        }
    }
}
