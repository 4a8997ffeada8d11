//! Keys of RocketMQ that mean something only to its Java servers. They are accepted so that a
//! `broker.conf` in use starts, and reported so that nobody waits for their effect.

mod not_needed;
mod not_served;

use not_needed::NOT_NEEDED;
use not_served::NOT_SERVED;

/// What a key of RocketMQ that is not in the table means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Why nothing is lost without it.
    NotNeeded(&'static str),
    /// The feature that it belongs to.
    NotServed(&'static str),
}

/// The meaning of a key of RocketMQ 4.9.8 or 5.3.3; `None` if it is none.
pub(super) fn known(key: &str) -> Option<Known> {
    let find = |lists: &[(&str, &'static str)]| {
        let is_in = |list: &str| list.split_ascii_whitespace().any(|name| name == key);
        lists.iter().find(|(keys, _)| is_in(keys)).map(|(_, text)| *text)
    };
    find(NOT_NEEDED).map(Known::NotNeeded).or_else(|| find(NOT_SERVED).map(Known::NotServed))
}

/// Keys that make a broker one of several copies. With `true` it does not start: brokers of one
/// name that know nothing of each other would each be its master.
const REPLICATING: &[&str] = &["enableControllerMode", "enableDLegerCommitLog"];

/// Whether a key with this value asks for replication.
pub(super) fn asks_for_replication(name: &str, value: &str) -> bool {
    REPLICATING.contains(&name) && value.trim().eq_ignore_ascii_case("true")
}

/// Whether a key with this value asks for several brokers in one process: as one broker it would
/// serve none of theirs.
pub(super) fn asks_for_container(name: &str, value: &str) -> bool {
    name == "brokerConfigPaths" && !value.trim().is_empty()
}

/// Keys of the table that nothing reads yet, with the reason. A key that begins to work is taken
/// out of here.
pub(super) const WITHOUT_EFFECT: &[(&str, &str)] = &[
    (
        "consumerFallbehindThreshold disableConsumeIfConsumerReadSlowly",
        "slow consumers read from disk and hold nobody up",
    ),
    ("filterSupportRetry", "retry topics are not filtered"),
    (
        "haHousekeepingInterval haListenPort haMasterAddress haMaxGapNotInSync \
         haSendHeartbeatInterval haTransferBatchSize inSyncReplicas offsetCheckInSlave \
         slaveReadEnable slaveTimeout",
        "replication is not there yet",
    ),
    (
        "maxTransferBytesOnMessageInDisk maxTransferBytesOnMessageInMemory \
         maxTransferCountOnMessageInDisk maxTransferCountOnMessageInMemory",
        "a pull brings what its client asks for, up to 160 messages and 256 KiB",
    ),
    ("syncFlushTimeout", "a send is answered when the disk has it, however long that takes"),
];

/// Why a key of the table that nothing reads has no effect.
pub(super) fn without_effect(key: &str) -> Option<&'static str> {
    let is_in = |keys: &str| keys.split_ascii_whitespace().any(|name| name == key);
    WITHOUT_EFFECT.iter().find(|(keys, _)| is_in(keys)).map(|(_, why)| *why)
}

/// Keys that protect and are not served yet, with the values that ask for no protection. With any
/// other value a server does not start: nobody is to believe that a port is protected.
pub(super) const PROTECTING: &[(&str, &[&str])] = &[
    ("authenticationEnabled", &["", "false"]),
    ("authorizationEnabled", &["", "false"]),
    ("tls.enable", &["", "false"]),
    ("tlsEnable", &["", "false"]),
    ("useTLS", &["", "false"]),
];

/// Whether a key with this value asks for protection that is not there.
pub(super) fn asks_for_protection(name: &str, value: &str) -> bool {
    let known = PROTECTING.iter().find(|(key, _)| *key == name);
    known.is_some_and(|(_, off)| !off.iter().any(|off| value.trim().eq_ignore_ascii_case(off)))
}
