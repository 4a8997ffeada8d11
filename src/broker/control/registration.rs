//! Registration with the name servers: one task and one lasting connection a name server, because
//! a name server forgets a broker whose connection closes.
//!
//! A registration of more topics than a frame carries takes several requests, as does any with
//! `enableSplitRegistration`. Each has a version of its own, because name servers ignore what comes
//! with the version that they have; and each stands for itself: what a name server does not take
//! is reported and does not keep it from the rest.

mod address_server;
mod changes;
mod name_servers;
mod parts;
mod server;
mod session;
#[cfg(test)]
mod tests;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use ringmq_base::config::BrokerConfig;
use ringmq_io::{Runtime, Shares, signal::Notify};
use ringmq_remoting::{
    body::{
        DataVersion, KVTable,
        register::{Form, INCREMENTAL},
    },
    codes::request,
    fastjson,
};
use ringmq_rules::meta::MetaChange;

use crate::{
    control::{Control, Tables, metadata::Subject},
    injected_bugs::{REGISTERS_ONCE, is_planted},
    shard::settings::BrokerSettings,
};
use changes::Changes;
use name_servers::{NameServers, follow_sources};
use parts::{BODY_BYTES_MAX, BODY_BYTES_MIN, Part, Pending, form, next_part};
use server::Server;
use session::{RegisterError, Session};

/// How long [`Registrar::settled`] waits for name servers that do not answer.
const SETTLE_MAX: Duration = Duration::from_secs(3);
/// First and longest pause before a name server that failed is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

const ONE_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Refused requests of one registration that are tried again by halves: enough to find three
/// topics among as many as there can be.
const HALVINGS_MAX: usize = 64;

pub struct Registrar {
    name_servers: NameServers,
    changes: RefCell<Changes>,
    /// Counts versions: no two registrations of different content have the same.
    versions: Cell<i64>,
    progress: Notify,
    stopping: Cell<bool>,
}

impl Registrar {
    pub fn new(settings: &BrokerSettings) -> Self {
        Registrar {
            name_servers: NameServers::new(&settings.config),
            changes: RefCell::default(),
            versions: Cell::new(0),
            progress: Notify::default(),
            stopping: Cell::new(false),
        }
    }

    /// All name servers are told what they do not know.
    fn wake(&self) {
        self.name_servers.servers().iter().for_each(|server| server.wanted.set());
    }

    /// Name servers, and how many of them know the broker now.
    pub fn registered(&self) -> (usize, usize) {
        self.name_servers.registered()
    }

    /// Has the name servers be those of this configuration: new ones are registered with, and those
    /// that are gone unregistered from.
    pub fn configure(&self, config: &BrokerConfig) {
        self.name_servers.configure(config);
    }

    /// Notes a change that all topics are registered with, such as brokerPermission.
    pub fn all_changed(&self) {
        self.changes.borrow_mut().add_all();
        self.wake();
    }

    /// Notes a change that is durable; name servers hear of changes of topics at once.
    pub fn changed(&self, change: &MetaChange) {
        let name = match change {
            MetaChange::TopicPut { topic, .. } => &topic.name,
            MetaChange::TopicDelete { topic, .. } => topic,
            _ => return,
        };
        self.changes.borrow_mut().add(name);
        self.wake();
    }

    /// Resolves when all name servers that answer know the topics as they are now.
    pub async fn settled<R: Runtime>(&self, runtime: &R) {
        let target = self.changes.borrow().count();
        let known = || {
            let waits = |server: &Server| server.connected.get() && !server.leaving.get();
            let behind = |server: &Rc<Server>| waits(server) && server.known.get() < target;
            !self.name_servers.servers().iter().any(behind)
        };
        let all = async {
            while !known() {
                self.progress.wait().await;
            }
        };
        futures_lite::future::or(all, runtime.sleep(SETTLE_MAX)).await;
    }

    /// Resolves when every name server has been told of this broker, or an attempt has failed.
    pub async fn tried(&self) {
        while !self.stopping.get() && !self.name_servers.are_tried() {
            self.progress.wait().await;
        }
    }

