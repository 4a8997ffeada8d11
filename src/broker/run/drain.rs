//! The end before the end: what is under way is answered, what is new is refused with a code that
//! clients take to another broker, and the name servers are told. Everything else is served as ever
//! until the shards stop.

use std::{
    rc::Rc,
    sync::{Arc, mpsc},
    time::Duration,
};

use futures_lite::future::{or, zip};
use ringmq_io::{Runtime, Shares};
use ringmq_rules::refusal::Refusal;

use crate::{
    control::Control,
    engines::long_poll,
    requests::{Requests, consume::pull},
    shard::Shard,
};

/// Time between two looks for requests under way.
const LOOK: Duration = Duration::from_millis(5);
/// A client that takes none of its answers for so long is not waited for.
const STALLED: Duration = Duration::from_secs(1);

/// Drains the broker, and tells `drained` when that is done, or the limit over. On the control
/// shard.
pub fn start<R: Runtime>(requests: &Rc<Requests<R>>, limit: Duration, drained: mpsc::Sender<()>) {
    let Ok(control) = requests.control().cloned() else {
        return;
    };
    let runtime = requests.shard.runtime.clone();
    runtime.spawn(Shares::Admin, "drain", async move {
        drain(&control, limit).await;
        // Who asked may have lost patience.
        let _ = drained.send(());
    });
}

async fn drain<R: Runtime>(control: &Rc<Control<R>>, limit: Duration) {
    let shard = &control.shard;
    let began = shard.runtime.monotonic();
    let end = began + limit;
    let shards = shard.call_all(async move |shard: Rc<Shard<R>>| drain_shard(&shard, end).await);
    let told = async {
        control.registrar.unregister().await;
        true
    };
    let late = async {
        shard.runtime.sleep(limit).await;
        false
    };
    let (busy, all_told) = zip(shards, or(told, late)).await;
    let seconds = limit.as_secs();
    if !all_told {
        tracing::warn!(
            "not every name server was told within shutdownWaitTimeSeconds = {seconds}: those \
             notice when the connection ends"
        );
    }
    let busy: usize = busy.into_iter().sum();
    let took = shard.runtime.monotonic() - began;
    if busy > 0 {
        tracing::warn!(
            "requests of {busy} connections were not done within shutdownWaitTimeSeconds = \
             {seconds}: they are not waited for any longer"
        );
    } else {
        tracing::info!(?took, "all requests under way are answered");
    }
}

/// Connections of a shard that still had something under way at the end of the time.
async fn drain_shard<R: Runtime>(shard: &Rc<Shard<R>>, end: Duration) -> usize {
    shard.view.borrow_mut().draining = Some(Arc::new(Refusal::stopping()));
    long_poll::answer_all(shard, pull::run).await;
    loop {
        let now = shard.runtime.monotonic();
        let busy = shard.connections.busy(now, STALLED);
        if busy == 0 || now >= end || shard.stopping.get() {
            return busy;
        }
        shard.runtime.sleep(LOOK).await;
    }
}
