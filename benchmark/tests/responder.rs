//! The tool against a responder that stands for a name server and a broker: what it sends is well
//! formed, what it reports is true, and (ignored, for a quiet machine and a release build) it costs
//! less than 0.5 us of CPU a message.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use clap::Parser;
use ringmq_benchmark::{Arguments, run};
use ringmq_remoting::codes::{request, response};
use ringmq_remoting::command::Header;
use ringmq_remoting::encode;
use ringmq_remoting::frame::{Frame, Scan, Serialization, scan};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

const PULL_RECORDS: i64 = 32;
/// Header of what the Java broker answers to a send.
const SEND_OK: &str = concat!(
    r#"{"code":0,"extFields":{"MSG_REGION":"DefaultRegion","TRACE_ON":"true","#,
    r#""msgId":"7F00000100002A9F0000000000000000","queueId":"1","queueOffset":"1"},"flag":1,"#,
    r#""language":"JAVA","opaque":1000000000,"serializeTypeCurrentRPC":"JSON","version":407}"#
);

/// Starts a responder that answers for ever: its address.
fn responder(busy_with: Option<i32>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream, address, busy_with));
        }
    });
    address
}

fn serve(mut stream: TcpStream, address: SocketAddr, busy_with: Option<i32>) {
    stream.set_nodelay(true).expect("TCP sockets have the option");
    let (mut input, mut end) = (vec![0; 1 << 20], 0);
    let mut output = Vec::new();
    loop {
        let bytes = match stream.read(&mut input[end..]) {
            Ok(0) | Err(_) => return,
            Ok(bytes) => bytes,
        };
        end += bytes;
        let mut start = 0;
        while let Ok(Scan::Complete { length }) = scan(&input[start..end]) {
            let frame = &input[start..start + length];
            if busy_with.is_some() || !answer_fast(&mut output, frame) {
                answer(&mut output, frame, address, busy_with);
            }
            start += length;
        }
        input.copy_within(start..end, 0);
        end -= start;
        if stream.write_all(&output).is_err() {
            return;
        }
        output.clear();
    }
}

/// Answers a send of the usual kind without decoding it.
fn answer_fast(output: &mut Vec<u8>, frame: &[u8]) -> bool {
    let header_bytes = u32::from_be_bytes([0, frame[5], frame[6], frame[7]]) as usize;
    let header = &frame[8..8 + header_bytes];
    if !header.starts_with(b"{\"code\":310") {
        return false;
    }
    let tail = ",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":407}".len();
    let opaque = &header[header.len() - tail - 10..header.len() - tail];
    let reply_bytes = SEND_OK.len() as u32;
    output.extend_from_slice(&(reply_bytes + 4).to_be_bytes());
    output.extend_from_slice(&reply_bytes.to_be_bytes());
    output.extend_from_slice(SEND_OK.as_bytes());
    let place = output.len() - tail - 10;
    output[place..place + 10].copy_from_slice(opaque);
    true
}

fn answer(output: &mut Vec<u8>, frame: &[u8], address: SocketAddr, busy_with: Option<i32>) {
    let frame = Frame::parse(frame).expect("the tool sends whole frames");
    let header = Header::decode(&frame).expect("the tool sends good headers");
    let mut fields = Vec::new();
    let mut body = Vec::new();
    let mut code = response::SUCCESS;
    match header.code {
        request::GET_ROUTEINFO_BY_TOPIC => {
            body = format!(
                "{{\"brokerDatas\":[{{\"brokerAddrs\":{{\"0\":\"{address}\"}},\"brokerName\":\
                 \"b\"}}],\"queueDatas\":[{{\"brokerName\":\"b\",\"perm\":6,\"readQueueNums\":4,\
                 \"writeQueueNums\":4}}]}}"
            )
            .into_bytes();
        }
        request::GET_MIN_OFFSET | request::GET_MAX_OFFSET => {
            fields.push(("offset", "100".to_owned()))
        }
        request::PULL_MESSAGE => {
            let offset = header.fields.get("queueOffset").expect("a pull has an offset");
            let offset: i64 = offset.parse().expect("an offset is a number");
            body = (offset..offset + PULL_RECORDS).flat_map(record).collect();
            fields.push(("nextBeginOffset", (offset + PULL_RECORDS).to_string()));
        }
        request::HEART_BEAT => {}
        _ => code = busy_with.unwrap_or(response::SUCCESS),
    }
    let fields: Vec<_> = fields.iter().map(|(name, text)| (*name, text.as_str().into())).collect();
    let json = Serialization::Json;
    let remark = busy_with.map(|_| "broker busy");
    encode::response(output, json, header.opaque, code, remark, &fields, &body).expect("fits");
}

