//! The table of commands: a row each, in the order of the help.

use clap::ArgMatches;

use crate::commands::*;
use crate::output::Page;
use crate::session::{Common, Run, Session, run};

/// A command.
pub struct Command {
    pub name: &'static str,
    about: &'static str,
    effect: Effect,
    arguments: fn(clap::Command) -> clap::Command,
    examples: &'static [&'static str],
    pub run: fn(&ArgMatches, &mut Session) -> anyhow::Result<Page>,
}

/// What a command does to the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It can be repeated by `--watch`.
    Reads,
    Changes,
    /// It goes on by itself, or shows long lists as they come.
    Streams,
}

use Effect::{Changes, Reads, Streams};

const fn row<O: Run>(name: &'static str, effect: Effect, about: &'static str) -> Command {
    let (arguments, examples) = (O::augment_args, O::EXAMPLES);
    Command { name, about, effect, arguments, examples, run: run::<O> }
}

pub const COMMANDS: &[Command] = &[
    row::<cluster_list::Options>("clusterList", Reads, "Brokers of all clusters and their rates"),
    row::<broker_status::Options>("brokerStatus", Reads, "What brokers tell of themselves"),
    row::<topic_list::Options>("topicList", Reads, "Topics, with who consumes them if asked"),
    row::<topic_route::Options>("topicRoute", Reads, "Brokers and queues of a topic"),
    row::<topic_status::Options>("topicStatus", Reads, "Offsets of the queues of a topic"),
    row::<topic_cluster_list::Options>("topicClusterList", Reads, "Clusters that have a topic"),
    row::<update_topic::Options>("updateTopic", Changes, "Makes a topic or changes its settings"),
    row::<delete_topic::Options>("deleteTopic", Changes, "Deletes a topic and its messages"),
    row::<update_topic_perm::Options>(
        "updateTopicPerm",
        Changes,
        "Whether a topic is read, written or both",
    ),
    row::<consumer_progress::Options>("consumerProgress", Reads, "How far consumer groups are"),
    row::<consumer_connection::Options>(
        "consumerConnection",
        Reads,
        "Members of a consumer group and what they subscribe to",
    ),
    row::<producer_connection::Options>("producerConnection", Reads, "Members of a producer group"),
    row::<producer::Options>("producer", Reads, "All producers of a broker"),
    row::<consumer_status::Options>(
        "consumerStatus",
        Reads,
        "What members of a consumer group tell of themselves",
    ),
    row::<consumer_status::Consumer>("consumer", Reads, "The same, in RocketMQ's older form"),
    row::<update_sub_group::Options>(
        "updateSubGroup",
        Changes,
        "Makes a consumer group or changes its settings",
    ),
    row::<delete_sub_group::Options>("deleteSubGroup", Changes, "Deletes a consumer group"),
    row::<get_consumer_config::Options>(
        "getConsumerConfig",
        Reads,
        "Settings of a consumer group on each broker",
    ),
    row::<broker_consume_stats::Options>(
        "brokerConsumeStats",
        Reads,
        "How far all groups of a broker are",
    ),
    row::<reset_offset_by_time::Options>(
        "resetOffsetByTime",
        Changes,
        "Sets a group back or forward to a time; members hear of it",
    ),
    row::<reset_offset_by_time::Old>(
        "resetOffsetByTimeOld",
        Changes,
        "The same for a group without members",
    ),
    row::<skip_accumulated_message::Options>(
        "skipAccumulatedMessage",
        Changes,
        "Sets a group to the end of a topic",
    ),
    row::<clone_group_offset::Options>(
        "cloneGroupOffset",
        Changes,
        "Gives a group the offsets of another",
    ),
    row::<query_msg_by_id::Options>(
        "queryMsgById",
        Streams,
        "Messages by their ids: shown, consumed at once or sent again",
    ),
    row::<query_msg_by_unique_key::Options>(
        "queryMsgByUniqueKey",
        Streams,
        "A message by the id that its producer gave",
    ),
    row::<query_msg_by_key::Options>("queryMsgByKey", Reads, "Messages by a key"),
    row::<query_msg_by_offset::Options>(
        "queryMsgByOffset",
        Reads,
        "The message at an offset of a queue",
    ),
    row::<print_msg::Options>("printMsg", Streams, "Messages of a topic"),
    row::<print_msg_by_queue::Options>(
        "printMsgByQueue",
        Streams,
        "Messages of a queue, and how many have each tag",
    ),
    row::<consume_message::Options>(
        "consumeMessage",
        Streams,
        "Some messages, without changing any offset",
    ),
    row::<send_message::Options>("sendMessage", Changes, "Sends a message"),
    row::<send_msg_status::Options>(
        "sendMsgStatus",
        Streams,
        "Sends messages to a broker and shows the answers",
    ),
    row::<check_msg_send_rt::Options>("checkMsgSendRT", Streams, "How long sends to a topic take"),
    row::<decode_message_id::Options>(
        "DecodeMessageId",
        Reads,
        "Where an id says that a message is stored",
    ),
    row::<query_cq::Options>("queryCq", Reads, "Entries of a queue's index"),
    row::<allocate_mq::Options>("allocateMQ", Reads, "Which queues consumers would get"),
    row::<stats_all::Options>(
        "statsAll",
        Reads,
        "Rates of topics and groups, and how far groups are behind",
    ),
    row::<get_broker_config::Options>("getBrokerConfig", Reads, "Configuration of brokers"),
    row::<update_broker_config::Options>(
        "updateBrokerConfig",
        Changes,
        "Changes a key of brokers while they run",
    ),
    row::<get_namesrv_config::Options>("getNamesrvConfig", Reads, "Configuration of name servers"),
    row::<update_namesrv_config::Options>(
        "updateNamesrvConfig",
        Changes,
        "Changes a key of name servers while they run",
    ),
    row::<update_kv_config::Options>(
        "updateKvConfig",
        Changes,
        "Sets a value in the name servers' table",
    ),
    row::<delete_kv_config::Options>(
        "deleteKvConfig",
        Changes,
        "Deletes a value from the name servers' table",
    ),
    row::<update_order_conf::Options>(
        "updateOrderConf",
        Changes,
        "Shows or changes the order of a topic's queues",
    ),
    row::<write_perm::Wipe>("wipeWritePerm", Changes, "Producers are no longer told of a broker"),
    row::<write_perm::Add>("addWritePerm", Changes, "Producers are told of a broker again"),
    row::<cleaning::ExpiredQueues>(
        "cleanExpiredCQ",
        Changes,
        "Has brokers drop index entries of deleted messages",
    ),
    row::<cleaning::UnusedTopics>(
        "cleanUnusedTopic",
        Changes,
        "Has brokers drop queues of deleted topics",
    ),
    row::<cleaning::ExpiredMessages>(
        "deleteExpiredCommitLog",
        Changes,
        "Has brokers delete what has expired",
    ),
    row::<set_consume_mode::Options>(
        "setConsumeMode",
        Changes,
        "How members of a group get messages",
    ),
    row::<reset_master_flush_offset::Options>(
        "resetMasterFlushOffset",
        Changes,
        "Where a slave goes on at its master",
    ),
    row::<group_describe::Options>(
        "groupDescribe",
        Reads,
        "Who reads each queue of a group, how far it is, and what is wrong",
    ),
    row::<query_msg_trace_by_id::Options>(
        "queryMsgTraceById",
        Reads,
        "What became of a message, by its trace",
    ),
    row::<cluster_rt::Options>("clusterRT", Streams, "How long sends to each broker take"),
    row::<update_acl_config::Options>("updateAclConfig", Changes, "Makes an account or changes it"),
    row::<delete_acl_config::Options>("deleteAclConfig", Changes, "Deletes an account"),
    row::<update_global_white_addr::Options>(
        "updateGlobalWhiteAddr",
        Changes,
        "From which addresses nobody needs an account",
    ),
    row::<cluster_acl_config_version::Options>(
        "clusterAclConfigVersion",
        Reads,
        "Versions of the files with accounts",
    ),
    row::<export_metadata::Options>(
        "exportMetadata",
        Changes,
        "Writes topics and groups into a file",
    ),
    row::<export_configs::Options>(
        "exportConfigs",
        Changes,
        "Writes brokers' configuration into a file",
    ),
    row::<export_metrics::Options>(
        "exportMetrics",
        Changes,
        "Writes rates and sizes of brokers into a file",
    ),
    row::<settings_lists::Topics>("updateTopicList", Changes, "Makes many topics, from a file"),
    row::<settings_lists::Groups>(
        "updateSubGroupList",
        Changes,
        "Makes many consumer groups, from a file",
    ),
    row::<get_consumer_status::Options>(
        "getConsumerStatus",
        Reads,
        "Offsets as members of a group have them",
    ),
    row::<start_monitoring::Options>(
        "startMonitoring",
        Streams,
        "How far groups with members are behind, each minute",
    ),
    row::<ha_status::Options>("haStatus", Reads, "How far slaves are behind their masters"),
    row::<users::Create>("createUser", Changes, "Makes an account of RocketMQ 5"),
    row::<users::Update>("updateUser", Changes, "Changes an account of RocketMQ 5"),
    row::<users::Delete>("deleteUser", Changes, "Deletes an account of RocketMQ 5"),
    row::<users::Get>("getUser", Reads, "An account of RocketMQ 5"),
    row::<users::List>("listUser", Reads, "Accounts of RocketMQ 5"),
    row::<users::Copy>("copyUser", Changes, "Copies accounts of RocketMQ 5 to another broker"),
    row::<acls::Create>("createAcl", Changes, "Says what an account of RocketMQ 5 may do"),
    row::<acls::Update>("updateAcl", Changes, "Changes what an account of RocketMQ 5 may do"),
    row::<acls::Delete>("deleteAcl", Changes, "Takes away what an account of RocketMQ 5 may do"),
    row::<acls::Get>("getAcl", Reads, "What an account of RocketMQ 5 may do"),
    row::<acls::List>("listAcl", Reads, "What accounts of RocketMQ 5 may do"),
    row::<acls::Copy>("copyAcl", Changes, "Copies what accounts of RocketMQ 5 may do"),
    row::<cold_data::Info>(
        "getColdDataFlowCtrInfo",
        Reads,
        "Which groups RocketMQ 5's brokers slow down when they read old messages",
    ),
    row::<cold_data::Update>(
        "updateColdDataFlowCtrGroupConfig",
        Changes,
        "How fast a group may read old messages of RocketMQ 5's brokers",
    ),
    row::<cold_data::Remove>(
        "removeColdDataFlowCtrGroupConfig",
        Changes,
        "A group may read old messages as fast as others again",
    ),
    row::<cold_data::ReadAhead>(
        "setCommitLogReadAheadMode",
        Changes,
        "Whether RocketMQ 5's brokers read their files ahead",
    ),
    row::<containers::Add>("addBroker", Changes, "Starts a broker in a container of RocketMQ 5"),
    row::<containers::Remove>("removeBroker", Changes, "Stops a broker in such a container"),
    row::<export_pop_record::Options>(
        "exportPopRecord",
        Changes,
        "Has RocketMQ 5's brokers write down what POP consumers hold",
    ),
    row::<rocksdb::Export>(
        "rocksDBConfigToJson",
        Changes,
        "Has RocketMQ 5's brokers write what they keep in RocksDB as JSON",
    ),
    row::<rocksdb::Check>(
        "checkRocksdbCqWriteProgress",
        Changes,
        "Has RocketMQ 5's brokers compare queues in RocksDB with those in files",
    ),
    row::<not_here::ExportMetadataInRocksDb>(
        "exportMetadataInRocksDB",
        Changes,
        "Nothing: there is no RocksDB here",
    ),
    row::<not_here::DumpCompactionLog>(
        "dumpCompactionLog",
        Changes,
        "Nothing: no topics are compacted here",
    ),
    row::<not_here::UpdateStaticTopic>(
        "updateStaticTopic",
        Changes,
        "Nothing: there are no static topics here",
    ),
    row::<not_here::RemappingStaticTopic>(
        "remappingStaticTopic",
        Changes,
        "Nothing: there are no static topics here",
    ),
    row::<not_here::GetAclConfig>("getAclConfig", Changes, "Nothing: secret keys are told nobody"),
    row::<top::Options>("top", Streams, "Brokers, topics and groups, live: rates and lags"),
    row::<cat::Options>("cat", Streams, "Messages to and from pipes: reads or sends a topic"),
    row::<dlq::Options>("dlq", Streams, "Dead letters: list, show, resend, export"),
    row::<storage_plan::Options>(
        "storagePlan",
        Reads,
        "What brokers keep on disk, what will be deleted when and why",
    ),
];

