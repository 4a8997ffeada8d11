//! Reads a body of REGISTER_BROKER a topic at a time, so that whoever reads a long one can let
//! others have their turn, and needs no memory for what it does not keep.

mod deflated;
mod json;

use serde::Deserialize;

use self::{deflated::Deflated, json::Json};
use super::{DataVersion, RegisterError};

/// Longest topic of a body, with its attributes; longest anything in it that is read in one go.
pub const PART_BYTES_MAX: usize = 32 * 1024;

/// Of a topic, what a name server keeps.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicQueues {
    pub topic_name: String,
    pub read_queue_nums: i32,
    pub write_queue_nums: i32,
    pub perm: i32,
    pub topic_sys_flag: i32,
}

impl Default for TopicQueues {
    /// As Java has it.
    fn default() -> Self {
        let super::TopicConfig {
            topic_name,
            read_queue_nums,
            write_queue_nums,
            perm,
            topic_sys_flag,
            ..
        } = super::TopicConfig::default();
        TopicQueues { topic_name, read_queue_nums, write_queue_nums, perm, topic_sys_flag }
    }
}

/// What stands next in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// In JSON it may stand behind topics.
    Version(DataVersion),
    Topic(TopicQueues),
    /// Something that nobody needs, or a piece of it.
    Other,
    End,
}

/// See the module.
pub struct RegisterBodyReader<'a>(Form<'a>);

