//! Headers of the requests that a broker sends to clients.

use super::headers;

headers! {
    /// CHECK_TRANSACTION_STATE.
    CheckTransactionStateRequestHeader {
        required tran_state_table_offset: i64 = "tranStateTableOffset",
        required commit_log_offset: i64 = "commitLogOffset",
        optional msg_id: String = "msgId",
        optional transaction_id: String = "transactionId",
        optional offset_msg_id: String = "offsetMsgId",
        optional topic: String = "topic",
        optional bname: String = "bname",
    }
    /// NOTIFY_CONSUMER_IDS_CHANGED.
    NotifyConsumerIdsChangedRequestHeader {
        required consumer_group: String = "consumerGroup",
    }
    /// RESET_CONSUMER_CLIENT_OFFSET to clients, INVOKE_BROKER_TO_RESET_OFFSET to brokers.
    /// `timestamp` -1 means the end of the queues.
    ResetOffsetRequestHeader {
        required topic: String = "topic",
        required group: String = "group",
        required timestamp: i64 = "timestamp",
        required is_force: bool = "isForce",
        optional queue_id: i32 = "queueId",
        optional offset: i64 = "offset",
    }
    /// GET_CONSUMER_STATUS_FROM_CLIENT, INVOKE_BROKER_TO_GET_CONSUMER_STATUS.
    GetConsumerStatusRequestHeader {
        required topic: String = "topic",
        required group: String = "group",
        optional client_addr: String = "clientAddr",
    }
    /// GET_CONSUMER_RUNNING_INFO.
    GetConsumerRunningInfoRequestHeader {
        required consumer_group: String = "consumerGroup",
        required client_id: String = "clientId",
        default jstack_enable: bool = "jstackEnable",
    }
    /// CONSUME_MESSAGE_DIRECTLY.
    ConsumeMessageDirectlyResultRequestHeader {
        required consumer_group: String = "consumerGroup",
        optional client_id: String = "clientId",
        optional msg_id: String = "msgId",
        optional broker_name: String = "brokerName",
        optional topic: String = "topic",
        optional topic_sys_flag: i32 = "topicSysFlag",
        optional group_sys_flag: i32 = "groupSysFlag",
    }
    /// PUSH_REPLY_MESSAGE_TO_CLIENT.
    ReplyMessageRequestHeader {
        required producer_group: String = "producerGroup",
        required topic: String = "topic",
        required default_topic: String = "defaultTopic",
        required default_topic_queue_nums: i32 = "defaultTopicQueueNums",
        required queue_id: i32 = "queueId",
        required sys_flag: i32 = "sysFlag",
        required born_timestamp: i64 = "bornTimestamp",
        required flag: i32 = "flag",
        optional properties: String = "properties",
        optional reconsume_times: i32 = "reconsumeTimes",
        default unit_mode: bool = "unitMode",
        required born_host: String = "bornHost",
        required store_host: String = "storeHost",
        required store_timestamp: i64 = "storeTimestamp",
    }
}
