//! Commands of RocketMQ's tools that do nothing here but say why.

use anyhow::bail;

use crate::output::Page;
use crate::session::{Run, Session};
use crate::target::Target;

/// `updateStaticTopic`.
#[derive(clap::Args, Debug)]
pub struct UpdateStaticTopic {
    #[command(flatten)]
    _topic: StaticTopic,
    /// Its queues.
    #[arg(long = "totalQueueNum", visible_alias = "qn", value_name = "COUNT")]
    _queues: u32,
}

/// `remappingStaticTopic`.
#[derive(clap::Args, Debug)]
pub struct RemappingStaticTopic {
    #[command(flatten)]
    _topic: StaticTopic,
}

#[derive(clap::Args, Debug)]
struct StaticTopic {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    _topic: String,
    /// Clusters, separated by commas.
    #[arg(short = 'c', long = "clusters", value_name = "NAMES", conflicts_with = "_brokers")]
    _clusters: Option<String>,
    /// Brokers, separated by commas.
    #[arg(short = 'b', long = "brokers", value_name = "NAMES")]
    _brokers: Option<String>,
    /// A file that says where each queue is.
    #[arg(long = "mapFile", visible_alias = "mf", value_name = "FILE")]
    _file: Option<String>,
    /// Whatever it was before.
    #[arg(long = "forceReplace", visible_alias = "fr", value_name = "true|false")]
    _force: Option<String>,
}

const STATIC_TOPICS: &str = "RingMQ has no static topics: give a topic so many queues on each \
    broker with updateTopic -c CLUSTER -w COUNT -r COUNT";

impl Run for UpdateStaticTopic {
    const EXAMPLES: &'static [&'static str] = &["-t TopicTest --qn 8 -c DefaultCluster # refused"];

    fn run(&self, _session: &mut Session) -> anyhow::Result<Page> {
        bail!(STATIC_TOPICS)
    }
}

impl Run for RemappingStaticTopic {
    const EXAMPLES: &'static [&'static str] = &["-t TopicTest -c DefaultCluster # refused"];

    fn run(&self, _session: &mut Session) -> anyhow::Result<Page> {
        bail!(STATIC_TOPICS)
    }
}

/// `exportMetadataInRocksDB`.
#[derive(clap::Args, Debug)]
pub struct ExportMetadataInRocksDb {
    /// The directory.
    #[arg(short = 'p', long = "path", value_name = "DIRECTORY")]
    _directory: String,
    /// What is wanted of it.
    #[arg(short = 't', long = "configType", value_name = "KIND")]
    _kind: String,
    /// How it is shown.
    #[arg(short = 'j', long = "jsonEnable", value_name = "true|false")]
    _json: Option<String>,
}

impl Run for ExportMetadataInRocksDb {
    const EXAMPLES: &'static [&'static str] = &["-p DIRECTORY -t topics # refused"];

    fn run(&self, _session: &mut Session) -> anyhow::Result<Page> {
        bail!("RingMQ keeps nothing in RocksDB: exportMetadata writes topics and groups of brokers")
    }
}

/// `dumpCompactionLog`.
#[derive(clap::Args, Debug)]
pub struct DumpCompactionLog {
    /// The file.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    _file: Option<String>,
}

impl Run for DumpCompactionLog {
    const EXAMPLES: &'static [&'static str] = &["-f FILE # refused"];

    fn run(&self, _session: &mut Session) -> anyhow::Result<Page> {
        bail!("RingMQ has no logs of compacted topics: printMsg shows the messages of a topic")
    }
}

/// `getAclConfig`.
#[derive(clap::Args, Debug)]
pub struct GetAclConfig {
    #[command(flatten)]
    _target: Target,
}

impl Run for GetAclConfig {
    const EXAMPLES: &'static [&'static str] = &["-c DefaultCluster # refused"];

    fn run(&self, _session: &mut Session) -> anyhow::Result<Page> {
        bail!(
            "secret keys are told nobody, as in RocketMQ since 4.9.5: clusterAclConfigVersion \
             tells the versions of plain_acl.yml, which stands beside each broker"
        )
    }
}