enum Form<'a> {
    Empty,
    Json(Json<'a>),
    Deflated(Box<Deflated<'a>>),
}

impl<'a> RegisterBodyReader<'a> {
    /// `bare`: the form before 3.0.11, of topics and version alone. A body of no bytes has nothing.
    pub fn new(body: &'a [u8], compressed: bool, bare: bool) -> RegisterBodyReader<'a> {
        RegisterBodyReader(match (body.is_empty(), bare, compressed) {
            (true, ..) => Form::Empty,
            (_, false, true) => Form::Deflated(Box::new(Deflated::new(body))),
            _ => Form::Json(Json::new(body, bare)),
        })
    }

    /// The next part: less than a millisecond of work, most often a microsecond. How many bytes of
    /// the body, or of what it inflates to, that took is added to `read`.
    ///
    /// # Errors
    /// If the body is not what it should be; nothing more can be read then.
    pub fn next(&mut self, read: &mut usize) -> Result<Part, RegisterError> {
        match &mut self.0 {
            Form::Empty => Ok(Part::End),
            Form::Json(json) => json.next(read),
            Form::Deflated(deflated) => deflated.next(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::body::{RegisterBrokerBody, TopicConfig};

    /// Everything in a body, and the most bytes that one part took.
    fn read(
        body: &[u8],
        compressed: bool,
        bare: bool,
    ) -> Result<(DataVersion, BTreeMap<String, TopicQueues>, usize), RegisterError> {
        let mut reader = RegisterBodyReader::new(body, compressed, bare);
        let (mut version, mut topics, mut most) = (DataVersion::default(), BTreeMap::new(), 0);
        loop {
            let mut bytes = 0;
            match reader.next(&mut bytes)? {
                Part::Version(found) => version = found,
                Part::Topic(topic) => drop(topics.insert(topic.topic_name.clone(), topic)),
                Part::Other => {}
                Part::End => return Ok((version, topics, most)),
            }
            most = most.max(bytes);
        }
    }

    fn body(names: &[String]) -> RegisterBrokerBody {
        let mut body = RegisterBrokerBody::default();
        let wrapper = &mut body.topic_config_serialize_wrapper;
        wrapper.data_version = DataVersion { state_version: 1, timestamp: -5, counter: 7 };
        for (number, name) in (0..).zip(names) {
            let config = TopicConfig {
                topic_name: name.clone(),
                write_queue_nums: number,
                attributes: Some([("+k".to_owned(), "v w".to_owned())].into()),
                ..TopicConfig::default()
            };
            wrapper.topic_config_table.insert(name.clone(), config);
        }
        body.filter_server_list = names.to_vec();
        body
    }

    fn as_queues(body: RegisterBrokerBody) -> BTreeMap<String, TopicQueues> {
        let topics = body.topic_config_serialize_wrapper.topic_config_table.into_values();
        let queues = topics.map(|topic| {
            let TopicConfig { read_queue_nums, write_queue_nums, perm, topic_sys_flag, .. } = topic;
            TopicQueues {
                topic_name: topic.topic_name,
                read_queue_nums,
                write_queue_nums,
                perm,
                topic_sys_flag,
            }
        });
        queues.map(|topic| (topic.topic_name.clone(), topic)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn it_finds_what_decoding_as_a_whole_finds(
            names in proptest::collection::vec("[a-z\"\\\\\u{e9}%_]{1,9}", 0..40),
            compressed in any::<bool>(),
        ) {
            let body = body(&names);
            let bytes = body.encode(compressed);
            let (version, topics, _) = read(&bytes, compressed, false).expect("a body");
            prop_assert_eq!(version, body.topic_config_serialize_wrapper.data_version);
            prop_assert_eq!(topics, as_queues(body));
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..99)) {
            for (compressed, bare) in [(true, false), (false, false), (false, true)] {
                let _ = read(&bytes, compressed, bare);
            }
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        let names = ["a", "b", "c"].map(str::to_owned);
        for compressed in [false, true] {
            let bytes = body(&names).encode(compressed);
            for cut in 1..bytes.len() {
                assert!(read(&bytes[..cut], compressed, false).is_err(), "{compressed} {cut}");
            }
        }
    }

    #[test]
    fn the_dialect_of_java_is_read() {
        let text = concat!(
            "\u{feff}{'filterServerList':null,,'x':[{},[1,\"}\"]], // no\n",
            "'TOPIC_config_serialize_wrapper':{topicConfigTable:{'T':{'perm':'2',isOrder:true},",
            "'N':null,U:{topicName:'V',},},'dataVersion':{counter:3}, }}"
        );
        let (version, topics, _) = read(text.as_bytes(), false, false).expect("a body");
        assert_eq!(version.counter, 3);
        let seen: Vec<_> = topics.values().map(|one| (&*one.topic_name, one.perm)).collect();
        assert_eq!(seen, [("T", 2), ("V", 6)]);
        let bare = "{dataVersion:{counter:1},topicConfigTable:{T:{}}}";
        let (version, topics, _) = read(bare.as_bytes(), false, true).expect("a body");
        assert_eq!((version.counter, topics.len()), (1, 1));
        for nothing in ["", "{}", "{topicConfigSerializeWrapper:null}"] {
            let (version, topics, _) = read(nothing.as_bytes(), false, false).expect("a body");
            assert_eq!((version, topics.len()), (DataVersion::default(), 0), "{nothing}");
        }
        for wrong in ["[]", "{", "{}{}", "{topicConfigSerializeWrapper:[]}", "null", "{a}"] {
            assert!(read(wrong.as_bytes(), false, false).is_err(), "{wrong}");
        }
    }

    #[test]
    fn whatever_is_in_a_body_is_read_a_little_at_a_time() {
        let wrapped = |inner: &str| format!("{{topicConfigSerializeWrapper:{{{inner}}}}}");
        let names = "a,".repeat(100_000);
        let sound = [
            format!("{{filterServerList:[{names}]}}"),
            wrapped(&format!("other:[{}]", "{},".repeat(100_000))),
            wrapped(&format!("topicConfigTable:{{{}}}", "t:{},".repeat(100_000))),
        ];
        for text in sound {
            let (.., most) = read(text.as_bytes(), false, false).expect("a body");
            assert!(most <= PART_BYTES_MAX, "{most}");
        }
        let long = "x".repeat(PART_BYTES_MAX);
        let refused = [
            format!("{{filterServerList:['{long}']}}"),
            format!("{{filterServerList:[{long}]}}"),
            format!("{{filterServerList:[ /*{long}*/ ]}}"),
            format!("{{filterServerList:[{}]}}", " ".repeat(PART_BYTES_MAX + 1)),
            wrapped(&format!("topicConfigTable:{{T:{{attributes:[{}]}}}}", "0,".repeat(20_000))),
            wrapped(&format!("topicConfigTable:{{{long}:{{}}}}")),
        ];
        for text in refused {
            let error = read(text.as_bytes(), false, false).expect_err("too long").to_string();
            assert!(error.contains("more than 32768 bytes"), "{error}");
        }
    }
}
