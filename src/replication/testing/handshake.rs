//! Who is let in, what others are told, and where a log goes on.

use std::rc::Rc;

use ringmq_io::{
    Listener as _, Net as _, Runtime as _, Shares, Spawn as _, Stream as _,
    sim::{Sim, SimRuntime},
};
use ringmq_store::{FlushMode, Opening};

use super::machine::{EPOCH, Machine, PORT};
use crate::{
    epochs::EpochTable,
    frames::{Proof, secret::NO_PROOF, secret::Secret},
    ids::{Epoch, ReplicaId},
    streams::{
        FrameReader, GoOn, LogFacts, StreamError, connect, dial,
        handshake::{self, decide},
    },
};

/// A master, and a follower that has changed something about itself; what the follower hears, and
/// what the master says of it.
fn meet(change: impl FnOnce(&mut Machine)) -> (String, String) {
    let sim = Sim::new(3);
    let mut follower = Machine::new(&sim, 2, FlushMode::Sync);
    let master = Machine::new(&sim, 1, FlushMode::Sync);
    change(Rc::get_mut(&mut follower).expect("nobody else has it"));
    sim.run(async |_| {
        let _lead = master.lead(EPOCH, &[1]).await;
        let runtime = follower.node.boot();
        let log = follower.open(&runtime, Opening::Follows).await;
        let address = (master.node.ip(), PORT).into();
        let stream = connect(&runtime, address).await.expect("connects");
        let mut reader = FrameReader::new(&stream);
        let facts = LogFacts::of(&log).await.expect("reads");
        let party = follower.party(Epoch(0));
        let said = dial(&runtime, &log, &facts, &party, (&stream, &mut reader)).await;
        stream.shutdown();
        while master.ended.borrow().is_empty() {
            use ringmq_io::Clock as _;
            runtime.sleep(std::time::Duration::from_millis(10)).await;
        }
        let heard =
            said.map_or_else(|error| error.to_string(), |(_, go_on, _)| format!("{go_on:?}"));
        let ended = master.ended.borrow().join("; ");
        (heard, ended)
    })
}

#[test]
fn a_member_is_let_in_and_others_are_told_why_not() {
    let (heard, _) = meet(|_| {});
    assert_eq!(heard, "AtEnd");
    let refused = |change: fn(&mut Machine), wanted: &str| {
        let (heard, said) = meet(change);
        assert!(heard.contains(wanted), "{wanted}: the follower heard {heard}");
        assert!(said.contains(wanted), "{wanted}: the master said {said}");
    };
    refused(|one| one.identity.cluster = "other".into(), "of cluster \"other\"");
    refused(|one| one.identity.group = "broker-b".into(), "of broker name \"broker-b\"");
    refused(|one| one.identity.replica = ReplicaId(1), "has the id 1 of this member");
    refused(|one| one.identity.lineage = 5, "the peer's store is 0000");
    refused(|one| one.secret = None, "replicationSecret");
    refused(|one| one.secret = Some(Secret::new(b"another")), "replicationSecret");
}

/// What the master says of somebody who sends this and no more.
fn stranger(bytes: &'static [u8]) -> String {
    let sim = Sim::new(4);
    let master = Machine::new(&sim, 1, FlushMode::Sync);
    let other = Machine::new(&sim, 2, FlushMode::Sync);
    sim.run(async |_| {
        let _lead = master.lead(EPOCH, &[1]).await;
        let runtime = other.node.boot();
        let stream = connect(&runtime, (master.node.ip(), PORT).into()).await.expect("connects");
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = stream.write(rest).await.expect("writes");
            rest = &rest[written..];
        }
        // Until the master has had enough of it.
        while let Ok(1..) = stream.read(&mut [0; 100]).await {}
        master.ended.borrow().join("; ")
    })
}

#[test]
fn a_stranger_is_closed_with_a_sentence() {
    for (bytes, wanted) in [
        (&[0_u8, 0, 0, 0, 0, 1, 2, 3][..], "followers of RocketMQ itself cannot follow RingMQ"),
        (b"", "said nothing for 2000 ms"),
        (b"RingMQr\x01", "said nothing for 2000 ms"),
        (b"RingMQr\x01GET / HTTP/1.1\r\n", "a header of the replication stream has checksum"),
    ] {
        let said = stranger(bytes);
        assert!(said.contains(wanted), "{bytes:?}: {said}");
    }
}

