//! Peers that are not what they should be, and masters that say what is not so: each is refused
//! with one sentence.

use std::{rc::Rc, time::Duration};

use bytes::Bytes;
use ringmq_io::{
    Clock as _, Listener as _, Net as _, Runtime as _, Shares, Spawn as _, Stream as _,
    sim::{Sim, SimDisk, SimRuntime},
};
use ringmq_replication::{
    frames::{Channel, Frame, Hello, MORE_FOLLOW, Meta, MetaSnapshot, PREAMBLE},
    ids::{Epoch, ReplicaId},
    streams::{FrameReader, Identity, Party, connect, greet_control, hello, write_frame},
};

use super::{Change, Complaints, Pair, make_topic};
use crate::shard::role::Role;

const HA_PORT: u16 = 10_912;
const LOGS: u16 = 4;

/// A pair after a while in which the slave was not let in; what both have said.
fn refused(change: impl FnOnce(&mut Pair)) -> Vec<String> {
    let (complaints, _guard) = Complaints::listen();
    let mut pair = Pair::new(7, Role::AsyncMaster, (1, 2), |_| {});
    change(&mut pair);
    let pair = &pair;
    pair.sim.run(async |host| {
        pair.master.boot();
        pair.client(&host).await;
        pair.slave.boot();
        host.sleep(Duration::from_secs(5)).await;
    });
    complaints.take()
}

fn assert_said(said: &[String], wanted: &str) {
    // Streams of logs have lines of their own.
    let mut of_control = said.iter().filter(|line| !line.contains("log="));
    let found = of_control.clone().filter(|line| line.contains(wanted)).count();
    assert!(found >= 1, "{wanted:?} is not in {said:?}");
    assert!(of_control.nth(8).is_none(), "it is said again and again: {said:?}");
}

#[test]
fn a_peer_of_another_cluster_name_or_store_is_told_so() {
    let cluster: Change = |settings| settings.config.broker_cluster_name = "other".into();
    let said = refused(|pair| pair.slave.change = cluster);
    assert_said(&said, "the peer is of cluster \"other\" and this one of \"DefaultCluster\"");
    let name: Change = |settings| settings.config.broker_name = "other".into();
    let said = refused(|pair| pair.slave.change = name);
    assert_said(&said, "the peer is of broker name \"other\" and this one of \"sim\"");
    let said = refused(|pair| {
        let other = Pair::new(8, Role::AsyncMaster, (1, 2), |_| {});
        let manifest = other.sim.run(async |host| {
            other.master.boot();
            other.client(&host).await;
            other.master.node.disk().read_file("store/MANIFEST").expect("made")
        });
        pair.slave.node.disk().write_file("store/MANIFEST", &manifest);
    });
    assert_said(&said, "a member begins with an empty store or with one of its group");
}

/// Whoever copies a master's directory to begin a slave with it has its file `replica` there.
#[test]
fn a_copied_directory_is_noticed_at_the_start() {
    let (complaints, _guard) = Complaints::listen();
    let pair = Pair::new(9, Role::AsyncMaster, (1, 2), |_| {});
    pair.sim.run(async |host| {
        pair.master.boot();
        let mut client = pair.client(&host).await;
        make_topic(&mut client, "topic", 1).await;
        pair.master.die(false);
        pair.slave.node.replace_disk(&pair.master.node.disk().kill(3));
        pair.slave.boot();
        host.sleep(Duration::from_secs(1)).await;
        pair.slave.die(false);
        pair.master.boot();
        pair.client(&host).await;
    });
    let said = complaints.take();
    assert_said(
        &said,
        "belongs to the broker with brokerId=0, and the configuration has brokerId=1",
    );
}

#[test]
fn a_slave_of_another_version_is_told_so() {
    let (complaints, _guard) = Complaints::listen();
    let pair = Pair::new(10, Role::AsyncMaster, (1, 1), |_| {});
    pair.sim.run(async |host| {
        pair.master.boot();
        pair.client(&host).await;
        let address = (pair.master.node.ip(), HA_PORT).into();
        let stream = connect(&host, address).await.expect("connects");
        let hello = Hello {
            version: 2,
            replica: ReplicaId(2),
            lineage: 0,
            directory: 5,
            instance: 6,
            nonce: 7,
            cluster: "DefaultCluster".into(),
            group: "sim".into(),
        };
        assert_eq!(stream.write(&PREAMBLE).await.expect("writes"), PREAMBLE.len());
        let hello = Frame::Hello(hello);
        write_frame(&stream, &hello, Channel::Control, Epoch(0)).await.expect("writes");
        let mut reader = FrameReader::new(&stream);
        let (_, answer) = reader.next().await.expect("an answer");
        assert!(matches!(answer, Frame::Refused(_)), "{answer:?}");
    });
    assert_said(&complaints.take(), "speaks version 2 of the replication stream");
}

