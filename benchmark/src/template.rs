//! Send frames that are encoded once; for each message only digits in place are rewritten.
//!
//! The header is what the official Java client of 4.9 sends: SEND_MESSAGE_V2 (310), or
//! SEND_BATCH_MESSAGE (320), with UNIQ_KEY and WAIT among the properties. All varying parts have a
//! fixed width. Numbers of JSON must not have leading zeros: the opaque always has ten digits
//! (`slots.rs`), and the queue id has a template for each number of digits.

use crate::arguments::Serialization;
use crate::stamp::{Stamp, UNIQUE_PREFIX_DIGITS, UNIQUE_TAIL_DIGITS};

/// Version that the frames carry, as the Java client 4.9.7 does: the ordinal of V4_9_7.
pub const VERSION: u16 = 407;

const SEND_MESSAGE_V2: u16 = 310;
const SEND_BATCH_MESSAGE: u16 = 320;
const OPAQUE_DIGITS: usize = 10;
const BORN_DIGITS: usize = 13;

/// What a template is made for.
pub struct SendFrame<'a> {
    /// Encoding of the header.
    pub serialization: Serialization,
    /// Producer group.
    pub group: &'a str,
    /// Topic.
    pub topic: &'a str,
    /// Broker name, sent as the client sends it.
    pub broker: &'a str,
    /// Queues of the topic if the broker has to create it.
    pub default_queues: u32,
    /// Digits of the queue ids that this template serves.
    pub queue_digits: usize,
    /// Body of each message.
    pub body: &'a [u8],
    /// Messages; more than one is a batch.
    pub batch: usize,
    /// Whether messages have KEYS.
    pub keys: bool,
    /// Number of different tags; 0 is none.
    pub tags: u32,
    /// First digits of every UNIQ_KEY.
    pub unique_prefix: &'a [u8; UNIQUE_PREFIX_DIGITS],
    /// Whether messages are halves of transactions.
    pub is_half: bool,
    /// Bytes of a further property; 0 is none.
    pub property_bytes: usize,
    /// DELAY of the messages.
    pub delay_level: Option<u32>,
    /// TIMER_DELAY_MS of the messages.
    pub delay_ms: Option<u64>,
}

impl SendFrame<'_> {
    /// `sysFlag`.
    fn flags(&self) -> &'static str {
        if self.is_half { "4" } else { "0" }
    }
}

/// An encoded frame and the places that vary.
#[derive(Debug)]
pub struct SendTemplate {
    frame: Vec<u8>,
    opaque: usize,
    opaque_is_text: bool,
    queue: usize,
    queue_digits: usize,
    born: usize,
    messages: Vec<MessagePlaces>,
    tags: u32,
    tag_digits: usize,
}

#[derive(Debug, Default)]
struct MessagePlaces {
    unique: usize,
    key: Option<usize>,
    tag: Option<usize>,
}

impl SendTemplate {
    /// Encodes the frame with zeros in the places that vary.
    pub fn new(what: &SendFrame<'_>) -> SendTemplate {
        let mut template = SendTemplate {
            frame: Vec::with_capacity(512 + what.batch * (what.body.len() + 128)),
            opaque: 0,
            opaque_is_text: what.serialization == Serialization::Json,
            queue: 0,
            queue_digits: what.queue_digits,
            born: 0,
            messages: Vec::with_capacity(what.batch),
            tags: what.tags,
            tag_digits: decimal_digits(what.tags.saturating_sub(1)),
        };
        template.frame.extend_from_slice(&[0; 8]);
        match what.serialization {
            Serialization::Json => template.json_header(what),
            Serialization::Rocketmq => template.binary_header(what),
        }
        let header_bytes = as_u32(template.frame.len() - 8);
        if what.batch > 1 {
            template.batch_body(what);
        } else {
            template.frame.extend_from_slice(what.body);
        }
        let length = as_u32(template.frame.len() - 4);
        let kind = if template.opaque_is_text { 0 } else { 1 << 24 };
        template.frame[..4].copy_from_slice(&length.to_be_bytes());
        template.frame[4..8].copy_from_slice(&(kind | header_bytes).to_be_bytes());
        template
    }

