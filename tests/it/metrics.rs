//! What the broker tells Prometheus, as it is read by HTTP.

mod http;
mod page;
mod scale;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use ringmq_remoting::codes::{request, response};

use crate::client::Client;
use crate::process;
use crate::server::{Server, Settings, free_port};
use crate::shards::for_shards;
use http::{connect, get, scrape};
use page::Page;

for_shards!(
    what_clients_did_is_told_at_once,
    series_go_with_their_topic_and_group,
    a_group_that_is_behind_is_told,
    transactions_and_delays_are_told,
);

/// A broker with metrics, and their port.
fn server(
    name: &str,
    shards: u32,
    extra: &[(&'static str, &str)],
) -> (tempfile::TempDir, Server, u16) {
    let directory = process::directory(name);
    let port = free_port();
    let mut keys = vec![
        ("metricsExporterType", "PROM".to_owned()),
        ("metricsPromExporterPort", port.to_string()),
    ];
    keys.extend(extra.iter().map(|(key, value)| (*key, (*value).to_owned())));
    let settings = Settings { shards, extra: keys, ..Settings::default() };
    let server = Server::start(directory.path(), &settings);
    (directory, server, port)
}

fn commit(client: &mut Client, topic: &str, queue: i32, offset: i64) {
    commit_by(client, "it_group", topic, queue, offset);
}

fn commit_by(client: &mut Client, group: &str, topic: &str, queue: i32, offset: i64) {
    let (queue, offset) = (queue.to_string(), offset.to_string());
    let fields = [
        ("consumerGroup", group),
        ("topic", topic),
        ("queueId", &queue),
        ("commitOffset", &offset),
    ];
    let committed = client.call(request::UPDATE_CONSUMER_OFFSET, &fields, b"");
    committed.expect("an answer").expect(response::SUCCESS);
}

fn what_clients_did_is_told_at_once(shards: u32) {
    let (_directory, server, port) = server("metrics", shards, &[("metricsLabel", "zone:a")]);
    let mut client = server.client();
    client.create_topic("orders", 4).expect("an answer").expect(response::SUCCESS);
    let none = scrape(port);
    assert_eq!(none.find("rocketmq_messages_in_total", &[("topic", "orders")]), None);
    for number in 0..20 {
        client.send("orders", number % 4, b"body").expect("an answer").expect(0);
    }
    client.send("orders", 0, &[0; 5000]).expect("an answer").expect(0);
    client.send_with("orders", 0, "__SHARDINGKEY\u{1}k\u{2}", "body").expect(0);
    for queue in 0..4 {
        let pulled = client.pull("orders", queue, 0, 32).expect("an answer");
        assert!(pulled.messages.len() >= 5);
    }
    let page = scrape(port);
    let broker = [("cluster", "DefaultCluster"), ("node_type", "broker"), ("node_id", "broker-a")];
    let normal = [("topic", "orders"), ("message_type", "normal"), ("is_system", "false")];
    let labels = [&broker[..], &normal, &[("zone", "a")]].concat();
    assert_eq!(page.value("rocketmq_messages_in_total", &labels), 21.0);
    assert!(page.value("rocketmq_throughput_in_total", &normal) > 5000.0 + 20.0 * 4.0);
    let fifo = [("topic", "orders"), ("message_type", "fifo")];
    assert_eq!(page.value("rocketmq_messages_in_total", &fifo), 1.0);
    let sizes = |bound| {
        let labels = [&normal[..], &[("le", bound)]].concat();
        page.value("rocketmq_message_size_bucket", &labels)
    };
    assert_eq!(["1024", "4096", "524288", "+Inf"].map(sizes), [20.0, 20.0, 21.0, 21.0]);
    let group = [("topic", "orders"), ("consumer_group", "it_group")];
    assert_eq!(page.value("rocketmq_messages_out_total", &group), 22.0);
    assert!(page.value("rocketmq_throughput_out_total", &group) > 5000.0);
    let rpc = |request, answer| {
        let labels = [
            ("protocol_type", "remoting"),
            ("request_code", request),
            ("response_code", answer),
            ("is_long_polling", "false"),
            ("result", "success"),
        ];
        page.value("rocketmq_rpc_latency_count", &labels)
    };
    assert_eq!(rpc("send_message_v2", "success"), 22.0);
    assert_eq!(rpc("pull_message", "success"), 4.0);
    assert_eq!(rpc("update_and_create_topic", "success"), 1.0);
    let made = [("invocation_status", "success")];
    assert_eq!(page.value("rocketmq_topic_create_execution_time_count", &made), 1.0);
    assert!(page.value("ringmq_stage_latency_seconds_count", &[("stage", "write")]) >= 1.0);
    assert!(page.value("ringmq_stage_latency_seconds_count", &[("stage", "answer")]) >= 1.0);
    assert_eq!(page.value("rocketmq_broker_permission", &broker), 6.0);
    assert!(page.value("rocketmq_topic_number", &[]) > 1.0);
    assert!(page.value("ringmq_connections", &[]) >= 1.0);
    assert_eq!(page.value("rocketmq_storage_flush_behind_bytes", &[]), 0.0);
    assert!(page.value("rocketmq_storage_size", &[("storage_type", "local")]) > 0.0);
    page.check();
}

fn series_go_with_their_topic_and_group(shards: u32) {
    let (_directory, server, port) = server("metrics-gone", shards, &[]);
    let mut client = server.client();
    for topic in ["stays", "goes"] {
        client.create_topic(topic, 4).expect("an answer").expect(response::SUCCESS);
        client.send(topic, 0, b"body").expect("an answer").expect(0);
        client.pull(topic, 0, 0, 32).expect("an answer");
        commit(&mut client, topic, 0, 1);
    }
    let names = [
        "rocketmq_messages_in_total",
        "rocketmq_messages_out_total",
        "rocketmq_message_size_count",
        "rocketmq_consumer_lag_messages",
        "rocketmq_consumer_inflight_messages",
    ];
    let page = scrape(port);
    for (name, topic) in names.iter().flat_map(|name| [(*name, "stays"), (*name, "goes")]) {
        assert!(page.find(name, &[("topic", topic)]).is_some(), "{name} of {topic}");
    }
    let gone = client.call(request::DELETE_TOPIC_IN_BROKER, &[("topic", "goes")], b"");
    gone.expect("an answer").expect(response::SUCCESS);
    let page = scrape(port);
    for name in names {
        assert!(page.find(name, &[("topic", "stays")]).is_some(), "{name}");
        assert_eq!(page.find(name, &[("topic", "goes")]), None, "{name}");
    }
    let fields = [("groupName", "it_group"), ("cleanOffset", "true")];
    let gone = client.call(request::DELETE_SUBSCRIPTIONGROUP, &fields, b"");
    gone.expect("an answer").expect(response::SUCCESS);
    let page = scrape(port);
    for name in names {
        assert_eq!(page.find(name, &[("consumer_group", "it_group")]), None, "{name}");
    }
    assert!(page.find(names[0], &[("topic", "stays")]).is_some());
    page.check();
}

fn a_group_that_is_behind_is_told(shards: u32) {
    let (_directory, server, port) = server("metrics-lag", shards, &[]);
    let mut client = server.client();
    client.create_topic("lag", 4).expect("an answer").expect(response::SUCCESS);
    for number in 0..40 {
        client.send("lag", number % 4, b"body").expect("an answer").expect(0);
    }
    for queue in 0..4 {
        client.pull("lag", queue, 0, 6).expect("an answer");
        commit(&mut client, "lag", queue, 2);
    }
    std::thread::sleep(Duration::from_millis(5));
    let group = [("topic", "lag"), ("consumer_group", "it_group"), ("is_retry", "false")];
    let page = scrape(port);
    let value = |name: &str| page.value(name, &group);
    assert_eq!(value("rocketmq_consumer_lag_messages"), 32.0);
    assert_eq!(value("rocketmq_consumer_inflight_messages"), 16.0);
    assert_eq!(value("rocketmq_consumer_ready_messages"), 16.0);
    let age = value("rocketmq_consumer_lag_latency");
    let queueing = value("rocketmq_consumer_queueing_latency");
    assert!((5.0..60_000.0).contains(&age) && queueing <= age, "{age} {queueing}");
    for queue in 0..4 {
        commit(&mut client, "lag", queue, 10);
    }
    let page = scrape(port);
    for name in [
        "rocketmq_consumer_lag_messages",
        "rocketmq_consumer_inflight_messages",
        "rocketmq_consumer_ready_messages",
        "rocketmq_consumer_lag_latency",
        "rocketmq_consumer_queueing_latency",
    ] {
        assert_eq!(page.value(name, &group), 0.0, "{name}");
    }
}

/// A message that is due in two hours shows some seconds later.
fn await_timer_snapshot(port: u16) {
    let began = Instant::now();
    loop {
        let page = scrape(port);
        let name = "rocketmq_timer_message_snapshot";
        let told = |bound| page.value(name, &[("timer_bound_s", bound)]);
        let counts = ["5", "60", "300", "900", "3600", "14400", "28800", "86400"].map(told);
        if counts == [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0] {
            assert_eq!(page.value("rocketmq_timing_messages", &[]), 1.0);
            for name in ["enqueue_lag", "enqueue_latency", "dequeue_lag", "dequeue_latency"] {
                assert_eq!(page.value(&format!("rocketmq_timer_{name}"), &[]), 0.0, "{name}");
            }
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{counts:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn transactions_and_delays_are_told(shards: u32) {
    let (_directory, server, port) = server("metrics-kinds", shards, &[]);
    let mut client = server.client();
    client.create_topic("kinds", 4).expect("an answer").expect(response::SUCCESS);
    let half = "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}producers\u{2}UNIQ_KEY\u{1}k\u{2}";
    client.send_with("kinds", 0, half, "half").expect(response::SUCCESS);
    client.send_with("kinds", 0, "DELAY\u{1}18\u{2}", "late").expect(response::SUCCESS);
    let timer = "TIMER_DELAY_SEC\u{1}7200\u{2}UNIQ_KEY\u{1}t\u{2}";
    client.send_with("kinds", 0, timer, "later").expect(response::SUCCESS);
    let page = scrape(port);
    let sent = |kind| {
        let labels = [("message_type", kind), ("is_system", "true")];
        page.value("rocketmq_messages_in_total", &labels)
    };
    assert_eq!(sent("transaction"), 1.0);
    assert_eq!(page.sum("rocketmq_messages_in_total", &[("message_type", "delay")]), 2.0);
    assert_eq!(page.value("rocketmq_half_messages", &[]), 1.0);
    let delays = |bound| {
        let labels = [("topic", "kinds"), ("le", bound)];
        page.value("rocketmq_delay_message_latency_bucket", &labels)
    };
    assert_eq!(["3600", "43200"].map(delays), [0.0, 1.0]);
    page.check();
    await_timer_snapshot(port);
}

// Single: the HTTP port is on the control shard.
#[test]
fn broken_requests_and_slow_clients_are_closed() {
    let (_directory, server, port) = server("metrics-broken", 1, &[]);
    for (request, status) in [
        ("\x16\x03\x01\x00\x01\x02\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
        ("GET /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "400 Bad Request"),
        ("GET /metrics HTTP/2.0\r\n\r\n", "505 HTTP Version Not Supported"),
        (&format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000)), "431 "),
        ("GET /healthz HTTP/1.1\r\nHost: ", "408 Request Timeout"),
    ] {
        let answer = http::exchange(port, request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {answer}");
    }
    // None of them holds a place, and what is kept open gives its place to who comes.
    let mut open: Vec<_> = (0..40).map(|_| connect(port)).collect();
    let page = scrape(port);
    assert!(page.value("rocketmq_broker_permission", &[]) > 0.0);
    let mut closed = 0;
    for stream in &mut open {
        stream.set_read_timeout(Some(Duration::from_millis(1))).expect("a socket");
        closed += usize::from(matches!(stream.read(&mut [0; 1]), Ok(0)));
    }
    assert!(closed >= 24, "{closed} of 40 are closed");
    drop(server);
}

// Single: it is about names.
#[test]
fn names_end_with_their_unit_if_that_is_wanted() {
    let (_directory, server, port) = server("metrics-units", 1, &[("metricsNameUnits", "true")]);
    server.client().create_topic("orders", 1).expect("an answer").expect(0);
    let page = scrape(port);
    for name in [
        "rocketmq_rpc_latency_milliseconds",
        "rocketmq_consumer_lag_latency_milliseconds",
        "rocketmq_storage_size_bytes",
        "rocketmq_storage_flush_behind_bytes",
        "rocketmq_delay_message_latency_seconds",
        "rocketmq_messages_in_total",
    ] {
        assert!(page.has_family(name), "{name}");
    }
    page.check();
}

// Single: the HTTP port is on the control shard.
#[test]
fn a_connection_is_used_again_and_old_clients_are_answered() {
    let (_directory, server, port) = server("metrics-http", 1, &[]);
    let mut stream = connect(port);
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        let mut answer = vec![0; 1024];
        let count = stream.read(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\nok\n"));
    }
    let old = http::exchange(port, b"GET /metrics HTTP/1.0\r\n\r\n");
    assert!(!old.contains("chunked") && old.contains("\nrocketmq_topic_number{"), "{old}");
    let head = http::exchange(port, b"HEAD /metrics HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(head.ends_with("\r\n\r\n") && head.contains("version=0.0.4"), "{head}");
    assert_eq!(get(port, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(get(port, "/readyz"), (200, "ok\n".to_owned()));
    drop(server);
}

// Single: a name server that is not there is that of the control shard.
#[test]
fn a_broker_that_no_name_server_knows_is_not_ready() {
    let port = free_port();
    let nobody = format!("127.0.0.1:{port}");
    let (_directory, server, port) = server("metrics-ready", 1, &[("namesrvAddr", &nobody)]);
    server.process.allows("cannot register");
    let (status, why) = get(port, "/readyz");
    assert!(status == 503 && why.contains("none of 1 name servers"), "{status} {why}");
    assert_eq!(get(port, "/healthz").0, 200);
}

// Single: series are kept by the control shard.
#[test]
fn too_many_series_are_left_out_and_it_is_said_once() {
    let (_directory, server, port) =
        server("metrics-many", 1, &[("metricsOtelCardinalityLimit", "5")]);
    server.process.expects("metrics of some topics or groups are left out");
    let mut client = server.client();
    for round in 0..2 {
        for number in 0..10 {
            let topic = format!("topic-{number}");
            if round == 0 {
                client.create_topic(&topic, 1).expect("an answer").expect(0);
            }
            client.send(&topic, 0, b"body").expect("an answer").expect(0);
        }
        let page = scrape(port);
        assert_eq!(page.all("rocketmq_messages_in_total", &[]).len(), 5);
        assert!(page.value("ringmq_metrics_left_out_total", &[]) >= 5.0);
    }
    let told = server.process.output();
    assert_eq!(told.matches("are left out: there are").count(), 1, "{told}");
}

// Single: ports are those of the process.
#[test]
fn a_port_that_is_taken_stops_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let directory = process::directory("metrics-port");
    let extra = vec![
        ("metricsExporterType", "PROM".to_owned()),
        ("metricsPromExporterPort", port.to_string()),
    ];
    let settings = Settings { shards: 2, extra, ..Settings::default() };
    let mut server = Server::spawn(directory.path(), &settings);
    server.process.expects("broker cannot start");
    assert!(!server.process.wait(Duration::from_secs(30)).success());
    let told = server.process.output();
    for part in [&*port.to_string(), "metricsPromExporterPort", "metricsExporterType=DISABLE"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

/// What Prometheus' own tool says of the page.
// Single: it is about the text.
#[test]
fn promtool_finds_nothing_wrong() {
    if !page::has_promtool() {
        return;
    }
    let (_directory, server, port) = server("metrics-promtool", 2, &[]);
    let mut client = server.client();
    client.create_topic("orders", 4).expect("an answer").expect(response::SUCCESS);
    client.send("orders", 0, b"body").expect("an answer").expect(0);
    client.pull("orders", 0, 0, 32).expect("an answer");
    let (status, text) = get(port, "/metrics");
    assert_eq!(status, 200);
    page::promtool(&["check", "metrics"], text.as_bytes());
}

/// The rules that come with RingMQ.
// Single: no broker is started.
#[test]
fn promtool_takes_the_alert_rules_and_the_configuration() {
    if !page::has_promtool() {
        return;
    }
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/prometheus");
    page::promtool(&["check", "rules", &format!("{root}/rules.yml")], b"");
    page::promtool(&["check", "config", &format!("{root}/prometheus.yml")], b"");
}

/// Every metric that dashboard and rules name is one that a broker has.
// Single: it is about names.
#[test]
fn dashboard_and_rules_name_metrics_that_there_are() {
    let (_directory, server, port) = server("metrics-names", 1, &[]);
    let mut client = server.client();
    client.create_topic("orders", 1).expect("an answer").expect(response::SUCCESS);
    let page = scrape(port);
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/conf");
    for file in ["prometheus/rules.yml", "grafana/ringmq.json"] {
        let text = std::fs::read_to_string(format!("{root}/{file}")).expect("there");
        let names = page::metric_names(&text);
        assert!(names.len() > 5, "{file}: {names:?}");
        for name in names {
            assert!(page.has_family(&name), "{file} names {name}, which no broker has");
        }
    }
    drop(server);
}

/// A page without a client is small, and asking often costs little.
// Single: the figures are for the reader of the log.
#[test]
fn a_scrape_is_quick() {
    let (_directory, _server, port) = server("metrics-quick", 2, &[]);
    let page: Page = scrape(port);
    assert!(page.len() > 100 && page.len() < 2_000, "{} samples", page.len());
}
