//! What valid requests look like: the fields and the body of each code.

use ringmq_remoting::codes::request as code;

use super::Side;

/// What a field means, and so which values it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Topic,
    /// The topic that others are made after.
    Default,
    Group,
    Queue,
    Int,
    Long,
    /// How long a pull may wait: never long, or its answer would be waited for.
    Wait,
    Bool,
    Text,
    Properties,
    Expression,
    ExpressionType,
    /// Of a topic: what may be done with it.
    Perm,
    /// The producers of the half messages that are there.
    HalfGroup,
    /// Where one of them is: its queue offset and its physical offset.
    HalfOffset,
    HalfPosition,
    /// What becomes of it.
    End,
    /// By which a message that waits for its time is called back.
    Recall,
    /// An access key that requests make, and nobody signs with.
    Key,
    Permission,
    /// Of topics or groups.
    Permissions,
    /// Of machines that need no account.
    Address,
    /// Of a file: none, or an odd one.
    Path,
}

/// What the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    None,
    Message,
    Batch,
    Heartbeat,
    Lock,
    Group,
    GroupList,
    TopicList,
    Check,
    Registration,
    Version,
    Configuration,
}

#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub side: Side,
    pub code: i32,
    pub fields: &'static [(&'static str, Kind)],
    pub body: Body,
}

use Kind::{
    Address, Bool, Default, End, Expression, ExpressionType, Group, HalfGroup, HalfOffset,
    HalfPosition, Int, Key, Long, Path, Perm, Permission, Permissions, Properties, Queue, Recall,
    Text, Topic, Wait,
};

const QUEUE: &[(&str, Kind)] = &[("topic", Topic), ("queueId", Queue)];
const TIME: &[(&str, Kind)] = &[("topic", Topic), ("queueId", Queue), ("timestamp", Long)];
const OFFSET: &[(&str, Kind)] =
    &[("consumerGroup", Group), ("topic", Topic), ("queueId", Queue), ("commitOffset", Long)];
const SEND: &[(&str, Kind)] = &[
    ("producerGroup", Group),
    ("topic", Topic),
    ("defaultTopic", Default),
    ("defaultTopicQueueNums", Int),
    ("queueId", Queue),
    ("sysFlag", Int),
    ("bornTimestamp", Long),
    ("flag", Int),
    ("properties", Properties),
    ("reconsumeTimes", Int),
    ("unitMode", Bool),
    ("maxReconsumeTimes", Int),
    ("batch", Bool),
];
const SEND_V2: &[(&str, Kind)] = &[
    ("a", Group),
    ("b", Topic),
    ("c", Default),
    ("d", Int),
    ("e", Queue),
    ("f", Int),
    ("g", Long),
    ("h", Int),
    ("i", Properties),
    ("j", Int),
    ("k", Bool),
    ("l", Int),
    ("m", Bool),
];
const PULL: &[(&str, Kind)] = &[
    ("consumerGroup", Group),
    ("topic", Topic),
    ("queueId", Queue),
    ("queueOffset", Long),
    ("maxMsgNums", Int),
    ("sysFlag", Int),
    ("commitOffset", Long),
    ("suspendTimeoutMillis", Wait),
    ("subscription", Expression),
    ("subVersion", Long),
    ("expressionType", ExpressionType),
];
const QUERY: &[(&str, Kind)] = &[
    ("topic", Topic),
    ("key", Text),
    ("maxNum", Int),
    ("beginTimestamp", Long),
    ("endTimestamp", Long),
];
const BACK: &[(&str, Kind)] = &[
    ("offset", HalfPosition),
    ("group", Group),
    ("delayLevel", Int),
    ("originMsgId", Text),
    ("originTopic", Topic),
    ("unitMode", Bool),
    ("maxReconsumeTimes", Int),
];
const END: &[(&str, Kind)] = &[
    ("producerGroup", HalfGroup),
    ("tranStateTableOffset", HalfOffset),
    ("commitLogOffset", HalfPosition),
    ("commitOrRollback", End),
    ("fromTransactionCheck", Bool),
    ("msgId", Text),
    ("transactionId", Text),
];
const RECALL: &[(&str, Kind)] =
    &[("producerGroup", Group), ("topic", Topic), ("recallHandle", Recall)];