/// What a slave says of a master that sends it this.
fn lied_to(frames: &[Frame], change: Change) -> Vec<String> {
    let (complaints, _guard) = Complaints::listen();
    let sim = Sim::new(11);
    let liar = sim.add_node([10, 0, 0, 3], &SimDisk::new(1));
    let mut pair = Pair::new(11, Role::AsyncMaster, (1, 2), change);
    // The slave's machine has the liar for its master.
    pair.slave.node = sim.add_node([10, 0, 0, 2], &SimDisk::new(2));
    pair.slave.master = "10.0.0.3:10912";
    let frames: Rc<[Frame]> = frames.into();
    sim.run(async |host| {
        let runtime = liar.boot();
        let address = (liar.ip(), HA_PORT).into();
        let listener = runtime.net().listen(address).expect("listens");
        let own = runtime.clone();
        runtime.spawn(Shares::Foreground, "liar", async move {
            loop {
                let accepted = listener.accept().await.expect("accepts");
                let (runtime, frames) = (own.clone(), frames.clone());
                own.spawn(Shares::Foreground, "lies", async move {
                    let stream = runtime.net().adopt(accepted).expect("adopts");
                    lie(&runtime, &stream, &frames).await;
                });
            }
        });
        pair.slave.boot();
        host.sleep(Duration::from_secs(5)).await;
    });
    complaints.take()
}

async fn lie(runtime: &SimRuntime, stream: &ringmq_io::sim::SimStream, frames: &[Frame]) {
    let identity = Identity {
        cluster: "DefaultCluster".into(),
        group: "sim".into(),
        lineage: 77,
        replica: ReplicaId(1),
        directory: 1,
        instance: 1,
    };
    let party = Party { identity: &identity, secret: None, nonce: 1, epoch: Epoch(0) };
    let mut reader = FrameReader::new(stream);
    let Ok((Channel::Control, said)) = hello(runtime, &mut reader).await else { return };
    let with = (&said, stream, &mut reader);
    if greet_control(runtime, LOGS, &party, with).await.is_err() || said.lineage == 0 {
        return;
    }
    for frame in frames {
        if write_frame(stream, frame, Channel::Control, Epoch(0)).await.is_err() {
            return;
        }
    }
    while reader.next().await.is_ok() {}
}

fn piece(index: u64, offset: u64, total: u64, bytes: &[u8]) -> Frame {
    let (written_in, piece) = (Epoch(0), Bytes::copy_from_slice(bytes));
    Frame::MetaSnapshot(MetaSnapshot { index, written_in, offset, total, piece })
}

fn entry(index: u64, change: &'static [u8]) -> Frame {
    Frame::Meta(Meta { index, committed: index, change: Bytes::from_static(change) })
}

#[test]
fn a_master_that_says_what_is_not_so_is_left_with_a_sentence() {
    const RECORD: &[u8] = br#"{"delayOffset":{"level":1,"offset":2}}"#;
    let hash = 9_u64.to_le_bytes();
    let length = (RECORD.len() as u32).to_le_bytes();
    let whole = [&hash[..], &length, RECORD].concat();
    let end = whole.len() as u64;
    let long = (u32::MAX / 2).to_le_bytes();
    let too_long = [&hash[..], &long].concat();
    let cases: [(Vec<Frame>, &str); 10] = [
        (vec![entry(1, RECORD)], "entry 1 comes before the snapshot"),
        (vec![piece(5, 0, end, &whole), entry(7, RECORD)], "entry 7 comes behind entry 5"),
        (vec![piece(5, 0, end, &whole), entry(5, RECORD)], "entry 5 comes behind entry 5"),
        (vec![piece(5, 0, end + 9, &whole)], "ends at byte"),
        (vec![piece(5, 0, end - 3, &whole[..whole.len() - 3])], "in the midst of a record"),
        (vec![piece(5, 8, MORE_FOLLOW, &whole)], "comes before its beginning"),
        (
            vec![piece(5, 0, MORE_FOLLOW, &whole), piece(6, end, end * 2, &whole)],
            "a piece of the snapshot of entry 6 at byte",
        ),
        (
            vec![piece(5, 0, MORE_FOLLOW, &whole), piece(5, end + 1, end * 2 + 1, &whole)],
            "comes where that of entry 5 is",
        ),
        (vec![piece(5, 0, MORE_FOLLOW, &too_long)], "a record of a snapshot has 2147483647 bytes"),
        (vec![piece(5, 0, end, &whole), entry(6, b"{\"unknown\":1}")], "is not known to this"),
    ];
    for (frames, wanted) in cases {
        assert_said(&lied_to(&frames, |_| {}), wanted);
    }
}

#[test]
fn a_snapshot_of_more_than_the_memory_was_planned_for_is_not_taken() {
    let small: Change = |settings| settings.sizes.snapshot_bytes_max = 1000;
    let said = lied_to(&[piece(5, 0, MORE_FOLLOW, &[b' '; 1001])], small);
    assert_said(&said, "the snapshot has more than 1000 bytes");
    // The bytes of a length at the beginning would be wrong: nothing is read of what is too much.
    let said = lied_to(&[piece(5, 0, MORE_FOLLOW, &[0; 8]), piece(5, 8, 1008, &[0; 1000])], small);
    assert_said(&said, "the snapshot has more than 1000 bytes");
}
