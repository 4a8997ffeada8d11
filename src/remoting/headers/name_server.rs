//! Headers of the name server's requests and responses.

use super::headers;

headers! {
    /// GET_ROUTEINFO_BY_TOPIC.
    GetRouteInfoRequestHeader {
        required topic: String = "topic",
        optional accept_standard_json_only: bool = "acceptStandardJsonOnly",
    }
    /// REGISTER_BROKER.
    RegisterBrokerRequestHeader {
        required broker_name: String = "brokerName",
        required broker_addr: String = "brokerAddr",
        required cluster_name: String = "clusterName",
        required ha_server_addr: String = "haServerAddr",
        required broker_id: i64 = "brokerId",
        default compressed: bool = "compressed",
        default body_crc32: i32 = "bodyCrc32",
        optional heartbeat_timeout_millis: i64 = "heartbeatTimeoutMillis",
        optional enable_acting_master: bool = "enableActingMaster",
    }
    /// Answer to REGISTER_BROKER.
    RegisterBrokerResponseHeader {
        optional ha_server_addr: String = "haServerAddr",
        optional master_addr: String = "masterAddr",
    }
    /// UNREGISTER_BROKER.
    UnRegisterBrokerRequestHeader {
        required broker_name: String = "brokerName",
        required broker_addr: String = "brokerAddr",
        required cluster_name: String = "clusterName",
        required broker_id: i64 = "brokerId",
    }
    /// QUERY_DATA_VERSION.
    QueryDataVersionRequestHeader {
        required broker_name: String = "brokerName",
        required broker_addr: String = "brokerAddr",
        required cluster_name: String = "clusterName",
        required broker_id: i64 = "brokerId",
    }
    /// Answer to QUERY_DATA_VERSION.
    QueryDataVersionResponseHeader {
        required changed: bool = "changed",
    }
    /// PUT_KV_CONFIG.
    PutKVConfigRequestHeader {
        required namespace: String = "namespace",
        required key: String = "key",
        required value: String = "value",
    }
    /// GET_KV_CONFIG.
    GetKVConfigRequestHeader {
        required namespace: String = "namespace",
        required key: String = "key",
    }
    /// Answer to GET_KV_CONFIG.
    GetKVConfigResponseHeader {
        optional value: String = "value",
    }
    /// DELETE_KV_CONFIG.
    DeleteKVConfigRequestHeader {
        required namespace: String = "namespace",
        required key: String = "key",
    }
    /// GET_KVLIST_BY_NAMESPACE.
    GetKVListByNamespaceRequestHeader {
        required namespace: String = "namespace",
    }
    /// WIPE_WRITE_PERM_OF_BROKER.
    WipeWritePermOfBrokerRequestHeader {
        required broker_name: String = "brokerName",
    }
    /// Answer to WIPE_WRITE_PERM_OF_BROKER.
    WipeWritePermOfBrokerResponseHeader {
        required wipe_topic_count: i32 = "wipeTopicCount",
    }
    /// ADD_WRITE_PERM_OF_BROKER.
    AddWritePermOfBrokerRequestHeader {
        required broker_name: String = "brokerName",
    }
    /// Answer to ADD_WRITE_PERM_OF_BROKER.
    AddWritePermOfBrokerResponseHeader {
        required add_topic_count: i32 = "addTopicCount",
    }
    /// DELETE_TOPIC_IN_NAMESRV.
    DeleteTopicFromNamesrvRequestHeader {
        required topic: String = "topic",
        optional cluster_name: String = "clusterName",
    }
    /// REGISTER_TOPIC_IN_NAMESRV.
    RegisterTopicRequestHeader {
        required topic: String = "topic",
    }
    /// GET_TOPICS_BY_CLUSTER.
    GetTopicsByClusterRequestHeader {
        required cluster: String = "cluster",
    }
    /// GET_BROKER_MEMBER_GROUP.
    GetBrokerMemberGroupRequestHeader {
        required cluster_name: String = "clusterName",
        required broker_name: String = "brokerName",
    }
    /// BROKER_HEARTBEAT.
    BrokerHeartbeatRequestHeader {
        required cluster_name: String = "clusterName",
        required broker_addr: String = "brokerAddr",
        required broker_name: String = "brokerName",
        optional broker_id: i64 = "brokerId",
        optional epoch: i32 = "epoch",
        optional max_offset: i64 = "maxOffset",
        optional confirm_offset: i64 = "confirmOffset",
        optional heartbeat_timeout_mills: i64 = "heartbeatTimeoutMills",
        optional election_priority: i32 = "electionPriority",
    }
}
