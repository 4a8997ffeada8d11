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

use ringmq_base::config::NamesrvConfig;
use ringmq_io::Disk;
use ringmq_remoting::codes::{request, response};

use crate::{
    answer::{Answer, Request},
    kv::store::KvStore,
    route::{Bounds, RouteTable, Rules},
};

/// Who may make a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plane {
    /// Anybody: clients and brokers.
    Open,
    /// Administrators: from this machine only, unless `adminAllowRemote`.
    Admin,
}

/// Every request that is served.
#[rustfmt::skip]
const REQUESTS: &[(i32, Plane)] = &[
    (request::PUT_KV_CONFIG, Plane::Admin),
    (request::GET_KV_CONFIG, Plane::Open),
    (request::DELETE_KV_CONFIG, Plane::Admin),
    (request::REGISTER_BROKER, Plane::Open),
    (request::UNREGISTER_BROKER, Plane::Open),
    (request::GET_ROUTEINFO_BY_TOPIC, Plane::Open),
    (request::GET_BROKER_CLUSTER_INFO, Plane::Open),
    (request::WIPE_WRITE_PERM_OF_BROKER, Plane::Admin),
    (request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, Plane::Open),
    (request::DELETE_TOPIC_IN_NAMESRV, Plane::Admin),
    (request::REGISTER_TOPIC_IN_NAMESRV, Plane::Open),
    (request::GET_KVLIST_BY_NAMESPACE, Plane::Open),
    (request::GET_TOPICS_BY_CLUSTER, Plane::Open),
    (request::GET_SYSTEM_TOPIC_LIST_FROM_NS, Plane::Open),
    (request::GET_UNIT_TOPIC_LIST, Plane::Open),
    (request::GET_HAS_UNIT_SUB_TOPIC_LIST, Plane::Open),
    (request::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST, Plane::Open),
    (request::UPDATE_NAMESRV_CONFIG, Plane::Admin),
    (request::GET_NAMESRV_CONFIG, Plane::Admin),
    (request::QUERY_DATA_VERSION, Plane::Open),
    (request::ADD_WRITE_PERM_OF_BROKER, Plane::Admin),
    (request::GET_BROKER_MEMBER_GROUP, Plane::Open),
    (request::BROKER_HEARTBEAT, Plane::Open),
];

/// All state of a name server.
pub struct NameServer<D> {
    config: RefCell<NamesrvConfig>,
    table: RefCell<RouteTable>,
    kv: KvStore<D>,
}

impl<D: Disk> NameServer<D> {
    pub fn new(config: NamesrvConfig, kv: KvStore<D>) -> Self {
        let bounds = Bounds {
            brokers: usize::try_from(config.brokers_max).unwrap_or(usize::MAX),
            entries: usize::try_from(config.topics_max).unwrap_or(usize::MAX),
        };
        let table = RouteTable::new(bounds, rules(&config));
        NameServer { config: RefCell::new(config), table: RefCell::new(table), kv }
    }

    /// Not to be held across an await.
    pub fn config(&self) -> Ref<'_, NamesrvConfig> {
        self.config.borrow()
    }

    pub fn table(&self) -> &RefCell<RouteTable> {
        &self.table
    }

    /// Answers a request; one-way requests too, whose answer is thrown away.
    pub async fn handle(&self, request: &Request<'_>) -> Answer {
        let code = request.header.code;
        let Some((_, plane)) = REQUESTS.iter().find(|(known, _)| *known == code) else {
            let remark = format!(" request type {code} not supported");
            return Answer::refuse(response::REQUEST_CODE_NOT_SUPPORTED, remark);
        };
        let admin = *plane == Plane::Admin;
        if admin && !request.peer.local && !self.config().admin_allow_remote {
            return refuse_admin(request);
        }
        if admin {
            let name = request::name(code).unwrap_or_default();
            tracing::info!("{name} ({code}) from {}", request.peer.address);
        }
        match self.dispatch(request).await {
            Ok(answer) | Err(answer) => answer,
        }
    }

    async fn dispatch(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        match request.header.code {
            request::GET_ROUTEINFO_BY_TOPIC => self.get_route_info(request),
            request::GET_BROKER_CLUSTER_INFO => Ok(self.get_cluster_info(request)),
            request::GET_BROKER_MEMBER_GROUP => Ok(self.get_member_group(request)),
            request::REGISTER_BROKER => self.register_broker(request),
            request::UNREGISTER_BROKER => self.unregister_broker(request),
            request::QUERY_DATA_VERSION => self.query_data_version(request),
            request::BROKER_HEARTBEAT => self.heartbeat(request),
            request::PUT_KV_CONFIG => self.put_kv(request).await,
            request::GET_KV_CONFIG => self.get_kv(request),
            request::DELETE_KV_CONFIG => self.delete_kv(request).await,
            request::GET_KVLIST_BY_NAMESPACE => self.list_kv(request),
            request::WIPE_WRITE_PERM_OF_BROKER => self.wipe_write_perm(request),
            request::ADD_WRITE_PERM_OF_BROKER => self.add_write_perm(request),
            request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => self.all_topics(),
            request::GET_TOPICS_BY_CLUSTER => self.topics_of_cluster(request),
            request::GET_SYSTEM_TOPIC_LIST_FROM_NS => Ok(self.system_topics()),
            request::GET_UNIT_TOPIC_LIST
            | request::GET_HAS_UNIT_SUB_TOPIC_LIST
            | request::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST => self.unit_topics(request),
            request::REGISTER_TOPIC_IN_NAMESRV => self.register_topic(request),
            request::DELETE_TOPIC_IN_NAMESRV => self.delete_topic(request),
            request::UPDATE_NAMESRV_CONFIG => self.update_config(request),
            request::GET_NAMESRV_CONFIG => Ok(self.get_config()),
            code => unreachable!("request {code} stands in the table of requests"),
        }
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
        "{name} ({code}) is refused: this name server takes administration requests from its own \
         machine only; run the tool there, or start the name server with adminAllowRemote = true"
    );
    Answer::refuse(response::NO_PERMISSION, remark)
}
