mod bytes_of_old;
mod proven;
mod survived;

use super::*;
use crate::{epochs::EpochTable, ids::ReplicaId};

/// One of each kind.
pub fn one_of_each() -> Vec<Frame> {
    let epochs = EpochTable::new(vec![(Epoch(3), 4096), (Epoch(7), 65_536)]).expect("it grows");
    let hello = Hello {
        version: VERSION,
        replica: ReplicaId(2),
        lineage: 0x1122_3344,
        directory: u128::MAX,
        instance: 5,
        nonce: 6,
        cluster: "DefaultCluster".to_owned(),
        group: "broker-\u{4e2d}".to_owned(),
    };
    let proof = Proof {
        proof: [7; 32],
        joined: Epoch(7),
        first: 4096,
        end: 70_000,
        committed: 69_000,
        last_crc: 0xDEAD_BEEF,
        is_in_doubt: true,
        epochs,
    };
    let welcome = Welcome {
        proof: [8; 32],
        answer: Answer::Truncate,
        position: 65_536,
        crc_before: 1,
        first: 0,
        segment_bytes: 1 << 30,
        replica: ReplicaId(1),
    };
    let mut all = vec![
        Frame::Hello(hello),
        Frame::Challenge(Challenge { nonce: 9, replica: ReplicaId(1), lineage: 4, logs: 8 }),
        Frame::Proof(proof),
        Frame::Welcome(welcome),
        Frame::Refused(Refused { code: 3, sentence: "no member of this group".to_owned() }),
        Frame::Segment(Segment { start: 1 << 30, bytes: 1 << 30, made_in: Epoch(7) }),
        Frame::Data(data(b"whole records")),
        Frame::Set(Set { version: 3, is_in: true }),
        Frame::Ack(Ack { written: POSITION_MAX, stable: 5 }),
        Frame::Retire(Retire { first: 1 << 31 }),
        Frame::Ready(Ready { end: 4096 }),
        Frame::MetaAck(MetaAck { written: 12, stable: 11 }),
    ];
    all.extend(of_the_group());
    all
}

fn data(records: &'static [u8]) -> Data {
    Data { position: 70_000, committed: 69_000, records: Bytes::from_static(records) }
}

fn of_the_group() -> Vec<Frame> {
    let health = Health {
        worst_write_ms: 12,
        stall_ms: 3,
        disk_fill_percent: 81,
        is_fenced: true,
        is_seeding: false,
        is_leaving: true,
    };
    let logs = vec![(70_000, 69_000), (4096, 4096)];
    let floor = Floor { topic: "%RETRY%g".to_owned(), queue: 3, offset: 99 };
    let meta_snapshot = MetaSnapshot {
        index: 12,
        written_in: Epoch(6),
        offset: 4,
        total: 10,
        piece: Bytes::from_static(b"pieces"),
    };
    let forward = Forward {
        lane: 1,
        request: 2,
        client: "192.0.2.7:4711".parse().expect("an address"),
        frame: Bytes::from_static(b"a frame"),
    };
    let records = Bytes::from_static(b"records");
    vec![
        Frame::Heartbeat(Heartbeat {
            sent: 1,
            echo: 2,
            metadata: 3,
            metadata_hash: 4,
            health,
            logs,
        }),
        Frame::Seed(Seed { lineage: 4, created: 5, logs: 8, segment_bytes: 1 << 30, first: 4096 }),
        Frame::Floors(Floors { is_more: true, floors: vec![floor.clone(), floor] }),
        Frame::RepairRequest(RepairRequest { request: 1, from: 2, to: 3, after: Epoch(4) }),
        Frame::Repair(Repair { request: 1, from: 2, replica: ReplicaId(3), records }),
        Frame::Meta(Meta { index: 12, committed: 11, change: Bytes::from_static(b"{}") }),
        Frame::MetaSnapshot(meta_snapshot),
        Frame::Forward(forward),
        Frame::Forwarded(Forwarded { lane: 1, request: 2, frame: Bytes::from_static(b"answer") }),
    ]
}

