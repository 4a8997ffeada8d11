//! The topics that a broker has from its first start on.

use std::collections::BTreeSet;

use super::{
    super::topic::{
        AUTO_CREATE_TOPIC, BENCHMARK_TOPIC, CHECKED_OUT_TOPIC, HALF_TOPIC, OFFSET_MOVED_TOPIC,
        OPERATION_HALF_TOPIC, PERM_INHERIT, PERM_READ, PERM_WRITE, SCHEDULE_TOPIC, SELF_TEST_TOPIC,
        TIMER_TOPIC, reply_topic,
    },
    MetaChange, Topic, TopicSettings, TopicTable,
};

const READ_WRITE: i32 = PERM_READ | PERM_WRITE;

/// Queues of the schedule topic, one a delay level. Source: `SCHEDULE_TOPIC_QUEUE_NUM`.
const SCHEDULE_QUEUES: i32 = 18;

/// Queues of the topic named after the cluster. Source: `TopicConfig.defaultWriteQueueNums`.
const CLUSTER_QUEUES: i32 = 16;

pub(super) fn configured_names(settings: &TopicSettings) -> BTreeSet<String> {
    let mut names = BTreeSet::from([
        settings.cluster_name.clone(),
        settings.broker_name.clone(),
        reply_topic(&settings.cluster_name),
    ]);
    if settings.trace_topic_enable {
        names.insert(settings.trace_topic.clone());
    }
    names
}

fn wanted(settings: &TopicSettings) -> Vec<Topic> {
    let template = |enabled| PERM_INHERIT | if enabled { READ_WRITE } else { 0 };
    let cluster_perm = template(settings.cluster_topic_enable);
    let broker_perm = template(settings.broker_topic_enable);
    let mut topics = vec![
        Topic::new(SELF_TEST_TOPIC, 1, READ_WRITE),
        Topic::new(BENCHMARK_TOPIC, 1024, READ_WRITE),
        Topic::new(&settings.cluster_name, CLUSTER_QUEUES, cluster_perm),
        Topic::new(&settings.broker_name, 1, broker_perm),
        Topic::new(OFFSET_MOVED_TOPIC, 1, READ_WRITE),
        Topic::new(SCHEDULE_TOPIC, SCHEDULE_QUEUES, READ_WRITE),
        Topic::new(&reply_topic(&settings.cluster_name), 1, READ_WRITE),
        Topic::new(HALF_TOPIC, settings.logs.into(), READ_WRITE),
        Topic::new(OPERATION_HALF_TOPIC, settings.logs.into(), READ_WRITE),
        // One on each log.
        Topic::new(TIMER_TOPIC, settings.logs.into(), READ_WRITE),
    ];
    if settings.auto_create_topic {
        let queues = settings.default_topic_queues;
        topics.push(Topic::new(AUTO_CREATE_TOPIC, queues, READ_WRITE | PERM_INHERIT));
    }
    if settings.trace_topic_enable {
        topics.push(Topic::new(&settings.trace_topic, 1, READ_WRITE));
    }
    topics
}

/// Those that need a queue on each log: a half message, its decision and what is stored with that
/// are in one log.
const ON_EACH_LOG: [&str; 3] = [HALF_TOPIC, OPERATION_HALF_TOPIC, CHECKED_OUT_TOPIC];

/// A topic that is there stays as it is, except that `TBW102` stops being a template when topics
/// are no longer made of it, and that topics of transactions get a queue on each log.
pub(super) fn plan(table: &TopicTable, now: i64) -> Vec<MetaChange> {
    let mut version = table.version;
    let mut next_log = u32::from(table.next_internal_log);
    let mut changes = Vec::new();
    let mut put = |topic: Topic| {
        version = version.next(now);
        changes.push(MetaChange::TopicPut { topic, version });
    };
    for mut topic in wanted(&table.settings) {
        if table.topics.contains_key(&topic.name) {
            continue;
        }
        let logs = u32::from(table.settings.logs);
        topic.first_log = u16::try_from(next_log % logs).expect("a remainder by a u16");
        next_log += u32::try_from(topic.queues()).unwrap_or(0).max(1);
        put(topic);
    }
    if let Some(template) = table.topics.get(AUTO_CREATE_TOPIC)
        && !table.settings.auto_create_topic
        && template.is_inherited()
    {
        put(Topic { perm: READ_WRITE, ..Topic::clone(template) });
    }
    for topic in ON_EACH_LOG.iter().filter_map(|name| table.topics.get(*name)) {
        let queues = i32::from(table.settings.logs);
        if topic.write_queues < queues || topic.read_queues < queues {
            let (read_queues, write_queues) = (queues, queues);
            put(Topic { read_queues, write_queues, ..Topic::clone(topic) });
        }
    }
    changes
}