    /// Appends one frame. `queue` has the number of digits that the template was made for.
    pub fn append(&self, output: &mut Vec<u8>, opaque: u32, queue: u32, stamp: &mut Stamp) {
        let base = output.len();
        output.extend_from_slice(&self.frame);
        let frame = &mut output[base..];
        let mut digits = itoa::Buffer::new();
        if self.opaque_is_text {
            let text = digits.format(opaque).as_bytes();
            debug_assert_eq!(text.len(), OPAQUE_DIGITS);
            frame[self.opaque..self.opaque + OPAQUE_DIGITS].copy_from_slice(text);
        } else {
            frame[self.opaque..self.opaque + 4].copy_from_slice(&opaque.to_be_bytes());
        }
        let text = digits.format(queue).as_bytes();
        frame[self.queue..self.queue + self.queue_digits].copy_from_slice(text);
        frame[self.born..self.born + BORN_DIGITS].copy_from_slice(stamp.born());
        for places in &self.messages {
            let tail = stamp.next_unique_tail();
            frame[places.unique..places.unique + UNIQUE_TAIL_DIGITS].copy_from_slice(&tail);
            if let Some(key) = places.key {
                frame[key..key + UNIQUE_TAIL_DIGITS].copy_from_slice(&tail);
            }
            if let Some(tag) = places.tag {
                let number = u32::from(stamp.counter()) % self.tags;
                write_decimal(&mut frame[tag..tag + self.tag_digits], number);
            }
        }
    }

    fn json_header(&mut self, what: &SendFrame<'_>) {
        let code = if what.batch > 1 { SEND_BATCH_MESSAGE } else { SEND_MESSAGE_V2 };
        self.text(&format!("{{\"code\":{code},\"extFields\":{{\"a\":\""));
        self.json_text(what.group);
        self.text("\",\"b\":\"");
        self.json_text(what.topic);
        self.text(&format!("\",\"c\":\"TBW102\",\"d\":\"{}\",\"e\":\"", what.default_queues));
        self.queue = self.zeros(what.queue_digits);
        self.text("\",\"f\":\"");
        self.text(what.flags());
        self.text("\",\"g\":\"");
        self.born = self.zeros(BORN_DIGITS);
        self.text("\",\"h\":\"0\",\"i\":\"");
        if what.batch > 1 {
            self.text("WAIT\\u0001true");
        } else {
            self.properties(what, "\\u0001", "\\u0002");
        }
        let batch = what.batch > 1;
        self.text(&format!("\",\"j\":\"0\",\"k\":\"false\",\"m\":\"{batch}\",\"n\":\""));
        self.json_text(what.broker);
        self.text("\"},\"flag\":0,\"language\":\"JAVA\",\"opaque\":");
        self.opaque = self.zeros(OPAQUE_DIGITS);
        self.text(&format!(",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":{VERSION}}}"));
    }

    fn binary_header(&mut self, what: &SendFrame<'_>) {
        let code = if what.batch > 1 { SEND_BATCH_MESSAGE } else { SEND_MESSAGE_V2 };
        self.frame.extend_from_slice(&code.to_be_bytes());
        self.frame.push(0);
        self.frame.extend_from_slice(&VERSION.to_be_bytes());
        self.opaque = self.frame.len();
        // Opaque, flag and the length of the remark: all zero.
        self.frame.extend_from_slice(&[0; 12]);
        let length_at = self.frame.len();
        self.frame.extend_from_slice(&[0; 4]);
        self.entry("a", what.group);
        self.entry("b", what.topic);
        self.entry("c", "TBW102");
        self.entry("d", &what.default_queues.to_string());
        self.queue = self.entry("e", &"0".repeat(what.queue_digits));
        self.entry("f", what.flags());
        self.born = self.entry("g", &"0".repeat(BORN_DIGITS));
        self.entry("h", "0");
        if what.batch > 1 {
            self.entry("i", "WAIT\u{1}true");
        } else {
            let value_at = self.entry("i", "");
            self.properties(what, "\u{1}", "\u{2}");
            let bytes = as_u32(self.frame.len() - value_at);
            self.frame[value_at - 4..value_at].copy_from_slice(&bytes.to_be_bytes());
        }
        self.entry("j", "0");
        self.entry("k", "false");
        self.entry("m", if what.batch > 1 { "true" } else { "false" });
        self.entry("n", what.broker);
        let bytes = as_u32(self.frame.len() - length_at - 4);
        self.frame[length_at..length_at + 4].copy_from_slice(&bytes.to_be_bytes());
    }

