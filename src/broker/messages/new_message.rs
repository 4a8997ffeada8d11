//! A message that the broker itself stores, and where it went.

use std::{net::SocketAddr, sync::Arc};

use ringmq_base::{PhysicalOffset, record::NewRecord};

use super::change::TopicView;

/// A message to store that does not come straight from a client's frame.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub topic: Arc<TopicView>,
    pub queue_id: i32,
    pub flag: i32,
    pub sys_flag: i32,
    pub born_timestamp: i64,
    pub born_host: SocketAddr,
    pub reconsume_times: i32,
    pub tags_code: i64,
    /// Physical offset of the message that this one is made of, if that was kept back until now: a
    /// delayed message or the half of a transaction; else 0.
    pub prepared_transaction_offset: i64,
    pub properties: Vec<u8>,
    pub body: Vec<u8>,
}

impl NewMessage {
    /// The record to append. `store_host`: of this broker.
    pub fn record(&self, store_host: SocketAddr) -> NewRecord<'_> {
        NewRecord {
            topic: &self.topic.topic.name,
            queue_id: self.queue_id,
            flag: self.flag,
            sys_flag: self.sys_flag,
            born_timestamp: self.born_timestamp,
            born_host: self.born_host,
            store_host,
            reconsume_times: self.reconsume_times,
            prepared_transaction_offset: self.prepared_transaction_offset,
            body: &self.body,
            properties: [&self.properties, b"", b""],
        }
    }
}

/// Where a [`NewMessage`] went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredAt {
    pub queue_offset: i64,
    pub physical: PhysicalOffset,
}
