//! The table of request codes that the broker answers: one row a code. A new request is a row here
//! and a function in the folder of its family.

use ringmq_base::limits::FRAME_BYTES_MAX;
use ringmq_io::Runtime;
use ringmq_remoting::codes::request;
use ringmq_rules::{
    acl::{Action, Needs, Resource},
    refusal::Refusal,
};

use super::{
    Requests,
    admin::*,
    clients::*,
    consume::*,
    not_served,
    produce::*,
    response::{Handled, Request},
};
use crate::shard::answer_room::Needed;

/// Where a request is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// On the shard of the connection.
    Here,
    /// On the control shard, which owns topics, groups, clients and locks.
    Control,
    /// On the shard that owns the queue named by the fields `topic` and `queueId`.
    Queue,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Clients that produce and consume.
    Data,
    /// Administration that changes topics, groups and offsets: from everywhere, as on Java, for
    /// dashboards run on other machines.
    Manage,
    /// Administration that changes configuration, accounts or what is stored: from loopback
    /// addresses only, unless accounts are checked (`aclEnable`), or the operator opted out with
    /// `adminAccess=any`.
    Admin,
    /// Administration that only reads.
    Inspect,
}

/// Most bytes that an answer and its making take, as far as that is worth a wait for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Too little to wait for.
    Small,
    /// One message.
    Message,
    /// A frame.
    Frame,
    /// Two frames: what two shards have found is joined.
    Joined,
}

impl Size {
    /// `message`: bytes of the largest message.
    pub fn needed(self, message: usize) -> Needed {
        let (bytes, long) = match self {
            Size::Small => (0, false),
            Size::Message => (message, false),
            Size::Frame => (FRAME_BYTES_MAX, true),
            Size::Joined => (2 * FRAME_BYTES_MAX, true),
        };
        Needed { bytes, long }
    }
}

/// What holds for a request code.
pub struct Row {
    pub code: i32,
    pub name: &'static str,
    pub plane: Plane,
    pub access: Access,
    /// What the account that asks has to be allowed, with `aclEnable`.
    pub needs: Needs,
    /// Largest body in bytes.
    pub body_bytes_max: usize,
    pub answer: Size,
}

/// No row has a smaller limit of its body.
pub const BODY_BYTES_LEAST: usize = 64 * KIB;

impl Row {
    /// # Errors
    /// The answer to a request whose body is too long.
    pub fn check_body(&self, bytes: usize) -> Result<(), Refusal> {
        if bytes <= self.body_bytes_max {
            return Ok(());
        }
        Err(Refusal::system_error(format!(
            "request {} has a body of {bytes} bytes, the limit is {}",
            self.name, self.body_bytes_max
        )))
    }
}

/// The row of a code; `None` for codes that the broker does not know.
pub fn row(code: i32) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.code == code)
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What a handler works on: the control object for requests of the control plane, else the shard.
macro_rules! subject {
    ($requests:ident, Control) => {
        $requests.control()
    };
    ($requests:ident, $plane:ident) => {
        Ok::<_, Refusal>(&$requests.shard)
    };
}

macro_rules! requests {
    ($(
        $code:ident $plane:ident $access:ident $resource:ident $action:ident
            $bytes:tt * $unit:ident $answer:ident
            => $handler:path;
    )*) => {
        pub const ROWS: &[Row] = &[$(Row {
            code: request::$code,
            name: stringify!($code),
            plane: Plane::$plane,
            access: Access::$access,
            needs: Needs { resource: Resource::$resource, action: Action::$action },
            body_bytes_max: $bytes * $unit,
            answer: Size::$answer,
        },)*];

        /// Runs the handler of a request.
        pub async fn handle<R: Runtime>(
            requests: &Requests<R>,
            request: &Request<'_>,
        ) -> Handled {
            match request.header.code {
                // Each takes the memory of its own handler, not of the largest.
                $(request::$code => {
                    Box::pin($handler(subject!(requests, $plane)?, request)).await
                })*
                code => Err(not_served::refusal(code)),
            }
        }
    };
}

/// What sends and pulls need. They have no row: they have a path of their own without a task or a
/// copy, see `dispatch`.
const FREQUENT: &[(i32, Resource, Action)] = &[
    (request::SEND_MESSAGE, Resource::Topic, Action::Publish),
    (request::SEND_MESSAGE_V2, Resource::ShortTopic, Action::Publish),
    (request::SEND_BATCH_MESSAGE, Resource::ShortTopic, Action::Publish),
    (request::PULL_MESSAGE, Resource::TopicAndConsumerGroup, Action::Subscribe),
    (request::LITE_PULL_MESSAGE, Resource::TopicAndConsumerGroup, Action::Subscribe),
];