/// What mqadmin calls a command besides.
const OTHER_NAMES: [(&str, &str); 2] =
    [("deleteAccessConfig", "deleteAclConfig"), ("getAccessConfigSubCommand", "getAclConfig")];

/// The row of a command, by its name in any case, as mqadmin takes it.
pub fn find(name: &str) -> Option<&'static Command> {
    let other = OTHER_NAMES.iter().find(|(other, _)| name.eq_ignore_ascii_case(other));
    let name = other.map_or(name, |(_, own)| own);
    COMMANDS.iter().find(|command| command.name.eq_ignore_ascii_case(name))
}

impl Command {
    /// For clap; options are made when the command is used.
    pub fn clap(&self) -> clap::Command {
        clap::Command::new(self.name).about(self.about).infer_long_args(true).defer(with_options)
    }
}

/// The options of a command: its own, then those of all, as far as letters are free.
fn with_options(command: clap::Command) -> clap::Command {
    let row = find(command.get_name()).expect("made from the table");
    let command = (row.arguments)(command);
    let taken: Vec<char> = command.get_arguments().filter_map(clap::Arg::get_short).collect();
    let mut command = <Common as clap::Args>::augment_args(command);
    if taken.contains(&'o') {
        command = command.mut_arg("output", |argument| argument.short(None));
    }
    if taken.contains(&'n') {
        command = command.mut_arg("namesrv", |argument| argument.short(None));
    }
    if row.effect != Effect::Reads {
        command = command.mut_arg("watch", |argument| argument.hide(true));
    }
    if command.has_subcommands() {
        command = command.mut_args(|argument| argument.global(true));
    }
    command.about(row.about).long_about(None).after_help(examples(row))
}

