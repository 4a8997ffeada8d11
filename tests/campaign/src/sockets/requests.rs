//! Requests from a seed: valid ones, ones with odd or missing fields and bodies, and bytes that are
//! no frame.

use std::time::{SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use ringmq_remoting::{
    batch::{self as batches, BatchMessage},
    encode::{self, Value},
    frame::Serialization,
};
use ringmq_rules::timer::recall::RecallHandle;

use super::{
    Side, accounts,
    halves::{self, Half},
    shapes::{self, Body, Kind, Shape},
};

const REQUESTS_OF_A_BATCH: usize = 64;
const LARGE_BYTES: usize = 200_000;

/// What requests can know of the servers.
#[derive(Debug, Default)]
pub struct Known {
    /// The broker checks accounts.
    pub checked: bool,
    pub halves: Vec<Half>,
}

/// What goes over one connection.
#[derive(Debug)]
pub struct Batch {
    pub side: Side,
    pub bytes: Vec<u8>,
    /// Numbers of the requests that must be answered, and their codes.
    pub answered: Vec<(i32, i32)>,
    /// What each request is, by its number.
    pub described: Vec<String>,
    /// There are bytes behind them that are no request: the connection may be closed at any time.
    pub broken: bool,
    pub requests: u64,
}

/// The batch of this number.
pub fn batch(seed: u64, number: u64, known: &Known) -> Batch {
    let mut random = Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number);
    let side = if random.u8(..4) == 0 { Side::Names } else { Side::Broker };
    let broken = random.u8(..6) == 0;
    let count = if broken { random.usize(..8) } else { REQUESTS_OF_A_BATCH };
    let mut batch = Batch {
        side,
        bytes: Vec::new(),
        answered: Vec::new(),
        described: Vec::new(),
        broken,
        requests: count as u64 + u64::from(broken),
    };
    for opaque in 0..count {
        let opaque = i32::try_from(opaque).expect("few");
        add(&mut batch, &mut random, opaque, known);
    }
    if broken {
        let before = batch.bytes.len();
        add(&mut batch, &mut random, i32::MAX, known);
        let last = batch.bytes.split_off(before);
        batch.bytes.extend(damaged(last, &mut random));
        batch.answered.clear();
    }
    batch
}

fn add(batch: &mut Batch, random: &mut Rng, opaque: i32, known: &Known) {
    let mut shape = shapes::any(random, batch.side);
    if random.u8(..16) == 0 {
        shape.code = any_code(random);
    }
    let oneway = random.u8(..20) == 0;
    let how = if random.bool() { Serialization::Json } else { Serialization::RocketMq };
    let half = random.choice(&known.halves).copied().unwrap_or_default();
    let mut fields = fields(&shape, half, random);
    let body = body(&shape, random);
    if batch.side == Side::Broker {
        accounts::sign_somehow(&mut fields, &body, known.checked, random);
    }
    let values: Vec<_> = fields.iter().map(|(name, value)| (*name, Value::Str(value))).collect();
    let code = shape.code;
    encode::request_values(&mut batch.bytes, how, code, opaque, oneway, &values, &body)
        .expect("it fits a frame");
    if !oneway {
        batch.answered.push((opaque, code));
    }
    let short: String = format!("{fields:?}").chars().take(600).collect();
    let bytes = body.len();
    batch.described.push(format!("{code} ({how:?}, oneway {oneway}) {short}, body of {bytes}"));
}

/// A code that may be of the other server, or of nobody.
fn any_code(random: &mut Rng) -> i32 {
    match random.u8(..4) {
        0 => random.i32(-5..1100),
        1 => random.i32(200_045..200_160),
        2 => random.i32(..),
        _ => shapes::SHAPES[random.usize(..shapes::SHAPES.len())].code,
    }
}

/// Mostly all fields with sound values; else some are missing, odd or there twice.
fn fields(shape: &Shape, half: Half, random: &mut Rng) -> accounts::Fields {
    let sound = random.u8(..3) == 0;
    let mut fields = Vec::new();
    for &(name, kind) in shape.fields {
        if !sound && random.u8(..16) == 0 {
            continue;
        }
        let odd = !sound && random.u8(..6) == 0;
        let value = match kind {
            _ if odd => odd_value(kind, random),
            Kind::HalfOffset => half.queue_offset.to_string(),
            Kind::HalfPosition => half.position.to_string(),
            _ => value(kind, random),
        };
        fields.push((name, value));
    }
    if !sound && random.u8(..8) == 0 {
        fields.push(("nobodyKnows", odd_value(Kind::Text, random)));
    }
    // of other requests, which a code that was changed may ask for
    if !sound && random.u8(..8) == 0 && !fields.iter().any(|(name, _)| *name == "topic") {
        fields.push(("topic", value(Kind::Topic, random)));
    }
    fields
}