pub fn whole(frame: &Frame) -> Vec<u8> {
    let encoded = frame.encode(Channel::Log(5), Epoch(7)).expect("it may be as long");
    assert_eq!(encoded.length(), encoded.head.len() + encoded.payload.len());
    [encoded.head, encoded.payload.to_vec()].concat()
}

/// As a reader of a stream does it.
pub fn decode(bytes: &[u8]) -> Result<(Header, Frame), Refusal> {
    let (header, body) = bytes.split_first_chunk::<HEADER_BYTES>().expect("a header");
    let header = Header::decode(header)?;
    Frame::decode(&header, &Bytes::copy_from_slice(body)).map(|frame| (header, frame))
}

#[test]
fn what_is_encoded_is_decoded() {
    let frames = one_of_each();
    for kind in Kind::ALL {
        assert!(frames.iter().any(|frame| frame.kind() == *kind), "there is no {}", kind.name());
    }
    for frame in frames {
        let bytes = whole(&frame);
        let (header, decoded) = decode(&bytes).expect("a frame");
        assert_eq!(decoded, frame);
        assert_eq!((header.channel, header.epoch), (Channel::Log(5), Epoch(7)));
        assert_eq!(header.length, bytes.len() - HEADER_BYTES);
    }
    let encoded = Frame::Retire(Retire { first: 1 }).encode(Channel::Control, Epoch(0));
    let (header, _) = decode(&encoded.expect("short").head).expect("a frame");
    assert_eq!((header.channel, header.epoch), (Channel::Control, Epoch(0)));
}

#[test]
fn records_are_not_copied() {
    let records = Bytes::from(vec![1; 1000]);
    let frame = Frame::Data(Data { records: records.clone(), ..data(b"") });
    let encoded = frame.encode(Channel::Log(0), Epoch(1)).expect("short");
    assert_eq!(encoded.payload.as_ptr(), records.as_ptr());
    assert_eq!(encoded.head.len(), HEADER_BYTES + 20);
    let header = encoded.head.first_chunk().expect("a header");
    let header = Header::decode(header).expect("a header");
    let body = Bytes::from([&encoded.head[HEADER_BYTES..], &records].concat());
    let Ok(Frame::Data(decoded)) = Frame::decode(&header, &body) else { panic!("it is DATA") };
    assert_eq!(decoded.records.as_ptr(), body[20..].as_ptr());
}

/// A header with this length that is in order otherwise.
fn header(kind: Kind, length: usize) -> [u8; HEADER_BYTES] {
    Header { kind, channel: Channel::Control, epoch: Epoch(1), length }.encode()
}

#[test]
fn no_frame_is_longer_than_its_kind_may_be() {
    for kind in Kind::ALL.iter().copied() {
        let (least, most) = (kind.guarded().0, kind.body_max());
        assert!(Header::decode(&header(kind, most)).is_ok(), "{}", kind.name());
        let refused = Header::decode(&header(kind, most + 1));
        assert_eq!(refused, Err(Refusal::Long { kind, length: most + 1, most }));
        let refused = Header::decode(&header(kind, least - 1));
        assert_eq!(refused, Err(Refusal::Short { kind, length: least - 1, least }));
        if kind.payload_max() > 0 {
            assert_eq!(kind.guarded().0, kind.guarded().1, "the payload begins at one place");
        }
    }
    assert!(HEADER_BYTES + Kind::Hello.body_max() + PREAMBLE.len() <= 512);
    let long = Frame::Data(Data {
        records: Bytes::from(vec![0; Kind::Data.payload_max() + 1]),
        ..data(b"")
    });
    let refused = long.encode(Channel::Log(0), Epoch(1)).expect_err("longer than any record");
    assert_eq!(
        refused.to_string(),
        "DATA of the replication stream has 16777257 bytes, more than 16777256: the peer runs \
         another version, or is none of this group; look at what is behind its address"
    );
}

