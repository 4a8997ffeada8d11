//! Where the tables of the shards have each topic.

use std::sync::Arc;

use ahash::AHashMap;

#[derive(Debug, Default)]
pub struct TopicPlaces {
    /// Id and slot of each topic.
    topics: AHashMap<Arc<str>, (u64, u32)>,
    next_id: u64,
    /// Of topics that were deleted.
    free: Vec<u32>,
}

impl TopicPlaces {
    /// Id and slot of a topic; a new one gets them.
    pub fn of(&mut self, name: &Arc<str>) -> (u64, u32) {
        if let Some(known) = self.topics.get(name) {
            return *known;
        }
        let slots = self.topics.len() + self.free.len();
        let slot = self
            .free
            .pop()
            .unwrap_or_else(|| u32::try_from(slots).expect("fewer than 2^32 topics"));
        self.next_id += 1;
        self.topics.insert(name.clone(), (self.next_id, slot));
        (self.next_id, slot)
    }

    /// The topic is deleted. One of the same name is another one.
    pub fn leave(&mut self, name: &str) {
        if let Some((_, slot)) = self.topics.remove(name) {
            self.free.push(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_used_again_and_an_id_is_not() {
        let mut places = TopicPlaces::default();
        let (first, second): (Arc<str>, Arc<str>) = ("first".into(), "second".into());
        assert_eq!((places.of(&first), places.of(&second)), ((1, 0), (2, 1)));
        assert_eq!(places.of(&first), (1, 0));
        for id in 3..1000 {
            places.leave(&first);
            assert_eq!(places.of(&first), (id, 0));
        }
        places.leave("unknown");
        assert_eq!(places.of(&"third".into()), (1000, 2));
    }
}
