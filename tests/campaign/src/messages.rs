//! The messages of a workload: ids are `producer | number`, and bodies follow from ids.

use std::collections::BTreeMap;

use ringmq_io::sim::Random;

use crate::checker::Bodies;

const NUMBER_BITS: u32 = 32;
const ID_BYTES: u64 = 8;

/// How long bodies are, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    pub usual_max: u64,
    pub large_max: u64,
    /// One in so many is large; 0 for none.
    pub large_one_in: u64,
}

pub fn message_id(producer: u64, number: u64) -> u64 {
    producer << NUMBER_BITS | number
}

/// What was handed to the store.
#[derive(Clone, Debug)]
pub struct Sent {
    lengths: Lengths,
    /// Messages by producer.
    counts: BTreeMap<u64, u64>,
}

impl Sent {
    pub fn new(lengths: Lengths) -> Sent {
        Sent { lengths, counts: BTreeMap::new() }
    }

    /// The id of a producer's next message, if it will be sent.
    pub fn next_id(&self, producer: u64) -> u64 {
        message_id(producer, self.counts.get(&producer).copied().unwrap_or(0))
    }

    /// The message of [`Sent::next_id`] was taken.
    pub fn count(&mut self, producer: u64) {
        *self.counts.entry(producer).or_default() += 1;
    }

    pub fn body(&self, id: u64) -> Vec<u8> {
        let mut body = id.to_be_bytes().to_vec();
        let mut random = Random::new(id);
        let length = usize::try_from(self.length(&mut random)).expect("some kilobytes");
        while body.len() < length {
            body.extend_from_slice(&random.word().to_le_bytes());
        }
        body.truncate(length);
        body
    }

    fn length(&self, random: &mut Random) -> u64 {
        let Lengths { usual_max, large_max, large_one_in } = self.lengths;
        let large = large_one_in > 0 && random.chance(1, large_one_in);
        ID_BYTES + random.below(if large { large_max } else { usual_max })
    }
}

impl Bodies for Sent {
    fn id(&self, body: &[u8]) -> Option<u64> {
        body.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }

    fn is_intact(&self, id: u64, body: &[u8]) -> bool {
        let mut random = Random::new(id);
        if self.length(&mut random) != body.len() as u64 {
            return false;
        }
        let mut words = body.get(8..).unwrap_or_default().chunks(8);
        words.all(|chunk| random.word().to_le_bytes().starts_with(chunk))
    }

    fn was_sent(&self, id: u64) -> bool {
        let (producer, number) = self.order(id);
        self.counts.get(&producer).is_some_and(|count| number < *count)
    }

    fn order(&self, id: u64) -> (u64, u64) {
        (id >> NUMBER_BITS, id & ((1 << NUMBER_BITS) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_follow_from_ids_and_nothing_else_is_intact() {
        let lengths = Lengths { usual_max: 300, large_max: 9000, large_one_in: 4 };
        let mut sent = Sent::new(lengths);
        for number in 0..100 {
            let id = sent.next_id(7);
            assert_eq!(id, message_id(7, number));
            let mut body = sent.body(id);
            assert!(!sent.was_sent(id));
            sent.count(7);
            assert!(sent.was_sent(id) && sent.is_intact(id, &body));
            assert_eq!(sent.id(&body), Some(id));
            let last = body.len() - 1;
            body[last] ^= 1;
            assert!(last < 8 || !sent.is_intact(id, &body));
            assert!(!sent.is_intact(id, &body[..last]));
        }
    }
}
