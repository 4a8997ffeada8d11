//! The body of REGISTER_BROKER: JSON, or a zlib stream of this (all integers big-endian):
//!
//! ```text
//! length i32, data version as JSON | topic count i32, (length i32, topic as text)*
//! length i32, list of filter servers as JSON | RocketMQ 5: count i32, (length i32, JSON)*
//! ```
//!
//! A topic as text is `name readQueues writeQueues perm filterType` with spaces between, and in
//! RocketMQ 5 the attributes as JSON behind, when there are any.

mod reader;
mod writer;

use std::collections::BTreeMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};

pub use self::reader::{PART_BYTES_MAX, Part, RegisterBodyReader, TopicQueues};
pub use self::writer::{Added, Finishing, Form, RegisterBodyWriter};
use super::{DataVersion, TopicConfig, TopicConfigRef, TopicConfigSerializeWrapper};
use crate::fastjson::{self, BodyError, Memory};

/// A field of the request, known to RingMQ only: `true` if its body does not name all topics of
/// the broker.
pub const INCREMENTAL: &str = "incremental";

/// Most bytes that a compressed body may grow to: some 500,000 topics.
pub const DECOMPRESSED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most memory that a body may become when it is read, in bytes: some 500,000 topics.
pub const REGISTER_MEMORY_MAX: usize = 192 * 1024 * 1024;

/// The same for the list of filter servers, which is not used; a longer one counts as empty.
const FILTER_SERVERS_MEMORY_MAX: usize = 1024 * 1024;

/// The same for the attributes of one topic, which are not used; more of them count as none.
const ATTRIBUTES_MEMORY_MAX: usize = 64 * 1024;

/// What a broker tells a name server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterBrokerBody {
    pub topic_config_serialize_wrapper: TopicConfigSerializeWrapper,
    pub filter_server_list: Vec<String>,
}

/// Why a body of REGISTER_BROKER cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("register {0}")]
    Body(#[from] BodyError),
    #[error("compressed register body: {0}")]
    Compression(#[from] std::io::Error),
    #[error("compressed register body grows beyond {limit} bytes: the broker has too many topics")]
    Long { limit: usize },
    #[error("compressed register body ends within {field}")]
    Short { field: &'static str },
    #[error("register body has something of more than {limit} bytes at byte {at}")]
    Part { at: usize, limit: usize },
}

impl RegisterBrokerBody {
    /// Reads either form.
    pub fn decode(bytes: &[u8], compressed: bool) -> Result<RegisterBrokerBody, RegisterError> {
        if !compressed {
            return Ok(fastjson::from_slice_within(bytes, REGISTER_MEMORY_MAX)?);
        }
        let mut content = Vec::new();
        let limit = DECOMPRESSED_BYTES_MAX;
        let mut decoder = ZlibDecoder::new(bytes).take(limit as u64 + 1);
        decoder.read_to_end(&mut content)?;
        if content.len() > limit {
            return Err(RegisterError::Long { limit });
        }
        decode_content(&content, &Memory::new(REGISTER_MEMORY_MAX))
    }

    /// Writes either form.
    ///
    /// # Panics
    /// If a part is beyond 4 GiB.
    pub fn encode(&self, compressed: bool) -> Vec<u8> {
        if !compressed {
            return fastjson::to_vec(self);
        }
        let wrapper = &self.topic_config_serialize_wrapper;
        let mut content = Vec::new();
        put(&mut content, &fastjson::to_vec(&wrapper.data_version));
        let count = u32::try_from(wrapper.topic_config_table.len()).expect("fewer than 4 billion");
        content.extend_from_slice(&count.to_be_bytes());
        for topic in wrapper.topic_config_table.values() {
            put(&mut content, topic.to_text().as_bytes());
        }
        put(&mut content, &fastjson::to_vec(&self.filter_server_list));
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&content).expect("memory takes all");
        encoder.finish().expect("memory takes all")
    }
}

fn put(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&u32::try_from(part.len()).expect("a short part").to_be_bytes());
    out.extend_from_slice(part);
}