#[test]
fn a_master_that_does_not_know_the_secret_is_not_followed() {
    let sim = Sim::new(5);
    let follower = Machine::new(&sim, 2, FlushMode::Sync);
    let node = sim.add_node([10, 0, 0, 1], &ringmq_io::sim::SimDisk::new(1));
    sim.run(async |_| {
        let host = node.boot();
        let listener = host.net().listen((node.ip(), PORT).into()).expect("listens");
        let at = host.clone();
        host.spawn(Shares::Foreground, "liar", async move { lie(at, listener).await });
        let runtime = follower.node.boot();
        let log = follower.open(&runtime, Opening::Follows).await;
        let stream = connect(&runtime, (node.ip(), PORT).into()).await.expect("connects");
        let mut reader = FrameReader::new(&stream);
        let facts = LogFacts::of(&log).await.expect("reads");
        let party = follower.party(Epoch(0));
        let said = dial(&runtime, &log, &facts, &party, (&stream, &mut reader)).await;
        assert!(matches!(said, Err(StreamError::Secret)), "{said:?}");
    });
}

/// Welcomes anybody and proves nothing.
async fn lie(runtime: SimRuntime, listener: <ringmq_io::sim::SimNet as ringmq_io::Net>::Listener) {
    use crate::frames::{Answer, Challenge, Channel, Frame, Welcome};
    let accepted = listener.accept().await.expect("accepts");
    let stream = runtime.net().adopt(accepted).expect("adopts");
    let mut reader = FrameReader::new(&stream);
    handshake::hello(&runtime, &mut reader).await.expect("a hello");
    let (log, replica) = (Channel::Log(0), ReplicaId(1));
    let challenge = Challenge { nonce: 1, replica, lineage: 77, logs: 1 };
    let welcome = Welcome {
        proof: NO_PROOF,
        answer: Answer::GoOn,
        position: 4096,
        crc_before: 0,
        first: 0,
        segment_bytes: 65_536,
        replica,
    };
    for frame in [Frame::Challenge(challenge), Frame::Welcome(welcome)] {
        crate::streams::write_frame(&stream, &frame, log, EPOCH).await.expect("writes");
        let _ = reader.next().await;
    }
}

#[test]
fn a_log_goes_on_where_both_are_the_same() {
    let table = |rows: &[(u32, u64)]| {
        EpochTable::new(rows.iter().map(|(epoch, start)| (Epoch(*epoch), *start)).collect())
            .expect("it grows")
    };
    let own = LogFacts {
        first: 0,
        end: 90_000,
        epochs: table(&[(2, 4096), (3, 50_000), (7, 80_000)]),
        ..LogFacts::default()
    };
    let of = |first, end, rows: &[(u32, u64)]| {
        let proof = Proof {
            proof: NO_PROOF,
            joined: Epoch(1),
            first,
            end,
            committed: 0,
            last_crc: 0,
            is_in_doubt: false,
            epochs: table(rows),
        };
        decide(&own, &proof)
    };
    let cut = |to| (GoOn::Truncate { to: ringmq_base::LogPosition(to) }, to);
    assert_eq!(of(0, 4096, &[]), (GoOn::AtEnd, 4096));
    assert_eq!(of(0, 30_000, &[(2, 4096)]), (GoOn::AtEnd, 30_000));
    // Its master went on in the epoch when this one had begun another.
    assert_eq!(of(0, 60_000, &[(2, 4096)]), cut(50_000));
    assert_eq!(of(0, 95_000, &[(2, 4096), (3, 50_000), (7, 80_000)]), cut(90_000));
    assert_eq!(of(0, 95_000, &[(2, 4096), (4, 50_000)]), cut(50_000));
    assert_eq!(of(0, 60_000, &[(2, 8192)]), (GoOn::Seed, 0), "what was before is not known");
    assert_eq!(of(0, 60_000, &[(3, 4096)]), cut(4096));
    let late = LogFacts { first: 65_536, ..own.clone() };
    let behind = |end| Proof {
        proof: NO_PROOF,
        joined: Epoch(1),
        first: 0,
        end,
        committed: 0,
        last_crc: 0,
        is_in_doubt: false,
        epochs: table(&[(2, 4096)]),
    };
    assert_eq!(decide(&late, &behind(30_000)).0, GoOn::Seed, "retention has removed what follows");
}
