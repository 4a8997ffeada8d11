use proptest::prelude::*;

use super::*;
use crate::encode;

const JAVA_V2: &str = concat!(
    r#"{"code":310,"extFields":{"a":"producer_group","b":"TopicTest","c":"TBW102","d":"4","#,
    r#""e":"3","#,
    r#""f":"0","g":"1700000000000","h":"0","i":"KEYS\u0001order-7000000000001\u0002"#,
    r#"UNIQ_KEY\u00017F0000010BB818B4AAC2000000000001\u0002WAIT\u0001true\u0002"#,
    r#"TAGS\u0001TagA\u0002"#,
    r#"region\u0001eu-central-1\u0002trace\u00014bf92f3577b34da6a3ce929d0e0e4736","#,
    r#""j":"0","k":"false","m":"false"},"flag":0,"language":"JAVA","opaque":12345,"#,
    r#""serializeTypeCurrentRPC":"JSON","version":409}"#
);

const GO: &str = concat!(
    r#"{"code":10,"language":"GO","version":317,"opaque":2,"flag":0,"remark":"","extFields":{"#,
    r#""batch":"false","bornTimestamp":"1700000000000","defaultTopic":"TBW102","#,
    r#""defaultTopicQueueNums":"4","flag":"0","maxReconsumeTimes":"0","producerGroup":"g","#,
    r#""properties":"TAGS\u0001a\u0002","queueId":"1","reconsumeTimes":"0","sysFlag":"0","#,
    r#""topic":"T\u4e2d","unitMode":"false"}}"#
);

fn frame(header: &str) -> Frame<'_> {
    Frame { serialization: Serialization::Json, header: header.as_bytes(), body: b"" }
}

/// What both paths make of a frame; they may only differ in that the fast one gives up.
fn decode(frame: &Frame<'_>, check: impl FnOnce(&SendHeader<'_>)) -> bool {
    let mut scratch = b"old".to_vec();
    let fast = decode_fast(frame, &mut scratch);
    let header = Header::decode(frame).expect("a header");
    let general = SendHeader::from_header(&header, frame.serialization);
    if let Some(fast) = &fast {
        assert_eq!(general.as_ref(), Ok(fast));
    }
    if let Ok(general) = &general {
        check(general);
    }
    fast.is_some()
}

#[test]
fn the_header_of_java_takes_the_fast_path() {
    assert!(decode(&frame(JAVA_V2), |header| {
        assert_eq!((header.topic, header.producer_group), ("TopicTest", "producer_group"));
        assert_eq!((header.code, header.opaque, header.version), (310, 12345, 409));
        assert!(header.properties.starts_with(b"KEYS\x01order-7000000000001\x02UNIQ_KEY\x01"));
        assert_eq!(header.max_reconsume_times, None);
        assert_eq!(header.born_timestamp, 1_700_000_000_000);
    }));
}

#[test]
fn the_header_of_go_takes_the_fast_path() {
    assert!(decode(&frame(GO), |header| {
        assert_eq!((header.topic, header.queue_id), ("T\u{4e2d}", 1));
        assert_eq!(header.properties, b"TAGS\x01a\x02");
        assert_eq!(header.max_reconsume_times, Some(0));
    }));
}

#[test]
fn spaces_as_python_writes_them_take_the_fast_path() {
    let python = JAVA_V2.replace("\",\"", "\", \"").replace("\":", "\": ");
    assert!(decode(&frame(&python), |header| assert_eq!(header.topic, "TopicTest")));
    assert!(decode(&frame(&format!("{JAVA_V2}\n")), |_| {}));
}

#[test]
fn what_is_unusual_is_left_to_the_general_path() {
    let unusual = [
        JAVA_V2.replace("\"b\":\"TopicTest\"", "b:'TopicTest'"),
        JAVA_V2.replace("\"e\":\"3\"", "\"e\":3"),
        JAVA_V2.replace("\"k\":\"false\"", "\"k\":\"False\""),
        JAVA_V2.replace("\"opaque\":12345", "\"opaque\":\"12345\""),
        JAVA_V2.replace("\"language\":\"JAVA\"", "\"language\":{}"),
        JAVA_V2.replace("\"extFields\"", "\"ext\\u0046ields\""),
    ];
    for header in unusual {
        let mut seen = false;
        let fast = decode(&frame(&header), |send| {
            assert_eq!((send.topic, send.queue_id, send.opaque), ("TopicTest", 3, 12345));
            seen = true;
        });
        assert!(seen && !fast, "{header}");
    }
}

#[test]
fn a_missing_field_is_named() {
    let json = JAVA_V2.replace("\"b\":", "\"z\":");
    let frame = frame(&json);
    assert_eq!(decode_fast(&frame, &mut Vec::new()), None);
    let header = Header::decode(&frame).expect("a header");
    let error = SendHeader::from_header(&header, frame.serialization).expect_err("no topic");
    assert_eq!(error.to_string(), "SendMessageRequestHeader: the field b is missing or no string");
}

#[test]
fn every_truncation_is_left_to_the_general_path() {
    for header in [JAVA_V2, GO] {
        for cut in 0..header.len() {
            let mut scratch = Vec::new();
            assert_eq!(decode_fast(&frame(&header[..cut]), &mut scratch), None);
        }
    }
}