fn decode_content(content: &[u8], memory: &Memory) -> Result<RegisterBrokerBody, RegisterError> {
    let mut rest = content;
    let data_version = take(&mut rest, "data version")?;
    let data_version: DataVersion = fastjson::from_slice(data_version)?;
    let count = take_count(&mut rest, "topic count")?;
    let mut topic_config_table = BTreeMap::new();
    for _ in 0..count {
        let text = String::from_utf8_lossy(take(&mut rest, "topic")?);
        if let Some(topic) = TopicConfig::from_text(&text) {
            memory.take_item::<(String, TopicConfig)>().map_err(BodyError::from)?;
            // The name stands there twice.
            let attributes = topic.attributes.iter().flatten();
            let texts = attributes.flat_map(|(name, value)| [name, value]);
            for text in texts.chain([&topic.topic_name, &topic.topic_name]) {
                memory.take_text(text).map_err(BodyError::from)?;
            }
            topic_config_table.insert(topic.topic_name.clone(), topic);
        }
    }
    let filter_servers = take(&mut rest, "filter servers")?;
    let filter_server_list = fastjson::from_slice_within(filter_servers, FILTER_SERVERS_MEMORY_MAX);
    Ok(RegisterBrokerBody {
        topic_config_serialize_wrapper: TopicConfigSerializeWrapper {
            topic_config_table,
            data_version,
        },
        filter_server_list: filter_server_list.unwrap_or_default(),
    })
}

fn take_count(rest: &mut &[u8], field: &'static str) -> Result<usize, RegisterError> {
    let short = RegisterError::Short { field };
    let Some((count, behind)) = rest.split_first_chunk::<4>() else {
        return Err(short);
    };
    *rest = behind;
    usize::try_from(i32::from_be_bytes(*count)).map_err(|_| short)
}

fn take<'a>(rest: &mut &'a [u8], field: &'static str) -> Result<&'a [u8], RegisterError> {
    let length = take_count(rest, field)?;
    let (part, behind) = rest.split_at_checked(length).ok_or(RegisterError::Short { field })?;
    *rest = behind;
    Ok(part)
}

impl TopicConfigRef<'_> {
    /// The text of a topic in compressed bodies, as RocketMQ 4.9 and 5.x read it: without the
    /// attributes, for which 4.9 has no place and no name server has a use.
    pub fn to_text(&self) -> String {
        let TopicConfigRef { topic_name, read_queue_nums, write_queue_nums, perm, .. } = self;
        let filter_type = self.topic_filter_type;
        format!("{topic_name} {read_queue_nums} {write_queue_nums} {perm} {filter_type}")
    }
}

impl TopicConfig {
    /// The text of a topic in compressed bodies.
    pub fn to_text(&self) -> String {
        let TopicConfig { topic_name, read_queue_nums, write_queue_nums, perm, .. } = self;
        let filter_type = &self.topic_filter_type;
        let mut text =
            format!("{topic_name} {read_queue_nums} {write_queue_nums} {perm} {filter_type}");
        if let Some(attributes) = self.attributes.as_ref().filter(|map| !map.is_empty()) {
            text.push(' ');
            text.push_str(&String::from_utf8_lossy(&fastjson::to_vec(attributes)));
        }
        text
    }

    /// Reads a topic's text; None when it has not the parts that both versions of RocketMQ write.
    pub fn from_text(text: &str) -> Option<TopicConfig> {
        let mut parts = text.splitn(6, ' ');
        let topic_name = parts.next()?.to_owned();
        let read_queue_nums = parts.next()?.parse().ok()?;
        let write_queue_nums = parts.next()?.parse().ok()?;
        let perm = parts.next()?.parse().ok()?;
        let topic_filter_type = parts.next()?.to_owned();
        let attributes = parts.next().and_then(|json| {
            fastjson::from_slice_within(json.as_bytes(), ATTRIBUTES_MEMORY_MAX).ok()
        });
        Some(TopicConfig {
            topic_name,
            read_queue_nums,
            write_queue_nums,
            perm,
            topic_filter_type,
            attributes,
            ..TopicConfig::default()
        })
    }
}
