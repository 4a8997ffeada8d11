//! Requests: which there are, who may make them, and one file for each family.

mod broker;
mod configuration;
#[cfg(test)]
mod handler_tests;
mod kv;
mod permission;
mod route;
mod topics;

use std::cell::{Ref, RefCell};

use ringmq_base::{config::NamesrvConfig, limits::FRAME_BYTES_MAX};
use ringmq_io::{Disk, signal::Event};
use ringmq_remoting::{
    codes::{request, response},
    field_limits,
};

use crate::{
    answer::{Answer, Request},
    kv::{ORDER_TOPIC_NAMESPACE, store::KvStore},
    live_keys::LiveKeys,
    route::{Bounds, RouteTable, Rules},
    work::Work,
};

/// Who may make a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plane {
    /// Anybody: clients and brokers, and administrators of topics.
    Open,
    /// What changes the order of topics is open, other keys and values are as [`Plane::Admin`].
    Namespace,
    /// What changes configuration and permissions: from this machine only, unless
    /// `adminAccess=any`.
    Admin,
}

/// Largest body in bytes of a request that has one.
const BODY: usize = 1024 * 1024;
/// The same of others, what tells of one topic, and what tools send all the same.
const NO_BODY: usize = 64 * 1024;

/// Every request that is served, with the largest body that is read.
#[rustfmt::skip]
const REQUESTS: &[(i32, Plane, usize)] = &[
    (request::PUT_KV_CONFIG, Plane::Namespace, NO_BODY),
    (request::GET_KV_CONFIG, Plane::Open, NO_BODY),
    (request::DELETE_KV_CONFIG, Plane::Namespace, NO_BODY),
    (request::REGISTER_BROKER, Plane::Open, FRAME_BYTES_MAX),
    (request::UNREGISTER_BROKER, Plane::Open, NO_BODY),
    (request::GET_ROUTEINFO_BY_TOPIC, Plane::Open, NO_BODY),
    (request::GET_BROKER_CLUSTER_INFO, Plane::Open, NO_BODY),
    (request::WIPE_WRITE_PERM_OF_BROKER, Plane::Admin, NO_BODY),
    (request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, Plane::Open, NO_BODY),
    (request::DELETE_TOPIC_IN_NAMESRV, Plane::Open, NO_BODY),
    (request::REGISTER_TOPIC_IN_NAMESRV, Plane::Open, NO_BODY),
    (request::GET_KVLIST_BY_NAMESPACE, Plane::Open, NO_BODY),
    (request::GET_TOPICS_BY_CLUSTER, Plane::Open, NO_BODY),
    (request::GET_SYSTEM_TOPIC_LIST_FROM_NS, Plane::Open, NO_BODY),
    (request::GET_UNIT_TOPIC_LIST, Plane::Open, NO_BODY),
    (request::GET_HAS_UNIT_SUB_TOPIC_LIST, Plane::Open, NO_BODY),
    (request::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST, Plane::Open, NO_BODY),
    (request::UPDATE_NAMESRV_CONFIG, Plane::Admin, BODY),
    (request::GET_NAMESRV_CONFIG, Plane::Open, NO_BODY),
    (request::QUERY_DATA_VERSION, Plane::Open, NO_BODY),
    (request::ADD_WRITE_PERM_OF_BROKER, Plane::Admin, NO_BODY),
    (request::GET_BROKER_MEMBER_GROUP, Plane::Open, NO_BODY),
    (request::BROKER_HEARTBEAT, Plane::Open, NO_BODY),
];

/// What is noted in the log whoever asks for it.
const CHANGES: &[i32] =
    &[request::PUT_KV_CONFIG, request::DELETE_KV_CONFIG, request::DELETE_TOPIC_IN_NAMESRV];

/// Every code that is served.
pub fn request_codes() -> impl Iterator<Item = i32> {
    REQUESTS.iter().map(|(code, ..)| *code)
}

/// Whether the body of a request is one that is read. Unknown requests have none. `most`: what a
/// budget of memory leaves for any.
///
/// # Errors
/// The answer to one that is too long.
pub fn check_body(code: i32, bytes: usize, most: usize) -> Result<(), Answer> {
    let row = REQUESTS.iter().find(|(known, ..)| *known == code);
    let own = row.map_or(NO_BODY, |(_, _, limit)| *limit);
    let limit = own.min(most);
    if bytes <= limit {
        return Ok(());
    }
    let name = request::name(code).unwrap_or("of an unknown code");
    let why = if limit < own { ", half of inputBytesMax" } else { "" };
    let remark =
        format!("request {name} ({code}) has a body of {bytes} bytes, the limit is {limit}{why}");
    Err(Answer::refuse(response::SYSTEM_ERROR, remark))
}

/// All state of a name server.
pub struct NameServer<D> {
    config: RefCell<NamesrvConfig>,
    table: RefCell<RouteTable>,
    kv: KvStore<D>,
    live: LiveKeys<D>,
    /// Set when the table may have something to remove.
    pub to_clear: Event,
}

