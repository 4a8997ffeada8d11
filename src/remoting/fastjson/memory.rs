//! How much memory a body may take when it is read: a few bytes of JSON become a value of hundreds.

use std::cell::Cell;

use crate::lexer::JsonError;

/// What an allocation takes besides its bytes.
const ALLOCATION_BYTES: usize = 16;

/// A budget in bytes, for one body.
pub(crate) struct Memory {
    limit: usize,
    left: Cell<usize>,
}

impl Memory {
    pub fn new(limit: usize) -> Memory {
        Memory { limit, left: Cell::new(limit) }
    }

    /// For an item of a list, a key or a value: twice its size, because lists double and maps have
    /// room in their nodes.
    ///
    /// # Errors
    /// If that is more than is left.
    pub fn take_item<T>(&self) -> Result<(), JsonError> {
        self.take(2 * size_of::<T>())
    }

    /// For a text.
    ///
    /// # Errors
    /// If that is more than is left.
    pub fn take_text(&self, text: &str) -> Result<(), JsonError> {
        match text.len() {
            0 => Ok(()),
            bytes => self.take(bytes + ALLOCATION_BYTES),
        }
    }

    fn take(&self, bytes: usize) -> Result<(), JsonError> {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.ok_or(JsonError::Memory { limit: self.limit })?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::body::{HeartbeatData, LockBatchRequestBody, TopicConfigSerializeWrapper};
    use crate::fastjson::{from_slice_within, to_vec};

    fn list(before: &str, item: &str, count: usize, behind: &str) -> Vec<u8> {
        [before, &vec![item; count].join(","), behind].concat().into_bytes()
    }

    #[test]
    fn lists_of_nothing_are_refused_before_they_take_memory() {
        let bodies = [
            list("{consumerDataSet:[", "{}", 300_000, "]}"),
            list("{producerDataSet:[", "{}", 300_000, "]}"),
            list("{consumerDataSet:[{subscriptionDataSet:[", "{}", 300_000, "]}]}"),
            list("{consumerDataSet:[{subscriptionDataSet:[{tagsSet:[", "a", 500_000, "]}]}]}"),
        ];
        for body in bodies {
            let error = from_slice_within::<HeartbeatData>(&body, 1 << 20).expect_err("too much");
            assert!(error.to_string().contains("the 1048576 bytes of memory"), "{error}");
            assert!(from_slice_within::<HeartbeatData>(&body, 1 << 30).is_ok());
        }
        let queues: String = (0..20_000).map(|id| format!("{{queueId:{id}}},")).collect();
        let body = format!("{{mqSet:[{queues}]}}");
        assert!(from_slice_within::<LockBatchRequestBody>(body.as_bytes(), 1 << 20).is_err());
        let topics: String = (0..20_000).map(|id| format!("t{id}:{{}},")).collect();
        let body = format!("{{topicConfigTable:{{{topics}}}}}");
        let read = from_slice_within::<TopicConfigSerializeWrapper>;
        assert!(read(body.as_bytes(), 1 << 20).is_err() && read(body.as_bytes(), 1 << 24).is_ok());
    }

    #[test]
    fn texts_count_with_their_length() {
        let body = format!("{{clientID:'{}'}}", "c".repeat(1000));
        let read = |memory| from_slice_within::<HeartbeatData>(body.as_bytes(), memory).is_ok();
        assert!(read(1100) && !read(1000));
    }

    #[test]
    fn an_honest_body_becomes_less_than_eight_times_its_length() {
        use crate::body::{ConsumerData, SubscriptionData};
        let subscription = |id| SubscriptionData {
            topic: format!("topic-{id}"),
            sub_string: "a || b".to_owned(),
            tags_set: ["a".to_owned(), "b".to_owned()].into(),
            code_set: [1, 2].into(),
            sub_version: 1_700_000_000_000,
            ..SubscriptionData::default()
        };
        let consumer = ConsumerData {
            subscription_data_set: (0..5000).map(subscription).collect(),
            ..Default::default()
        };
        let beat = HeartbeatData { consumer_data_set: vec![consumer], ..HeartbeatData::default() };
        let body = to_vec(&beat);
        assert_eq!(from_slice_within::<HeartbeatData>(&body, 8 * body.len()).expect("fits"), beat);
    }
}
