//! A message that the broker itself stores, and where it went.

use std::{net::SocketAddr, sync::Arc};

use ringmq_base::PhysicalOffset;

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
    pub prepared_transaction_offset: i64,
    pub properties: Vec<u8>,
    pub body: Vec<u8>,
}

/// Where a [`NewMessage`] went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredAt {
    pub queue_offset: i64,
    pub physical: PhysicalOffset,
}
