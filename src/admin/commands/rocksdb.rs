//! `checkRocksdbCqWriteProgress` and `rocksDBConfigToJson`: what RocketMQ 5's brokers may keep in
//! RocksDB.

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use ringmq_client::Client;
use ringmq_remoting::codes::request;
use serde::Deserialize;

use crate::output::Page;
use crate::questions::{MASTER, ask, brokers_of, clusters};
use crate::session::{Run, Session};

/// 30 days.
const AGE_MS: i64 = 30 * 24 * 3_600_000;

#[derive(clap::Args, Debug)]
pub struct Check {
    /// The cluster.
    #[arg(short = 'c', long = "cluster", value_name = "NAME")]
    cluster: String,
    /// Only this topic.
    #[arg(short = 't', long = "topic", default_value = "")]
    topic: String,
    /// Messages that were stored then or later, in milliseconds since 1970; else those of 30 days.
    #[arg(long = "checkFrom", visible_alias = "cf", value_name = "TIME")]
    from: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Checked {
    check_status: i32,
    check_result: Option<String>,
}

/// The status of a check that failed.
const FAILED: i32 = 3;

impl Run for Check {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -c DefaultCluster -t TopicTest"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let now = Timestamp::now().as_millisecond();
        let from = self.from.unwrap_or(now - AGE_MS).to_string();
        let fields = [("topic", self.topic.as_str()), ("checkStoreTime", from.as_str())];
        let code = request::CHECK_ROCKSDB_CQ_WRITE_PROGRESS;
        let mut page = Page::default();
        for (name, address) in masters(&mut session.client, &self.cluster)? {
            let found = ask::<Checked>(&mut session.client, &address, code, &fields);
            page.add(found.and_then(|found| {
                let why = found.check_result.unwrap_or_default();
                ensure!(
                    found.check_status != FAILED,
                    "{name} check error, please check log... errInfo: {why}"
                );
                let mut page = Page::default();
                let text =
                    format!("{name} check doing, please wait and get the result from log...");
                page.done(text, [("broker", name.into()), ("result", why.into())]);
                Ok(page)
            }));
        }
        Ok(page)
    }
}

#[derive(clap::Args, Debug)]
pub struct Export {
    /// topics, subscriptionGroups or consumerOffsets, several separated by ;. All, if it is left
    /// out.
    #[arg(short = 't', long = "configType", value_name = "KINDS")]
    kinds: Option<String>,
    /// Brokers of this cluster write what they have beside it.
    #[arg(short = 'c', long = "cluster", value_name = "NAME")]
    cluster: Option<String>,
    /// Only this broker, host:port.
    #[arg(short = 'b', long = "brokerAddr", value_name = "ADDRESS")]
    broker: Option<String>,
    /// A directory of a broker on this machine.
    #[arg(short = 'p', long = "configPath", value_name = "DIRECTORY", hide = true)]
    directory: Option<String>,
    /// What is written in place of standard output, with -p.
    #[arg(short = 'e', long = "exportFile", value_name = "FILE", hide = true)]
    _file: Option<String>,
    /// How it is written, with -p.
    #[arg(short = 'j', long = "jsonEnable", value_name = "true|false", hide = true)]
    _json: Option<String>,
}

const KINDS: [&str; 3] = ["topics", "subscriptionGroups", "consumerOffsets"];

impl Run for Export {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -c DefaultCluster", "-b 127.0.0.1:10911 -t topics"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let brokers = match (&self.broker, &self.cluster) {
            (Some(broker), _) => vec![(broker.clone(), broker.clone())],
            (None, Some(cluster)) => masters(client, cluster)?,
            (None, None) if self.directory.is_some() => {
                bail!("files of RocksDB are not read here: have their broker write them, with -b")
            }
            (None, None) => bail!("-c or -b says which brokers are meant"),
        };
        let kinds = self.kinds()?;
        let fields = [("configType", kinds.as_str())];
        let mut page = Page::default();
        for (name, address) in brokers {
            let code = request::EXPORT_ROCKSDB_CONFIG_TO_JSON;
            page.add(client.ask(&address, code, &fields, &[]).map(|_| {
                let mut page = Page::default();
                page.done(format!("{name} export done."), [("broker", name.into())]);
                page
            }));
        }
        Ok(page)
    }
}

impl Export {
    /// As brokers take them, each with a semicolon behind it.
    fn kinds(&self) -> anyhow::Result<String> {
        let Some(given) = &self.kinds else { return Ok(KINDS.join(";") + ";") };
        let mut all = String::new();
        for kind in given.split(';').map(str::trim).filter(|kind| !kind.is_empty()) {
            let known = KINDS.iter().find(|known| known.eq_ignore_ascii_case(kind));
            let known = known.with_context(|| format!("-t is {}, not {kind}", KINDS.join(", ")))?;
            all += &format!("{known};");
        }
        Ok(all)
    }
}

/// Names and addresses of a cluster's masters.
fn masters(client: &mut Client, cluster: &str) -> anyhow::Result<Vec<(String, String)>> {
    let info = clusters(client)?;
    let names = brokers_of(&info, cluster)?.iter();
    let pairs = names.filter_map(|name| {
        let address = info.broker_addr_table.get(name)?.broker_addrs.get(&MASTER)?;
        Some((name.clone(), address.clone()))
    });
    Ok(pairs.collect())
}