    fn batch_body(&mut self, what: &SendFrame<'_>) {
        for _ in 0..what.batch {
            let start = self.frame.len();
            // Total size, magic, CRC and flag: the client leaves the last three zero.
            self.frame.extend_from_slice(&[0; 16]);
            self.frame.extend_from_slice(&as_u32(what.body.len()).to_be_bytes());
            self.frame.extend_from_slice(what.body);
            let length_at = self.frame.len();
            self.frame.extend_from_slice(&[0; 2]);
            self.properties(what, "\u{1}", "\u{2}");
            let properties = u16::try_from(self.frame.len() - length_at - 2)
                .expect("the properties are some hundred bytes");
            self.frame[length_at..length_at + 2].copy_from_slice(&properties.to_be_bytes());
            let bytes = as_u32(self.frame.len() - start);
            self.frame[start..start + 4].copy_from_slice(&bytes.to_be_bytes());
        }
    }

    /// Property string of one message, the last separator left out as the 4.9 client does.
    fn properties(&mut self, what: &SendFrame<'_>, name_end: &str, value_end: &str) {
        let mut places = MessagePlaces::default();
        if what.keys {
            self.text("KEYS");
            self.text(name_end);
            places.key = Some(self.zeros(UNIQUE_TAIL_DIGITS));
            self.text(value_end);
        }
        self.text("UNIQ_KEY");
        self.text(name_end);
        self.frame.extend_from_slice(what.unique_prefix);
        places.unique = self.zeros(UNIQUE_TAIL_DIGITS);
        self.text(value_end);
        self.text("WAIT");
        self.text(name_end);
        self.text("true");
        if what.tags > 0 {
            self.text(value_end);
            self.text("TAGS");
            self.text(name_end);
            self.text("tag");
            places.tag = Some(self.zeros(self.tag_digits));
        }
        self.further_properties(what, name_end, value_end);
        self.messages.push(places);
    }

    fn further_properties(&mut self, what: &SendFrame<'_>, name_end: &str, value_end: &str) {
        // As text of JSON the separators are escaped.
        let is_json = name_end.len() > 1;
        let mut all = Vec::new();
        if what.is_half {
            all.push(("TRAN_MSG", "true".to_owned()));
            all.push(("PGROUP", what.group.to_owned()));
        }
        all.extend(what.delay_level.map(|level| ("DELAY", level.to_string())));
        all.extend(what.delay_ms.map(|delay| ("TIMER_DELAY_MS", delay.to_string())));
        if what.property_bytes > 0 {
            all.push(("filling", "x".repeat(what.property_bytes)));
        }
        for (name, value) in all {
            self.text(value_end);
            self.text(name);
            self.text(name_end);
            if is_json { self.json_text(&value) } else { self.text(&value) }
        }
    }

    fn text(&mut self, text: &str) {
        self.frame.extend_from_slice(text.as_bytes());
    }

    fn json_text(&mut self, text: &str) {
        let quoted = serde_json::to_string(text).expect("a string is always JSON");
        self.text(&quoted[1..quoted.len() - 1]);
    }

    fn zeros(&mut self, count: usize) -> usize {
        let place = self.frame.len();
        self.frame.resize(place + count, b'0');
        place
    }

    /// Adds an entry of the binary header and says where its value begins.
    fn entry(&mut self, key: &str, value: &str) -> usize {
        let key_bytes = u16::try_from(key.len()).expect("keys have one letter");
        self.frame.extend_from_slice(&key_bytes.to_be_bytes());
        self.text(key);
        self.frame.extend_from_slice(&as_u32(value.len()).to_be_bytes());
        let place = self.frame.len();
        self.text(value);
        place
    }
}

/// Number of decimal digits.
pub fn decimal_digits(number: u32) -> usize {
    number.checked_ilog10().map_or(1, |power| power as usize + 1)
}

fn write_decimal(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).expect("a remainder of ten is below ten");
        number /= 10;
    }
}

fn as_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("frames are at most 16 MiB, the options were checked")
}

#[cfg(test)]
mod tests {
    use ringmq_remoting::command::Header;
    use ringmq_remoting::frame::Frame;

    use super::*;
    use crate::stamp::unique_prefix;

    const NOW_MS: u64 = 1_795_219_200_123;