#[derive(Clone, Debug)]
struct Sample {
    texts: Vec<String>,
    numbers: Vec<i32>,
    truths: Vec<bool>,
    present: Vec<bool>,
    order: Vec<usize>,
    code: i32,
    serialization: Serialization,
}

fn samples() -> impl Strategy<Value = Sample> {
    let text = "[a-zA-Z0-9%_\"\\\\/\u{1}\u{2}\n\u{4e2d}\u{1F600}]{1,40}";
    (
        proptest::collection::vec(text, 4),
        proptest::collection::vec(any::<i32>(), 7),
        proptest::collection::vec(any::<bool>(), 2),
        proptest::collection::vec(proptest::bool::weighted(0.8), FIELDS),
        Just((0..FIELDS).collect::<Vec<_>>()).prop_shuffle(),
        proptest::sample::select(vec![10, 310, 320, 324, 325]),
        proptest::sample::select(vec![Serialization::Json, Serialization::RocketMq]),
    )
        .prop_map(|(texts, numbers, truths, present, order, code, serialization)| Sample {
            texts,
            numbers,
            truths,
            present,
            order,
            code,
            serialization,
        })
}

fn value(sample: &Sample, field: usize) -> String {
    match field {
        0..=2 => sample.texts[field].clone(),
        8 => sample.texts[3].clone(),
        10 => sample.truths[0].to_string(),
        12 => sample.truths[1].to_string(),
        3..=7 => sample.numbers[field - 3].to_string(),
        9 => sample.numbers[5].to_string(),
        _ => sample.numbers[6].to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn both_paths_agree(sample in samples()) {
        let names = if long_names(sample.code) == Some(true) { NAMES } else { LETTERS };
        let values: Vec<(&str, String)> = sample
            .order
            .iter()
            .filter(|&&field| field < 8 || sample.present[field])
            .map(|&field| (names[field], value(&sample, field)))
            .collect();
        let fields: Vec<(&str, &str)> = values.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let mut bytes = Vec::new();
        let (serialization, code) = (sample.serialization, sample.code);
        let sent = encode::request(&mut bytes, serialization, code, 1, true, &fields, b"x");
        sent.expect("fits");
        let frame = Frame::parse(&bytes).expect("a frame");
        let mut seen = false;
        let fast = decode(&frame, |header| {
            assert_eq!(header.topic, sample.texts[1]);
            seen = true;
        });
        prop_assert!(fast && seen);
        // Without its first field a header may be incomplete, but never differently so.
        bytes.clear();
        let fields = &fields[1..];
        let sent = encode::request(&mut bytes, serialization, code, 1, true, fields, b"");
        sent.expect("fits");
        decode(&Frame::parse(&bytes).expect("a frame"), |_| {});
    }

    #[test]
    fn damaged_headers_never_make_the_paths_differ(
        at in 0..JAVA_V2.len(),
        byte in any::<u8>(),
        go in any::<bool>(),
    ) {
        let mut header = if go { GO } else { JAVA_V2 }.as_bytes().to_vec();
        let at = at % header.len();
        header[at] = byte;
        let frame = Frame { serialization: Serialization::Json, header: &header, body: b"" };
        let mut scratch = Vec::new();
        if let Some(fast) = decode_fast(&frame, &mut scratch) {
            let header = Header::decode(&frame).expect("what the fast path reads is a header");
            prop_assert_eq!(SendHeader::from_header(&header, frame.serialization), Ok(fast));
        }
    }
}

/// Nanoseconds that this thread has run, whatever else the machine does.
fn thread_nanoseconds() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').next().and_then(|first| first.parse().ok()).expect("a number")
}

fn measure(name: &str, rounds: u64, mut run: impl FnMut()) {
    let start = thread_nanoseconds();
    (0..rounds).for_each(|_| run());
    println!("{name}: {} ns", (thread_nanoseconds() - start) / rounds);
}

#[test]
#[ignore = "a benchmark: cargo test --release -- --ignored --nocapture nanoseconds"]
fn nanoseconds_per_header() {
    use std::hint::black_box;
    let mut scratch = Vec::with_capacity(512);
    for (name, header) in [("Java V2", JAVA_V2), ("Go V1", GO)] {
        let frame = frame(header);
        measure(&format!("{name} fast"), 1_000_000, || {
            let decoded = decode_fast(black_box(&frame), &mut scratch);
            black_box(decoded.expect("a send header"));
        });
        measure(&format!("{name} general"), 100_000, || {
            black_box(Header::decode(black_box(&frame)).expect("a header"));
        });
        let found = || memchr::memchr(0, black_box(header.as_bytes()));
        measure(&format!("{} bytes, memchr", header.len()), 1_000_000, || {
            black_box(found());
        });
    }
    let mut out = Vec::with_capacity(1024);
    let id = crate::message_id::message_id(([10, 0, 0, 1], 10911).into(), 4096);
    measure("send_ok", 1_000_000, || {
        out.clear();
        let ok = encode::SendOk {
            message_id: id.as_bytes(),
            queue_id: 3,
            queue_offset: 123_456,
            transaction_id: None,
            recall_handle: None,
            region: "DefaultRegion",
            trace_on: true,
        };
        encode::send_ok(&mut out, Serialization::Json, 77, black_box(&ok)).expect("fits");
        black_box(&out);
    });
}
