//! Headers of consuming and of the management of clients.

use super::headers;

headers! {
    /// Answer to PULL_MESSAGE and LITE_PULL_MESSAGE. Clients read the required four whatever the
    /// code is, unless it is an error.
    PullMessageResponseHeader {
        required suggest_which_broker_id: i64 = "suggestWhichBrokerId",
        required next_begin_offset: i64 = "nextBeginOffset",
        required min_offset: i64 = "minOffset",
        required max_offset: i64 = "maxOffset",
        optional offset_delta: i64 = "offsetDelta",
        optional topic_sys_flag: i32 = "topicSysFlag",
        optional group_sys_flag: i32 = "groupSysFlag",
        optional forbidden_type: i32 = "forbiddenType",
    }
    /// UNREGISTER_CLIENT.
    UnregisterClientRequestHeader {
        optional client_id: String = "clientID",
        optional producer_group: String = "producerGroup",
        optional consumer_group: String = "consumerGroup",
    }
    /// GET_CONSUMER_LIST_BY_GROUP.
    GetConsumerListByGroupRequestHeader {
        required consumer_group: String = "consumerGroup",
    }
    /// QUERY_CONSUMER_OFFSET.
    QueryConsumerOffsetRequestHeader {
        joined consumer_group: String = "consumerGroup",
        required topic: String = "topic",
        required queue_id: i32 = "queueId",
        optional set_zero_if_not_found: bool = "setZeroIfNotFound",
    }
    /// Answer to the four requests for an offset: QUERY_CONSUMER_OFFSET,
    /// SEARCH_OFFSET_BY_TIMESTAMP, GET_MAX_OFFSET and GET_MIN_OFFSET.
    OffsetResponseHeader {
        required offset: i64 = "offset",
    }
    /// UPDATE_CONSUMER_OFFSET.
    UpdateConsumerOffsetRequestHeader {
        joined consumer_group: String = "consumerGroup",
        joined topic: String = "topic",
        required queue_id: i32 = "queueId",
        required commit_offset: i64 = "commitOffset",
    }
    /// CONSUMER_SEND_MSG_BACK.
    ConsumerSendMsgBackRequestHeader {
        required offset: i64 = "offset",
        required group: String = "group",
        required delay_level: i32 = "delayLevel",
        optional origin_msg_id: String = "originMsgId",
        optional origin_topic: String = "originTopic",
        default unit_mode: bool = "unitMode",
        optional max_reconsume_times: i32 = "maxReconsumeTimes",
    }
    /// SEARCH_OFFSET_BY_TIMESTAMP; `boundary_type` is LOWER or UPPER.
    SearchOffsetRequestHeader {
        required topic: String = "topic",
        required queue_id: i32 = "queueId",
        required timestamp: i64 = "timestamp",
        optional boundary_type: String = "boundaryType",
    }
    /// GET_MAX_OFFSET.
    GetMaxOffsetRequestHeader {
        required topic: String = "topic",
        required queue_id: i32 = "queueId",
        optional committed: bool = "committed",
    }
    /// GET_MIN_OFFSET.
    GetMinOffsetRequestHeader {
        required topic: String = "topic",
        required queue_id: i32 = "queueId",
    }
    /// GET_EARLIEST_MSG_STORETIME.
    GetEarliestMsgStoretimeRequestHeader {
        required topic: String = "topic",
        required queue_id: i32 = "queueId",
    }
    /// Answer to GET_EARLIEST_MSG_STORETIME.
    GetEarliestMsgStoretimeResponseHeader {
        required timestamp: i64 = "timestamp",
    }
    /// QUERY_MESSAGE. With `unique_key_query` the key is that of the client, not of the user.
    QueryMessageRequestHeader {
        joined topic: String = "topic",
        joined key: String = "key",
        required max_num: i32 = "maxNum",
        required begin_timestamp: i64 = "beginTimestamp",
        required end_timestamp: i64 = "endTimestamp",
        optional unique_key_query: bool = "_UNIQUE_KEY_QUERY",
    }
    /// Answer to QUERY_MESSAGE.
    QueryMessageResponseHeader {
        required index_last_update_timestamp: i64 = "indexLastUpdateTimestamp",
        required index_last_update_phyoffset: i64 = "indexLastUpdatePhyoffset",
    }
    /// VIEW_MESSAGE_BY_ID.
    ViewMessageRequestHeader {
        required offset: i64 = "offset",
        optional topic: String = "topic",
    }
    /// POP_MESSAGE.
    PopMessageRequestHeader {
        required consumer_group: String = "consumerGroup",
        required topic: String = "topic",
        required queue_id: i32 = "queueId",
        required max_msg_nums: i32 = "maxMsgNums",
        required invisible_time: i64 = "invisibleTime",
        required poll_time: i64 = "pollTime",
        required born_time: i64 = "bornTime",
        required init_mode: i32 = "initMode",
        optional exp_type: String = "expType",
        optional exp: String = "exp",
        optional order: bool = "order",
        optional attempt_id: String = "attemptId",
    }
    /// Answer to POP_MESSAGE and PEEK_MESSAGE.
    PopMessageResponseHeader {
        required pop_time: i64 = "popTime",
        required invisible_time: i64 = "invisibleTime",
        required revive_qid: i32 = "reviveQid",
        required rest_num: i64 = "restNum",
        optional start_offset_info: String = "startOffsetInfo",
        optional msg_offset_info: String = "msgOffsetInfo",
        optional order_count_info: String = "orderCountInfo",
    }
    /// ACK_MESSAGE.
    AckMessageRequestHeader {
        required consumer_group: String = "consumerGroup",
        required topic: String = "topic",
        required queue_id: i32 = "queueId",
        required extra_info: String = "extraInfo",
        required offset: i64 = "offset",
    }
    /// CHANGE_MESSAGE_INVISIBLETIME.
    ChangeInvisibleTimeRequestHeader {
        required consumer_group: String = "consumerGroup",
        required topic: String = "topic",
        required queue_id: i32 = "queueId",
        required extra_info: String = "extraInfo",
        required offset: i64 = "offset",
        required invisible_time: i64 = "invisibleTime",
    }
    /// Answer to CHANGE_MESSAGE_INVISIBLETIME.
    ChangeInvisibleTimeResponseHeader {
        required pop_time: i64 = "popTime",
        required invisible_time: i64 = "invisibleTime",
        required revive_qid: i32 = "reviveQid",
    }
    /// PEEK_MESSAGE.
    PeekMessageRequestHeader {
        required topic: String = "topic",
        required queue_id: i32 = "queueId",
        required max_msg_nums: i32 = "maxMsgNums",
        required consumer_group: String = "consumerGroup",
    }
    /// NOTIFICATION.
    NotificationRequestHeader {
        required consumer_group: String = "consumerGroup",
        required topic: String = "topic",
        required queue_id: i32 = "queueId",
        required poll_time: i64 = "pollTime",
        required born_time: i64 = "bornTime",
        optional order: bool = "order",
        optional attempt_id: String = "attemptId",
    }
    /// Answer to NOTIFICATION.
    NotificationResponseHeader {
        required has_msg: bool = "hasMsg",
        default polling_full: bool = "pollingFull",
    }
    /// POLLING_INFO.
    PollingInfoRequestHeader {
        required consumer_group: String = "consumerGroup",
        required topic: String = "topic",
        required queue_id: i32 = "queueId",
    }
    /// Answer to POLLING_INFO.
    PollingInfoResponseHeader {
        required polling_num: i32 = "pollingNum",
    }
}
