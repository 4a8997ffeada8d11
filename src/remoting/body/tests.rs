use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::fastjson::{from_slice, to_vec};

fn text<T: Serialize>(body: &T) -> String {
    String::from_utf8(to_vec(body)).expect("UTF-8")
}

fn read<T: DeserializeOwned>(json: &str) -> T {
    from_slice(json.as_bytes()).expect(json)
}

#[test]
fn a_route_is_compact_with_quoted_broker_ids() {
    let route = TopicRouteData {
        queue_datas: vec![QueueData {
            broker_name: "b".to_owned(),
            read_queue_nums: 4,
            write_queue_nums: 4,
            perm: 6,
            topic_sys_flag: 0,
        }],
        broker_datas: vec![BrokerData {
            cluster: Some("c".to_owned()),
            broker_name: "b".to_owned(),
            broker_addrs: [(0, "10.0.0.1:10911".to_owned()), (1, "10.0.0.2:1".to_owned())].into(),
            ..BrokerData::default()
        }],
        ..TopicRouteData::default()
    };
    let json = concat!(
        r#"{"queueDatas":[{"brokerName":"b","readQueueNums":4,"writeQueueNums":4,"perm":6,"#,
        r#""topicSysFlag":0}],"brokerDatas":[{"cluster":"c","brokerName":"b","brokerAddrs":"#,
        r#"{"0":"10.0.0.1:10911","1":"10.0.0.2:1"}}],"filterServerTable":{}}"#
    );
    assert_eq!(text(&route), json);
    assert_eq!(read::<TopicRouteData>(json), route);
    let fastjson = json.replace("\"0\":", "0:").replace("\"1\":", "1:");
    assert_eq!(read::<TopicRouteData>(&fastjson), route);
}

#[test]
fn queues_as_keys_are_objects_as_fastjson_writes_them() {
    let mut table = TopicStatsTable::default();
    let offset = TopicOffset { min_offset: 1, max_offset: 2, last_update_timestamp: 3 };
    table.offset_table.insert(MessageQueue::new("t\"\\", "b", 0), offset.clone());
    table.offset_table.insert(MessageQueue::new("u", "b", 1), offset);
    let json = concat!(
        r#"{"offsetTable":{{"brokerName":"b","queueId":0,"topic":"t\"\\"}:"#,
        r#"{"minOffset":1,"maxOffset":2,"lastUpdateTimestamp":3},"#,
        r#"{"brokerName":"b","queueId":1,"topic":"u"}:"#,
        r#"{"minOffset":1,"maxOffset":2,"lastUpdateTimestamp":3}}}"#
    );
    assert_eq!(text(&table), json);
    assert_eq!(read::<TopicStatsTable>(json), table);
}

#[test]
fn offsets_to_reset_have_queues_as_keys_but_for_clients_in_cpp() {
    let offsets = QueueOffsets([(MessageQueue::new("t", "b", 2), 7)].into());
    let java = ResetOffsetBody { offset_table: offsets.clone() };
    let json = r#"{"offsetTable":{{"brokerName":"b","queueId":2,"topic":"t"}:7}}"#;
    assert_eq!(text(&java), json);
    assert_eq!(read::<ResetOffsetBody>(json), java);
    let (topic, broker_name) = ("t".to_owned(), "b".to_owned());
    let queue = MessageQueueForC { topic, broker_name, queue_id: 2, offset: 7 };
    let cpp = ResetOffsetBodyForC { offset_table: vec![queue] };
    let json = r#"{"offsetTable":[{"topic":"t","brokerName":"b","queueId":2,"offset":7}]}"#;
    assert_eq!(text(&cpp), json);
    let table = [("c@1".to_owned(), offsets.clone())].into();
    let status = GetConsumerStatusBody { consumer_table: table, ..Default::default() };
    let json = r#""consumerTable":{"c@1":{{"brokerName":"b","queueId":2,"topic":"t"}:7}}"#;
    assert!(text(&status).contains(json), "{}", text(&status));
    let answer = r#"{"messageQueueTable":{{brokerName:"b",queueId:2,topic:"t"}:7}}"#;
    assert_eq!(read::<GetConsumerStatusBody>(answer).message_queue_table, offsets);
}

#[test]
fn the_heartbeat_of_java_is_read() {
    let json = concat!(
        r#"{"clientID":"10.0.0.1@1","consumerDataSet":[{"consumeFromWhere":"#,
        r#""CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"g","#,
        r#""messageModel":"CLUSTERING","subscriptionDataSet":[{"classFilterMode":false,"#,
        r#""codeSet":[2598919],"expressionType":"TAG","subString":"TagA","#,
        r#""subVersion":1700000000000,"tagsSet":["TagA"],"topic":"t"}],"unitMode":false}],"#,
        r#""producerDataSet":[{"groupName":"CLIENT_INNER_PRODUCER"}],"new":[]}"#
    );
    let heartbeat: HeartbeatData = read(json);
    assert_eq!(heartbeat.client_id, "10.0.0.1@1");
    let subscription = &heartbeat.consumer_data_set[0].subscription_data_set[0];
    assert_eq!(subscription.tags_set, ["TagA".to_owned()].into());
    assert_eq!(subscription.code_set, [2_598_919].into());
    assert_eq!(read::<HeartbeatData>(&text(&heartbeat)), heartbeat);
}