/// The end of the day after this one: nearer than what may wait for its time, and the same for all
/// requests of a run.
fn tomorrow_ms() -> i64 {
    const DAY_MS: u128 = 24 * 60 * 60 * 1000;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from((now.as_millis() / DAY_MS + 2) * DAY_MS).unwrap_or(i64::MAX)
}

fn value(kind: Kind, random: &mut Rng) -> String {
    match kind {
        Kind::Topic => format!("fuzz{}", random.u8(..6)),
        Kind::Default => "TBW102".to_owned(),
        Kind::Group => format!("fuzz_group{}", random.u8(..6)),
        Kind::Queue => random.u8(..4).to_string(),
        Kind::Int => random.u8(..8).to_string(),
        Kind::Long | Kind::HalfOffset | Kind::HalfPosition => random.u16(..500).to_string(),
        Kind::HalfGroup => halves::GROUP.to_owned(),
        Kind::End => pick(random, &["0", "8", "8", "12"]).to_owned(),
        Kind::Recall => {
            let topic = value(Kind::Topic, random);
            RecallHandle::encode(&topic, "broker-a", tomorrow_ms(), &format!("k{}", random.u8(..9)))
        }
        Kind::ExpressionType => pick(random, &["TAG", "TAG", "SQL92"]).to_owned(),
        Kind::Perm => pick(random, &["6", "6", "6", "4", "2", "7"]).to_owned(),
        Kind::Key => format!("account-{}", random.u8(..6)),
        Kind::Permission => pick(random, &["DENY", "PUB", "SUB", "PUB|SUB"]).to_owned(),
        Kind::Permissions => pick(random, &["fuzz1=PUB", "fuzz1=PUB|SUB,fuzz2=DENY"]).to_owned(),
        Kind::Path => String::new(),
        Kind::Address => format!("10.{}.*.*", random.u8(..9)),
        Kind::Wait => random.u8(..20).to_string(),
        Kind::Bool => random.bool().to_string(),
        Kind::Text => format!("text{}", random.u8(..6)),
        Kind::Properties if random.u8(..4) == 0 => {
            let (group, key) = (random.u8(..6), random.u8(..9));
            format!("TRAN_MSG\u{1}true\u{2}PGROUP\u{1}fuzz_group{group}\u{2}KEYS\u{1}k{key}")
        }
        Kind::Properties => format!("KEYS\u{1}k{}\u{2}TAGS\u{1}a\u{2}n\u{1}5", random.u8(..9)),
        Kind::Expression => pick(random, &["*", "a||b", "n > 3", "a"]).to_owned(),
    }
}

const NUMBERS: [&str; 18] = [
    "",
    " ",
    "x",
    "-1",
    "1.5",
    "+1",
    " 1",
    "01",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "99999999999999999999",
    "0x10",
    "NaN",
];
const TEXTS: [&str; 16] = [
    "",
    " ",
    "nosuch",
    "TBW102",
    "%RETRY%fuzz_group1",
    "%DLQ%fuzz_group1",
    "SCHEDULE_TOPIC_XXXX",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "with space",
    "../../etc/passwd",
    "a%b",
    "\u{1}\u{2}\u{0}",
    "\u{1b}[31m\r\nline\n",
    "\u{4e2d}\u{1f600}",
    "\"}{\\",
    "$(id)",
];
const PROPERTIES: [&str; 17] = [
    "\u{1}",
    "\u{2}",
    "a",
    "a\u{1}b\u{2}\u{2}",
    "DELAY\u{1}1",
    "DELAY\u{1}99999999999",
    "TRAN_MSG\u{1}true",
    "TRAN_MSG\u{1}TRUE\u{2}DELAY\u{1}3",
    "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}\u{2}REAL_TOPIC\u{1}other\u{2}REAL_QID\u{1}99",
    "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}g\u{2}CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}-2",
    "TRAN_MSG\u{1}true\u{2}CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}9223372036854775807",
    "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}g\u{2}TRANSACTION_CHECK_TIMES\u{1}x",
    "UNIQ_KEY\u{1}u\u{2}UNIQ_KEY\u{1}v",
    "__STARTDELIVERTIME\u{1}9999999999999",
    "TIMER_DELAY_SEC\u{1}-1",
    "REAL_TOPIC\u{1}fuzz1\u{2}REAL_QID\u{1}-1",
    "RETRY_TOPIC\u{1}%RETRY%x\u{2}MAX_RECONSUME_TIMES\u{1}x",
];
const PERMISSIONS: [&str; 8] = ["", "ANY", "pub", "=", "fuzz1=", "=PUB", "a=PUB,a=SUB", ",,,"];
const ADDRESSES: [&str; 8] =
    ["", "x", "10.0.0", "10.0.0.0-999", "10.*.1.1", "10.0.0.{1,2}", ",", "::ffff:10.0.0.*"];
