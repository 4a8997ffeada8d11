//! `exportMetrics`.

use std::collections::BTreeSet;

use ringmq_client::Client;
use ringmq_remoting::body::{BrokerStatsData, KVTable};
use ringmq_remoting::codes::{request, topic, version};
use serde_json::{Map, Value, json};

use crate::output::Page;
use crate::questions::exports::{directory, groups_of, topics_of, write};
use crate::questions::{MASTER, ask, brokers_of, clusters, groups, runtime};
use crate::session::{Run, Session};
use crate::target::Export;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    export: Export,
}

/// Of all brokers, or of one.
#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    tps: [f64; 4],
    day: [i64; 4],
}

const TPS: [&str; 4] = ["normalInTps", "normalOutTps", "transInTps", "scheduleInTps"];
const DAY: [&str; 4] =
    ["normalOneDayInNum", "normalOneDayOutNum", "transOneDayInNum", "scheduleOneDayInNum"];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -c DefaultCluster -f /tmp/export"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let info = clusters(client)?;
        let mut all = Rates::default();
        let mut report = Map::new();
        for name in brokers_of(&info, &self.export.cluster)? {
            let Some(data) = info.broker_addr_table.get(name) else { continue };
            let Some(address) = data.broker_addrs.get(&MASTER) else { continue };
            report.insert(name.clone(), broker(client, address, &mut all)?);
        }
        let totals = TPS.iter().zip(all.tps);
        let totals: Map<String, Value> = totals
            .map(|(name, tps)| {
                let (first, rest) = name.split_at(1);
                (format!("total{}{rest}", first.to_uppercase()), tps.into())
            })
            .collect();
        let days: Map<String, Value> =
            DAY.iter().zip(all.day).map(|(name, day)| ((*name).to_owned(), day.into())).collect();
        let value = json!({
            "evaluateReport": report,
            "totalData": { "totalTps": totals, "totalOneDayNum": days },
        });
        write(&directory(self.export.directory.as_ref()), "metrics.json", &value)
    }
}

fn broker(client: &mut Client, address: &str, all: &mut Rates) -> anyhow::Result<Value> {
    let known = runtime(client, address)?;
    let text = |key: &str| known.table.get(key).cloned();
    let config = client.ask(address, request::GET_BROKER_CONFIG, &[], &[])?;
    let config = crate::questions::settings::parse(&config.body);
    let threads = config.iter().find(|(key, _)| key == "clientCallbackExecutorThreads");
    let groups = groups_of(client, address)?;
    let mut clients = BTreeSet::new();
    for group in groups.keys() {
        // groups without members have no clients to tell of
        let Ok(members) = groups::connection(client, group, Some(address)) else { continue };
        clients.extend(
            members
                .connection_set
                .iter()
                .map(|member| format!("{}%{}", member.language, version::name(member.version))),
        );
    }
    let rates = rates(client, address, &known);
    for place in 0..4 {
        all.tps[place] += rates.tps[place];
        all.day[place] += rates.day[place];
    }
    let tps: Map<String, Value> =
        TPS.iter().zip(rates.tps).map(|(name, tps)| ((*name).to_owned(), tps.into())).collect();
    let day: Map<String, Value> =
        DAY.iter().zip(rates.day).map(|(name, day)| ((*name).to_owned(), day.into())).collect();
    let topics = topics_of(client, address, false)?.len();
    Ok(json!({
        "runtimeEnv": {
            "cpuNum": threads.map(|(_, count)| count),
            "totalMemKBytes": text("totalMemKBytes"),
        },
        "runtimeQuota": {
            "diskRatio": {
                "commitLogDiskRatio": text("commitLogDiskRatio"),
                "consumeQueueDiskRatio": text("consumeQueueDiskRatio"),
            },
            "tps": tps,
            "oneDayNum": day,
            "messageAverageSize": text("putMessageAverageSize"),
            "topicSize": topics,
            "groupSize": groups.len(),
        },
        "runtimeVersion": {
            "rocketmqVersion": text("brokerVersionDesc"),
            "clientInfo": clients,
        },
    }))
}

fn rates(client: &mut Client, address: &str, known: &KVTable) -> Rates {
    let first = |key: &str| {
        let rates = known.table.get(key)?;
        rates.split(' ').next()?.parse::<f64>().ok()
    };
    let number = |key: &str| known.table.get(key).and_then(|text| text.parse().ok()).unwrap_or(0);
    let yesterday = |kind: &str| -> i64 {
        i64::wrapping_sub(
            number(&format!("msg{kind}TotalTodayMorning")),
            number(&format!("msg{kind}TotalYesterdayMorning")),
        )
    };
    let (put, get) = (yesterday("Put"), yesterday("Get"));
    let mut counted = |topic: &str| {
        let fields = [("statsName", "TOPIC_PUT_NUMS"), ("statsKey", topic)];
        let code = request::VIEW_BROKER_STATS_DATA;
        // brokers refuse to tell of what was never counted
        let stats: BrokerStatsData = ask(client, address, code, &fields).unwrap_or_default();
        let sums = [stats.stats_day.sum, stats.stats_hour.sum, stats.stats_minute.sum];
        let day = sums.into_iter().find(|sum| *sum != 0).unwrap_or(0);
        (stats.stats_minute.tps, day)
    };
    let (half, delayed) = (counted(topic::TRANS_HALF), counted(topic::SCHEDULE));
    Rates {
        tps: [
            first("putTps").unwrap_or(0.0),
            first("getTransferedTps").unwrap_or(0.0),
            half.0,
            delayed.0,
        ],
        day: [put, get, half.1, delayed.1],
    }
}
