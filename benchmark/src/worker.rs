//! What the threads of producers and consumers have in common.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use ringmq_remoting::codes::request;
use ringmq_remoting::encode;
use ringmq_remoting::frame::Serialization;
use ringmq_tls::Connector;
use serde_json::Value;

use crate::arguments::Options;
use crate::clock::{Clock, Window};
use crate::statistics::{Counters, Recorder, thread_cpu_us};

/// Time between looks at time-outs, lost connections and the end of the run.
pub const TICK: Duration = Duration::from_millis(100);
/// Clients beat every 30 s; brokers forget a client after 120 s.
pub const HEARTBEAT_NS: u64 = 30_000_000_000;
/// Time between attempts to connect again.
pub const RECONNECT_NS: u64 = 1_000_000_000;
/// After the end answers are awaited for so long.
pub const DRAIN_NS: u64 = 3_000_000_000;

/// Opaque of heartbeats: below those of requests, so that the answers are passed over.
const HEARTBEAT_OPAQUE: i32 = 999_999_999;

/// The messages that all consumers together are to receive before they end.
#[derive(Debug)]
pub struct Quota {
    wanted: AtomicU64,
    received: AtomicU64,
}

impl Quota {
    /// `None`: without end.
    pub fn new(messages: Option<u64>) -> Quota {
        Quota { wanted: AtomicU64::new(messages.unwrap_or(u64::MAX)), received: AtomicU64::new(0) }
    }

    /// A thread received so many more.
    pub fn receive(&self, messages: u64) {
        self.received.fetch_add(messages, Ordering::Relaxed);
    }

    /// There will be no more than so many.
    pub fn lower(&self, messages: u64) {
        self.wanted.fetch_min(messages, Ordering::Relaxed);
    }

    /// Whether all were received.
    pub fn is_filled(&self) -> bool {
        self.received.load(Ordering::Relaxed) >= self.wanted.load(Ordering::Relaxed)
    }
}

/// Given to every thread.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Command line.
    pub options: Arc<Options>,
    /// With what connections have TLS.
    pub connector: Option<Connector>,
    /// Number of this thread among those of its kind.
    pub thread: u32,
    /// CPU to run on.
    pub cpu: Option<usize>,
    /// Group of the clients.
    pub group: String,
    /// Time of the run.
    pub clock: Clock,
    /// Measured time.
    pub window: Window,
    /// What consumers wait for.
    pub quota: Arc<Quota>,
    /// Set when the run has to end early.
    pub stop: Arc<AtomicBool>,
    /// Where this thread says how far it is.
    pub counters: Arc<Counters>,
}

impl Shared {
    /// Binds the calling thread to its CPU.
    pub fn pin(&self) -> anyhow::Result<()> {
        let Some(cpu) = self.cpu else { return Ok(()) };
        let mut set = CpuSet::new();
        set.set(cpu)
            .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set))
            .with_context(|| format!("cannot run on CPU {cpu} of --pin: is it online and allowed?"))
    }

    /// Whether no new request may start.
    pub fn is_over(&self, now_ns: u64) -> bool {
        now_ns >= self.window.last_ns || self.stop.load(Ordering::Relaxed)
    }

    /// This thread's share of a number that all threads share.
    pub fn share(&self, whole: u64) -> u64 {
        let threads = u64::from(self.options.threads);
        whole / threads + u64::from(u64::from(self.thread) < whole % threads)
    }

    /// Id of the client on one connection, unique in the cluster for one run.
    pub fn client_id(&self, kind: &str, connection: usize) -> String {
        format!("127.0.0.1@{}#{kind}#{}#{connection}", std::process::id(), self.thread)
    }
}

/// Measured time and CPU of one thread.
#[derive(Debug, Default)]
pub struct Meter {
    begin: Option<(u64, u64)>,
    end: Option<(u64, u64)>,
}

impl Meter {
    /// Called each round of the loop: takes the CPU time when the window opens and closes.
    pub fn observe(&mut self, window: &Window, now_ns: u64) {
        if self.begin.is_none() && now_ns >= window.first_ns {
            self.begin = Some((now_ns, thread_cpu_us()));
        }
        if self.end.is_none() && self.begin.is_some() && now_ns >= window.last_ns {
            self.end = Some((now_ns, thread_cpu_us()));
        }
    }

    /// Puts the figures into the record; the window may have been cut short at `now_ns`.
    pub fn finish(self, recorder: &mut Recorder, window: &Window, now_ns: u64) {
        let Some((_, begin_cpu_us)) = self.begin else {
            return;
        };
        let (end_ns, end_cpu_us) = self.end.unwrap_or_else(|| (now_ns, thread_cpu_us()));
        // Answers are counted by the window's own bounds, not by when the loop noticed them.
        recorder.measured_ns = end_ns.min(window.last_ns).saturating_sub(window.first_ns);
        recorder.cpu_us = end_cpu_us.saturating_sub(begin_cpu_us);
    }
}

/// A heartbeat frame; `client` is the body.
pub fn heartbeat_frame(client: &Value) -> Vec<u8> {
    let mut frame = Vec::new();
    let (json, body) = (Serialization::Json, client.to_string());
    let code = request::HEART_BEAT;
    let sent =
        encode::request(&mut frame, json, code, HEARTBEAT_OPAQUE, false, &[], body.as_bytes());
    sent.expect("a heartbeat names one group");
    frame
}

/// Says which broker could not be reached.
pub fn connect_error(error: io::Error, name: &str, address: SocketAddr) -> anyhow::Error {
    anyhow::Error::new(error).context(format!(
        "cannot connect to broker {name} at {address}, the address that the name server gives"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_filled_by_what_was_received_or_by_what_was_ever_sent() {
        let quota = Quota::new(Some(10));
        quota.receive(6);
        quota.lower(12);
        assert!(!quota.is_filled());
        quota.lower(7);
        assert!(!quota.is_filled());
        quota.receive(1);
        assert!(quota.is_filled());
        let endless = Quota::new(None);
        endless.receive(1 << 40);
        assert!(!endless.is_filled());
    }

    #[test]
    fn a_meter_ends_with_the_window_or_with_the_run() {
        let window = Window { first_ns: 100, last_ns: 1000 };
        let mut whole = Meter::default();
        for now_ns in [50, 150, 900, 1100, 5000] {
            whole.observe(&window, now_ns);
        }
        let mut recorder = Recorder::new();
        whole.finish(&mut recorder, &window, 6000);
        assert_eq!(recorder.measured_ns, 900);
        let mut cut = Meter::default();
        cut.observe(&window, 120);
        cut.finish(&mut recorder, &window, 600);
        assert_eq!(recorder.measured_ns, 500);
    }
}