const EXPRESSIONS: [&str; 12] = [
    "",
    "||",
    "a||||b",
    "n",
    "n >",
    "n > 3 and",
    "((((((((n > 3",
    "a = 'b",
    "n between 3 and 1",
    "not not not a is null",
    "a in ('x', 'y') or b like '%'",
    "n > 99999999999999999999999999",
];

fn odd_value(kind: Kind, random: &mut Rng) -> String {
    if random.u8(..200) == 0 && kind != Kind::Wait {
        return "n".repeat(random.usize(..LARGE_BYTES));
    }
    let text = match kind {
        Kind::Queue | Kind::Int | Kind::Long => pick(random, &NUMBERS),
        Kind::HalfOffset | Kind::HalfPosition | Kind::End | Kind::Perm => pick(random, &NUMBERS),
        Kind::Default | Kind::ExpressionType | Kind::Key | Kind::Path => pick(random, &TEXTS),
        Kind::Permission | Kind::Permissions => pick(random, &PERMISSIONS),
        // one that takes in the fuzz itself would end the checks
        Kind::Address => pick(random, &ADDRESSES),
        // a pull that really waits would be waited for here
        Kind::Wait => pick(random, &["", "x", "-1", "-9223372036854775808", "0", "1.5"]),
        Kind::Bool => pick(random, &["", "TRUE", "yes", "0", "null"]),
        Kind::Topic | Kind::Group | Kind::HalfGroup | Kind::Text | Kind::Recall => {
            pick(random, &TEXTS)
        }
        Kind::Properties => pick(random, &PROPERTIES),
        Kind::Expression => pick(random, &EXPRESSIONS),
    };
    text.to_owned()
}

fn pick<'a>(random: &mut Rng, from: &[&'a str]) -> &'a str {
    from[random.usize(..from.len())]
}

fn body(shape: &Shape, random: &mut Rng) -> Vec<u8> {
    match random.u8(..24) {
        0 => noise(random, 300),
        1 => Vec::new(),
        2 => b"[".repeat(random.usize(..3000)),
        3 => pick(random, &["{}", "null", "[]", "5", "\"x\"", "{\"a\":", "[{},{},{}]"]).into(),
        4..=8 => damaged_text(sound_body(shape.body, random), random),
        _ => sound_body(shape.body, random),
    }
}

fn sound_body(body: Body, random: &mut Rng) -> Vec<u8> {
    let (topic, group) = (value(Kind::Topic, random), value(Kind::Group, random));
    let text = match body {
        Body::None => String::new(),
        Body::Message => return noise(random, 200),
        Body::Batch => return messages(random),
        Body::Heartbeat => format!(
            "{{\"clientID\":\"c{}\",\"consumerDataSet\":[\
                {{\"consumeFromWhere\":\"CONSUME_FROM_FIRST_OFFSET\",\
                \"consumeType\":\"CONSUME_PASSIVELY\",\"groupName\":\"{group}\",\
                \"messageModel\":\"CLUSTERING\",\"subscriptionDataSet\":[\
                {{\"classFilterMode\":false,\"codeSet\":[97],\"expressionType\":\"TAG\",\
                \"subString\":\"a\",\"subVersion\":5,\"tagsSet\":[\"a\"],\
                \"topic\":\"{topic}\"}}],\"unitMode\":false}}],\"producerDataSet\":[\
                {{\"groupName\":\"{group}\"}}]}}",
            random.u8(..9)
        ),
        Body::Lock => format!(
            "{{\"clientId\":\"c{}\",\"consumerGroup\":\"{group}\",\"mqSet\":[\
                {{\"brokerName\":\"broker-a\",\"queueId\":{},\"topic\":\"{topic}\"}}],\
                \"onlyThisBroker\":true}}",
            random.u8(..3),
            random.u8(..5)
        ),
        Body::Group => format!(
            "{{\"brokerId\":0,\"consumeBroadcastEnable\":true,\"consumeEnable\":true,\
                \"groupName\":\"{group}\",\"retryMaxTimes\":16,\"retryQueueNums\":1,\
                \"whichBrokerWhenConsumeSlowly\":1}}"
        ),
        Body::GroupList => {
            format!(
                "{{\"groupConfigList\":[{{\"groupName\":\"{group}\"}},{{\"retryQueueNums\":2}}]}}"
            )
        }
        Body::TopicList => format!(
            "{{\"topicConfigList\":[{{\"topicName\":\"{topic}\",\"readQueueNums\":4,\
                \"writeQueueNums\":4}},{{\"topicName\":\"{topic}\",\
                \"attributes\":{{\"+a\":\"b\"}}}}]}}"
        ),
        Body::Check => format!(
            "{{\"clientId\":\"c\",\"group\":\"{group}\",\"namespace\":\"\",\
                \"subscriptionData\":{{\"expressionType\":\"SQL92\",\"subString\":\"n > 3\",\
                \"topic\":\"{topic}\"}}}}"
        ),
        Body::Registration => format!(
            "{{\"filterServerList\":[],\
                \"topicConfigSerializeWrapper\":{{\"dataVersion\":{{\"counter\":{},\
                \"timestamp\":1}},\"topicConfigTable\":{{\"{topic}\":{{\"order\":false,\
                \"perm\":6,\"readQueueNums\":4,\"topicFilterType\":\"SINGLE_TAG\",\
                \"topicName\":\"{topic}\",\"topicSysFlag\":0,\"writeQueueNums\":4}}}}}}}}",
            random.u8(..9)
        ),
        Body::Version => r#"{"counter":1,"timestamp":1700000000000}"#.to_owned(),
        Body::Configuration => {
            let lines = [
                "longPollingEnable=true",
                "enableTopicList=true",
                "orderMessageEnable=x",
                "kvConfigPath=/x",
                "=",
                "\u{0}",
            ];
            pick(random, &lines).to_owned()
        }
    };
    text.into_bytes()
}

