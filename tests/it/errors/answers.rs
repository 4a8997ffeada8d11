//! What a broker or name server answers to clients and tools.

use ringmq_remoting::codes::{pull_flag, request, response};
use ringmq_test_client::topic_fields_with;
use tempfile::TempDir;

use super::{Row, provoke_all, row};
use crate::client::{Answer, Client, GROUP};
use crate::name_server::NameServer;
use crate::process;
use crate::server::{Server, Settings};

pub fn headings() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.heading)
}

pub(super) struct Site {
    pub(super) server: Server,
    names: NameServer,
    _directory: TempDir,
}

const ROWS: &[Row<Site>] = &[
    row("topic[...] not exist, apply first please!", |site| site.pull("missing", "0", &[])),
    row("No topic route info in name server for the topic: ...", |site| {
        let mut names = site.names.client();
        said(names.call(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", "missing")], b""))
    }),
    row("the broker[...] sending message is forbidden", |site| {
        site.with("brokerPermission", ("4", "6"), |site| site.send("ordered", 0, "", b"x"))
    }),
    row("the broker[...] pulling message is forbidden", |site| {
        site.with("brokerPermission", ("2", "6"), |site| site.pull("t", "0", &[]))
    }),
    row("the topic[...] pulling message is forbidden", |site| site.pull("write-only", "0", &[])),
    row("Sending message to topic[...] is forbidden.", |site| {
        site.send("SCHEDULE_TOPIC_XXXX", 0, "", b"x")
    }),
    row("request queueId[...] is illegal, ... Producer: ...", |site| site.send("t", 99, "", b"x")),
    row("queueId[...] is illegal, topic:[...]", |site| site.pull("t", "99", &[])),
    row("The specified topic contains illegal characters", |site| {
        said(site.client().create_topic("no spaces", 1))
    }),
    row("The topic[...] is conflict with system topic.", |site| {
        said(site.client().create_topic("TBW102", 1))
    }),
    row("topic[...] gets no ... queues: the broker would keep ...", |site| {
        let mut client = site.client();
        let name = |number: usize| format!("many-{number}");
        let answers: Vec<_> = (0..7).map(|one| client.create_topic(&name(one), 65_536)).collect();
        for topic in (0..7).map(name) {
            let fields = [("topic", topic.as_str())];
            let deleted = client.call(request::DELETE_TOPIC_IN_BROKER, &fields, b"");
            deleted.expect("an answer").expect(response::SUCCESS);
        }
        said(answers.into_iter().last().expect("seven"))
    }),
    row("the message is illegal, maybe msg body or properties length not matched.", |site| {
        site.with("maxMessageSize", ("10", "4194304"), |site| site.send("t", 0, "", &[b'x'; 11]))
    }),
    row("the property DELAY is ...; it must be a delay level", |site| {
        site.send("t", 0, "DELAY\u{1}soon\u{2}", b"x")
    }),
    row("timer message illegal, the delay time should not be bigger ...", |site| {
        site.send("t", 0, "TIMER_DELAY_SEC\u{1}99999999\u{2}", b"x")
    }),
    row("the broker[...] sending transaction message is forbidden", |site| {
        site.with("rejectTransactionMessage", ("true", "false"), |site| {
            site.send_flagged("t", "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}g\u{2}", "4")
        })
    }),
    row("Find prepared transaction message failed", |site| {
        let fields = [
            ("producerGroup", "g"),
            ("tranStateTableOffset", "0"),
            ("commitLogOffset", "123456789"),
            ("commitOrRollback", "8"),
            ("fromTransactionCheck", "false"),
            ("msgId", "m"),
            ("transactionId", "t"),
        ];
        site.ask(request::END_TRANSACTION, &fields, b"")
    }),
    row("unsupported key: ...; supported: ...", |site| site.attribute("+colour=red")),
    row("add/alter/delete attribute format is wrong: ...", |site| site.attribute("message.type")),
    row("broker unable to service, until ...", |site| {
        site.with("startAcceptSendRequestTimeStamp", ("9999999999999", "0"), |site| {
            site.send("t", 0, "", b"x")
        })
    }),
    row("subscription group [...] does not exist", |site| {
        site.with("autoCreateSubscriptionGroup", ("false", "true"), |site| {
            site.pull("t", "0", &[("consumerGroup", "missing-group")])
        })
    }),
    row("subscription group no permission, ...", |site| {
        let group = b"{\"groupName\":\"switched-off\",\"consumeEnable\":false}";
        let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
        said(site.client().call(code, &[], group));
        site.pull("t", "0", &[("consumerGroup", "switched-off")])
    }),
    row("subscription group not exist, ...", |site| {
        site.with("autoCreateSubscriptionGroup", ("false", "true"), |site| {
            let fields = [("group", "missing-group"), ("offset", "0"), ("delayLevel", "0")];
            site.ask(request::CONSUMER_SEND_MSG_BACK, &fields, b"")
        })
    }),
    row("look message by offset failed, ...", |site| {
        let fields = [("group", GROUP), ("offset", "123456789"), ("delayLevel", "0")];
        site.ask(request::CONSUMER_SEND_MSG_BACK, &fields, b"")
    }),
    row("the consumer's group info not exist", |site| {
        site.pull("t", "0", &[("consumerGroup", "never-seen"), ("sysFlag", "0")])
    }),
    row("the pull's own SQL92 expression has ... bytes, at most 16384 are ...", |site| {
        let long = format!("a=1{}", " ".repeat(19_997));
        site.pull("t", "0", &[("expressionType", "SQL92"), ("subscription", &long)])
    }),
    row("The broker does not support consumer to filter message by SQL92", |site| {
        site.pull("t", "0", &[("expressionType", "SQL92"), ("subscription", "a > 1")])
    }),
    row("parse the consumer's subscription failed: character ...", |site| {
        site.with("enablePropertyFilter", ("true", "false"), |site| {
            site.pull("t", "0", &[("expressionType", "SQL92"), ("subscription", "a >")])
        })
    }),
    row("the consumer group[...] not online", |site| {
        let fields = [("consumerGroup", "nobody")];
        site.ask(request::GET_CONSUMER_CONNECTION_LIST, &fields, b"")
    }),
    row("the producer group[...] not exist", |site| {
        site.ask(request::GET_PRODUCER_CONNECTION_LIST, &[("producerGroup", "nobody")], b"")
    }),
    row("The Consumer <...> <...> not online", |site| {
        let fields = [("consumerGroup", "nobody"), ("clientId", "c")];
        site.ask(request::GET_CONSUMER_RUNNING_INFO, &fields, b"")
    }),
    row("THe consumer group <...> not exist", |site| site.reset("nobody")),
    row("Consumer not online, so can not reset offset", |site| {
        let fields =
            [("consumerGroup", GROUP), ("topic", "t"), ("queueId", "0"), ("commitOffset", "0")];
        let code = request::UPDATE_CONSUMER_OFFSET;
        let committed = site.client().call(code, &fields, b"").expect("an answer");
        committed.expect(response::SUCCESS);
        site.reset(GROUP)
    }),
    row("Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first", |site| {
        let fields = [("consumerGroup", "fresh"), ("topic", "t"), ("queueId", "0")];
        site.send("t", 0, "", b"x");
        let with = [fields.as_slice(), &[("setZeroIfNotFound", "false")]].concat();
        site.ask(request::QUERY_CONSUMER_OFFSET, &with, b"")
    }),
    row("can not find message by the offset, ...", |site| {
        site.ask(request::VIEW_MESSAGE_BY_ID, &[("offset", "123456789")], b"")
    }),
    row("can not find message, maybe time range not correct", |site| {
        let fields = [
            ("topic", "t"),
            ("key", "no-such-key"),
            ("maxNum", "32"),
            ("beginTimestamp", "0"),
            ("endTimestamp", "9223372036854775807"),
        ];
        site.ask(request::QUERY_MESSAGE, &fields, b"")
    }),
    row("request type ... not supported", |site| site.ask(request::POP_MESSAGE, &[], b"")),
    row("the header field ... has ... bytes, the limit is ...", |site| {
        site.ask(request::GET_MAX_OFFSET, &[("topic", &"x".repeat(5_000)), ("queueId", "0")], b"")
    }),
    row("has a body of ... bytes, the limit is ...", |site| {
        site.ask(request::GET_MAX_OFFSET, &[("topic", "t"), ("queueId", "0")], &[0; 100_000])
    }),
    row("the ... name ... has the control character ...", |site| {
        site.pull("t", "0", &[("consumerGroup", "a\nb")])
    }),
    row("the ... has ... bytes, the limit is ...: use a shorter one", |site| {
        let topic = "t".repeat(300);
        let fields =
            [("consumerGroup", GROUP), ("topic", &*topic), ("queueId", "0"), ("commitOffset", "0")];
        site.ask(request::UPDATE_CONSUMER_OFFSET, &fields, b"")
    }),
    row("... cannot be changed while the server runs", |site| site.change("brokerName=other")),
    row("there is no key ...", |site| site.change("fileReservedTimes=3")),
    row("Can not update config in black list: ... cannot be changed", |site| {
        let mut names = site.names.client();
        said(names.call(request::UPDATE_NAMESRV_CONFIG, &[], b"kvConfigPath=/tmp/x\n"))
    }),
    row("No config item, Namespace: ...", |site| {
        let fields = [("namespace", "none"), ("key", "k")];
        said(site.names.client().call(request::GET_KV_CONFIG, &fields, b""))
    }),
];

pub(super) fn said(answer: std::io::Result<Answer>) -> String {
    let answer = answer.expect("an answer");
    if answer.code == response::SUCCESS { "it was not refused".to_owned() } else { answer.remark }
}

impl Site {
    pub(super) fn start() -> Site {
        let directory = process::directory("errors");
        let server = Server::start(directory.path(), &Settings::default());
        let names = NameServer::start(directory.path(), &[]);
        // What is refused here is no fault of theirs, but some of it is worth a line.
        server.process.allows("");
        names.process.allows("");
        let site = Site { _directory: directory, server, names };
        let mut client = site.client();
        client.create_topic("t", 1).expect("an answer").expect(response::SUCCESS);
        for (topic, perm, order) in [("write-only", "2", "false"), ("ordered", "6", "true")] {
            let fields = [
                ("topic", topic),
                ("defaultTopic", "TBW102"),
                ("readQueueNums", "1"),
                ("writeQueueNums", "1"),
                ("perm", perm),
                ("topicFilterType", "SINGLE_TAG"),
                ("topicSysFlag", "0"),
                ("order", order),
            ];
            let code = request::UPDATE_AND_CREATE_TOPIC;
            client.call(code, &fields, b"").expect("an answer").expect(response::SUCCESS);
        }
        site
    }

    pub(super) fn client(&self) -> Client {
        self.server.client()
    }

    pub(super) fn ask(&self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> String {
        said(self.client().call(code, fields, body))
    }

    pub(super) fn send(
        &mut self,
        topic: &str,
        queue: i32,
        properties: &str,
        body: &[u8],
    ) -> String {
        let mut client = self.client();
        let opaque = client.start_send_with(
            topic,
            queue,
            properties,
            std::str::from_utf8(body).expect("text"),
        );
        let answer = client.reply().expect("an answer");
        assert_eq!(answer.opaque, opaque);
        answer.remark
    }

    pub(super) fn send_flagged(&mut self, topic: &str, properties: &str, flag: &str) -> String {
        self.send_as(topic, properties, (flag, "false"), b"x")
    }

    pub(super) fn send_batch(&mut self, topic: &str, body: &[u8]) -> String {
        self.send_as(topic, "", ("0", "true"), body)
    }

    fn send_as(
        &self,
        topic: &str,
        properties: &str,
        (flag, is_batch): (&str, &str),
        body: &[u8],
    ) -> String {
        let fields = [
            ("a", "g"),
            ("b", topic),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", "0"),
            ("f", flag),
            ("g", "1700000000000"),
            ("h", "0"),
            ("i", properties),
            ("j", "0"),
            ("k", "false"),
            ("l", "0"),
            ("m", is_batch),
        ];
        self.ask(request::SEND_MESSAGE_V2, &fields, body)
    }

    /// A pull with other fields than usual.
    pub(super) fn pull(&mut self, topic: &str, queue: &str, other: &[(&str, &str)]) -> String {
        let flag = pull_flag::SUBSCRIPTION.to_string();
        let mut fields = vec![
            ("consumerGroup", GROUP),
            ("topic", topic),
            ("queueId", queue),
            ("queueOffset", "0"),
            ("maxMsgNums", "8"),
            ("sysFlag", flag.as_str()),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "0"),
            ("subscription", "*"),
            ("subVersion", "0"),
            ("expressionType", "TAG"),
        ];
        fields.retain(|(name, _)| !other.iter().any(|(own, _)| own == name));
        fields.extend(other);
        self.ask(request::PULL_MESSAGE, &fields, b"")
    }

    /// Makes a topic with an attribute of RocketMQ 5.
    pub(super) fn attribute(&self, attribute: &str) -> String {
        let fields = topic_fields_with("with-attribute", attribute);
        said(self.client().call_values(request::UPDATE_AND_CREATE_TOPIC, &fields, b""))
    }

    fn reset(&self, group: &str) -> String {
        let fields = [("topic", "t"), ("group", group), ("timestamp", "0"), ("isForce", "true")];
        self.ask(request::INVOKE_BROKER_TO_RESET_OFFSET, &fields, b"")
    }

    pub(super) fn change(&self, text: &str) -> String {
        self.ask(request::UPDATE_BROKER_CONFIG, &[], text.as_bytes())
    }

    /// While a key has another value.
    pub(super) fn with(
        &mut self,
        key: &str,
        (value, before): (&str, &str),
        provoke: impl Fn(&mut Site) -> String,
    ) -> String {
        let set = |site: &Site, value: &str| {
            let text = format!("{key}={value}\n");
            let code = request::UPDATE_BROKER_CONFIG;
            let answer = site.client().call(code, &[], text.as_bytes()).expect("an answer");
            answer.expect(response::SUCCESS);
        };
        set(self, value);
        let said = provoke(self);
        set(self, before);
        said
    }
}

// Single: texts do not depend on the number of shards.
#[test]
fn every_refusal_of_a_request_is_provoked() {
    provoke_all(ROWS, &mut Site::start());
}
