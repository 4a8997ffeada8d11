//! Results and messages as the Java clients print them.

use std::{collections::BTreeMap, fmt::Write as _, io::Read as _, net::SocketAddr};

use flate2::read::ZlibDecoder;
use ringmq_base::record::Record;
use ringmq_remoting::{
    codes::{property, response},
    message_id::message_id,
};

use super::{channel::Answer, route::Queue};

/// Bits of a message's system flag: compressed, and by what.
const COMPRESSED: i32 = 1;
const COMPRESSION: i32 = 0x700;
const ZLIB: i32 = 0x300;
/// A body does not become longer than this.
const BODY_BYTES_MAX: u64 = 16 << 20;

/// The name of a send's outcome; `None` if the message was refused.
pub fn send_status(code: i32) -> Option<&'static str> {
    match code {
        response::SUCCESS => Some("SEND_OK"),
        response::FLUSH_DISK_TIMEOUT => Some("FLUSH_DISK_TIMEOUT"),
        response::FLUSH_SLAVE_TIMEOUT => Some("FLUSH_SLAVE_TIMEOUT"),
        response::SLAVE_NOT_AVAILABLE => Some("SLAVE_NOT_AVAILABLE"),
        _ => None,
    }
}

/// A line about a message that was sent under the key `unique`.
pub fn send_result(status: &str, unique: &str, queue: &Queue, answer: &Answer) -> String {
    let offset_id = answer.fields.get("msgId").map_or("null", String::as_str);
    let id = answer.number("queueId").unwrap_or_else(|| queue.id.into());
    format!(
        "SendResult [sendStatus={status}, msgId={unique}, offsetMsgId={offset_id}, \
         messageQueue=MessageQueue [topic={}, brokerName={}, queueId={id}], queueOffset={}]",
        queue.topic,
        queue.broker,
        answer.number("queueOffset").unwrap_or(0),
    )
}

/// What stands with a message of a queue whose offsets begin and end so.
pub struct Bounds {
    pub smallest: i64,
    pub largest: i64,
}

/// A message that a consumer's thread `thread` takes at `now_ms`.
pub fn received(
    thread: &str,
    queue: &Queue,
    record: &Record<'_>,
    bounds: &Bounds,
    now_ms: u64,
) -> String {
    let mut properties = BTreeMap::new();
    let text = String::from_utf8_lossy(record.properties);
    for property in text.split('\u{2}') {
        if let Some((name, value)) = property.split_once('\u{1}') {
            properties.insert(name.to_owned(), value.to_owned());
        }
    }
    let topic = properties.get(property::RETRY_TOPIC).filter(|_| queue.topic.starts_with('%'));
    let topic = topic.cloned().unwrap_or_else(|| record.topic.to_owned());
    let added = [
        (property::MIN_OFFSET, bounds.smallest.to_string()),
        (property::MAX_OFFSET, bounds.largest.to_string()),
        (property::CONSUME_START_TIMESTAMP, now_ms.to_string()),
    ];
    let mut all: Vec<String> =
        added.iter().map(|(name, value)| format!("{name}={value}")).collect();
    all.extend(properties.iter().map(|(name, value)| format!("{name}={value}")));
    let transaction = properties.get(property::UNIQ_KEY).filter(|_| record.sys_flag & 0xC != 0);
    let mut line = format!(
        "{thread} Receive New Messages: [MessageExt [brokerName={}, queueId={}, storeSize={}, \
         queueOffset={}, sysFlag={}, bornTimestamp={}, bornHost={}, storeTimestamp={}, \
         storeHost={}, msgId={}, commitLogOffset={}, bodyCRC={}, reconsumeTimes={}, \
         preparedTransactionOffset={}, ",
        queue.broker,
        record.queue_id,
        record.size,
        record.queue_offset,
        record.sys_flag,
        record.born_timestamp,
        host(record.born_host),
        record.store_timestamp,
        host(record.store_host),
        message_id(record.store_host, record.physical_offset).as_str(),
        record.physical_offset,
        record.body_crc,
        record.reconsume_times,
        record.prepared_transaction_offset,
    );
    let _ = write!(
        line,
        "toString()=Message{{topic='{topic}', flag={}, properties={{{}}}, body={}, \
         transactionId='{}'}}]] ",
        record.flag,
        all.join(", "),
        bytes(&body(record)),
        transaction.map_or("null", String::as_str),
    );
    line
}

