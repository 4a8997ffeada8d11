//! Bodies of REGISTER_BROKER written topic by topic: of one that would be too large for a frame
//! there are several, and no table of all topics is ever made in between.

use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};

use super::put;
use crate::{
    body::{DataVersion, TopicConfigRef},
    fastjson,
};

/// What the end of a body takes at most: data version and empty list of filter servers.
const END_BYTES: usize = 512;
/// Bytes that one [`Finishing::step`] deflates.
const STEP_BYTES: usize = 128 * 1024;

/// How bodies are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// The zlib stream instead of JSON.
    pub compressed: bool,
    /// Most bytes of a body, before it is deflated too: what is random grows by that.
    pub bytes_max: usize,
    /// Most topics of a body.
    pub topics_max: usize,
}

/// What became of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    Taken,
    /// It belongs to the next body.
    Full,
    /// It fits into no body; a half sentence that says why.
    Never(String),
}

/// A body in the making.
#[derive(Debug)]
pub struct RegisterBodyWriter {
    form: Form,
    out: Vec<u8>,
    topics: usize,
}

impl RegisterBodyWriter {
    pub fn new(form: Form) -> RegisterBodyWriter {
        let out = if form.compressed {
            Vec::new()
        } else {
            br#"{"topicConfigSerializeWrapper":{"topicConfigTable":{"#.to_vec()
        };
        RegisterBodyWriter { form, out, topics: 0 }
    }

    /// Topics that were taken.
    pub fn topics(&self) -> usize {
        self.topics
    }

    /// Bytes of the body so far, before it is deflated.
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    pub fn add(&mut self, topic: &TopicConfigRef<'_>) -> Added {
        if self.topics >= self.form.topics_max {
            return Added::Full;
        }
        let before = self.out.len();
        if self.form.compressed {
            if topic.topic_name.contains(' ') {
                let why = "its name has a blank, which the compressed form cannot carry";
                return Added::Never(why.to_owned());
            }
            put(&mut self.out, topic.to_text().as_bytes());
        } else {
            if self.topics > 0 {
                self.out.push(b',');
            }
            fastjson::append(&mut self.out, topic.topic_name);
            self.out.push(b':');
            fastjson::append(&mut self.out, topic);
        }
        let bytes = self.out.len() + END_BYTES;
        if bytes <= self.form.bytes_max {
            self.topics += 1;
            return Added::Taken;
        }
        self.out.truncate(before);
        match self.topics {
            0 => Added::Never(format!("a body with it has {bytes} bytes")),
            _ => Added::Full,
        }
    }

