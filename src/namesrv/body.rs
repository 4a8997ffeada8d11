//! Request bodies: what brokers say of their topics.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use flate2::read::ZlibDecoder;
use serde::Deserialize;

use crate::route::{DataVersion, QueueData, register::TopicEntry};

/// Most bytes that a deflated registration may inflate to.
const INFLATED_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Longest part (a topic, a version) of a deflated registration.
const PART_BYTES_MAX: usize = 1024 * 1024;

/// Why a body is not understood.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("it is not the JSON that it should be: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it is no deflated registration, or has more than {INFLATED_BYTES_MAX} bytes: {0}")]
    Deflated(#[from] io::Error),
    #[error("{what} announces {length}; at most {limit} are taken")]
    Length {
        what: &'static str,
        length: i32,
        limit: usize,
    },
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Body {
    topic_config_serialize_wrapper: Option<Wrapper>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wrapper {
    topic_config_table: Option<BTreeMap<String, Option<TopicConfig>>>,
    data_version: Option<Version>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Version {
    state_version: Option<i64>,
    timestamp: Option<i64>,
    counter: Option<i64>,
}

/// Missing numbers have the defaults of Java's `TopicConfig`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TopicConfig {
    topic_name: Option<String>,
    read_queue_nums: i32,
    write_queue_nums: i32,
    perm: i32,
    topic_sys_flag: i32,
}

impl Default for TopicConfig {
    fn default() -> Self {
        TopicConfig {
            topic_name: None,
            read_queue_nums: 16,
            write_queue_nums: 16,
            perm: 6,
            topic_sys_flag: 0,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RouteBody {
    queue_datas: Option<Vec<QueueDataBody>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct QueueDataBody {
    broker_name: String,
    read_queue_nums: i32,
    write_queue_nums: i32,
    perm: i32,
    topic_sys_flag: i32,
}

impl From<Version> for DataVersion {
    fn from(version: Version) -> Self {
        DataVersion {
            state_version: version.state_version.unwrap_or(0),
            timestamp: version.timestamp.unwrap_or(0),
            counter: version.counter.unwrap_or(0),
        }
    }
}

/// The body of a registration. No body: no topics, version 0.
pub fn registration(
    body: &[u8],
    compressed: bool,
    bare: bool,
) -> Result<(DataVersion, Vec<TopicEntry>), BodyError> {
    if body.is_empty() {
        return Ok((DataVersion::default(), Vec::new()));
    }
    if compressed {
        return deflated(body);
    }
    let wrapper = if bare {
        serde_json::from_slice(body)?
    } else {
        serde_json::from_slice::<Body>(body)?
            .topic_config_serialize_wrapper
            .unwrap_or_default()
    };
    let topics = wrapper.topic_config_table.unwrap_or_default();
    let topics = topics.into_iter().filter_map(|(key, config)| {
        let config = config?;
        let data = QueueData {
            read_queue_nums: config.read_queue_nums,
            write_queue_nums: config.write_queue_nums,
            perm: config.perm,
            topic_sys_flag: config.topic_sys_flag,
        };
        Some(TopicEntry {
            topic: config.topic_name.unwrap_or(key),
            data,
        })
    });
    Ok((
        wrapper.data_version.unwrap_or_default().into(),
        topics.collect(),
    ))
}

/// A version, as QUERY_DATA_VERSION carries it; what is no version is version 0, which no running
/// broker has.
pub fn data_version(body: &[u8]) -> DataVersion {
    serde_json::from_slice::<Version>(body)
        .unwrap_or_default()
        .into()
}

/// The queues that REGISTER_TOPIC_IN_NAMESRV brings, by broker name.
pub fn queue_datas(body: &[u8]) -> Result<Vec<(String, QueueData)>, BodyError> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let route: RouteBody = serde_json::from_slice(body)?;
    let queues = route.queue_datas.unwrap_or_default().into_iter();
    let data = |queue: &QueueDataBody| QueueData {
        read_queue_nums: queue.read_queue_nums,
        write_queue_nums: queue.write_queue_nums,
        perm: queue.perm,
        topic_sys_flag: queue.topic_sys_flag,
    };
    Ok(queues
        .map(|queue| (queue.broker_name.clone(), data(&queue)))
        .collect())
}

/// ```text
/// zlib of: | length i32 | version JSON | topics i32 | (length i32 | topic text) * topics | ...
/// ```
/// What follows the topics (filter servers, static topics of RocketMQ 5) is not used.
fn deflated(body: &[u8]) -> Result<(DataVersion, Vec<TopicEntry>), BodyError> {
    let mut input = ZlibDecoder::new(body).take(INFLATED_BYTES_MAX);
    let version = part(&mut input, "the length of the version")?;
    let version = serde_json::from_slice::<Version>(&version)?.into();
    let announced = integer(&mut input)?;
    let count = usize::try_from(announced).map_err(|_| BodyError::Length {
        what: "the number of topics",
        length: announced,
        limit: PART_BYTES_MAX,
    })?;
    let mut topics = Vec::new();
    for _ in 0..count {
        let text = part(&mut input, "the length of a topic")?;
        topics.extend(topic(&String::from_utf8_lossy(&text)));
    }
    Ok((version, topics))
}

/// `name readQueues writeQueues perm SINGLE_TAG`, since RocketMQ 5 with ` {attributes}` behind it.
/// The system flag is not told. Fewer words: not a topic, as in Java.
fn topic(text: &str) -> Option<TopicEntry> {
    let words: Vec<&str> = text.split(' ').collect();
    let [topic, read, write, perm, _filter, ..] = words.as_slice() else {
        return None;
    };
    let data = QueueData {
        read_queue_nums: read.parse().ok()?,
        write_queue_nums: write.parse().ok()?,
        perm: perm.parse().ok()?,
        topic_sys_flag: 0,
    };
    Some(TopicEntry {
        topic: (*topic).to_owned(),
        data,
    })
}

fn integer(input: &mut impl Read) -> io::Result<i32> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    Ok(i32::from_be_bytes(bytes))
}

fn part(input: &mut impl Read, what: &'static str) -> Result<Vec<u8>, BodyError> {
    let length = integer(input)?;
    let bytes = usize::try_from(length)
        .ok()
        .filter(|bytes| *bytes <= PART_BYTES_MAX);
    let bytes = bytes.ok_or(BodyError::Length {
        what,
        length,
        limit: PART_BYTES_MAX,
    })?;
    let mut part = vec![0; bytes];
    input.read_exact(&mut part)?;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::ZlibEncoder};

    use super::*;

    /// As a broker of 4.9 writes it.
    const PLAIN: &str = concat!(
        r#"{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":2,"#,
        r#""timestamp":1700000000000},"topicConfigTable":{"T":{"order":false,"perm":6,"#,
        r#""readQueueNums":8,"topicFilterType":"SINGLE_TAG","topicName":"T","topicSysFlag":1,"#,
        r#""writeQueueNums":4}}}}"#
    );

    fn entry(topic: &str, read: i32, write: i32, flag: i32) -> TopicEntry {
        let data = QueueData {
            read_queue_nums: read,
            write_queue_nums: write,
            perm: 6,
            topic_sys_flag: flag,
        };
        TopicEntry {
            topic: topic.to_owned(),
            data,
        }
    }

    fn compress(topics: &[&str]) -> Vec<u8> {
        let version = r#"{"counter":7,"stateVersion":3,"timestamp":9}"#;
        let mut bytes = Vec::new();
        let mut part = |text: &str| {
            bytes.extend_from_slice(&i32::try_from(text.len()).expect("short").to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        };
        part(version);
        part("");
        topics.iter().for_each(|topic| part(topic));
        part("[]");
        let count = i32::try_from(topics.len()).expect("few").to_be_bytes();
        bytes[4 + version.len()..8 + version.len()].copy_from_slice(&count);
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn the_plain_body_of_4_9_is_read() {
        let (version, topics) = registration(PLAIN.as_bytes(), false, false).expect("valid");
        let expected = DataVersion {
            state_version: 0,
            timestamp: 1_700_000_000_000,
            counter: 2,
        };
        assert_eq!((version, topics), (expected, vec![entry("T", 8, 4, 1)]));
    }

    #[test]
    fn the_body_of_5_x_with_attributes_and_mappings_is_read() {
        let body = concat!(
            r#"{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":1,"#,
            r#""stateVersion":5,"timestamp":3},"mappingDataVersion":{"counter":0,"#,
            r#""stateVersion":0,"timestamp":3},"topicConfigTable":{"T":{"attributes":"#,
            r#"{"message.type":"FIFO"},"order":true,"perm":6,"readQueueNums":1,"#,
            r#""topicFilterType":"SINGLE_TAG","topicName":"T","topicSysFlag":0,"#,
            r#""writeQueueNums":2}},"topicQueueMappingDetailMap":{},"#,
            r#""topicQueueMappingInfoMap":{}}}"#
        );
        let (version, topics) = registration(body.as_bytes(), false, false).expect("valid");
        assert_eq!(
            version,
            DataVersion {
                state_version: 5,
                timestamp: 3,
                counter: 1
            }
        );
        assert_eq!(topics, [entry("T", 1, 2, 0)]);
    }

    #[test]
    fn deflated_bodies_have_topics_of_five_or_more_words() {
        let topics = [
            "T 8 4 6 SINGLE_TAG",
            "U 1 2 6 SINGLE_TAG {\"message.type\":\"FIFO\", \"x\":\"y\"}",
            "broken 1",
        ];
        let (version, topics) = registration(&compress(&topics), true, false).expect("valid");
        assert_eq!(
            version,
            DataVersion {
                state_version: 3,
                timestamp: 9,
                counter: 7
            }
        );
        assert_eq!(topics, [entry("T", 8, 4, 0), entry("U", 1, 2, 0)]);
    }

    #[test]
    fn old_and_empty_bodies_are_read() {
        let bare = r#"{"dataVersion":{"counter":1,"timestamp":1},"topicConfigTable":{"T":{}}}"#;
        let (_, topics) = registration(bare.as_bytes(), false, true).expect("valid");
        assert_eq!(topics, [entry("T", 16, 16, 0)]);
        let nothing = (DataVersion::default(), Vec::new());
        assert_eq!(registration(b"", true, false).expect("valid"), nothing);
        assert_eq!(registration(b"{}", false, false).expect("valid"), nothing);
    }

    #[test]
    fn damaged_bodies_are_errors_and_cost_little() {
        assert!(registration(b"{", false, false).is_err());
        assert!(registration(b"no zlib", true, false).is_err());
        let mut cut = compress(&["T 8 4 6 SINGLE_TAG"]);
        cut.truncate(cut.len() / 2);
        assert!(registration(&cut, true, false).is_err());
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&i32::MAX.to_be_bytes()).expect("memory");
        let huge = registration(&encoder.finish().expect("memory"), true, false);
        assert!(matches!(huge, Err(BodyError::Length { .. })));
    }

    #[test]
    fn queue_data_of_a_single_topic_are_read() {
        let body = br#"{"queueDatas":[{"brokerName":"b","perm":6,"readQueueNums":8,
            "topicSysFlag":0,"writeQueueNums":8}]}"#;
        let queues = queue_datas(body).expect("valid");
        assert_eq!(queues, [("b".to_owned(), entry("", 8, 8, 0).data)]);
        assert!(queue_datas(b"").expect("valid").is_empty());
    }
}