const ACCOUNT: &[(&str, Kind)] = &[
    ("accessKey", Key),
    ("secretKey", Key),
    ("whiteRemoteAddress", Address),
    ("admin", Bool),
    ("defaultTopicPerm", Permission),
    ("defaultGroupPerm", Permission),
    ("topicPerms", Permissions),
    ("groupPerms", Permissions),
];
const TOPIC: &[(&str, Kind)] = &[("topic", Topic)];
const NEW_TOPIC: &[(&str, Kind)] = &[
    ("topic", Topic),
    ("defaultTopic", Default),
    ("readQueueNums", Queue),
    ("writeQueueNums", Queue),
    ("perm", Perm),
    ("topicFilterType", Text),
    ("topicSysFlag", Int),
    ("order", Bool),
    ("attributes", Text),
];
const GROUP: &[(&str, Kind)] = &[("consumerGroup", Group)];
const STATS: &[(&str, Kind)] = &[("consumerGroup", Group), ("topic", Topic)];
const RESET: &[(&str, Kind)] = &[
    ("topic", Topic),
    ("group", Group),
    ("timestamp", Long),
    ("isForce", Bool),
    ("queueId", Queue),
    ("offset", Long),
];
// nobody is in the group: clients that are asked and do not answer would be waited for here
const STATUS: &[(&str, Kind)] = &[("topic", Topic), ("group", Text), ("clientAddr", Text)];
const SPAN: &[(&str, Kind)] = &[("topic", Topic), ("group", Group)];
const RUNNING: &[(&str, Kind)] =
    &[("consumerGroup", Group), ("clientId", Text), ("jstackEnable", Bool)];
const DIRECTLY: &[(&str, Kind)] =
    &[("consumerGroup", Group), ("clientId", Text), ("msgId", Text), ("topic", Topic)];
const CLONE: &[(&str, Kind)] =
    &[("srcGroup", Group), ("destGroup", Group), ("topic", Topic), ("offline", Bool)];
const CORRECTION: &[(&str, Kind)] =
    &[("filterGroups", Group), ("compareGroup", Group), ("topic", Topic)];
const BROKER_STATS: &[(&str, Kind)] = &[("statsName", Text), ("statsKey", Topic)];
const ENTRIES: &[(&str, Kind)] = &[
    ("topic", Topic),
    ("queueId", Queue),
    ("index", Long),
    ("count", Int),
    ("consumerGroup", Group),
];
const LEAVE: &[(&str, Kind)] =
    &[("clientID", Text), ("producerGroup", Group), ("consumerGroup", Group)];
const WHITE: &[(&str, Kind)] = &[("globalWhiteAddrs", Address), ("aclFileFullPath", Path)];
const KEY: &[(&str, Kind)] = &[("namespace", Text), ("key", Text), ("value", Text)];
const BROKER: &[(&str, Kind)] = &[
    ("brokerName", Text),
    ("brokerAddr", Text),
    ("clusterName", Text),
    ("haServerAddr", Text),
    ("brokerId", Long),
    ("compressed", Bool),
    ("heartbeatTimeoutMillis", Long),
    ("enableActingMaster", Bool),
];

const fn to_broker(code: i32, fields: &'static [(&'static str, Kind)], body: Body) -> Shape {
    Shape { side: Side::Broker, code, fields, body }
}

const fn to_names(code: i32, fields: &'static [(&'static str, Kind)], body: Body) -> Shape {
    Shape { side: Side::Names, code, fields, body }
}

