//! The name server on an executor of its own, not pinned: it has little to do.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use anyhow::anyhow;
use ringmq_base::{
    config::{Loaded, NamesrvConfig, TlsServerKeys},
    units::human_bytes,
};
use ringmq_io::{
    Listener, Runtime, SocketBuffers, allocator,
    gate::MemoryLimit,
    launch::{self, Handles},
    listen_when_free,
    mailbox::{Receiver, Sender, mailbox},
};
use ringmq_namesrv::{Serving, budgets};
use ringmq_tls::Acceptor;

use super::reload::Keys;

pub struct NameServer {
    orders: Sender<Order>,
    thread: Handles<()>,
    tls: Acceptor,
}

/// What the executor is told by others.
enum Order {
    Stop,
    /// Tell what asks that it handles this.
    Ping(mpsc::Sender<()>),
    /// The configuration says this of keys that are live.
    Reload(Keys, mpsc::Sender<Result<(), String>>),
}

/// Orders that may wait: pings of a watchdog, and the last one.
const ORDERS_MAX: usize = 8;

/// How long it may take to change keys.
const RELOAD_PATIENCE: Duration = Duration::from_secs(30);

/// Asks the name server for a sign of life.
pub struct Heartbeat(Sender<Order>);

impl Heartbeat {
    /// Its name, if it does not answer in this time.
    pub fn silent(&self, patience: Duration) -> Vec<String> {
        let (asked, answer) = mpsc::channel();
        // Without room it has handled none for long.
        let _ = self.0.try_send(Order::Ping(asked));
        match answer.recv_timeout(patience) {
            Ok(()) => Vec::new(),
            Err(_) => vec!["name server".to_owned()],
        }
    }
}

/// Of the memory of a process that it shares with a broker, a name server has at most one of so
/// many parts.
const SHARE: u64 = 8;

/// What a name server is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A process of its own.
    Process,
    /// The process of a broker.
    Broker,
}

/// Fits the budgets that nobody has set into the memory, and says what came of it: the
/// configuration to start with, and what the name server stays under, in bytes.
pub fn fit(
    loaded: Loaded<NamesrvConfig>,
    memory: &MemoryLimit,
    place: Place,
) -> anyhow::Result<(NamesrvConfig, u64)> {
    let Loaded { mut config, origins, .. } = loaded;
    let (process, bytes, what) = match place {
        Place::Process => (budgets::PROCESS_BYTES, memory.bytes, "this process"),
        Place::Broker => (budgets::PART_BYTES, memory.bytes / SHARE, "the name server"),
    };
    let fitted = budgets::fit(&mut config, &origins, process, (bytes, &memory.to_string()));
    let budgets = fitted.map_err(|sentence| anyhow!("{sentence}"))?;
    if place == Place::Process {
        allocator::give_back_buffers_from(allocator::NAME_SERVER_BUFFER_BYTES);
    }
    tracing::info!(
        "memory: {} of {memory}; {what} stays under {}: {budgets}",
        human_bytes(bytes),
        human_bytes(budgets.sum()),
    );
    Ok((config, budgets.sum()))
}

/// Starts the name server; it serves when this returns. `port_setting`: what sets its port.
pub fn start(
    config: NamesrvConfig,
    tls: TlsServerKeys,
    port_setting: &'static str,
) -> anyhow::Result<(NameServer, SocketAddr)> {
    let tls = Acceptor::open(tls).map_err(|sentence| anyhow!("{sentence}"))?;
    let (orders, told) = mailbox::<Order>(ORDERS_MAX);
    let (report, reports) = mpsc::channel();
    let cpus = launch::allowed_cpus()?;
    let cpu = cpus.first().copied().unwrap_or(0);
    let start = Arc::new(Mutex::new(Some((config, tls.clone(), told, report))));
    let thread = launch::launch(&[cpu], false, move |_, runtime| {
        let start = start.lock().ok().and_then(|mut start| start.take());
        async move {
            let Some((config, tls, mut told, report)) = start else {
                return;
            };
            let address = SocketAddr::new(config.bind_address, config.listen_port);
            let buffers = SocketBuffers {
                receive: config.server_socket_rcv_buf_size,
                send: config.server_socket_snd_buf_size,
            };
            let listener = match listen_when_free(&runtime, address, buffers).await {
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
            let (ready, address) = (report.clone(), listener.local());
            let follow = |server| async move {
                let _ = ready.send(Ok(address));
                follow(&server, &mut told).await;
            };
            let served = ringmq_namesrv::serve_led(runtime, config, &tls, listener, follow).await;
            if let Err(error) = served {
                let _ = report.send(Err(error.to_string()));
            }
        }
    })?;
    match reports.recv() {
        Ok(Ok(address)) => Ok((NameServer { orders, thread, tls }, address)),
        Ok(Err(sentence)) => {
            thread.join();
            Err(anyhow!("{sentence}"))
        }
        Err(_) => Err(anyhow!("the name server's executor ended")),
    }
}

/// Does what it is told until it is told to stop.
async fn follow<R: Runtime>(server: &Serving<R>, told: &mut Receiver<Order>) {
    loop {
        // Who asks may have lost patience.
        match told.recv().await {
            Order::Stop => return,
            Order::Ping(asked) => {
                let _ = asked.send(());
            }
            Order::Reload(keys, reloaded) => {
                let _ = reloaded.send(server.reload(&keys).await);
            }
        }
    }
}

impl NameServer {
    /// Has live keys changed to what the configuration says now; they count when this returns.
    ///
    /// # Errors
    /// Why none is changed: a sentence for the operator.
    pub fn reload(&self, keys: Keys) -> Result<(), String> {
        let (reloaded, done) = mpsc::channel();
        let stuck = || "the name server does not answer".to_owned();
        self.orders.try_send(Order::Reload(keys, reloaded)).map_err(|_| stuck())?;
        done.recv_timeout(RELOAD_PATIENCE).map_err(|_| stuck())?
    }

    /// Has certificates read again, whether their files have changed or not.
    pub fn read_files_again(&self) {
        self.tls.read_again();
    }

    /// By which another thread asks for a sign of life.
    pub fn heartbeat(&self) -> Heartbeat {
        Heartbeat(self.orders.clone())
    }

    /// Stops the name server and waits for it.
    pub fn stop(self) {
        // One whose executor has ended takes nothing.
        let _ = self.orders.send_blocking(Order::Stop);
        self.thread.join();
    }
}
