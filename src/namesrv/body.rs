//! Request bodies: what brokers say of their topics, as the table takes it.

use ringmq_remoting::{
    body::{
        self,
        register::{RegisterBodyReader, TopicQueues},
    },
    fastjson::{self, BodyError},
};

use crate::route::{DataVersion, QueueData};

/// The first byte of a zlib stream with the usual window of 32 KiB.
const ZLIB_BEGIN: u8 = 0x78;

/// What a body that tells of one topic or version may become in memory, in bytes.
const SMALL_MEMORY_MAX: usize = 4 * 1024 * 1024;

impl From<&body::DataVersion> for DataVersion {
    fn from(version: &body::DataVersion) -> Self {
        let body::DataVersion { state_version, timestamp, counter, .. } = *version;
        DataVersion { state_version, timestamp, counter }
    }
}

/// Reads the body of a registration; `bare` is the form before 3.0.11. Static topics and filter
/// servers are not used.
pub fn registration(body: &[u8], compressed: bool, bare: bool) -> RegisterBodyReader<'_> {
    // Brokers of RocketMQ 5 deflate and say that they do not. No JSON begins like a zlib stream.
    let deflated = compressed || body.first() == Some(&ZLIB_BEGIN);
    RegisterBodyReader::new(body, deflated, bare)
}

impl From<&TopicQueues> for QueueData {
    fn from(topic: &TopicQueues) -> QueueData {
        QueueData {
            read_queue_nums: topic.read_queue_nums,
            write_queue_nums: topic.write_queue_nums,
            perm: topic.perm,
            topic_sys_flag: topic.topic_sys_flag,
        }
    }
}

/// A version, as QUERY_DATA_VERSION carries it; what is no version is version 0, which no running
/// broker has.
pub fn data_version(body: &[u8]) -> DataVersion {
    fastjson::from_slice_within::<body::DataVersion>(body, SMALL_MEMORY_MAX)
        .map_or_else(|_| DataVersion::default(), |version| (&version).into())
}

/// The queues that REGISTER_TOPIC_IN_NAMESRV brings, by broker name.
pub fn queue_datas(body: &[u8]) -> Result<Vec<(String, QueueData)>, BodyError> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let route: body::TopicRouteData = fastjson::from_slice_within(body, SMALL_MEMORY_MAX)?;
    let queues = route.queue_datas.into_iter().map(|queue| {
        let data = QueueData {
            read_queue_nums: queue.read_queue_nums,
            write_queue_nums: queue.write_queue_nums,
            perm: queue.perm,
            topic_sys_flag: queue.topic_sys_flag,
        };
        (queue.broker_name, data)
    });
    Ok(queues.collect())
}

#[cfg(test)]
mod tests {
    use ringmq_remoting::body::{
        RegisterBrokerBody,
        register::{Part, RegisterError},
    };

    use super::*;

    /// As a broker of 4.9 writes it.
    const PLAIN: &str = concat!(
        r#"{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":2,"#,
        r#""timestamp":1700000000000},"topicConfigTable":{"T":{"order":false,"perm":6,"#,
        r#""readQueueNums":8,"topicFilterType":"SINGLE_TAG","topicName":"T","topicSysFlag":1,"#,
        r#""writeQueueNums":4}}}}"#
    );

    type Topics = Vec<(String, QueueData)>;

    /// Version and topics of a body.
    fn read(
        body: &[u8],
        compressed: bool,
        bare: bool,
    ) -> Result<(DataVersion, Topics), RegisterError> {
        let mut reader = registration(body, compressed, bare);
        let (mut version, mut topics) = (DataVersion::default(), Vec::new());
        loop {
            match reader.next(&mut 0)? {
                Part::Version(found) => version = (&found).into(),
                Part::Topic(topic) => topics.push((topic.topic_name.clone(), (&topic).into())),
                Part::Other => {}
                Part::End => return Ok((version, topics)),
            }
        }
    }

    fn entry(topic: &str, read: i32, write: i32, flag: i32) -> (String, QueueData) {
        let data = QueueData {
            read_queue_nums: read,
            write_queue_nums: write,
            perm: 6,
            topic_sys_flag: flag,
        };
        (topic.to_owned(), data)
    }

    #[test]
    fn the_plain_body_of_4_9_is_read() {
        let (version, topics) = read(PLAIN.as_bytes(), false, false).expect("valid");
        let expected = DataVersion { state_version: 0, timestamp: 1_700_000_000_000, counter: 2 };
        assert_eq!((version, topics), (expected, vec![entry("T", 8, 4, 1)]));
    }

    #[test]
    fn the_body_of_5_x_with_attributes_and_static_topics_is_read() {
        let body = concat!(
            r#"{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":1,"#,
            r#""stateVersion":5,"timestamp":3},"mappingDataVersion":{"counter":0,"#,
            r#""stateVersion":0,"timestamp":3},"topicConfigTable":{"T":{"attributes":"#,
            r#"{"message.type":"FIFO"},"order":true,"perm":6,"readQueueNums":1,"#,
            r#""topicFilterType":"SINGLE_TAG","topicName":"T","topicSysFlag":0,"#,
            r#""writeQueueNums":2}},"topicQueueMappingDetailMap":{},"#,
            r#""topicQueueMappingInfoMap":{"T":{"bname":"b","currIdMap":{0:0,1:4},"epoch":1}}}}"#
        );
        let (version, topics) = read(body.as_bytes(), false, false).expect("valid");
        assert_eq!(version, DataVersion { state_version: 5, timestamp: 3, counter: 1 });
        assert_eq!(topics, [entry("T", 1, 2, 0)]);
    }

    #[test]
    fn the_compressed_body_means_the_same() {
        let body: RegisterBrokerBody = fastjson::from_slice(PLAIN.as_bytes()).expect("valid");
        let (version, topics) = read(&body.encode(true), true, false).expect("valid");
        assert_eq!(version.counter, 2);
        assert_eq!(topics, [entry("T", 8, 4, 0)], "the flag is not among the words of a topic");
        let unsaid = read(&body.encode(true), false, false).expect("as 5.3 sends it");
        assert_eq!(unsaid.1, topics);
    }

    #[test]
    fn old_and_empty_bodies_are_read() {
        let bare = r#"{"dataVersion":{"counter":1,"timestamp":1},"topicConfigTable":{"T":{}}}"#;
        let (_, topics) = read(bare.as_bytes(), false, true).expect("valid");
        assert_eq!(topics, [entry("T", 16, 16, 0)]);
        let nothing = (DataVersion::default(), Vec::new());
        assert_eq!(read(b"", true, false).expect("valid"), nothing);
        assert_eq!(read(b"{}", false, false).expect("valid"), nothing);
    }

    #[test]
    fn damaged_bodies_are_errors() {
        assert!(read(b"{", false, false).is_err());
        assert!(read(b"no zlib", true, false).is_err());
        let body: RegisterBrokerBody = fastjson::from_slice(PLAIN.as_bytes()).expect("valid");
        let bytes = body.encode(true);
        assert!(read(&bytes[..bytes.len() / 2], true, false).is_err());
    }

    #[test]
    fn queue_data_of_a_single_topic_are_read() {
        let body = br#"{"queueDatas":[{"brokerName":"b","perm":6,"readQueueNums":8,
            "topicSysFlag":0,"writeQueueNums":8}]}"#;
        let queues = queue_datas(body).expect("valid");
        assert_eq!(queues, [("b".to_owned(), entry("", 8, 8, 0).1)]);
        assert!(queue_datas(b"").expect("valid").is_empty());
    }
}