/// A record of 100 bytes of body, as brokers store it.
fn record(offset: i64) -> Vec<u8> {
    let body = [b'x'; 100];
    let mut record = Vec::with_capacity(200);
    record.extend_from_slice(&[0; 4]);
    record.extend_from_slice(&0xDAA3_20A7u32.to_be_bytes());
    record.extend_from_slice(&(crc32fast::hash(&body) & 0x7FFF_FFFF).to_be_bytes());
    record.extend_from_slice(&[0; 8]);
    record.extend_from_slice(&offset.to_be_bytes());
    record.extend_from_slice(&[0; 56]);
    record.extend_from_slice(&(body.len() as u32).to_be_bytes());
    record.extend_from_slice(&body);
    record.extend_from_slice(b"\x01T\x00\x00");
    let bytes = (record.len() as u32).to_be_bytes();
    record[..4].copy_from_slice(&bytes);
    record
}

/// Runs the tool and returns its report.
fn bench(mode: &str, name_server: SocketAddr, words: &[&str]) -> serde_json::Value {
    let file = std::env::temp_dir().join(format!(
        "ringmq-bench-{}-{}",
        std::process::id(),
        name_server.port()
    ));
    let (server, path) = (name_server.to_string(), file.to_str().expect("a plain path"));
    let common = ["bench", mode, "-n", &server, "--json", path];
    let line = Line::parse_from(common.iter().chain(words));
    run(line.arguments).expect("the run ends well");
    let text = std::fs::read_to_string(&file).expect("the report was written");
    std::fs::remove_file(&file).expect("the report can be removed");
    let mut reports: serde_json::Value = serde_json::from_str(&text).expect("the report is JSON");
    reports[0].take()
}

#[test]
fn every_message_asked_for_is_sent_and_counted() {
    for serialization in ["json", "rocketmq"] {
        let words = ["-q", "10000", "-c", "3", "-d", "7", "--warmup", "0", "--threads", "2"];
        let report = bench(
            "producer",
            responder(None),
            &[&words[..], &["--serialization", serialization]].concat(),
        );
        assert_eq!(
            (report["messages"].as_u64(), report["requests"].as_u64()),
            (Some(10_000), Some(10_000))
        );
        assert_eq!(report["failures"].as_array().map(Vec::len), Some(0));
        assert!(report["latency_us"]["p50"].as_f64() > Some(0.0));
    }
}

#[test]
fn an_open_loop_sends_at_its_rate() {
    let words =
        ["--rate", "5000", "--batch", "5", "--duration", "1s", "--warmup", "100ms", "-d", "50"];
    let report = bench("producer", responder(None), &words);
    let rate = report["messages_per_second"].as_f64().expect("a rate");
    assert!((4000.0..6000.0).contains(&rate), "{rate}");
}

#[test]
fn refusals_are_counted_by_code_with_the_first_remark() {
    let words = ["-q", "10", "--warmup", "0"];
    let report = bench("producer", responder(Some(response::SYSTEM_BUSY)), &words);
    assert_eq!(report["messages"].as_u64(), Some(0));
    let expected = serde_json::json!([{"code": 2, "count": 10, "first_remark": "broker busy"}]);
    assert_eq!(report["failures"], expected);
}

#[test]
fn a_consumer_pulls_verifies_and_counts() {
    for serialization in ["json", "rocketmq"] {
        let words = ["-q", "5000", "-c", "2", "--warmup", "0", "--from", "min", "--verify"];
        let report = bench(
            "consumer",
            responder(None),
            &[&words[..], &["--serialization", serialization]].concat(),
        );
        assert!(report["messages"].as_u64() >= Some(5000));
        assert_eq!(report["corrupt"].as_u64(), Some(0), "{}", report["corrupt_first"]);
        assert_eq!(report["load"]["queues"].as_u64(), Some(4));
    }
}

#[test]
#[ignore = "measures: needs a release build and a quiet machine"]
fn a_message_costs_the_tool_less_than_half_a_microsecond() {
    for load in [["-c", "8", "-d", "8"], ["-c", "32", "-d", "32"], ["-c", "4", "-d", "512"]] {
        let words = [&load[..], &["--duration", "4s", "--warmup", "1s", "--pin", "1"]].concat();
        let report = bench("producer", responder(None), &words);
        println!("{load:?}: {} us", report["tool_cpu_us_per_message"]);
        if load[1] != "8" {
            assert!(report["tool_cpu_us_per_message"].as_f64() < Some(0.5), "{report}");
        }
    }
}
