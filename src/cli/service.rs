//! What a service manager hears (systemd, `Type=notify`): that the server serves, reads its
//! configuration again, or stops; and, as long as all executors answer, that it lives.
//!
//! Nothing is sent, and no thread started, unless the manager has set `NOTIFY_SOCKET`.

use std::{
    ffi::OsString,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::signals::pause;

/// The way to the service manager.
#[derive(Clone, Default)]
pub struct Service(Option<Arc<Manager>>);

struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    is_stopping: AtomicBool,
}

impl Service {
    /// By `NOTIFY_SOCKET`: a path, or a name behind an @.
    pub fn new() -> Service {
        let manager = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let manager = manager.and_then(|name| {
            open(&name)
                .inspect_err(|error| tracing::warn!(?name, %error, "NOTIFY_SOCKET is of no use"))
                .ok()
        });
        Service(manager.map(Arc::new))
    }

    fn tell(&self, text: &str) {
        let Some(manager) = &self.0 else { return };
        let sent = manager.socket.send_to_addr(text.as_bytes(), &manager.address);
        if let Err(error) = sent {
            tracing::warn!(%error, "the service manager does not hear: {text}");
        }
    }

    /// The server serves. From now on `silent` is asked, for a time that it is given, which
    /// executors do not answer: only without any the manager hears that the server lives.
    pub fn ready(&self, silent: impl Fn(Duration) -> Vec<String> + Send + 'static) {
        self.tell("READY=1");
        let Some(manager) = &self.0 else { return };
        let Some(interval) = watchdog() else { return };
        let (service, manager) = (self.clone(), manager.clone());
        let watch = move || {
            loop {
                let silent = silent(interval);
                // Executors end one after the other then, which has a limit of its own.
                if silent.is_empty() || manager.is_stopping.load(Ordering::Acquire) {
                    service.tell("WATCHDOG=1");
                } else {
                    let who = silent.join(", ");
                    tracing::error!("{who}: no sign of life for {interval:?}, so none to systemd");
                }
                pause(interval);
            }
        };
        if let Err(error) = thread::Builder::new().name("watchdog".into()).spawn(watch) {
            tracing::warn!(%error, "nobody tells the service manager that the server lives");
        }
    }

    /// Does the reloading, and says when it begins and ends.
    pub fn reloading(&self, reload: impl FnOnce()) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_us()));
        reload();
        self.tell("READY=1");
    }

    pub fn stopping(&self) {
        if let Some(manager) = &self.0 {
            manager.is_stopping.store(true, Ordering::Release);
        }
        self.tell("STOPPING=1");
    }
}

fn open(name: &OsString) -> std::io::Result<Manager> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    Ok(Manager { socket, address, is_stopping: AtomicBool::new(false) })
}

/// Time between two signs of life: a third of what the manager waits for one, if it does.
fn watchdog() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let us = number("WATCHDOG_USEC").filter(|us| *us > 0)?;
    let is_for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
    is_for_us.then(|| Duration::from_micros(us / 3))
}

fn monotonic_us() -> u128 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |now| Duration::from(now).as_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_paths_or_abstract_names() {
        let directory = std::env::temp_dir().join(format!("ringmq-notify-{}", process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join("socket");
        let name = format!("@ringmq-{}", process::id());
        let named = SocketAddr::from_abstract_name(&name.as_bytes()[1..]).expect("a short name");
        for (listens, name) in [
            (UnixDatagram::bind(&path).expect("free"), path.into_os_string()),
            (UnixDatagram::bind_addr(&named).expect("free"), name.into()),
        ] {
            let service = Service(Some(Arc::new(open(&name).expect("it listens"))));
            service.tell("READY=1");
            let mut text = [0; 64];
            let length = listens.recv(&mut text).expect("a datagram");
            assert_eq!(&text[..length], b"READY=1");
        }
        std::fs::remove_dir_all(&directory).expect("there");
    }
}