/// What the account that sends a request has to be allowed. Of codes that are not known only that
/// it is an account: it hears that they are not known.
pub fn needs(code: i32) -> Needs {
    if let Some((_, resource, action)) = FREQUENT.iter().find(|(frequent, ..)| *frequent == code) {
        return Needs { resource: *resource, action: *action };
    }
    let unknown = Needs { resource: Resource::Nothing, action: Action::Ask };
    row(code).map_or(unknown, |row| row.needs)
}

/// Every code that is answered.
pub fn codes() -> impl Iterator<Item = i32> {
    FREQUENT.iter().map(|(code, ..)| *code).chain(ROWS.iter().map(|row| row.code))
}

requests! {
    QUERY_CONSUMER_OFFSET Queue Data Nothing Ask 64 * KIB Small => offset::query;
    UPDATE_CONSUMER_OFFSET Queue Data TopicAndConsumerGroup Subscribe 64 * KIB Small
        => offset::update;
    SEARCH_OFFSET_BY_TIMESTAMP Queue Data Nothing Ask 64 * KIB Small => queue::search_by_time;
    GET_MAX_OFFSET Queue Data Nothing Ask 64 * KIB Small => queue::max_offset;
    GET_MIN_OFFSET Queue Data Nothing Ask 64 * KIB Small => queue::min_offset;
    GET_EARLIEST_MSG_STORETIME Queue Data Nothing Ask 64 * KIB Small => queue::earliest_store_time;
    QUERY_MESSAGE Here Data Topic Subscribe 64 * KIB Joined => query::by_key;
    VIEW_MESSAGE_BY_ID Here Data Nothing Ask 64 * KIB Message => message::view_by_id;
    END_TRANSACTION Here Data Nothing Ask 64 * KIB Small => end_transaction::end;
    RESUME_CHECK_HALF_MESSAGE Here Manage Nothing Administer 64 * KIB Message
        => resume_check::resume;
    CONSUMER_SEND_MSG_BACK Here Data Group Subscribe 64 * KIB Small => send_back::send_back;
    RECALL_MESSAGE Here Data Topic Publish 64 * KIB Small => recall::recall;
    SEND_REPLY_MESSAGE Control Data Nothing Ask 16 * MIB Small => reply::send_reply;
    SEND_REPLY_MESSAGE_V2 Control Data Nothing Ask 16 * MIB Small => reply::send_reply;
    HEART_BEAT Control Data Subscriptions Subscribe 1 * MIB Small => client::heartbeat;
    UNREGISTER_CLIENT Control Data ConsumerGroup Subscribe 64 * KIB Small => client::unregister;
    CHECK_CLIENT_CONFIG Here Data Nothing Ask 1 * MIB Small => client::check_config;
    GET_CONSUMER_LIST_BY_GROUP Control Data ConsumerGroup Subscribe 64 * KIB Small
        => client::consumer_list;
    LOCK_BATCH_MQ Control Data LockGroup Subscribe 1 * MIB Small => lock::lock_batch;
    UNLOCK_BATCH_MQ Control Data LockGroup Subscribe 1 * MIB Small => lock::unlock_batch;
    UPDATE_AND_CREATE_TOPIC Control Manage Nothing Administer 64 * KIB Small => topic::update;
    UPDATE_AND_CREATE_TOPIC_LIST Control Manage Nothing Administer 1 * MIB Small
        => topic::update_list;
    DELETE_TOPIC_IN_BROKER Control Manage Nothing Administer 64 * KIB Small => topic::delete;
    GET_ALL_TOPIC_CONFIG Control Inspect Nothing Ask 64 * KIB Frame => topic::all;
    GET_TOPIC_CONFIG Control Inspect Nothing Ask 64 * KIB Small => topic::one;
    GET_TOPIC_STATS_INFO Control Inspect Nothing Ask 64 * KIB Frame => topic::stats;
    GET_SYSTEM_TOPIC_LIST_FROM_BROKER Control Inspect Nothing Ask 64 * KIB Small
        => topic::system_list;
    UPDATE_AND_CREATE_SUBSCRIPTIONGROUP Control Manage Nothing Administer 1 * MIB Small
        => group::update;
    UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST Control Manage Nothing Administer 1 * MIB Small
        => group::update_list;
    GET_SUBSCRIPTIONGROUP_CONFIG Control Inspect Nothing Ask 64 * KIB Small => group::one;
    QUERY_SUBSCRIPTION_BY_CONSUMER Control Inspect Nothing Ask 64 * KIB Small
        => connections::subscription_of;
    DELETE_SUBSCRIPTIONGROUP Control Manage Nothing Administer 64 * KIB Small => group::delete;
    GET_ALL_SUBSCRIPTIONGROUP_CONFIG Control Inspect Nothing Ask 64 * KIB Frame => group::all;
    GET_CONSUMER_CONNECTION_LIST Control Inspect Nothing Ask 64 * KIB Frame
        => connections::consumers;
    GET_PRODUCER_CONNECTION_LIST Control Inspect Nothing Ask 64 * KIB Frame
        => connections::producers;
    GET_CONSUME_STATS Control Inspect Nothing Ask 64 * KIB Frame => consume_stats::of_group;
    GET_BROKER_CONSUME_STATS Control Inspect Nothing Ask 64 * KIB Frame => consume_stats::of_all;
    VIEW_BROKER_STATS_DATA Control Inspect Nothing Ask 64 * KIB Small => broker_stats::view;
    GET_ALL_PRODUCER_INFO Control Inspect Nothing Ask 64 * KIB Frame
        => connections::all_producers;
    INVOKE_BROKER_TO_RESET_OFFSET Control Manage Nothing Administer 64 * KIB Frame
        => reset_offset::reset;
    INVOKE_BROKER_TO_GET_CONSUMER_STATUS Control Inspect Nothing Ask 64 * KIB Small
        => consumer_calls::status;
    GET_CONSUMER_RUNNING_INFO Control Inspect Nothing Ask 64 * KIB Small
        => consumer_calls::running_info;
    CONSUME_MESSAGE_DIRECTLY Control Manage Nothing Administer 64 * KIB Small
        => consumer_calls::consume_directly;
    CLONE_GROUP_OFFSET Control Manage Nothing Administer 64 * KIB Small
        => consumer_offsets::clone_offsets;
    QUERY_CORRECTION_OFFSET Control Inspect Nothing Ask 64 * KIB Frame
        => consumer_offsets::correction;
    QUERY_CONSUME_TIME_SPAN Control Inspect Nothing Ask 64 * KIB Frame
        => consumer_offsets::time_span;
    QUERY_CONSUME_QUEUE Queue Inspect Nothing Ask 64 * KIB Frame => consume_queue::entries;
    QUERY_TOPIC_CONSUME_BY_WHO Control Inspect Nothing Ask 64 * KIB Frame
        => group::consumers_of_topic;
    QUERY_TOPICS_BY_CONSUMER Control Inspect Nothing Ask 64 * KIB Frame => group::topics_of_group;
    GET_BROKER_RUNTIME_INFO Control Inspect Nothing Ask 64 * KIB Small
        => runtime_info::runtime_info;
    STORAGE_PLAN Control Inspect Nothing Ask 64 * KIB Small => storage::plan;
    DELETE_EXPIRED_COMMITLOG Control Admin Nothing Administer 64 * KIB Small
        => storage::delete_expired;
    CLEAN_EXPIRED_CONSUMEQUEUE Control Manage Nothing Administer 64 * KIB Small
        => storage::clean_queues;
    CLEAN_UNUSED_TOPIC Control Manage Nothing Administer 64 * KIB Small => storage::clean_queues;
    UPDATE_AND_CREATE_ACL_CONFIG Control Admin Nothing Administer 64 * KIB Small
        => access::update;
    DELETE_ACL_CONFIG Control Admin Nothing Administer 64 * KIB Small => access::delete;
    UPDATE_GLOBAL_WHITE_ADDRS_CONFIG Control Admin Nothing Administer 64 * KIB Small
        => access::update_white_addresses;
    GET_BROKER_CLUSTER_ACL_INFO Control Inspect Nothing Ask 64 * KIB Small => access::versions;
    UPDATE_BROKER_CONFIG Control Admin Nothing Administer 64 * KIB Small
        => runtime_info::update_config;
    GET_BROKER_CONFIG Control Inspect Nothing Ask 64 * KIB Small => runtime_info::config;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_state_needs_an_admin() {
        for row in ROWS {
            let is_admin = row.needs.action == Action::Administer;
            let changes = matches!(row.access, Access::Admin | Access::Manage);
            assert_eq!(is_admin, changes, "{}", row.name);
        }
        // Java's list, as far as it is served: `Permission.ADMIN_CODE`.
        for code in [17, 200, 207, 215] {
            assert_eq!(needs(code).action, Action::Administer, "{code}");
        }
    }

    #[test]
    fn what_changes_configuration_or_access_is_not_for_every_machine() {
        let of = |code| row(code).map(|row| row.access);
        for code in [25, 50, 51, 53, 329] {
            assert_eq!(of(code), Some(Access::Admin), "{code}");
        }
        for code in [17, 18, 200, 207, 215, 222, 225, 309, 314] {
            assert_eq!(of(code), Some(Access::Manage), "{code}");
        }
    }

    #[test]
    fn sends_and_pulls_need_permissions_whatever_their_form() {
        for (code, resource, action) in FREQUENT {
            assert_eq!(needs(*code), Needs { resource: *resource, action: *action });
            assert!(row(*code).is_none() && *resource != Resource::Nothing, "{code}");
        }
        assert_eq!(needs(-1).action, Action::Ask);
    }
}
