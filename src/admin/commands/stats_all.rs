//! `statsAll`.

use ringmq_client::Client;
use ringmq_remoting::body::{BrokerStatsData, TopicRouteData};
use ringmq_remoting::codes::request;
use ringmq_remoting::codes::topic::{DLQ_PREFIX, RETRY_PREFIX};

use crate::output::{Cell, Column, Page, Table};
use crate::questions::{MASTER, ask, consumers_of, groups, route, topics};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// Only what was sent or consumed in the last day.
    #[arg(short = 'a', long = "activeTopic")]
    active: bool,
    /// Only this topic.
    #[arg(short = 't', long = "topic")]
    topic: Option<String>,
}

const COLUMNS: &[Column] = &[
    Column::new("#Topic", "topic"),
    Column::new("#Consumer Group", "group"),
    Column::new("#Accumulation", "accumulation").right(),
    Column::new("#InTPS", "inTps").right(),
    Column::new("#OutTPS", "outTps").right(),
    Column::new("#InMsg24Hour", "inMessages24h").right(),
    Column::new("#OutMsg24Hour", "outMessages24h").right(),
];

/// Messages a second and in a day.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    tps: f64,
    day: i64,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -a --watch 5", "-n 127.0.0.1:9876 -t TopicTest -o json"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let mut table = Table::new("topics", COLUMNS);
        for topic in topics(client)? {
            let is_own = topic.starts_with(RETRY_PREFIX) || topic.starts_with(DLQ_PREFIX);
            if is_own || self.topic.as_ref().is_some_and(|wanted| *wanted != topic) {
                continue;
            }
            // as in RocketMQ: topics that have just gone are passed over
            let Ok(route) = route(client, &topic) else { continue };
            self.rows(client, &mut table, &topic, &route);
        }
        Ok(Page::default().table(table))
    }
}

impl Options {
    fn rows(&self, client: &mut Client, table: &mut Table, topic: &str, route: &TopicRouteData) {
        let sent = rate(client, route, "TOPIC_PUT_NUMS", topic);
        let groups = consumers_of(client, topic).unwrap_or_default();
        if groups.is_empty() && (!self.active || sent.day > 0) {
            table.row([
                topic.into(),
                "".into(),
                0.into(),
                Cell::decimal(sent.tps, 2),
                Cell::missing(""),
                sent.day.into(),
                Cell::missing("NO_CONSUMER"),
            ]);
        }
        for group in groups {
            let read = rate(client, route, "GROUP_GET_NUMS", &format!("{topic}@{group}"));
            let stats = groups::progress(client, &group, Some(topic)).unwrap_or_default();
            let behind = stats.offset_table.values();
            let behind = behind.map(|one| one.broker_offset.wrapping_sub(one.consumer_offset));
            let behind = behind.fold(0, i64::wrapping_add).max(0);
            if self.active && sent.day == 0 && read.day == 0 {
                continue;
            }
            table.row([
                topic.into(),
                group.into(),
                behind.into(),
                Cell::decimal(sent.tps, 2),
                Cell::decimal(read.tps, 2),
                sent.day.into(),
                read.day.into(),
            ]);
        }
    }
}

/// What all masters of the topic have counted.
fn rate(client: &mut Client, route: &TopicRouteData, name: &str, key: &str) -> Rate {
    let mut all = Rate::default();
    for data in &route.broker_datas {
        let Some(address) = data.broker_addrs.get(&MASTER) else { continue };
        let fields = [("statsName", name), ("statsKey", key)];
        let code = request::VIEW_BROKER_STATS_DATA;
        // a broker that has counted nothing yet says so by an error
        let Ok(stats) = ask::<BrokerStatsData>(client, address, code, &fields) else { continue };
        let sums = [stats.stats_day.sum, stats.stats_hour.sum, stats.stats_minute.sum];
        all.tps += stats.stats_minute.tps;
        all.day += sums.into_iter().find(|sum| *sum != 0).unwrap_or(0);
    }
    all
}
