//! Brokers coming, going and showing that they are there.

use ringmq_base::checksum::body_crc;
use ringmq_io::Disk;
use ringmq_remoting::{body::register::INCREMENTAL, codes::response, fastjson::BODY_BYTES_MAX};

use super::NameServer;
use crate::{
    answer::{Answer, Request},
    body, json,
    kv::ORDER_TOPIC_NAMESPACE,
    route::register::{Registered, Registration},
};

/// 3.0.11: from here on a registration is more than the table of topics.
const FILTER_SERVER_VERSION: i32 = 37;

impl<D: Disk> NameServer<D> {
    pub(super) fn register_broker(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let refuse = |problem: String| Answer::refuse(response::SYSTEM_ERROR, problem);
        let announced = request.number("bodyCrc32").unwrap_or(0);
        if announced != 0 && announced != i64::from(body_crc(request.body)) {
            return Err(refuse("crc32 not match".to_owned()));
        }
        let compressed = request.boolean("compressed").unwrap_or(false);
        let bare = request.header.version < FILTER_SERVER_VERSION;
        let (version, topics) = body::registration(request.body, compressed, bare)
            .map_err(|error| refuse(format!("Failed to decode RegisterBrokerBody: {error}")))?;
        let timeout = request.number("heartbeatTimeoutMillis");
        let registration = Registration {
            cluster: request.required("clusterName")?.to_owned(),
            broker_name: request.required("brokerName")?.to_owned(),
            address: request.required("brokerAddr")?.to_owned(),
            broker_id: broker_id(request)?,
            ha_server: request.field("haServerAddr").unwrap_or_default().to_owned(),
            zone_name: request.field("__ZONE_NAME").map(str::to_owned),
            heartbeat_timeout_ms: timeout.and_then(|ms| u64::try_from(ms).ok()),
            enable_acting_master: request.boolean("enableActingMaster"),
            version,
            topics,
            incremental: request.boolean(INCREMENTAL).unwrap_or(false),
            connection: request.peer.connection,
        };
        let registered = self.table().borrow_mut().register(&registration, request.now_ms);
        let registered = registered.map_err(|error| {
            tracing::warn!("registration from {} refused: {error}", request.peer.address);
            refuse(error.to_string())
        })?;
        report(&registration, &registered);
        Ok(self.answer_registration(registered))
    }

    fn answer_registration(&self, registered: Registered) -> Answer {
        let mut answer = Answer::success();
        if let Some(address) = registered.ha_server {
            answer = answer.with_field("haServerAddr", address);
        }
        if let Some(address) = registered.master_address {
            answer = answer.with_field("masterAddr", address);
        }
        let kv = self.kv.table();
        let order = kv.namespace(ORDER_TOPIC_NAMESPACE);
        if let Some(order) = order.filter(|_| self.config().return_order_topic_config_to_broker) {
            let body = json::kv_table(order).into_bytes();
            if body.len() <= BODY_BYTES_MAX {
                answer.body = body;
            } else {
                // The broker is registered all the same.
                tracing::warn!(
                    "brokers are not told the entries of {ORDER_TOPIC_NAMESPACE}: they have {} \
                     bytes, but a frame carries {BODY_BYTES_MAX}; delete some",
                    body.len()
                );
            }
        }
        answer
    }

    pub(super) fn unregister_broker(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        // Of what names no broker there is nothing to undo.
        let field = |name| request.field(name).unwrap_or_default();
        let (cluster, name) = (field("clusterName"), field("brokerName"));
        let address = field("brokerAddr");
        if self.table().borrow_mut().unregister(cluster, name, address) {
            tracing::info!("broker {name} {address} of cluster {cluster} has unregistered");
        }
        Ok(Answer::success())
    }

    pub(super) fn query_data_version(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let cluster = request.field("clusterName").unwrap_or_default();
        let address = request.field("brokerAddr").unwrap_or_default();
        let version = body::data_version(request.body);
        let mut table = self.table().borrow_mut();
        table.heard(cluster, address, request.now_ms);
        let known = table.data_version(cluster, address);
        let mut answer = Answer::success().with_field("changed", known != Some(version));
        if let Some(known) = known {
            answer.body = json::data_version(known).into_bytes();
        }
        Ok(answer)
    }

    pub(super) fn heartbeat(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let cluster = request.required("clusterName")?;
        let address = request.required("brokerAddr")?;
        self.table().borrow_mut().heard(cluster, address, request.now_ms);
        Ok(Answer::success())
    }
}

fn broker_id(request: &Request<'_>) -> Result<i64, Answer> {
    let text = request.required("brokerId")?;
    text.trim().parse().map_err(|_| {
        let remark = format!("the header field brokerId is {text:?}; it must be a whole number");
        Answer::refuse(response::SYSTEM_ERROR, remark)
    })
}

fn report(registration: &Registration, registered: &Registered) {
    let Registration { cluster, broker_name, address, broker_id, topics, .. } = registration;
    if registered.outdated {
        tracing::warn!(
            "broker {broker_name} id {broker_id} at {address} of cluster {cluster} is ignored: \
             another address holds that id with a later state"
        );
    } else if registered.first {
        tracing::info!(
            "broker {broker_name} id {broker_id} at {address} of cluster {cluster} has \
             registered, {} topics",
            topics.len()
        );
    }
    for topic in &registered.left_out {
        tracing::warn!("broker {broker_name} at {address}: topic left out: {topic}");
    }
}
