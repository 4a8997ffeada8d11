//! Write permission of brokers.

use ringmq_io::Disk;

use super::NameServer;
use crate::{
    answer::{Answer, Request},
    route::perm::WriteChange,
    work::{PIECE_ENTRIES, Work},
};

impl<D: Disk> NameServer<D> {
    pub(super) async fn wipe_write_perm(
        &self,
        request: &Request<'_>,
        work: &impl Work,
    ) -> Result<Answer, Answer> {
        let name = request.field("brokerName").unwrap_or_default();
        let count = self.change_perm(name, WriteChange::Wipe, work).await?;
        tracing::info!("{count} topics of broker {name} lost write permission");
        Ok(Answer::success().with_field("wipeTopicCount", count))
    }

    pub(super) async fn add_write_perm(
        &self,
        request: &Request<'_>,
        work: &impl Work,
    ) -> Result<Answer, Answer> {
        let name = request.field("brokerName").unwrap_or_default();
        let count = self.change_perm(name, WriteChange::Add, work).await?;
        tracing::info!("{count} topics of broker {name} got write permission");
        Ok(Answer::success().with_field("addTopicCount", count))
    }

    async fn change_perm(
        &self,
        name: &str,
        change: WriteChange,
        work: &impl Work,
    ) -> Result<usize, Answer> {
        let (mut after, mut all) = (None, 0);
        loop {
            let (last, count) = self.table().borrow_mut().change_some(
                name,
                after.as_deref(),
                PIECE_ENTRIES,
                change,
            );
            all += count;
            after = last;
            if after.is_none() {
                return Ok(all);
            }
            work.pause().await?;
        }
    }
}
