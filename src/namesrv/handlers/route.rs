//! Routes, clusters and members.

use ringmq_io::Disk;
use ringmq_remoting::codes::response;

use super::NameServer;
use crate::{
    answer::{Answer, Request},
    json::{self, NumberKeys},
    kv::ORDER_TOPIC_NAMESPACE,
    work::{Work, in_pieces},
};

impl<D: Disk> NameServer<D> {
    pub(super) async fn get_route_info(
        &self,
        request: &Request<'_>,
        work: &impl Work,
    ) -> Result<Answer, Answer> {
        let topic = request.field("topic");
        let waited = {
            let config = self.config();
            let begins = config.wait_seconds_for_service.saturating_mul(1_000);
            !config.need_wait_for_service || request.now_ms >= begins
        };
        if !waited {
            return Err(Answer::refuse(response::SYSTEM_ERROR, "name server not ready"));
        }
        let known = topic.filter(|topic| self.table().borrow().is_known(topic));
        let Some(topic) = known else {
            let topic = topic.unwrap_or("null");
            // The second line is the one of Java: clients print it, people search for it.
            let remark = format!(
                "No topic route info in name server for the topic: {topic}\nSee \
                 http://rocketmq.apache.org/docs/faq/ for further details."
            );
            return Err(Answer::refuse(response::TOPIC_NOT_EXIST, remark));
        };
        let with_order = self.config().order_message_enable;
        let mut route = json::RouteWriter::new(keys(request));
        let body = in_pieces(work, |out| {
            let kv = self.kv.table();
            let order = kv.get(ORDER_TOPIC_NAMESPACE, topic).filter(|_| with_order);
            route.write(&self.table().borrow(), topic, order, out)
        });
        Ok(Answer::body(body.await?))
    }

    pub(super) async fn get_cluster_info(
        &self,
        request: &Request<'_>,
        work: &impl Work,
    ) -> Result<Answer, Answer> {
        let mut info = json::ClusterInfoWriter::new(keys(request));
        let body = in_pieces(work, |out| info.write(&self.table().borrow(), out));
        Ok(Answer::body(body.await?))
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
