//! The signatures were computed by Python's hmac.

use ringmq_remoting::command::Header;

use super::*;

fn header<'a>(version: i32, fields: &[(&'a str, &'a str)]) -> Header<'a> {
    Header { version, fields: fields.iter().copied().collect(), ..Header::default() }
}

fn signed<'a>(fields: &[(&'a str, &'a str)], signature: &'a str) -> Vec<(&'a str, &'a str)> {
    fields.iter().copied().chain([(SIGNATURE, signature)]).collect()
}

const SEND: [(&str, &str); 14] = [
    ("m", "false"),
    ("a", "producer"),
    ("b", "topicB"),
    ("c", "TBW102"),
    ("d", "4"),
    ("e", "0"),
    ("f", "0"),
    ("g", "1767225600000"),
    ("h", "0"),
    ("i", "UNIQ_KEY\u{1}7F00\u{2}"),
    ("j", "0"),
    ("k", "false"),
    ("l", "0"),
    (ACCESS_KEY, "RocketMQ"),
];
const SEND_SIGNATURE: &str = "Jmew6+LZmJfCtzdSGdrAfLzLVvQ=";

#[test]
fn a_send_is_signed_over_its_values_in_the_order_of_their_names_and_its_body() {
    let key = SecretKey::new("12345678");
    let fields = signed(&SEND, SEND_SIGNATURE);
    assert!(key.has_signed(&header(409, &fields), b"hello"));
    assert!(!key.has_signed(&header(409, &fields), b"hello!"));
    assert!(!SecretKey::new("12345679").has_signed(&header(409, &fields), b"hello"));
    assert!(!key.has_signed(&header(409, &SEND), b"hello"), "without a signature");
    for at in 0..SEND.len() {
        let mut other = fields.clone();
        other[at].1 = "other";
        assert!(!key.has_signed(&header(409, &other), b"hello"), "{:?}", SEND[at]);
    }
    let one = [(ACCESS_KEY, "RocketMQ")];
    let one = signed(&one, "IUc8rrO/0gDch8CjObLQsW2rsiA=");
    assert!(key.has_signed(&header(409, &one), b""));
}

#[test]
fn what_is_no_signature_fails() {
    let key = SecretKey::new("12345678");
    for wrong in ["", "Jmew6+LZmJfCtzdSGdrAfLzLVvQ", "Jmew6+LZmJfCtzdSGdrAfLzLVvR=", "=", "Jmew"] {
        let fields = signed(&SEND, wrong);
        assert!(!key.has_signed(&header(409, &fields), b"hello"), "{wrong}");
    }
}

#[test]
fn of_a_name_that_is_there_twice_the_last_value_is_signed_and_counts() {
    let key = SecretKey::new("12345678");
    let first = [("b", "topicB"), ("b", "topicC"), ("a", "producer")];
    let fields = signed(&SEND, SEND_SIGNATURE);
    let before: Vec<_> = first.into_iter().chain(fields.iter().copied()).collect();
    assert!(key.has_signed(&header(409, &before), b"hello"));
    let behind: Vec<_> = fields.into_iter().chain([("b", "topicC")]).collect();
    let behind = header(409, &behind);
    assert_eq!(behind.fields.get("b"), Some("topicC"));
    assert!(!key.has_signed(&behind, b"hello"));
}

#[test]
fn queries_by_unique_id_are_signed_by_new_clients_with_their_flag_and_by_old_ones_without() {
    let key = SecretKey::new("12345678");
    let query = [
        ("topic", "topicB"),
        ("key", "\u{4e2d}\u{6587}"),
        ("maxNum", "32"),
        ("beginTimestamp", "0"),
        ("endTimestamp", "9"),
        (ACCESS_KEY, "RocketMQ"),
        (UNIQUE_KEY_QUERY, "true"),
    ];
    for signature in ["ricnE+HiJyfdqPiDaibHGvuI3FI=", "f/tAORgc4yUgAzrUvei6yq/bTjo="] {
        for version in [373, 399, 400, 409, 495] {
            let fields = signed(&query, signature);
            assert!(key.has_signed(&header(version, &fields), b""), "{version} {signature}");
        }
    }
    let fields = signed(&query, SEND_SIGNATURE);
    assert!(!key.has_signed(&header(409, &fields), b""));
}