    /// The body with `version`; that of compressed ones is made by steps.
    pub fn finish(mut self, version: &DataVersion) -> Finishing {
        let json = fastjson::to_vec(version);
        if !self.form.compressed {
            self.out.extend_from_slice(br#"},"dataVersion":"#);
            self.out.extend_from_slice(&json);
            self.out.extend_from_slice(br#"},"filterServerList":[]}"#);
            return Finishing { content: self.out, done: 0, encoder: None };
        }
        let mut content = Vec::with_capacity(self.out.len() + END_BYTES);
        put(&mut content, &json);
        let topics = u32::try_from(self.topics).expect("bounded by the bytes of a body");
        content.extend_from_slice(&topics.to_be_bytes());
        content.append(&mut self.out);
        put(&mut content, b"[]");
        let encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        Finishing { content, done: 0, encoder: Some(encoder) }
    }
}

/// A body whose topics are complete.
#[derive(Debug)]
pub struct Finishing {
    content: Vec<u8>,
    /// Bytes of the content that are deflated.
    done: usize,
    encoder: Option<ZlibEncoder<Vec<u8>>>,
}

impl Finishing {
    /// Some milliseconds of work; the body at last. Not to be called again after that.
    pub fn step(&mut self) -> Option<Vec<u8>> {
        let Some(encoder) = &mut self.encoder else {
            return Some(std::mem::take(&mut self.content));
        };
        let rest = self.content.get(self.done..).unwrap_or_default();
        let part = rest.get(..STEP_BYTES).unwrap_or(rest);
        encoder.write_all(part).expect("memory takes all");
        self.done += part.len();
        if self.done < self.content.len() {
            return None;
        }
        let encoder = self.encoder.take()?;
        Some(encoder.finish().expect("memory takes all"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::body::RegisterBrokerBody;

    fn topic<'a>(name: &'a str, attributes: &'a BTreeMap<String, String>) -> TopicConfigRef<'a> {
        TopicConfigRef {
            topic_name: name,
            read_queue_nums: 4,
            write_queue_nums: 8,
            perm: 6,
            topic_filter_type: "SINGLE_TAG",
            topic_sys_flag: 1,
            order: false,
            attributes: Some(attributes).filter(|map| !map.is_empty()),
        }
    }

    fn body(writer: RegisterBodyWriter, version: &DataVersion) -> Vec<u8> {
        let mut finishing = writer.finish(version);
        loop {
            if let Some(body) = finishing.step() {
                return body;
            }
        }
    }

    #[test]
    fn both_forms_are_read_back() {
        let attributes = [("message.type".to_owned(), "FIFO".to_owned())].into();
        let version = DataVersion { state_version: 0, timestamp: 5, counter: 7 };
        for compressed in [false, true] {
            let form = Form { compressed, bytes_max: 1 << 20, topics_max: 1 << 20 };
            let mut writer = RegisterBodyWriter::new(form);
            for name in ["a", "b\"\\\u{e9}"] {
                assert_eq!(writer.add(&topic(name, &attributes)), Added::Taken);
            }
            let body = body(writer, &version);
            let read = RegisterBrokerBody::decode(&body, compressed).expect("a body");
            let wrapper = read.topic_config_serialize_wrapper;
            assert_eq!(wrapper.data_version, version);
            let names: Vec<&str> = wrapper.topic_config_table.keys().map(String::as_str).collect();
            assert_eq!(names, ["a", "b\"\\\u{e9}"]);
            let a = &wrapper.topic_config_table["a"];
            assert_eq!((a.read_queue_nums, a.write_queue_nums, a.perm), (4, 8, 6));
            // The compressed form has no room for either, and RocketMQ 4.9 reads five words only.
            assert_eq!(a.topic_sys_flag, i32::from(!compressed));
            assert_eq!(a.attributes.is_some(), !compressed);
        }
    }

    #[test]
    fn a_body_is_full_at_its_limits_and_not_before() {
        let none = BTreeMap::new();
        let name = "n".repeat(100);
        for compressed in [false, true] {
            let form = Form { compressed, bytes_max: 10_000, topics_max: usize::MAX };
            let mut writer = RegisterBodyWriter::new(form);
            while writer.add(&topic(&name, &none)) == Added::Taken {}
            let (count, bytes) = (writer.topics(), writer.out.len());
            assert!(bytes + END_BYTES <= 10_000 && bytes + END_BYTES + 400 > 10_000, "{bytes}");
            let body = body(writer, &DataVersion { timestamp: i64::MIN, ..DataVersion::default() });
            assert!(body.len() <= 10_000);
            let mut few = RegisterBodyWriter::new(Form { topics_max: 3, ..form });
            let added: Vec<_> = (0..4).map(|_| few.add(&topic("t", &none))).collect();
            assert_eq!(added[2..], [Added::Taken, Added::Full]);
            assert!(count > 20);
        }
    }

    #[test]
    fn what_no_body_can_carry_is_said() {
        let none = BTreeMap::new();
        let form = Form { compressed: false, bytes_max: 1_000, topics_max: 9 };
        let long = "n".repeat(1_000);
        let mut writer = RegisterBodyWriter::new(form);
        assert!(
            matches!(writer.add(&topic(&long, &none)), Added::Never(why) if why.contains("bytes"))
        );
        let mut writer = RegisterBodyWriter::new(Form { compressed: true, ..form });
        assert!(
            matches!(writer.add(&topic("a b", &none)), Added::Never(why) if why.contains("blank"))
        );
        assert_eq!(writer.add(&topic("c", &none)), Added::Taken);
    }

    #[test]
    fn a_large_compressed_body_is_made_by_steps() {
        let none = BTreeMap::new();
        let form = Form { compressed: true, bytes_max: 1 << 20, topics_max: usize::MAX };
        let mut writer = RegisterBodyWriter::new(form);
        let names: Vec<String> = (0..10_000).map(|number| format!("topic-{number:08}")).collect();
        for name in &names {
            assert_eq!(writer.add(&topic(name, &none)), Added::Taken);
        }
        let mut finishing = writer.finish(&DataVersion::default());
        let mut steps = 1;
        let body = loop {
            match finishing.step() {
                Some(body) => break body,
                None => steps += 1,
            }
        };
        assert!(steps > 2, "{steps}");
        let read = RegisterBrokerBody::decode(&body, true).expect("a body");
        assert_eq!(read.topic_config_serialize_wrapper.topic_config_table.len(), 10_000);
    }
}
