//! The name server on an executor of its own, not pinned: it has little to do.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, mpsc},
};

use anyhow::anyhow;
use ringmq_base::config::NamesrvConfig;
use ringmq_io::{
    Listener,
    launch::{self, Handles},
    listen_when_free,
    mailbox::{Sender, mailbox},
};

pub struct NameServer {
    stop: Sender<()>,
    thread: Handles<()>,
}

/// Starts the name server; it listens when this returns. `port_setting`: what sets its port.
pub fn start(
    config: NamesrvConfig,
    port_setting: &'static str,
) -> anyhow::Result<(NameServer, SocketAddr)> {
    let (stop, stopped) = mailbox::<()>(1);
    let (report, reports) = mpsc::channel();
    let cpus = launch::allowed_cpus()?;
    let cpu = cpus.first().copied().unwrap_or(0);
    let start = Arc::new(Mutex::new(Some((config, stopped, report))));
    let thread = launch::launch(&[cpu], false, move |_, runtime| {
        let start = start.lock().ok().and_then(|mut start| start.take());
        async move {
            let Some((config, mut stopped, report)) = start else {
                return;
            };
            let address = SocketAddr::new(config.bind_address, config.listen_port);
            let listener = match listen_when_free(&runtime, address).await {
                Ok(listener) => listener,
                Err(error) => {
                    let sentence = format!(
                        "the name server cannot listen on {address}: {error}; stop what uses the \
                         port or choose another by {port_setting}"
                    );
                    let _ = report.send(Err(sentence));
                    return;
                }
            };
            let _ = report.send(Ok(listener.local()));
            let shutdown = async {
                stopped.recv().await;
            };
            if let Err(error) = ringmq_namesrv::serve(runtime, config, listener, shutdown).await {
                tracing::error!(%error, "name server ended");
            }
        }
    })?;
    match reports.recv() {
        Ok(Ok(address)) => Ok((NameServer { stop, thread }, address)),
        Ok(Err(sentence)) => {
            thread.join();
            Err(anyhow!("{sentence}"))
        }
        Err(_) => Err(anyhow!("the name server's executor ended")),
    }
}

impl NameServer {
    /// Stops the name server and waits for it.
    pub fn stop(self) {
        // Full: it has been told already.
        let _ = self.stop.try_send(());
        self.thread.join();
    }
}
