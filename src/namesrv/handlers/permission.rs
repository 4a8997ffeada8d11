//! Write permission of brokers.

use ringmq_io::Disk;

use super::NameServer;
use crate::answer::{Answer, Request};

impl<D: Disk> NameServer<D> {
    pub(super) fn wipe_write_perm(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let name = request.field("brokerName").unwrap_or_default();
        let count = self.table().borrow_mut().wipe_write_perm(name);
        tracing::info!("{count} topics of broker {name} lost write permission");
        Ok(Answer::success().with_field("wipeTopicCount", count))
    }

    pub(super) fn add_write_perm(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let name = request.field("brokerName").unwrap_or_default();
        let count = self.table().borrow_mut().add_write_perm(name);
        tracing::info!("{count} topics of broker {name} got write permission");
        Ok(Answer::success().with_field("addTopicCount", count))
    }
}