    /// Begins to find name servers and to register with them.
    pub fn start<R: Runtime>(&self, control: &Rc<Control<R>>) {
        let (control, runtime) = (control.clone(), control.shard.runtime.clone());
        runtime.spawn(Shares::Admin, "name servers", async move {
            follow_sources(&control).await;
        });
    }

    /// Unregisters from all name servers that are connected; once, whatever came of it.
    pub async fn unregister(&self) {
        if self.stopping.replace(true) {
            return;
        }
        self.name_servers.wake();
        while self.name_servers.servers().iter().any(|server| server.connected.get()) {
            self.progress.wait().await;
        }
    }

    /// The name server knows all changes up to `number`.
    fn known(&self, server: &Server, number: u64) {
        server.known.set(number);
        server.connected.set(true);
        server.tried.set(true);
        // Others begin with all topics.
        let servers = self.name_servers.servers();
        let connected = servers.iter().filter(|server| server.connected.get());
        if let Some(oldest) = connected.map(|server| server.known.get()).min() {
            self.changes.borrow_mut().forget(oldest);
        }
        self.progress.notify();
    }

    /// The broker ends, or this name server is none of its own any more.
    fn is_over(&self, server: &Server) -> bool {
        self.stopping.get() || server.leaving.get()
    }

    fn next_version(&self, now_ms: i64) -> DataVersion {
        let counter = self.versions.get() + 1;
        self.versions.set(counter);
        DataVersion { state_version: 0, timestamp: now_ms, counter }
    }
}

/// Keeps the broker registered until it stops, or the name server is left.
async fn keep_registered<R: Runtime>(control: &Rc<Control<R>>, server: &Server) {
    let shard = &control.shard;
    let registrar = &control.registrar;
    let mut pause = RETRY.0;
    while !registrar.is_over(server) {
        let outcome = registered(control, server).await;
        server.connected.set(false);
        server.tried.set(true);
        registrar.progress.notify();
        match outcome {
            Ok(()) => return,
            Err((error, true)) => {
                pause = if is_planted(REGISTERS_ONCE) { ONE_DAY } else { RETRY.0 };
                tracing::warn!(namesrv = %server.name, %error, "registration lost");
            }
            Err((error, false)) => {
                tracing::warn!(namesrv = %server.name, %error, ?pause, "cannot register");
            }
        }
        registrar.name_servers.failed(server);
        let woken = async {
            while !registrar.is_over(server) {
                server.wanted.wait_and_clear().await;
            }
        };
        futures_lite::future::or(shard.runtime.sleep(pause), woken).await;
        pause = (pause * 2).min(RETRY.1);
    }
}

/// Connects, registers now and whenever needed. Ends without an error when the broker stops or
/// leaves this name server; else
/// with the error and whether a registration had succeeded.
async fn registered<R: Runtime>(
    control: &Rc<Control<R>>,
    server: &Server,
) -> Result<(), (RegisterError, bool)> {
    let shard = &control.shard;
    let registrar = &control.registrar;
    let config = &shard.settings.config;
    let timeout = Duration::from_millis(config.register_broker_timeout_ms);
    let period = Duration::from_millis(config.register_name_server_period_ms);
    let mut succeeded = false;
    let tls = shard.settings.tls_client.as_ref();
    let session = Session::connect(&shard.runtime, server, tls, timeout).await;
    let mut session = session.map_err(|error| (error, succeeded))?;
    let mut full = true;
    loop {
        if registrar.is_over(server) {
            let _ = session.call(request::UNREGISTER_BROKER, &identity(&shard.settings), &[]).await;
            return Ok(());
        }
        let target = registrar.changes.borrow().count();
        let pending = pending(control, server, full);
        // On a new connection all is said: the name server may still count on the one before.
        let mut known = false;
        if succeeded && full && may_ask(&shard.settings, server, target) {
            known =
                knows(control, server, &mut session).await.map_err(|error| (error, succeeded))?;
        }
        if !known && !pending.is_empty() {
            let said = register(control, server, &mut session, pending).await;
            said.map_err(|error| (error, succeeded))?;
        }
        if !succeeded {
            tracing::info!(namesrv = %server.name, "registered");
        }
        succeeded = true;
        registrar.known(server, target);
        if registrar.changes.borrow().count() > target {
            full = false;
            continue;
        }
        let idle = session.idle(period, &server.wanted).await;
        full = idle.map_err(|error| (error, succeeded))?;
    }
}