#[rustfmt::skip]
pub const SHAPES: &[Shape] = &[
    to_broker(code::SEND_MESSAGE, SEND, Body::Message),
    to_broker(code::SEND_MESSAGE_V2, SEND_V2, Body::Message),
    to_broker(code::SEND_BATCH_MESSAGE, SEND_V2, Body::Batch),
    to_broker(code::SEND_REPLY_MESSAGE, SEND, Body::Message),
    to_broker(code::SEND_REPLY_MESSAGE_V2, SEND_V2, Body::Message),
    to_broker(code::PULL_MESSAGE, PULL, Body::None),
    to_broker(code::LITE_PULL_MESSAGE, PULL, Body::None),
    to_broker(code::QUERY_CONSUMER_OFFSET, OFFSET, Body::None),
    to_broker(code::UPDATE_CONSUMER_OFFSET, OFFSET, Body::None),
    to_broker(code::SEARCH_OFFSET_BY_TIMESTAMP, TIME, Body::None),
    to_broker(code::GET_MAX_OFFSET, QUEUE, Body::None),
    to_broker(code::GET_MIN_OFFSET, QUEUE, Body::None),
    to_broker(code::GET_EARLIEST_MSG_STORETIME, QUEUE, Body::None),
    to_broker(code::QUERY_MESSAGE, QUERY, Body::None),
    to_broker(code::VIEW_MESSAGE_BY_ID, &[("offset", HalfPosition)], Body::None),
    to_broker(code::END_TRANSACTION, END, Body::None),
    to_broker(code::RESUME_CHECK_HALF_MESSAGE, &[("msgId", Text), ("topic", Topic)], Body::None),
    to_broker(code::RECALL_MESSAGE, RECALL, Body::None),
    to_broker(code::CONSUMER_SEND_MSG_BACK, BACK, Body::None),
    to_broker(code::HEART_BEAT, &[], Body::Heartbeat),
    to_broker(code::UNREGISTER_CLIENT, LEAVE, Body::None),
    to_broker(code::CHECK_CLIENT_CONFIG, &[], Body::Check),
    to_broker(code::GET_CONSUMER_LIST_BY_GROUP, GROUP, Body::None),
    to_broker(code::LOCK_BATCH_MQ, &[], Body::Lock),
    to_broker(code::UNLOCK_BATCH_MQ, &[], Body::Lock),
    to_broker(code::UPDATE_AND_CREATE_TOPIC, NEW_TOPIC, Body::None),
    to_broker(code::DELETE_TOPIC_IN_BROKER, TOPIC, Body::None),
    to_broker(code::GET_ALL_TOPIC_CONFIG, &[], Body::None),
    to_broker(code::GET_TOPIC_CONFIG, TOPIC, Body::None),
    to_broker(code::GET_TOPIC_STATS_INFO, TOPIC, Body::None),
    to_broker(code::GET_SYSTEM_TOPIC_LIST_FROM_BROKER, &[], Body::None),
    to_broker(code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &[], Body::Group),
    to_broker(code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, &[], Body::GroupList),
    to_broker(code::UPDATE_AND_CREATE_TOPIC_LIST, &[], Body::TopicList),
    to_broker(code::GET_SUBSCRIPTIONGROUP_CONFIG, &[("group", Group)], Body::None),
    to_broker(
        code::QUERY_SUBSCRIPTION_BY_CONSUMER,
        &[("group", Group), ("topic", Topic)],
        Body::None,
    ),
    to_broker(code::CLEAN_EXPIRED_CONSUMEQUEUE, &[], Body::None),
    to_broker(code::CLEAN_UNUSED_TOPIC, &[], Body::None),
    to_broker(code::DELETE_SUBSCRIPTIONGROUP, &[("groupName", Group)], Body::None),
    to_broker(code::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, &[], Body::None),
    to_broker(code::GET_CONSUMER_CONNECTION_LIST, GROUP, Body::None),
    to_broker(code::GET_PRODUCER_CONNECTION_LIST, &[("producerGroup", Group)], Body::None),
    to_broker(code::GET_CONSUME_STATS, STATS, Body::None),
    to_broker(code::GET_BROKER_CONSUME_STATS, &[("isOrder", Bool)], Body::None),
    to_broker(code::VIEW_BROKER_STATS_DATA, BROKER_STATS, Body::None),
    to_broker(code::GET_ALL_PRODUCER_INFO, &[], Body::None),
    to_broker(code::INVOKE_BROKER_TO_RESET_OFFSET, RESET, Body::None),
    to_broker(code::INVOKE_BROKER_TO_GET_CONSUMER_STATUS, STATUS, Body::None),
    to_broker(code::GET_CONSUMER_RUNNING_INFO, RUNNING, Body::None),
    to_broker(code::CONSUME_MESSAGE_DIRECTLY, DIRECTLY, Body::None),
    to_broker(code::CLONE_GROUP_OFFSET, CLONE, Body::None),
    to_broker(code::QUERY_CORRECTION_OFFSET, CORRECTION, Body::None),
    to_broker(code::QUERY_CONSUME_TIME_SPAN, SPAN, Body::None),
    to_broker(code::QUERY_CONSUME_QUEUE, ENTRIES, Body::None),
    to_broker(code::QUERY_TOPIC_CONSUME_BY_WHO, TOPIC, Body::None),
    to_broker(code::QUERY_TOPICS_BY_CONSUMER, &[("group", Group)], Body::None),
    to_broker(code::GET_BROKER_RUNTIME_INFO, &[], Body::None),
    to_broker(code::STORAGE_PLAN, &[], Body::None),
    to_broker(code::DELETE_EXPIRED_COMMITLOG, &[], Body::None),
    to_broker(code::UPDATE_AND_CREATE_ACL_CONFIG, ACCOUNT, Body::None),
    to_broker(code::DELETE_ACL_CONFIG, &[("accessKey", Key)], Body::None),
    to_broker(code::UPDATE_GLOBAL_WHITE_ADDRS_CONFIG, WHITE, Body::None),
    to_broker(code::GET_BROKER_CLUSTER_ACL_INFO, &[], Body::None),
    to_broker(code::UPDATE_BROKER_CONFIG, &[], Body::Configuration),
    to_broker(code::GET_BROKER_CONFIG, &[], Body::None),
    to_names(code::PUT_KV_CONFIG, KEY, Body::None),
    to_names(code::GET_KV_CONFIG, KEY, Body::None),
    to_names(code::DELETE_KV_CONFIG, KEY, Body::None),
    to_names(code::GET_KVLIST_BY_NAMESPACE, KEY, Body::None),
    to_names(code::REGISTER_BROKER, BROKER, Body::Registration),
    to_names(code::UNREGISTER_BROKER, BROKER, Body::None),
    to_names(code::QUERY_DATA_VERSION, BROKER, Body::Version),
    to_names(code::BROKER_HEARTBEAT, BROKER, Body::None),
    to_names(code::GET_BROKER_MEMBER_GROUP, BROKER, Body::None),
    to_names(code::GET_ROUTEINFO_BY_TOPIC, TOPIC, Body::None),
    to_names(code::GET_BROKER_CLUSTER_INFO, &[], Body::None),
    to_names(code::WIPE_WRITE_PERM_OF_BROKER, BROKER, Body::None),
    to_names(code::ADD_WRITE_PERM_OF_BROKER, BROKER, Body::None),
    to_names(code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &[], Body::None),
    to_names(code::DELETE_TOPIC_IN_NAMESRV, TOPIC, Body::None),
    to_names(code::REGISTER_TOPIC_IN_NAMESRV, TOPIC, Body::Registration),
    to_names(code::GET_TOPICS_BY_CLUSTER, &[("cluster", Text)], Body::None),
    to_names(code::GET_SYSTEM_TOPIC_LIST_FROM_NS, &[], Body::None),
    to_names(code::GET_UNIT_TOPIC_LIST, &[], Body::None),
    to_names(code::GET_HAS_UNIT_SUB_TOPIC_LIST, &[], Body::None),
    to_names(code::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST, &[], Body::None),
    to_names(code::UPDATE_NAMESRV_CONFIG, &[], Body::Configuration),
    to_names(code::GET_NAMESRV_CONFIG, &[], Body::None),
];

/// A shape of a side; of the broker's three times out of four.
pub fn any(random: &mut fastrand::Rng, side: Side) -> Shape {
    loop {
        let shape = SHAPES[random.usize(..SHAPES.len())];
        if shape.side == side {
            return shape;
        }
    }
}
