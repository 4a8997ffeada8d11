//! Lists of topics, and single topics.

use ringmq_io::Disk;
use ringmq_remoting::codes::{request, response};

use super::NameServer;
use crate::{
    answer::{Answer, Request},
    body, json,
    route::lookup::UnitList,
};

impl<D: Disk> NameServer<D> {
    pub(super) fn all_topics(&self) -> Result<Answer, Answer> {
        if !self.config().enable_all_topic_list {
            return Err(disabled("enableAllTopicList"));
        }
        Ok(Answer::body(json::topic_list(self.table().borrow().topics(), None)))
    }

    pub(super) fn topics_of_cluster(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        self.lists_enabled()?;
        let cluster = request.field("cluster").unwrap_or_default();
        let table = self.table().borrow();
        Ok(Answer::body(json::topic_list(table.topics_of_cluster(cluster), None)))
    }

    pub(super) fn system_topics(&self) -> Answer {
        let table = self.table().borrow();
        let (names, address) = table.system_topics();
        Answer::body(json::topic_list(names.into_iter(), address))
    }

    pub(super) fn unit_topics(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        self.lists_enabled()?;
        let list = match request.header.code {
            request::GET_UNIT_TOPIC_LIST => UnitList::Unit,
            request::GET_HAS_UNIT_SUB_TOPIC_LIST => UnitList::UnitSub,
            _ => UnitList::UnitSubNotUnit,
        };
        let table = self.table().borrow();
        Ok(Answer::body(json::topic_list(table.unit_topics(list), None)))
    }

    pub(super) fn register_topic(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let topic = request.required("topic")?;
        let refuse = |problem: String| Answer::refuse(response::SYSTEM_ERROR, problem);
        let queues = body::queue_datas(request.body).map_err(|error| refuse(error.to_string()))?;
        let taken = self.table().borrow_mut().register_topic(topic, &queues);
        if !taken.map_err(|error| refuse(error.to_string()))? {
            let peer = request.peer.address;
            tracing::warn!("topic {topic:?} from {peer} not taken: unknown broker, or table full");
        }
        Ok(Answer::success())
    }

    pub(super) fn delete_topic(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        if let Some(topic) = request.field("topic") {
            self.table().borrow_mut().delete_topic(topic, request.field("clusterName"));
        }
        Ok(Answer::success())
    }

    fn lists_enabled(&self) -> Result<(), Answer> {
        if self.config().enable_topic_list { Ok(()) } else { Err(disabled("enableTopicList")) }
    }
}

fn disabled(key: &str) -> Answer {
    let remark = format!("disable: this list is switched off by {key} = false");
    Answer::refuse(response::SYSTEM_ERROR, remark)
}