    fn template(serialization: Serialization, batch: usize) -> SendTemplate {
        SendTemplate::new(&SendFrame {
            serialization,
            group: "group \"quoted\"",
            topic: "Topic",
            broker: "broker-a",
            default_queues: 4,
            queue_digits: 2,
            body: b"body",
            batch,
            keys: true,
            tags: 12,
            unique_prefix: &unique_prefix(77, 0, NOW_MS),
            is_half: batch == 1,
            property_bytes: 5,
            delay_level: Some(3),
            delay_ms: Some(2500),
        })
    }

    fn check_fields(header: &Header<'_>, batch: bool) {
        let field = |name: &str| header.fields.get(name).expect("the field is there").to_owned();
        assert_eq!(header.code, if batch { 320 } else { 310 });
        assert_eq!((header.version, header.flag), (i32::from(VERSION), 0));
        assert_eq!(field("a"), "group \"quoted\"");
        assert_eq!(
            (field("b"), field("c"), field("d")),
            ("Topic".into(), "TBW102".into(), "4".into())
        );
        assert_eq!(field("f"), if batch { "0" } else { "4" });
        assert_eq!((field("e"), field("g")), ("17".to_owned(), NOW_MS.to_string()));
        assert_eq!((field("m"), field("n")), (batch.to_string(), "broker-a".to_owned()));
    }

    #[test]
    fn patched_frames_decode_to_what_was_put_in() {
        for serialization in [Serialization::Json, Serialization::Rocketmq] {
            let template = template(serialization, 1);
            let mut stamp = Stamp::new(NOW_MS);
            let mut output = b"before".to_vec();
            let mut seen = Vec::new();
            for opaque in [1_000_000_001, 2_000_000_002] {
                let start = output.len();
                template.append(&mut output, opaque, 17, &mut stamp);
                let frame = Frame::parse(&output[start..]).expect("a whole frame");
                let header = Header::decode(&frame).expect("a header");
                assert_eq!(header.opaque as u32, opaque);
                check_fields(&header, false);
                assert_eq!(frame.body, b"body");
                let properties = header.fields.get("i").expect("properties").to_owned();
                assert!(properties.starts_with("KEYS\u{1}"), "{properties:?}");
                assert!(
                    properties.contains("\u{2}WAIT\u{1}true\u{2}TAGS\u{1}tag0"),
                    "{properties:?}"
                );
                let further = "\u{2}TRAN_MSG\u{1}true\u{2}PGROUP\u{1}group \"quoted\"\u{2}\
                               DELAY\u{1}3\u{2}TIMER_DELAY_MS\u{1}2500\u{2}filling\u{1}xxxxx";
                assert!(properties.ends_with(further), "{properties:?}");
                let at = properties.find("UNIQ_KEY\u{1}").expect("a unique key") + 9;
                let unique = properties[at..at + 32].to_owned();
                assert!(unique.chars().all(|digit| digit.is_ascii_hexdigit()));
                seen.push(unique);
            }
            assert_ne!(seen[0], seen[1]);
        }
    }

    #[test]
    fn a_batch_has_all_messages_with_keys_of_their_own() {
        let mut output = Vec::new();
        template(Serialization::Json, 3).append(
            &mut output,
            1_000_000_000,
            17,
            &mut Stamp::new(NOW_MS),
        );
        let frame = Frame::parse(&output).expect("a whole frame");
        check_fields(&Header::decode(&frame).expect("a header"), true);
        let mut rest = frame.body;
        let mut keys = Vec::new();
        while let Some(bytes) = rest.first_chunk::<4>() {
            let (message, after) = rest.split_at(u32::from_be_bytes(*bytes) as usize);
            assert_eq!(&message[16..24], b"\0\0\0\x04body");
            assert_eq!(
                usize::from(u16::from_be_bytes([message[24], message[25]])),
                message.len() - 26
            );
            keys.push(message[26..].to_vec());
            rest = after;
        }
        assert!(keys.len() == 3 && keys[0] != keys[1] && keys[1] != keys[2]);
    }

    #[test]
    fn digits_are_counted_and_written() {
        let digits = [0, 9, 10, 99, 100, 65_535].map(decimal_digits);
        assert_eq!(digits, [1, 1, 2, 2, 3, 5]);
        let mut place = *b"xxxx";
        write_decimal(&mut place, 42);
        assert_eq!(&place, b"0042");
    }
}
