//! Having a member of a group consume a message at once.

use ringmq_client::{CallError, Client};
use ringmq_remoting::codes::request;
use serde::Deserialize;

use super::messages::Message;
use super::{ask, broker_at};
use crate::output::Page;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Consumed {
    order: bool,
    auto_commit: bool,
    consume_result: Option<String>,
    remark: Option<String>,
    #[serde(rename = "spentTimeMills")]
    spent_ms: i64,
}

/// Asks the broker of each message to send it to the member, and waits for what that makes of it.
pub fn consume(
    client: &mut Client,
    messages: &[Message],
    group: &str,
    member: &str,
) -> anyhow::Result<Page> {
    let mut page = Page::default();
    for message in messages {
        let address = message.store_host.to_string();
        let broker = broker_at(client, &address)?;
        let id = message.offset_id();
        let fields = [
            ("consumerGroup", group),
            ("clientId", member),
            ("msgId", id.as_str()),
            ("brokerName", &broker),
            ("topic", &message.topic),
        ];
        let code = request::CONSUME_MESSAGE_DIRECTLY;
        let consumed: Consumed = ask(client, &address, code, &fields)?;
        let result = consumed.consume_result.as_deref().unwrap_or("null");
        let remark = consumed.remark.as_deref().unwrap_or("null");
        let text = format!(
            "ConsumeMessageDirectlyResult [order={}, autoCommit={}, consumeResult={result}, \
             remark={remark}, spentTimeMills={}]",
            consumed.order, consumed.auto_commit, consumed.spent_ms
        );
        page.done(
            text,
            [("id", id.into()), ("result", result.into()), ("spentMs", consumed.spent_ms.into())],
        );
        if result != "CR_SUCCESS" {
            let (address, remark) = (member.to_owned(), format!("{result} {remark}"));
            page.problems.push(CallError::Refused { address, code: 1, remark }.into());
        }
    }
    Ok(page)
}
