//! Queue handles that were looked up before, by topic and queue.

/// Queues of a topic whose handles lie in one cache line.
const NEAR: usize = 8;

/// Handles `H` by topic id and queue id.
pub struct Handles<H>(Vec<Topic<H>>);

#[repr(align(64))]
struct Topic<H> {
    near: [Option<H>; NEAR],
    /// Of the queues from [`NEAR`] on.
    far: Vec<Option<H>>,
}

const _: () = assert!(size_of::<[Option<ringmq_store::QueueHandle>; NEAR]>() == 64);

impl<H> Default for Handles<H> {
    fn default() -> Self {
        Handles(Vec::new())
    }
}

impl<H: Copy> Handles<H> {
    /// Where the handle of a queue is kept; empty before it was looked up. A queue id below 0
    /// counts as 0.
    pub fn slot(&mut self, topic_id: u32, queue_id: i32) -> &mut Option<H> {
        let at = topic_id as usize;
        if self.0.len() <= at {
            self.0.resize_with(at + 1, || Topic { near: [None; NEAR], far: Vec::new() });
        }
        let topic = &mut self.0[at];
        let queue = usize::try_from(queue_id).unwrap_or(0);
        match queue.checked_sub(NEAR) {
            None => &mut topic.near[queue],
            Some(far) => {
                if topic.far.len() <= far {
                    topic.far.resize(far + 1, None);
                }
                &mut topic.far[far]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_has_a_place_of_its_own() {
        let mut handles = Handles::default();
        for topic in [3, 0, 1] {
            for queue in [0, 7, 8, 9, 1000, 1] {
                assert_eq!(*handles.slot(topic, queue), None, "{topic}/{queue}");
                *handles.slot(topic, queue) = Some(topic * 10_000 + queue.unsigned_abs());
            }
        }
        for topic in [0, 1, 3] {
            for queue in [0_i32, 1, 7, 8, 9, 1000] {
                let expected = Some(topic * 10_000 + queue.unsigned_abs());
                assert_eq!(*handles.slot(topic, queue), expected, "{topic}/{queue}");
            }
        }
        let first = *handles.slot(3, 0);
        assert_eq!(*handles.slot(3, -5), first);
    }
}
