//! Listening: the control shard accepts connections and hands them out, for clients open one
//! connection a broker, too few for the kernel to spread evenly over the shards.

use ringmq_io::{Accepted, Listener, Runtime};

/// Accepts connections until `take` says that it wants no more.
pub async fn accept_all<R: Runtime>(
    runtime: &R,
    listener: &impl Listener,
    mut take: impl FnMut(Accepted) -> bool,
) {
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                if !take(accepted) {
                    return;
                }
            }
            Err(error) => {
                // Out of descriptors, most likely: connections that end make room again.
                tracing::warn!(%error, "cannot accept a connection");
                runtime.sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}