/// The body as its producer gave it; as it is stored if it cannot be inflated.
fn body(record: &Record<'_>) -> Vec<u8> {
    let is_zlib = matches!(record.sys_flag & COMPRESSION, 0 | ZLIB);
    if record.sys_flag & COMPRESSED != 0 && is_zlib {
        let mut inflated = Vec::new();
        let mut reader = ZlibDecoder::new(record.body).take(BODY_BYTES_MAX);
        if reader.read_to_end(&mut inflated).is_ok() {
            return inflated;
        }
    }
    record.body.to_vec()
}

/// Java's text of an address that was never a name.
fn host(address: SocketAddr) -> String {
    format!("/{address}")
}

/// Java's text of an array of bytes, which have signs.
fn bytes(body: &[u8]) -> String {
    let signed: Vec<String> = body.iter().map(|byte| byte.cast_signed().to_string()).collect();
    format!("[{}]", signed.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        let (topic, broker) = ("TopicTest".to_owned(), "broker-a".to_owned());
        Queue { topic, broker, id: 2, address: "127.0.0.1:10911".to_owned() }
    }

    #[test]
    fn a_send_result_reads_as_that_of_java() {
        let fields = [("msgId", "7F00"), ("queueId", "3"), ("queueOffset", "17")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let answer =
            Answer { code: 0, remark: String::new(), fields: fields.into(), body: Vec::new() };
        assert_eq!(
            send_result("SEND_OK", "AC11", &queue(), &answer),
            "SendResult [sendStatus=SEND_OK, msgId=AC11, offsetMsgId=7F00, \
             messageQueue=MessageQueue [topic=TopicTest, brokerName=broker-a, queueId=3], \
             queueOffset=17]"
        );
        assert_eq!((send_status(0), send_status(1)), (Some("SEND_OK"), None));
    }

    #[test]
    fn a_message_reads_as_that_of_java() {
        let record = Record {
            size: 150,
            body_crc: 7,
            queue_id: 2,
            flag: 0,
            queue_offset: 5,
            physical_offset: 255,
            sys_flag: 0,
            born_timestamp: 1000,
            born_host: "127.0.0.1:5000".parse().expect("an address"),
            store_timestamp: 1001,
            store_host: "10.0.0.1:10911".parse().expect("an address"),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: &[72, 0xFF],
            topic: "TopicTest",
            properties: b"UNIQ_KEY\x01AC11\x02TAGS\x01TagA",
        };
        let bounds = Bounds { smallest: 0, largest: 9 };
        assert_eq!(
            received("ConsumeMessageThread_1", &queue(), &record, &bounds, 1002),
            "ConsumeMessageThread_1 Receive New Messages: [MessageExt [brokerName=broker-a, \
             queueId=2, storeSize=150, queueOffset=5, sysFlag=0, bornTimestamp=1000, \
             bornHost=/127.0.0.1:5000, storeTimestamp=1001, storeHost=/10.0.0.1:10911, \
             msgId=0A00000100002A9F00000000000000FF, commitLogOffset=255, bodyCRC=7, \
             reconsumeTimes=0, preparedTransactionOffset=0, toString()=Message{\
             topic='TopicTest', flag=0, properties={MIN_OFFSET=0, MAX_OFFSET=9, \
             CONSUME_START_TIME=1002, TAGS=TagA, UNIQ_KEY=AC11}, body=[72, -1], \
             transactionId='null'}]] "
        );
    }
}
