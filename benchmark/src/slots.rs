//! Requests in flight on one connection; the opaque of a request names its slot.

use crate::arguments::DEPTH_MAX;

/// Smallest opaque of the tool: every opaque then has ten digits and is a positive `int`.
pub const OPAQUE_BASE: u32 = 1_000_000_000;

const SLOT_BITS: u32 = DEPTH_MAX.trailing_zeros();
const _: () = assert!(DEPTH_MAX.is_power_of_two());
const _: () = assert!(OPAQUE_BASE as u64 + (1 << (SLOT_BITS + 16)) <= i32::MAX as u64);

/// The table of one connection. A slot's generation tells a late answer to a request that was given
/// up from the answer to the request that has its slot now.
#[derive(Debug)]
pub struct Slots {
    slots: Vec<Slot>,
    free: Vec<u16>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    started_ns: u64,
    sent_ns: u64,
    generation: u16,
    busy: bool,
}

impl Slots {
    /// A table of `depth` free slots, at most [`DEPTH_MAX`].
    pub fn new(depth: u32) -> Slots {
        assert!(depth <= DEPTH_MAX, "the command line limits the depth");
        let slots =
            vec![Slot { started_ns: 0, sent_ns: 0, generation: 0, busy: false }; depth as usize];
        Slots { slots, free: (0..depth as u16).rev().collect() }
    }

    /// Whether a request can be sent.
    pub fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Requests in flight.
    pub fn busy(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes a slot for a request that is sent at `sent_ns` and was due at `started_ns`: its
    /// opaque.
    pub fn take(&mut self, started_ns: u64, sent_ns: u64) -> Option<u32> {
        let index = self.free.pop()?;
        let slot = &mut self.slots[usize::from(index)];
        slot.started_ns = started_ns;
        slot.sent_ns = sent_ns;
        slot.busy = true;
        Some(OPAQUE_BASE + ((u32::from(slot.generation) << SLOT_BITS) | u32::from(index)))
    }

    /// Number of the slot that an opaque of this table names.
    pub fn number(opaque: u32) -> usize {
        (opaque.wrapping_sub(OPAQUE_BASE) & (DEPTH_MAX - 1)) as usize
    }

    /// Frees the slot of an answered request: when it started, or `None` for an opaque that is not
    /// in flight.
    pub fn complete(&mut self, opaque: u32) -> Option<u64> {
        let bits = opaque.checked_sub(OPAQUE_BASE)?;
        let index = bits & (DEPTH_MAX - 1);
        let slot = self.slots.get_mut(index as usize)?;
        if !slot.busy || u32::from(slot.generation) != bits >> SLOT_BITS {
            return None;
        }
        slot.busy = false;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index as u16);
        Some(slot.started_ns)
    }

    /// Gives up the requests that were sent before `before_ns` and says how many these were.
    pub fn expire(&mut self, before_ns: u64) -> u64 {
        let mut expired = 0;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.busy && slot.sent_ns < before_ns {
                slot.busy = false;
                slot.generation = slot.generation.wrapping_add(1);
                self.free.push(index as u16);
                expired += 1;
            }
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_frees_its_slot_once() {
        let mut slots = Slots::new(2);
        let first = slots.take(10, 10).expect("a free slot");
        let second = slots.take(20, 20).expect("a free slot");
        assert!(!slots.has_free() && slots.take(30, 30).is_none());
        assert_eq!(slots.complete(second), Some(20));
        assert_eq!(slots.complete(second), None, "answered twice");
        assert_eq!(slots.busy(), 1);
        assert_eq!(slots.complete(first), Some(10));
    }

    #[test]
    fn a_late_answer_does_not_end_the_next_request_of_the_slot() {
        let mut slots = Slots::new(1);
        let late = slots.take(10, 10).expect("a free slot");
        assert_eq!(slots.expire(11), 1);
        let next = slots.take(20, 20).expect("a free slot");
        assert_eq!(slots.complete(late), None);
        assert_eq!(slots.complete(next), Some(20));
    }

    #[test]
    fn opaques_keep_ten_digits_when_generations_wrap() {
        let mut slots = Slots::new(DEPTH_MAX);
        for _ in 0..70_000 {
            let opaque = slots.take(0, 0).expect("a free slot");
            assert!((OPAQUE_BASE..=i32::MAX as u32).contains(&opaque));
            slots.complete(opaque).expect("in flight");
        }
        assert_eq!(slots.complete(5), None, "somebody else's opaque");
        assert_eq!(slots.complete(u32::MAX), None);
    }
}