fn messages(random: &mut Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.usize(..6) {
        let body = noise(random, 60);
        let message = BatchMessage { flag: 0, body: &body, properties: b"TAGS\x01a" };
        batches::append(&mut bytes, &message).expect("lengths fit");
    }
    bytes
}

fn noise(random: &mut Rng, bytes_max: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.usize(..bytes_max)];
    random.fill(&mut bytes);
    bytes
}

/// A body in which some bytes are others, missing or there again.
fn damaged_text(mut bytes: Vec<u8>, random: &mut Rng) -> Vec<u8> {
    for _ in 0..random.usize(1..4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.usize(..bytes.len());
        match random.u8(..4) {
            0 => bytes[at] = random.u8(..),
            1 => bytes.truncate(at),
            2 => drop(bytes.remove(at)),
            _ => {
                let part = bytes[at..(at + 20).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

/// A frame that is none any more, or still is.
fn damaged(mut frame: Vec<u8>, random: &mut Rng) -> Vec<u8> {
    match random.u8(..8) {
        0 => frame.truncate(random.usize(..frame.len())),
        1 => frame = noise(random, 4000),
        2 => frame[..4].copy_from_slice(&random.u32(..).to_be_bytes()),
        3 => frame[4..8].copy_from_slice(&random.u32(..).to_be_bytes()),
        4 => frame[..4].copy_from_slice(&random.u32(..64).to_be_bytes()),
        _ => {
            for _ in 0..random.usize(1..6) {
                let at = random.usize(4..frame.len().min(200));
                frame[at] = random.u8(..);
            }
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_always_gives_the_same_batch_and_seeds_differ() {
        let known = Known::default();
        let one = batch(1, 5, &known);
        assert_eq!(one.bytes, batch(1, 5, &known).bytes);
        assert_ne!(one.bytes, batch(2, 5, &known).bytes);
    }

    #[test]
    fn every_code_of_both_servers_is_asked_for() {
        let mut random = Rng::with_seed(1);
        for side in [Side::Broker, Side::Names] {
            let wanted = shapes::SHAPES.iter().filter(|shape| shape.side == side).count();
            let asked: std::collections::BTreeSet<i32> =
                (0..3000).map(|_| shapes::any(&mut random, side).code).collect();
            assert_eq!(asked.len(), wanted);
        }
    }

    #[test]
    fn every_code_that_a_server_answers_has_a_shape() {
        let shaped = |side: Side, code: i32| {
            shapes::SHAPES.iter().any(|shape| shape.side == side && shape.code == code)
        };
        for code in ringmq_broker::request_codes() {
            assert!(shaped(Side::Broker, code), "request {code} of the broker is never asked for");
        }
        for code in ringmq_namesrv::handlers::request_codes() {
            assert!(shaped(Side::Names, code), "request {code} of the name server is never asked");
        }
    }
}
