//! Pull frames: everything but the offset and the opaque is encoded once a queue.

use crate::arguments::{Options, Serialization};
use crate::template::VERSION;

const PULL_MESSAGE: u16 = 11;
/// Bits of a pull's sysFlag.
const SUSPEND: u32 = 2;
const SUBSCRIPTION: u32 = 4;
/// As the push consumer asks; the broker may hold a pull so long.
const SUSPEND_MS: u32 = 15_000;
const LENGTHS_BYTES: usize = 8;
const OPAQUE_DIGITS: usize = 10;

/// The parts of one queue's pull frame around the offset.
#[derive(Debug)]
pub struct PullTemplate {
    head: Vec<u8>,
    tail: Vec<u8>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// The opaque is so many bytes before the end.
    Json { opaque_from_end: usize },
    /// Places of the opaque, of the length of all entries, of the length of the offset's text.
    Binary { opaque: usize, entries: usize, value: usize },
}

impl PullTemplate {
    /// Encodes the parts.
    pub fn new(options: &Options, group: &str, topic: &str, queue: u32) -> PullTemplate {
        let suspend = if options.replay { 0 } else { SUSPEND };
        let fields = [
            ("consumerGroup", group.to_owned()),
            ("topic", topic.to_owned()),
            ("queueId", queue.to_string()),
            ("maxMsgNums", options.pull_batch.to_string()),
            ("sysFlag", (suspend | SUBSCRIPTION).to_string()),
            ("commitOffset", "0".to_owned()),
            ("suspendTimeoutMillis", SUSPEND_MS.to_string()),
            ("subscription", options.expression.clone()),
            ("subVersion", "0".to_owned()),
            ("expressionType", options.filter_type.name().to_owned()),
        ];
        match options.serialization {
            Serialization::Json => PullTemplate::json(&fields),
            Serialization::Rocketmq => PullTemplate::binary(&fields),
        }
    }

    /// Appends a frame.
    pub fn append(&self, output: &mut Vec<u8>, opaque: u32, offset: i64) {
        let base = output.len();
        let mut digits = itoa::Buffer::new();
        let text = digits.format(offset).as_bytes();
        output.extend_from_slice(&self.head);
        output.extend_from_slice(text);
        output.extend_from_slice(&self.tail);
        let frame = &mut output[base..];
        let length = as_u32(frame.len() - 4);
        put_u32(frame, 0, length);
        match self.kind {
            Kind::Json { opaque_from_end } => {
                put_u32(frame, 4, length - 4);
                let place = frame.len() - opaque_from_end;
                let mut digits = itoa::Buffer::new();
                let text = digits.format(opaque).as_bytes();
                frame[place..place + OPAQUE_DIGITS].copy_from_slice(text);
            }
            Kind::Binary { opaque: place, entries, value } => {
                put_u32(frame, 4, 1 << 24 | (length - 4));
                put_u32(frame, place, opaque);
                put_u32(frame, value, as_u32(text.len()));
                let bytes = as_u32(frame.len() - entries - 4);
                put_u32(frame, entries, bytes);
            }
        }
    }

    fn json(fields: &[(&str, String)]) -> PullTemplate {
        let mut head = vec![0; LENGTHS_BYTES];
        head.extend_from_slice(format!("{{\"code\":{PULL_MESSAGE},\"extFields\":{{").as_bytes());
        for (name, value) in fields {
            let value = serde_json::to_string(value).expect("a string is always JSON");
            head.extend_from_slice(format!("\"{name}\":{value},").as_bytes());
        }
        head.extend_from_slice(b"\"queueOffset\":\"");
        let before = "\"},\"flag\":0,\"language\":\"JAVA\",\"opaque\":";
        let after = format!(",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":{VERSION}}}");
        let tail = format!("{before}{}{after}", "0".repeat(OPAQUE_DIGITS)).into_bytes();
        let opaque_from_end = after.len() + OPAQUE_DIGITS;
        PullTemplate { head, tail, kind: Kind::Json { opaque_from_end } }
    }

    fn binary(fields: &[(&str, String)]) -> PullTemplate {
        let mut head = vec![0; LENGTHS_BYTES];
        head.extend_from_slice(&PULL_MESSAGE.to_be_bytes());
        head.push(0);
        head.extend_from_slice(&VERSION.to_be_bytes());
        let opaque = head.len();
        // Opaque, flag, no remark.
        head.extend_from_slice(&[0; 12]);
        let entries = head.len();
        head.extend_from_slice(&[0; 4]);
        for (name, value) in fields {
            entry_key(&mut head, name);
            head.extend_from_slice(&as_u32(value.len()).to_be_bytes());
            head.extend_from_slice(value.as_bytes());
        }
        entry_key(&mut head, "queueOffset");
        let value = head.len();
        head.extend_from_slice(&[0; 4]);
        PullTemplate { head, tail: Vec::new(), kind: Kind::Binary { opaque, entries, value } }
    }
}

fn entry_key(head: &mut Vec<u8>, key: &str) {
    let bytes = u16::try_from(key.len()).expect("keys are short");
    head.extend_from_slice(&bytes.to_be_bytes());
    head.extend_from_slice(key.as_bytes());
}

fn put_u32(frame: &mut [u8], place: usize, value: u32) {
    frame[place..place + 4].copy_from_slice(&value.to_be_bytes());
}

fn as_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a pull frame has some hundred bytes")
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use ringmq_remoting::command::Header;
    use ringmq_remoting::frame::Frame;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn pull_frames_of_any_offset_decode() {
        for serialization in ["json", "rocketmq"] {
            let words = ["bench", "--serialization", serialization, "-B", "5", "-e", "a || b"];
            let options = Line::parse_from(words).options;
            let template = PullTemplate::new(&options, "group", "Topic", 12);
            for offset in [0, 7, i64::MAX] {
                let mut output = Vec::new();
                template.append(&mut output, 1_234_567_890, offset);
                let frame = Frame::parse(&output).expect("a whole frame");
                let header = Header::decode(&frame).expect("a header");
                let field = |name: &str| header.fields.get(name).expect("the field is there");
                assert_eq!((header.code, header.opaque), (11, 1_234_567_890));
                assert_eq!((field("topic"), field("queueId")), ("Topic", "12"));
                assert_eq!(field("queueOffset"), offset.to_string());
                assert_eq!((field("sysFlag"), field("maxMsgNums")), ("6", "5"));
                assert_eq!(field("subscription"), "a || b");
                assert_eq!(header.fields.len(), 11);
                assert!(frame.body.is_empty());
            }
        }
    }
}