/// What the name server is to hear: all topics, or those that changed since it heard last.
fn pending<R: Runtime>(control: &Control<R>, server: &Server, full: bool) -> Pending {
    let since = || control.registrar.changes.borrow().since(server.known.get());
    let Some(names) = (!full).then(since).flatten() else {
        return Pending::All { after: None };
    };
    let topics = &control.tables.borrow().topics;
    let (there, gone): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| topics.get(name).is_some());
    // Name servers keep what a registration does not name, unless they are told to take one of all
    // topics for that; one of several requests they cannot take so.
    if gone.is_empty() || server.requests.get() > 1 {
        Pending::These { names: there.into(), from: 0 }
    } else {
        Pending::All { after: None }
    }
}

/// Whether all topics are worth a question first. Source: `forceRegister`; a registration of
/// several requests is work for both sides.
fn may_ask(settings: &BrokerSettings, server: &Server, target: u64) -> bool {
    let costly = !settings.config.force_register || server.requests.get() > 1;
    costly && server.known.get() == target && !server.refused.get()
}

/// Asks the name server for the version that it has. That counts as a sign of life, too.
async fn knows<R: Runtime>(
    control: &Control<R>,
    server: &Server,
    session: &mut Session<R>,
) -> Result<bool, RegisterError> {
    let Some(told) = server.told.get() else {
        return Ok(false);
    };
    let (fields, body) = (identity(&control.shard.settings), fastjson::to_vec(&told));
    match session.call(request::QUERY_DATA_VERSION, &fields, &body).await {
        Ok(answered) => {
            let theirs = fastjson::from_slice::<DataVersion>(&answered.body);
            Ok(answered.changed == Some(false) && theirs.is_ok_and(|theirs| theirs == told))
        }
        Err(RegisterError::Refused { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sends what is pending. Fails if the name server took nothing of it, or the connection ended.
async fn register<R: Runtime>(
    control: &Control<R>,
    server: &Server,
    session: &mut Session<R>,
    mut pending: Pending,
) -> Result<(), RegisterError> {
    let (shard, registrar) = (&control.shard, &control.registrar);
    let of_all = pending.is_all();
    // The same topics come with the same version: that is the sign of life that it is.
    let unchanged = of_all && server.known.get() == registrar.changes.borrow().count();
    let same = server.told.get().filter(|_| unchanged && !server.refused.get());
    let form = form(&shard.settings, server.body_bytes_max.get());
    let mut said = Said::default();
    let mut topics_max = form.topics_max;
    loop {
        let version = |part: &Part| match same.filter(|_| part.last && said.requests == 0) {
            Some(version) => version,
            None => registrar.next_version(shard.runtime.now_ms()),
        };
        let begin = pending.clone();
        let part = next_part(control, Form { topics_max, ..form }, &mut pending, version).await;
        if let Some((topic, why)) = &part.left_out {
            report_left_out(server, topic, why);
        }
        said.requests += 1;
        let whole = of_all && said.requests == 1 && part.last;
        let fields = registration_fields(&shard.settings, &part, form.compressed, whole);
        match session.call(request::REGISTER_BROKER, &fields, &part.body).await {
            Ok(answered) => {
                said.taken += 1;
                // What changes from now on waits for it, though there may be more to say at first.
                server.connected.set(true);
                server.told.set(Some(part.version));
                note_order_topics(control, &answered.body).await;
            }
            Err(RegisterError::Refused { .. })
                if part.topics > 1 && said.halvings < HALVINGS_MAX =>
            {
                // One half after the other, to find what it is that it does not take.
                said.halvings += 1;
                topics_max = part.topics / 2;
                pending = begin;
                continue;
            }
            Err(error @ RegisterError::Refused { .. }) => {
                report_refused(server, &part, &error);
                said.refusal = Some(error);
            }
            Err(error) => {
                send_less(server, &part, &error);
                return Err(error);
            }
        }
        topics_max = topics_max.saturating_mul(2).min(form.topics_max);
        if part.last {
            break;
        }
    }
    if of_all {
        server.requests.set(said.requests);
    }
    // What is refused is said again with all topics.
    let refused = said.refusal.is_some() || (!of_all && server.refused.get());
    server.refused.set(refused);
    match said.refusal {
        Some(error) if said.taken == 0 => Err(error),
        _ => Ok(()),
    }
}

/// The name server answers with the topics of ORDER_TOPIC_CONFIG: those are ordered.
async fn note_order_topics<R: Runtime>(control: &Control<R>, body: &[u8]) {
    let Ok(order) = fastjson::from_slice::<KVTable>(body) else {
        return;
    };
    for topic in order.table.keys() {
        let now = control.shard.runtime.now_ms();
        let plan = |tables: &Tables| Ok(tables.topics.plan_order(topic, now));
        if let Err(refusal) = control.change(Subject::Topic(topic.as_str().into()), plan).await {
            tracing::warn!(topic, error = %refusal.remark, "not noted that a topic is ordered");
        }
    }
}

/// How a registration went.
#[derive(Default)]
struct Said {
    requests: usize,
    taken: usize,
    /// Requests that were refused and tried again by halves.
    halvings: usize,
    refusal: Option<RegisterError>,
}

fn report_left_out(server: &Server, topic: &str, why: &str) {
    tracing::error!(
        "topic {topic:?} is not registered with name server {}, so clients do not find it: {why}; \
         delete it, or set compressedRegister=false if that is not the reason",
        server.name
    );
}

fn report_refused(server: &Server, part: &Part, error: &RegisterError) {
    let (first, last) = part.range.as_ref().map_or(("", ""), |(first, last)| (first, last));
    tracing::error!(
        "name server {} refuses the registration of {} topics, {first:?} to {last:?}, in {} bytes \
         of at most {BODY_BYTES_MAX}: {error}; clients that ask it do not find these topics until \
         it takes them: raise the limit that it names, or delete topics",
        server.name,
        part.topics,
        part.body.len()
    );
}

/// A name server with a smaller limit for frames than others ends the connection over a large one.
fn send_less(server: &Server, part: &Part, error: &RegisterError) {
    if part.content_bytes <= BODY_BYTES_MIN {
        return;
    }
    let less = (part.content_bytes / 2).max(BODY_BYTES_MIN);
    server.body_bytes_max.set(less);
    tracing::error!(
        "name server {} did not take a registration of {} bytes: {error}; from now on it is sent \
         at most {less} bytes at once; if it goes on, raise its \
         com.rocketmq.remoting.frameMaxLength or registerBrokerTimeoutMills",
        server.name,
        part.body.len()
    );
}

fn registration_fields(
    settings: &BrokerSettings,
    part: &Part,
    compressed: bool,
    whole: bool,
) -> Vec<(&'static str, String)> {
    let mut fields = identity(settings);
    fields.push(("haServerAddr", settings.ha_address.clone()));
    fields.push(("compressed", compressed.to_string()));
    fields.push(("bodyCrc32", ringmq_base::checksum::body_crc(&part.body).to_string()));
    if !whole {
        // Tells a name server of RingMQ that it does not name all topics; others ignore it.
        fields.push((INCREMENTAL, true.to_string()));
    }
    fields
}

fn identity(settings: &BrokerSettings) -> Vec<(&'static str, String)> {
    vec![
        ("brokerName", settings.config.broker_name.clone()),
        ("brokerAddr", settings.advertised.clone()),
        ("clusterName", settings.config.broker_cluster_name.clone()),
        ("brokerId", settings.config.broker_id.to_string()),
    ]
}
