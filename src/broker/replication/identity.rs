//! Who this broker is among the copies of its store: the file `replica`, made when it is first
//! started as a master or slave, and what an empty slave asks its master before it has a store.

use std::{
    path::Path,
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering},
};

use ringmq_io::{Disk as _, Runtime};
use ringmq_replication::{
    ids::{Epoch, ReplicaId},
    streams::{FrameReader, Identity, Met, Party, StreamError, connect, dial_control},
};
use ringmq_store::{
    Manifest, OpenError, Replica, ReplicaFile, create_copy, find_manifest, open_manifest,
};

use super::{follow::Pauses, master};
use crate::{
    control::{complaints::Complaints, logs_of_new_store, membership::Membership},
    shard::{Shard, settings::BrokerSettings},
};

/// Opens the store of a broker that has copies, or makes it; `None` for one that is alone. A slave
/// without a store waits for its master.
///
/// # Errors
/// If the store is not what the configuration says: a sentence for the operator.
pub async fn prepare<R: Runtime>(shard: &Rc<Shard<R>>) -> Result<Option<Membership<R>>, String> {
    let (runtime, settings) = (&shard.runtime, &shard.settings);
    let root = &settings.store_path;
    let replica = replica_of(settings)?;
    let found = find_manifest(runtime, root).await.map_err(said)?;
    let file = match found {
        Some(_) => ReplicaFile::open(runtime.disk(), root).await.map_err(said)?,
        None => None,
    };
    if let (Some(file), Some(manifest)) = (&file, &found) {
        check(root, &file.last(), replica, manifest)?;
    }
    let role = settings.role;
    if !role.is_slave() && !role.is_copied() {
        return Ok(None);
    }
    let drawn = Drawn::default();
    let (mut directory, instance) = (drawn.next(), drawn.next());
    let boot = runtime.disk().boot_id().await.map_err(|error| error.to_string())?;
    let file = match (file, found) {
        (Some(file), _) => {
            let before = file.last();
            directory = before.directory;
            file.update(Replica { boot, clean: false, ..before }).await.map_err(said)?;
            file
        }
        (None, found) => {
            let manifest = match found {
                Some(manifest) => manifest,
                None if role.is_slave() => {
                    let identity = identity(settings, 0, replica, (directory, instance));
                    adopt(shard, &identity, &drawn).await?
                }
                None => {
                    open_manifest(runtime, root, logs_of_new_store(shard)).await.map_err(said)?
                }
            };
            let first = Replica {
                lineage: manifest.store_id,
                replica: replica.0,
                directory,
                boot,
                ..Replica::default()
            };
            ReplicaFile::create(runtime.disk(), root, first).await.map_err(said)?
        }
    };
    let lineage = file.last().lineage;
    let identity = identity(settings, lineage, replica, (directory, instance));
    Ok(Some(Membership::new(identity, file)))
}

fn said(error: OpenError) -> String {
    error.to_string()
}

fn identity(
    settings: &BrokerSettings,
    lineage: u128,
    replica: ReplicaId,
    (directory, instance): (u128, u128),
) -> Identity {
    Identity {
        cluster: settings.config.broker_cluster_name.clone(),
        group: settings.config.broker_name.clone(),
        lineage,
        replica,
        directory,
        instance,
    }
}

/// Copies are counted from 1 on: the master is the first.
fn replica_of(settings: &BrokerSettings) -> Result<ReplicaId, String> {
    let id = settings.config.broker_id;
    let replica = u32::try_from(id).ok().and_then(|id| id.checked_add(1));
    replica.map(ReplicaId).ok_or_else(|| {
        format!("brokerId = {id} is none of a copy: the range is 0 to {}", u32::MAX - 1)
    })
}

/// A directory that was copied says that it belongs to another one.
fn check(
    root: &Path,
    said: &Replica,
    replica: ReplicaId,
    manifest: &Manifest,
) -> Result<(), String> {
    let path = root.join(ringmq_store::REPLICA_NAME);
    if said.replica != replica.0 {
        let (was, is) = (i64::from(said.replica) - 1, i64::from(replica.0) - 1);
        return Err(format!(
            "{} says that this store belongs to the broker with brokerId={was}, and the \
             configuration has brokerId={is}: give it back its former id, or, if the directory was \
             copied or is to be another broker's from now on, remove that file where no other \
             broker uses it",
            path.display()
        ));
    }
    if said.lineage != manifest.store_id {
        return Err(format!(
            "{} is of the store {:032x} and {} of {:032x}: they were put together from two \
             directories; restore the one that belongs here",
            path.display(),
            said.lineage,
            root.join(ringmq_store::MANIFEST_NAME).display(),
            manifest.store_id
        ));
    }
    Ok(())
}

/// Numbers that nobody has seen before.
#[derive(Default)]
struct Drawn {
    state: ahash::RandomState,
    count: std::cell::Cell<u64>,
}

impl Drawn {
    fn next(&self) -> u128 {
        let half = || {
            self.count.set(self.count.get() + 1);
            u128::from(self.state.hash_one(self.count.get()))
        };
        half() << 64 | half()
    }
}

static WAITS: AtomicBool = AtomicBool::new(false);

/// Whether a slave without a store waits for its master in this process: it has nothing to lose
/// then, and may end at once.
pub fn waits_for_master() -> bool {
    WAITS.load(Ordering::Acquire)
}

/// Asks the master what its store is, until it answers, and begins a copy of that. A start that
/// finds the manifest and no file `replica` goes on as if it were one of a master once: both have
/// the lineage.
async fn adopt<R: Runtime>(
    shard: &Rc<Shard<R>>,
    identity: &Identity,
    drawn: &Drawn,
) -> Result<Manifest, String> {
    let (mut pauses, mut complaints) = (Pauses::default(), Complaints::default());
    let mut waits = |why: &str| {
        let what = "this slave has no store yet and waits for its master";
        complaints.say(shard.runtime.monotonic(), what, why);
    };
    loop {
        let met = match master::before_the_store(shard).await {
            Some(address) => ask(shard, identity, drawn.next(), &address).await,
            None => Err(StreamError::Unknown),
        };
        match met {
            Ok(Met { lineage, logs, replica, .. }) if lineage != 0 && logs != 0 => {
                WAITS.store(false, Ordering::Release);
                let root = &shard.settings.store_path;
                let made = create_copy(&shard.runtime, root, lineage, logs).await.map_err(said)?;
                let lineage = format!("{lineage:032x}");
                tracing::info!(%replica, lineage, logs, "the store begins as a copy");
                return Ok(made);
            }
            Ok(_) => waits("the master has no store itself"),
            Err(error) => waits(&error.to_string()),
        }
        WAITS.store(true, Ordering::Release);
        shard.runtime.sleep(pauses.next()).await;
    }
}

async fn ask<R: Runtime>(
    shard: &Rc<Shard<R>>,
    identity: &Identity,
    nonce: u128,
    address: &str,
) -> Result<Met, StreamError> {
    let runtime = &shard.runtime;
    let address = master::resolve(runtime, address).await?;
    let stream = connect(runtime, address).await?;
    let mut reader = FrameReader::new(&stream);
    let secret = master::secret(&shard.settings);
    let party = Party { identity, secret, nonce, epoch: Epoch::default() };
    dial_control(runtime, &party, (&stream, &mut reader)).await
}
