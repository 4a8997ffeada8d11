//! Requests of accounts that are none, and with signatures that are none.

use std::{io, net::Ipv4Addr};

use ringmq_remoting::{codes::request, encode::Value};
use ringmq_rules::acl::signature::{ACCESS_KEY, SIGNATURE};
use ringmq_test_client::Send;

use crate::hostile::{
    attacker::Target,
    wire::{self, Link},
};

/// The file with accounts: whoever comes from the usual address needs none.
pub const ACCOUNTS: &str = "
globalWhiteRemoteAddresses:
  - 127.0.0.1
accounts:
  - accessKey: attacked
    secretKey: secret-of-attacked
    defaultTopicPerm: PUB|SUB
";
/// Where the attack comes from.
const FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const LARGE: usize = 1 << 20;
const LONG: usize = 20_000;

/// Signatures that are long, of nobody, and wrong for a body of 1 MiB, which has to be read for it.
pub fn false_signatures(target: &Target) -> io::Result<()> {
    let mut link = Link::open_from(FROM, target.broker)?;
    let send = Send { topic: "signed", queue: 0, queues: 4, properties: "", batch: false };
    let (long, large) = ("A".repeat(LONG), vec![b'x'; LARGE]);
    let right_length = "AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let frame = |key, signature, body: &[u8]| {
        let mut fields = send.fields().to_vec();
        fields.push((ACCESS_KEY, Value::Str(key)));
        fields.push((SIGNATURE, Value::Str(signature)));
        wire::request(request::SEND_MESSAGE_V2, 1, &fields, body)
    };
    let small = [
        frame("attacked", right_length, b"x"),
        frame("attacked", &long, b"x"),
        frame("attacked", "\u{0}\r\n", b"x"),
        frame("nobody", right_length, b"x"),
        frame(&long, right_length, b"x"),
        wire::request(request::SEND_MESSAGE_V2, 1, &send.fields(), b"x"),
    ];
    let large = frame("attacked", right_length, &large);
    let mut pace = target.pace(20.0);
    loop {
        for _ in 0..10 {
            for frame in &small {
                let answer = link.exchange(frame, 1);
                target.answered(&answer);
                answer?;
            }
        }
        let answer = link.exchange(&large, 1);
        target.answered(&answer);
        answer?;
        pace.wait();
    }
}
