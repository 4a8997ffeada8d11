//! Routes, clusters and members.

use ringmq_io::Disk;
use ringmq_remoting::codes::response;

use super::NameServer;
use crate::{
    answer::{Answer, Request},
    json::{self, NumberKeys},
    kv::ORDER_TOPIC_NAMESPACE,
};

impl<D: Disk> NameServer<D> {
    pub(super) fn get_route_info(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let topic = request.field("topic");
        let config = self.config();
        let waited = request.now_ms >= config.wait_seconds_for_service.saturating_mul(1_000);
        if config.need_wait_for_service && !waited {
            return Err(Answer::refuse(response::SYSTEM_ERROR, "name server not ready"));
        }
        let table = self.table().borrow();
        let found = topic.and_then(|topic| Some((topic, table.route(topic)?)));
        let Some((topic, route)) = found else {
            let topic = topic.unwrap_or("null");
            // The second line is the one of Java: clients print it, people search for it.
            let remark = format!(
                "No topic route info in name server for the topic: {topic}\nSee \
                 http://rocketmq.apache.org/docs/faq/ for further details."
            );
            return Err(Answer::refuse(response::TOPIC_NOT_EXIST, remark));
        };
        let kv = self.kv.table();
        let order = kv.get(ORDER_TOPIC_NAMESPACE, topic).filter(|_| config.order_message_enable);
        Ok(Answer::body(json::route(&route, order, keys(request))))
    }

    pub(super) fn get_cluster_info(&self, request: &Request<'_>) -> Answer {
        let table = self.table().borrow();
        Answer::body(json::cluster_info(table.brokers(), table.clusters(), keys(request)))
    }

    pub(super) fn get_member_group(&self, request: &Request<'_>) -> Answer {
        let name = request.field("brokerName").unwrap_or_default();
        let cluster = request.field("clusterName").unwrap_or_default();
        let table = self.table().borrow();
        let addresses = table.broker(name).map(|group| &group.addresses);
        Answer::body(json::member_group(cluster, name, addresses, keys(request)))
    }
}

fn keys(request: &Request<'_>) -> NumberKeys {
    let standard = request.boolean("acceptStandardJsonOnly").unwrap_or(false);
    NumberKeys::of(request.header.version, standard)
}