impl<D: Disk> NameServer<D> {
    /// `config`: with what `live` has of it.
    pub fn new(config: NamesrvConfig, kv: KvStore<D>, live: LiveKeys<D>) -> Self {
        let table = RouteTable::new(bounds(&config), rules(&config));
        let (config, table) = (RefCell::new(config), RefCell::new(table));
        NameServer { config, table, kv, live, to_clear: Event::default() }
    }

    /// Not to be held across an await.
    pub fn config(&self) -> Ref<'_, NamesrvConfig> {
        self.config.borrow()
    }

    pub fn table(&self) -> &RefCell<RouteTable> {
        &self.table
    }

    /// Answers a request; one-way requests too, whose answer is thrown away.
    pub async fn handle(&self, request: &Request<'_>, work: &impl Work) -> Answer {
        let code = request.header.code;
        let Some((_, plane, _)) = REQUESTS.iter().find(|(known, ..)| *known == code) else {
            let remark = format!(" request type {code} not supported");
            return Answer::refuse(response::REQUEST_CODE_NOT_SUPPORTED, remark);
        };
        if let Err(error) = field_limits::check(&request.header.fields) {
            return Answer::refuse(response::SYSTEM_ERROR, error.to_string());
        }
        let admin = match plane {
            Plane::Open => false,
            Plane::Namespace => request.text("namespace") != Some(ORDER_TOPIC_NAMESPACE),
            Plane::Admin => true,
        };
        if admin && !request.peer.local && !self.config().admin_from_anywhere() {
            return refuse_admin(request);
        }
        if admin || CHANGES.contains(&code) {
            let name = request::name(code).unwrap_or_default();
            tracing::info!("{name} ({code}) from {}", request.peer.address);
        }
        match self.dispatch(request, work).await {
            Ok(answer) | Err(answer) => answer,
        }
    }

    async fn dispatch(&self, request: &Request<'_>, work: &impl Work) -> Result<Answer, Answer> {
        match request.header.code {
            request::GET_ROUTEINFO_BY_TOPIC => self.get_route_info(request, work).await,
            request::GET_BROKER_CLUSTER_INFO => self.get_cluster_info(request, work).await,
            request::GET_BROKER_MEMBER_GROUP => Ok(self.get_member_group(request)),
            request::REGISTER_BROKER => self.register_broker(request, work).await,
            request::UNREGISTER_BROKER => self.unregister_broker(request),
            request::QUERY_DATA_VERSION => self.query_data_version(request),
            request::BROKER_HEARTBEAT => self.heartbeat(request),
            request::PUT_KV_CONFIG => self.put_kv(request, work).await,
            request::GET_KV_CONFIG => self.get_kv(request),
            request::DELETE_KV_CONFIG => self.delete_kv(request, work).await,
            request::GET_KVLIST_BY_NAMESPACE => self.list_kv(request, work).await,
            request::WIPE_WRITE_PERM_OF_BROKER => self.wipe_write_perm(request, work).await,
            request::ADD_WRITE_PERM_OF_BROKER => self.add_write_perm(request, work).await,
            request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => self.all_topics(work).await,
            request::GET_TOPICS_BY_CLUSTER => self.topics_of_cluster(request, work).await,
            request::GET_SYSTEM_TOPIC_LIST_FROM_NS => self.system_topics(work).await,
            request::GET_UNIT_TOPIC_LIST
            | request::GET_HAS_UNIT_SUB_TOPIC_LIST
            | request::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST => self.unit_topics(request, work).await,
            request::REGISTER_TOPIC_IN_NAMESRV => self.register_topic(request),
            request::DELETE_TOPIC_IN_NAMESRV => self.delete_topic(request, work).await,
            request::UPDATE_NAMESRV_CONFIG => self.update_config(request, work).await,
            request::GET_NAMESRV_CONFIG => Ok(self.get_config()),
            code => unreachable!("request {code} stands in the table of requests"),
        }
    }
}

fn bounds(config: &NamesrvConfig) -> Bounds {
    let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
    let bytes = usize::try_from(config.route_bytes_max).unwrap_or(usize::MAX);
    let of_one = usize::try_from(config.route_bytes_per_connection_max).unwrap_or(usize::MAX);
    Bounds {
        brokers: count(config.brokers_max),
        entries: count(config.topics_max),
        bytes,
        brokers_per_connection: count(config.brokers_per_connection_max),
        bytes_per_connection: of_one.min(bytes / 2),
    }
}

/// The switches that the table obeys.
fn rules(config: &NamesrvConfig) -> Rules {
    Rules {
        support_acting_master: config.support_acting_master,
        delete_topic_with_broker_registration: config.delete_topic_with_broker_registration,
        silence_ms_max: config.broker_channel_expired_time_ms,
    }
}

fn refuse_admin(request: &Request<'_>) -> Answer {
    let code = request.header.code;
    let name = request::name(code).unwrap_or_default();
    tracing::warn!("refused {name} ({code}) from {}", request.peer.address);
    let remark = format!(
        "request {name} from {} refused: what changes configuration, permissions or access is \
         taken from loopback addresses only; run the tool on the name server's machine and give it \
         127.0.0.1, or set adminAccess=any to take it from everywhere",
        request.peer.address.ip()
    );
    Answer::refuse(response::NO_PERMISSION, remark)
}
