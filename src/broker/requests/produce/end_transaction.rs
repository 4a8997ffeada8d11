//! END_TRANSACTION (37): a producer commits a half message or rolls it back.

use std::{rc::Rc, time::Duration};

use ringmq_base::{PhysicalOffset, record::Record};
use ringmq_io::Runtime;
use ringmq_remoting::{
    codes::response, headers::produce::EndTransactionRequestHeader as EndTransaction,
};
use ringmq_rules::{
    refusal::Refusal,
    transaction::{self, Decision, Half},
};

use crate::{
    requests::{Handled, Request, Response},
    shard::Shard,
};

/// How long a request waits while the decisions of a log are read after a start.
const PATIENCE: Duration = Duration::from_secs(3);

pub async fn end<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let header = EndTransaction::decode(&request.header.fields)?;
    let Some(decision) = transaction::asked(&header)? else {
        // The producer does not know yet: it is asked again in time.
        return Ok(Response::ok());
    };
    let physical = PhysicalOffset::from_wire(header.commit_log_offset);
    let logs = shard.queues.log_count();
    let physical = physical.filter(|physical| physical.log().get() < logs);
    let physical = physical.ok_or_else(transaction::no_half)?;
    let owner = shard.queues.log_owner(physical.log());
    let end = async move |shard: Rc<Shard<R>>| end_own(&shard, physical, &header, decision).await;
    shard.call(owner, end).await?;
    Ok(Response::ok())
}

/// Ends a transaction of this shard.
async fn end_own<R: Runtime>(
    shard: &Rc<Shard<R>>,
    physical: PhysicalOffset,
    header: &EndTransaction,
    decision: Decision,
) -> Result<(), Refusal> {
    let ready = async {
        shard.transactions.ready(physical.log()).await;
        true
    };
    let too_long = async {
        shard.runtime.sleep(PATIENCE).await;
        false
    };
    if !futures_lite::future::or(ready, too_long).await {
        return Err(not_ready(physical));
    }
    let log = shard.own_log_of(physical).ok_or_else(transaction::no_half)?;
    let bytes = log.read_record(physical).await;
    let bytes = bytes.map_err(|error| Refusal::system_error(error.to_string()))?;
    let bytes = bytes.ok_or_else(transaction::no_half)?;
    let record = Record::decode(&bytes).map_err(|_| transaction::no_half())?;
    let half = Half::of(&record)?;
    half.check(header)?;
    shard.decide(physical.log(), &half, decision).await?;
    let open_ms = u64::try_from(shard.runtime.now_ms() - record.born_timestamp).unwrap_or(0);
    shard.count_ended(half.real_topic, decision == Decision::Commit, open_ms / 1000);
    Ok(())
}

#[cold]
fn not_ready(physical: PhysicalOffset) -> Refusal {
    let remark = format!(
        "[OVERLOAD]system busy, start flow control for a while: the broker has started and reads \
         the transactions of log {}; it asks the producer again in time",
        physical.log()
    );
    Refusal::new(response::SYSTEM_BUSY, remark)
}