#[test]
fn missing_members_have_the_defaults_of_java() {
    assert_eq!(read::<SubscriptionGroupConfig>("{}").retry_max_times, 16);
    assert_eq!(read::<TopicConfig>("{topicName:null}").perm, 6);
    let data: SubscriptionData = read("{\"expressionType\":null}");
    assert_eq!(data.expression_type.as_deref(), Some("TAG"));
}

#[test]
fn keys_of_texts_are_always_quoted() {
    let mut table = KVTable::default();
    table.table.insert("\u{1}{a".to_owned(), "\"v".to_owned());
    assert_eq!(text(&table), r#"{"table":{"\u0001{a":"\"v"}}"#);
}

fn register() -> RegisterBrokerBody {
    let mut body = RegisterBrokerBody::default();
    let wrapper = &mut body.topic_config_serialize_wrapper;
    wrapper.data_version = DataVersion { state_version: 0, timestamp: 5, counter: 6 };
    for (name, attributes) in [("a", None), ("b", Some([("+k".to_owned(), "v w".to_owned())]))] {
        let config = TopicConfig {
            topic_name: name.to_owned(),
            read_queue_nums: 8,
            attributes: attributes.map(Into::into),
            ..TopicConfig::default()
        };
        wrapper.topic_config_table.insert(name.to_owned(), config);
    }
    body
}

#[test]
fn a_registration_is_read_back_from_both_forms() {
    for compressed in [false, true] {
        let bytes = register().encode(compressed);
        let decoded = RegisterBrokerBody::decode(&bytes, compressed).expect("a body");
        assert_eq!(decoded, register());
    }
}

#[test]
fn every_truncation_of_a_compressed_registration_is_an_error() {
    let bytes = register().encode(true);
    for cut in 0..bytes.len() {
        assert!(RegisterBrokerBody::decode(&bytes[..cut], true).is_err(), "{cut}");
    }
}

#[test]
fn a_topic_has_five_or_six_parts() {
    let config = TopicConfig::from_text("t 4 8 6 SINGLE_TAG").expect("five");
    assert_eq!((config.read_queue_nums, config.write_queue_nums), (4, 8));
    assert_eq!(config.to_text(), "t 4 8 6 SINGLE_TAG");
    let six = "t 4 8 6 SINGLE_TAG {\"+message.type\":\"DELAY\"}";
    assert_eq!(TopicConfig::from_text(six).expect("six").to_text(), six);
    assert_eq!(TopicConfig::from_text("t 4 8 6"), None);
    assert_eq!(TopicConfig::from_text("t 4 x 6 SINGLE_TAG"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_registration_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..99)) {
        let _ = RegisterBrokerBody::decode(&bytes, true);
        let _ = RegisterBrokerBody::decode(&bytes, false);
        let mut encoder =
            flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &bytes).expect("memory");
        let _ = RegisterBrokerBody::decode(&encoder.finish().expect("memory"), true);
    }

    #[test]
    fn any_names_of_queues_are_read_back(topic in "\\PC{0,20}", broker in any::<String>()) {
        let mut table = TopicStatsTable::default();
        table.offset_table.insert(MessageQueue::new(&topic, &broker, -1), TopicOffset::default());
        prop_assert_eq!(from_slice::<TopicStatsTable>(&to_vec(&table)).expect("a body"), table);
    }
}

#[test]
fn a_heartbeat_of_the_cpp_client_is_read() {
    let json = concat!(
        r#"{"clientID":"1-127.0.0.1@a","consumerDataSet":[{"consumeFromWhere":0,"consumeType":1,"#,
        r#""groupName":"G","messageModel":1,"subscriptionDataSet":[{"codeSet":[97],"#,
        r#""subString":"a","subVersion":"1700000000000","tagsSet":["a"],"topic":"T"}]}],"#,
        r#""producerDataSet":[{"groupName":"P"}]}"#
    );
    let beat: HeartbeatData = read(json);
    let consumer = &beat.consumer_data_set[0];
    assert_eq!(consumer.consume_type.as_deref(), Some("1"));
    assert_eq!(consumer.message_model.as_deref(), Some("1"));
    let subscription = &consumer.subscription_data_set[0];
    assert_eq!(subscription.sub_version, 1_700_000_000_000);
    assert_eq!(subscription.code_set, [97].into());
}

/// 17 bytes of a stream that compresses to nothing become a topic of some 300.
#[test]
fn a_compressed_registration_of_too_many_topics_is_refused() {
    use crate::body::register::RegisterError;
    use flate2::{Compression, write::ZlibEncoder};
    use std::io::Write;
    let mut content = Vec::new();
    let put = |content: &mut Vec<u8>, part: &[u8]| {
        content.extend_from_slice(&u32::try_from(part.len()).expect("short").to_be_bytes());
        content.extend_from_slice(part);
    };
    put(&mut content, b"{}");
    content.extend_from_slice(&1_000_000_u32.to_be_bytes());
    for id in 0..1_000_000 {
        put(&mut content, format!("t{id} 1 1 6 S").as_bytes());
    }
    put(&mut content, b"[]");
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&content).expect("memory takes all");
    let body = encoder.finish().expect("memory takes all");
    let error = RegisterBrokerBody::decode(&body, true).expect_err("too many topics");
    assert!(matches!(error, RegisterError::Body(_)), "{error}");
    assert!(error.to_string().contains("bytes of memory"), "{error}");
}
