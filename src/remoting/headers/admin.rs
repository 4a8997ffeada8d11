//! Headers of the administration of brokers.

use super::headers;

headers! {
    /// UPDATE_AND_CREATE_TOPIC, UPDATE_AND_CREATE_STATIC_TOPIC.
    CreateTopicRequestHeader {
        required topic: String = "topic",
        default default_topic: String = "defaultTopic",
        required read_queue_nums: i32 = "readQueueNums",
        required write_queue_nums: i32 = "writeQueueNums",
        required perm: i32 = "perm",
        default topic_filter_type: String = "topicFilterType",
        optional topic_sys_flag: i32 = "topicSysFlag",
        default order: bool = "order",
        optional attributes: String = "attributes",
        optional force: bool = "force",
    }
    /// The requests that name a topic and nothing else: DELETE_TOPIC_IN_BROKER,
    /// GET_TOPIC_CONFIG, GET_TOPIC_STATS_INFO, QUERY_TOPIC_CONSUME_BY_WHO.
    TopicRequestHeader {
        required topic: String = "topic",
    }
    /// The requests that name a group and nothing else: GET_SUBSCRIPTIONGROUP_CONFIG,
    /// QUERY_TOPICS_BY_CONSUMER.
    GroupRequestHeader {
        required group: String = "group",
    }
    /// QUERY_SUBSCRIPTION_BY_CONSUMER.
    QuerySubscriptionByConsumerRequestHeader {
        required group: String = "group",
        required topic: String = "topic",
    }
    /// DELETE_SUBSCRIPTIONGROUP. Both flags mean that the offsets go as well: the first is that
    /// of RocketMQ 4, the second that of 5.
    DeleteSubscriptionGroupRequestHeader {
        required group_name: String = "groupName",
        default remove_offset: bool = "removeOffset",
        default clean_offset: bool = "cleanOffset",
    }
    /// GET_CONSUMER_CONNECTION_LIST.
    GetConsumerConnectionListRequestHeader {
        required consumer_group: String = "consumerGroup",
    }
    /// GET_PRODUCER_CONNECTION_LIST.
    GetProducerConnectionListRequestHeader {
        required producer_group: String = "producerGroup",
    }
    /// GET_CONSUME_STATS. `topic_list` has `;` between the topics.
    GetConsumeStatsRequestHeader {
        required consumer_group: String = "consumerGroup",
        optional topic: String = "topic",
        optional topic_list: String = "topicList",
    }
    /// QUERY_SUBSCRIPTION_BY_CONSUMER, QUERY_CONSUME_TIME_SPAN.
    GroupTopicRequestHeader {
        required group: String = "group",
        required topic: String = "topic",
    }
    /// UPDATE_AND_GET_GROUP_FORBIDDEN.
    UpdateGroupForbiddenRequestHeader {
        required group: String = "group",
        required topic: String = "topic",
        optional readable: bool = "readable",
    }
    /// QUERY_CORRECTION_OFFSET. `filter_groups` has `,` between the groups.
    QueryCorrectionOffsetRequestHeader {
        optional filter_groups: String = "filterGroups",
        required compare_group: String = "compareGroup",
        required topic: String = "topic",
    }
    /// CLONE_GROUP_OFFSET.
    CloneGroupOffsetRequestHeader {
        required src_group: String = "srcGroup",
        required dest_group: String = "destGroup",
        optional topic: String = "topic",
        default offline: bool = "offline",
    }
    /// VIEW_BROKER_STATS_DATA.
    ViewBrokerStatsDataRequestHeader {
        required stats_name: String = "statsName",
        required stats_key: String = "statsKey",
    }
    /// GET_BROKER_CONSUME_STATS.
    GetConsumeStatsInBrokerHeader {
        required is_order: bool = "isOrder",
    }
    /// QUERY_CONSUME_QUEUE.
    QueryConsumeQueueRequestHeader {
        required topic: String = "topic",
        required queue_id: i32 = "queueId",
        required index: i64 = "index",
        required count: i32 = "count",
        optional consumer_group: String = "consumerGroup",
    }
    /// RESUME_CHECK_HALF_MESSAGE.
    ResumeCheckHalfMessageRequestHeader {
        optional msg_id: String = "msgId",
        optional topic: String = "topic",
    }
    /// Answer to GET_BROKER_CONFIG; `version` is a data version as JSON.
    GetBrokerConfigResponseHeader {
        required version: String = "version",
    }
    /// UPDATE_AND_CREATE_ACL_CONFIG; lists have `,` between their items.
    CreateAccessConfigRequestHeader {
        required access_key: String = "accessKey",
        optional secret_key: String = "secretKey",
        optional white_remote_address: String = "whiteRemoteAddress",
        default admin: bool = "admin",
        optional default_topic_perm: String = "defaultTopicPerm",
        optional default_group_perm: String = "defaultGroupPerm",
        optional topic_perms: String = "topicPerms",
        optional group_perms: String = "groupPerms",
    }
    /// DELETE_ACL_CONFIG.
    DeleteAccessConfigRequestHeader {
        required access_key: String = "accessKey",
    }
    /// UPDATE_GLOBAL_WHITE_ADDRS_CONFIG.
    UpdateGlobalWhiteAddrsConfigRequestHeader {
        required global_white_addrs: String = "globalWhiteAddrs",
        optional acl_file_full_path: String = "aclFileFullPath",
    }
    /// Answer to GET_BROKER_CLUSTER_ACL_INFO.
    GetBrokerAclConfigResponseHeader {
        required version: String = "version",
        optional all_acl_file_version: String = "allAclFileVersion",
        required broker_name: String = "brokerName",
        required broker_addr: String = "brokerAddr",
        required cluster_name: String = "clusterName",
    }
    /// EXCHANGE_BROKER_HA_INFO, both ways.
    ExchangeHAInfoHeader {
        optional master_ha_address: String = "masterHaAddress",
        optional master_flush_offset: i64 = "masterFlushOffset",
        optional master_address: String = "masterAddress",
    }
}
