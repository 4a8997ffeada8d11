//! Accepting connections, whatever becomes of single ones.

use std::time::Duration;

use ringmq_io::{Accepted, Listener, Runtime};

/// Pause after a failed accept: descriptors or memory are lacking until some connection ends.
const PAUSE: Duration = Duration::from_millis(100);

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
                tracing::warn!(%error, "cannot accept a connection; next try in {PAUSE:?}");
                runtime.sleep(PAUSE).await;
            }
        }
    }
}
