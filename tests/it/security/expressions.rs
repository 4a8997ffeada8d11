//! S12: expressions of clients are bounded in length, depth and steps; none makes others wait.

use std::time::{Duration, Instant};

use ringmq_remoting::codes::{request, response};

use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(no_expression_takes_a_broker_long);

/// For a debug build beside other tests; what is looked for takes for ever.
const ANSWER_MAX: Duration = Duration::from_secs(10);

fn hostile() -> Vec<(&'static str, String)> {
    vec![
        ("parentheses", format!("{}a = 1{}", "(".repeat(20_000), ")".repeat(20_000))),
        ("open parentheses", "(".repeat(100_000)),
        ("not", format!("{}a", "not ".repeat(20_000))),
        ("and", vec!["a = 1"; 50_000].join(" and ")),
        ("in", format!("a in ({})", vec!["'x'"; 50_000].join(","))),
        ("arithmetic", format!("a > {}1", "1+".repeat(50_000))),
        ("minus", format!("a > {}1", "-".repeat(50_000))),
        ("text without end", format!("a = '{}", "x".repeat(100_000))),
        ("contains", vec!["v contains 'aaaaaaaaaaaaaaaaaaaaaaab'"; 1_900].join(" or ")),
        ("like", "v like '%a%a%a%a%a%a%a%a%a%a%a%a%a%a%a%b'".to_owned()),
        ("a large number", format!("a = {}", "9".repeat(10_000))),
    ]
}

fn no_expression_takes_a_broker_long(shards: u32) {
    let directory = process::directory("security-sql");
    let extra = vec![("enablePropertyFilter", "true".to_owned())];
    let server =
        Server::start(directory.path(), &Settings { shards, extra, ..Settings::default() });
    server.process.allows("");
    let mut client = server.client();
    client.create_topic("sql", 1).expect("an answer").expect(response::SUCCESS);
    let long = format!("v\u{1}{}\u{2}a\u{1}1\u{2}", "a".repeat(30_000));
    client.send_with("sql", 0, &long, "one");
    // Properties with thousands of names, and without any sense.
    let many: String = (0..3_000).map(|number| format!("p{number}\u{1}x\u{2}")).collect();
    for properties in [many.as_str(), "\u{1}\u{1}\u{2}\u{2}\u{1}", "no value", "\u{2}"] {
        let opaque = client.start_send_with("sql", 0, properties, "two");
        assert_eq!(client.reply().expect("an answer").opaque, opaque);
    }
    for (what, sql) in hostile() {
        let began = Instant::now();
        let beat = format!(
            "{{\"clientID\":\"c\",\"producerDataSet\":[],\"consumerDataSet\":[{{\
             \"groupName\":\"g\",\"subscriptionDataSet\":[{{\
             \"topic\":\"sql\",\"subString\":\"{sql}\",\
             \"expressionType\":\"SQL92\"}}]}}]}}"
        );
        for (code, body) in [(request::HEART_BEAT, &beat), (request::CHECK_CLIENT_CONFIG, &beat)] {
            client.call(code, &[], body.as_bytes()).expect("an answer");
        }
        let pull = [
            ("consumerGroup", "it_group"),
            ("topic", "sql"),
            ("queueId", "0"),
            ("queueOffset", "0"),
            ("maxMsgNums", "8"),
            ("sysFlag", "4"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "0"),
            ("subscription", &*sql),
            ("subVersion", "0"),
            ("expressionType", "SQL92"),
        ];
        let answer = client.call(request::PULL_MESSAGE, &pull, b"").expect("an answer");
        let found = answer.code == response::SUCCESS;
        assert!(!found, "{what}: {} bytes of messages", answer.body.len());
        assert!(began.elapsed() < ANSWER_MAX, "{what}: {:?}", began.elapsed());
    }
    client.send("sql", 0, b"fine").expect("it serves").expect(response::SUCCESS);
}
