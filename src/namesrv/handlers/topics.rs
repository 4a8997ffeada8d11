//! Lists of topics, and single topics.

use ringmq_io::Disk;
use ringmq_remoting::codes::{request, response};

use super::NameServer;
use crate::{
    answer::{Answer, Request},
    body, json,
    route::lookup::Which,
    work::{PIECE_ENTRIES, Work, in_pieces},
};

impl<D: Disk> NameServer<D> {
    pub(super) async fn all_topics(&self, work: &impl Work) -> Result<Answer, Answer> {
        if !self.config().enable_all_topic_list {
            return Err(disabled("enableAllTopicList"));
        }
        self.list(Which::All, work).await
    }

    pub(super) async fn topics_of_cluster(
        &self,
        request: &Request<'_>,
        work: &impl Work,
    ) -> Result<Answer, Answer> {
        self.lists_enabled()?;
        let cluster = request.field("cluster").unwrap_or_default();
        self.list(Which::Cluster(cluster), work).await
    }

    pub(super) async fn system_topics(&self, work: &impl Work) -> Result<Answer, Answer> {
        let mut list = json::SystemTopicsWriter::default();
        let body = in_pieces(work, |out| list.write(&self.table().borrow(), out));
        Ok(Answer::body(body.await?))
    }

    pub(super) async fn unit_topics(
        &self,
        request: &Request<'_>,
        work: &impl Work,
    ) -> Result<Answer, Answer> {
        self.lists_enabled()?;
        let which = match request.header.code {
            request::GET_UNIT_TOPIC_LIST => Which::Unit,
            request::GET_HAS_UNIT_SUB_TOPIC_LIST => Which::UnitSub,
            _ => Which::UnitSubNotUnit,
        };
        self.list(which, work).await
    }

    async fn list(&self, which: Which<'_>, work: &impl Work) -> Result<Answer, Answer> {
        let mut list = json::TopicListWriter::default();
        let body = in_pieces(work, |out| list.write(&self.table().borrow(), which, out));
        Ok(Answer::body(body.await?))
    }

    pub(super) fn register_topic(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let topic = request.required("topic")?;
        let refuse = |problem: String| Answer::refuse(response::SYSTEM_ERROR, problem);
        let queues = body::queue_datas(request.body).map_err(|error| refuse(error.to_string()))?;
        let taken = self.table().borrow_mut().register_topic(topic, &queues);
        if !taken.map_err(|error| refuse(error.to_string()))? {
            let peer = request.peer.address;
            tracing::warn!(%peer, "topic {topic:?} not taken: unknown broker, or table full");
        }
        Ok(Answer::success())
    }

    pub(super) async fn delete_topic(
        &self,
        request: &Request<'_>,
        work: &impl Work,
    ) -> Result<Answer, Answer> {
        let Some(topic) = request.field("topic") else {
            return Ok(Answer::success());
        };
        let cluster = request.field("clusterName");
        while self.table().borrow_mut().delete_some(topic, cluster, PIECE_ENTRIES) {
            work.pause().await?;
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