fn examples(row: &Command) -> String {
    let mut text = "Examples:".to_owned();
    for example in row.examples {
        text += &format!("\n  ringmq admin {} {example}", row.name);
    }
    text
}

impl Command {
    /// Whether `--watch` makes sense.
    pub fn can_be_watched(&self) -> bool {
        self.effect == Effect::Reads
    }

    /// Whether it may have shown its answer before it ends.
    pub fn streams(&self) -> bool {
        self.effect == Effect::Streams
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_row_is_a_sound_command_with_examples_that_parse() {
        let mut names = std::collections::BTreeSet::new();
        for row in COMMANDS {
            assert!(names.insert(row.name.to_ascii_lowercase()), "{} stands twice", row.name);
            row.clap().debug_assert();
            assert!(!row.examples.is_empty(), "{} has no example", row.name);
            for example in row.examples {
                let words = example.split(" #").next().unwrap_or_default().split_whitespace();
                let words = words.map(|word| word.trim_matches('\''));
                let line = std::iter::once(row.name).chain(words);
                let parsed = row.clap().try_get_matches_from(line);
                assert!(parsed.is_ok(), "{} {example}: {}", row.name, parsed.unwrap_err());
            }
        }
    }

    /// Of mqadmin's sub-commands by version, as its help lists them: `b brokerAddr <arg>`.
    type Flags = BTreeMap<String, BTreeMap<String, Vec<String>>>;

    #[test]
    fn every_command_of_mqadmin_is_there_with_its_options() {
        let flags = include_str!("../../tests/clients/mqadmin/expected/flags.json");
        let flags: Flags = serde_json::from_str(flags).expect("names by version and command");
        let mut missing = Vec::new();
        for (version, commands) in &flags {
            assert!(commands.len() > 50, "{version}: {}", commands.len());
            for (name, options) in commands {
                let Some(row) = find(name) else {
                    missing.push(format!("{version} {name}"));
                    continue;
                };
                let mut command = row.clap();
                command.build();
                for option in options {
                    if !has(&command, option) {
                        missing.push(format!("{version} {name} {option}"));
                    }
                }
            }
        }
        assert_eq!(missing, [""; 0]);
    }

    /// Whether a command takes an option of mqadmin's.
    fn has(command: &clap::Command, option: &str) -> bool {
        let mut words = option.split(' ');
        let (short, long) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let takes_value = option.ends_with("<arg>");
        let mut letters = short.chars();
        let letter = letters.next().filter(|_| letters.next().is_none());
        command.get_arguments().any(|argument| {
            let longs = argument.get_long_and_visible_aliases().unwrap_or_default();
            let hidden = argument.get_all_aliases().unwrap_or_default();
            // the others are turned into their long forms
            let same = letter.is_none() || argument.get_short() == letter;
            let takes = argument.get_action().takes_values();
            let may_do_without = argument.get_num_args().is_some_and(|n| n.min_values() == 0);
            same && (longs.contains(&long) || hidden.contains(&long))
                && if takes_value { takes } else { !takes || may_do_without }
        })
    }
}
