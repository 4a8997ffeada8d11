//! S8: what is not served is answered as such, whatever comes with it; nothing is kept half alive
//! (CVE-2023-33246 was in a feature that nobody had used for years).

use ringmq_remoting::codes::{request, response};

use super::children;
use crate::name_server::NameServer;
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(a_broker_does_nothing_for_codes_that_it_does_not_serve);

const BODY: &[u8] = b"{\"className\":\"x.Y\",\"filterClassBody\":\"cHduZWQ=\",\"topic\":\"t\"}";
const FIELDS: &[(&str, &str)] =
    &[("filterServerAddr", "10.0.0.1:1"), ("className", "x.Y"), ("topic", "t"), ("group", "g")];

/// Every code that RocketMQ has a name for, and some that it has none for.
fn all() -> impl Iterator<Item = i32> {
    let named = (0..4_000).chain(200_000..200_200).filter(|code| request::name(*code).is_some());
    named.chain([-1, 9_999, i32::MAX, i32::MIN])
}

fn a_broker_does_nothing_for_codes_that_it_does_not_serve(shards: u32) {
    let directory = process::directory("security-unused");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut client = server.client();
    let served: Vec<i32> = ringmq_broker::request_codes().collect();
    let unused: Vec<i32> = all().filter(|code| !served.contains(code)).collect();
    // Filter servers, the dead feature of the exploit, are among them.
    for code in [request::REGISTER_FILTER_SERVER, request::REGISTER_MESSAGE_FILTER_CLASS] {
        assert!(unused.contains(&code), "{code}");
    }
    assert!(unused.len() > 20, "{unused:?}");
    for code in unused {
        let answer = client.call(code, FIELDS, BODY).expect("an answer");
        assert_eq!(answer.code, response::REQUEST_CODE_NOT_SUPPORTED, "{code}: {answer:?}");
    }
    assert_eq!(children(server.process.pid()), Vec::<String>::new());
}

// Single: a name server has no shards.
#[test]
fn a_name_server_does_nothing_for_codes_that_it_does_not_serve() {
    let directory = process::directory("security-unused-names");
    let server = NameServer::start(directory.path(), &[]);
    let mut client = server.client();
    let served: Vec<i32> = ringmq_namesrv::handlers::request_codes().collect();
    for code in all().filter(|code| !served.contains(code)) {
        let answer = client.call(code, FIELDS, BODY).expect("an answer");
        assert_eq!(answer.code, response::REQUEST_CODE_NOT_SUPPORTED, "{code}: {answer:?}");
    }
    assert_eq!(children(server.process.pid()), Vec::<String>::new());
}