#[test]
fn values_that_cannot_be_are_refused_in_a_sentence() {
    let name = "n".repeat(128);
    let frames = one_of_each();
    let Some(Frame::Hello(hello)) = frames.first() else { panic!("HELLO is the first") };
    let long = Frame::Hello(Hello { group: name, ..hello.clone() });
    let refused = long.encode(Channel::Control, Epoch(0)).expect_err("a long name");
    let text = "HELLO of the replication stream says 128 for group, more than 127: the peer runs \
                another version; let both run the same";
    assert_eq!(refused.to_string(), text);
    let beyond = Frame::Ack(Ack { written: POSITION_MAX + 1, stable: 0 });
    let refused = decode(&whole(&beyond)).expect_err("49 bits");
    assert!(matches!(refused, Refusal::Value { field: "written", .. }), "{refused}");
    let beyond = Frame::Data(Data { position: POSITION_MAX, ..data(b"more") });
    let refused = decode(&whole(&beyond)).expect_err("49 bits");
    assert!(matches!(refused, Refusal::Value { most: POSITION_MAX, .. }), "{refused}");
    let mut bytes = header(Kind::Set, 13);
    bytes[4] = 22;
    let crc = ringmq_base::checksum::crc32c(&bytes[..12]).to_le_bytes();
    bytes[12..].copy_from_slice(&crc);
    let refused = Header::decode(&bytes).expect_err("no such kind");
    assert!(refused.to_string().contains("is of kind 22, and kinds go up to 21"), "{refused}");
}

/// The bytes of a body with a fitting checksum.
pub fn sealed(kind: Kind, fields: &[u8]) -> Vec<u8> {
    let header = Header::decode(&header(kind, CRC_BYTES + fields.len())).expect("a length of its");
    let crc = crc32c_append(header.crc(), fields).to_le_bytes();
    [&header.encode()[..], &crc, fields].concat()
}

#[test]
fn counts_are_compared_with_what_is_there() {
    // 65,535 floors in 3 bytes of fields.
    let refused = decode(&sealed(Kind::Floors, &[0, 0xFF, 0xFF])).expect_err("none is there");
    let missing = 65_535 * 14;
    assert_eq!(refused, Refusal::Ends { kind: Kind::Floors, field: "floors", missing });
    let text = "FLOORS of the replication stream ends within floors, 917490 bytes too early: the \
                peer runs another version; let both run the same";
    assert_eq!(refused.to_string(), text);
    let refused = decode(&sealed(Kind::Floors, &[0, 0, 0, 1])).expect_err("one byte more");
    assert_eq!(refused, Refusal::Rest { kind: Kind::Floors, rest: 1 });
    let refused = decode(&sealed(Kind::Refused, &[0, 0, 2, 0, b'a', 0xFF])).expect_err("no UTF-8");
    assert_eq!(refused, Refusal::Text { kind: Kind::Refused, field: "sentence", at: 1 });
    let refused = decode(&sealed(Kind::Set, &[0, 0, 0, 0, 0, 0, 0, 0, 2])).expect_err("no bool");
    assert_eq!(refused, Refusal::value(Kind::Set, "is_in", 2, 1));
}

#[test]
fn before_a_proof_nothing_long_may_come() {
    const FIRST: &[Kind] = &[Kind::Hello];
    let hello = header(Kind::Hello, Kind::Hello.body_max());
    assert!(Header::decode_one_of(&hello, FIRST).is_ok());
    let data = header(Kind::Data, Kind::Data.body_max());
    let refused = Header::decode_one_of(&data, FIRST).expect_err("too early");
    assert_eq!(
        refused.to_string(),
        "DATA has come on the replication stream, where only HELLO may: the peer runs another \
         version, or is none of this group; look at what is behind its address"
    );
    for kind in [Kind::Hello, Kind::Challenge, Kind::Proof, Kind::Welcome, Kind::Refused] {
        assert!(kind.body_max() <= 4096, "{}", kind.name());
    }
}
