//! `clusterList`.

use jiff::Timestamp;
use ringmq_client::{CallError, Client};
use ringmq_remoting::body::KVTable;

use crate::output::{Cell, Column, Page, Table};
use crate::questions::{brokers_of, clusters, runtime};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// Messages in and out, yesterday and today, instead of rates.
    #[arg(short = 'm', long = "moreStats")]
    more: bool,
    /// Asks again every so many seconds, as --watch.
    #[arg(short = 'i', long = "interval", value_name = "SECONDS")]
    interval: Option<u64>,
    /// Only this cluster.
    #[arg(short = 'c', long = "clusterName", value_name = "NAME")]
    cluster: Option<String>,
}

const RATES: &[Column] = &[
    Column::new("#Cluster Name", "cluster"),
    Column::new("#Broker Name", "broker"),
    Column::new("#BID", "brokerId"),
    Column::new("#Addr", "address"),
    Column::new("#Version", "version"),
    Column::new("#InTPS(LOAD)", "inTps").right(),
    Column::new("#OutTPS(LOAD)", "outTps").right(),
    Column::new("#Timer(Progress)", "timerOffsetBehind").right().wide(),
    Column::new("#PCWait(ms)", "pageCacheLockMs").right(),
    Column::new("#Hour", "hours").right(),
    Column::new("#SPACE", "space").right(),
    Column::new("#ACTIVATED", "active").wide(),
];

const TOTALS: &[Column] = &[
    Column::new("#Cluster Name", "cluster"),
    Column::new("#Broker Name", "broker"),
    Column::new("#InTotalYest", "inTotalYesterday").right(),
    Column::new("#OutTotalYest", "outTotalYesterday").right(),
    Column::new("#InTotalToday", "inTotalToday").right(),
    Column::new("#OutTotalToday", "outTotalToday").right(),
];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876",
        "-n 127.0.0.1:9876 -m # messages of yesterday and today",
        "-n 127.0.0.1:9876 -o json --watch 5",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let info = clusters(&mut session.client)?;
        let names: Vec<&String> = match &self.cluster {
            Some(cluster) => {
                brokers_of(&info, cluster)?;
                vec![cluster]
            }
            None => info.cluster_addr_table.keys().collect(),
        };
        let mut table = Table::new("brokers", if self.more { TOTALS } else { RATES });
        let mut page = Page::default();
        for cluster in names {
            for broker in brokers_of(&info, cluster)? {
                let Some(data) = info.broker_addr_table.get(broker) else { continue };
                for (id, address) in &data.broker_addrs {
                    let known = known(&mut session.client, address, &mut page);
                    match self.more {
                        true => table.row(totals(cluster, broker, &known)),
                        false => table.row(rates((cluster, broker, *id, address), &known)),
                    }
                }
            }
        }
        Ok(page.table(table))
    }
}

/// What a broker tells; nothing, and a problem of the page, if it does not answer.
fn known(client: &mut Client, address: &str, page: &mut Page) -> KVTable {
    runtime(client, address).unwrap_or_else(|problem| {
        let address = address.to_owned();
        page.problems.push(match problem.downcast::<CallError>() {
            Ok(problem) => problem.into(),
            Err(problem) => CallError::Unreachable { address, what: format!("{problem:#}") }.into(),
        });
        KVTable::default()
    })
}

fn rates((cluster, broker, id, address): (&str, &str, i64, &str), known: &KVTable) -> [Cell; 12] {
    let text = |key: &str| known.table.get(key).map_or("", String::as_str);
    // averages of 10 s, 60 s and 600 s, or of fewer
    let first = |key: &str| text(key).split(' ').next().and_then(|rate| rate.parse::<f64>().ok());
    let load = |rate: &str, pool: &str| {
        let rate = first(rate).unwrap_or(0.0);
        let (size, wait) = (
            format!("{pool}ThreadPoolQueueSize"),
            format!("{pool}ThreadPoolQueueHeadWaitTimeMills"),
        );
        Cell::new(format!("{rate:9.2}({},{}ms)", text(&size), text(&wait)).trim(), rate)
    };
    let earliest = text("earliestMessageTimeStamp").parse::<i64>().ok();
    let now = Timestamp::now().as_millisecond();
    let hours = earliest.map_or(0.0, |earliest| (now - earliest) as f64 / 3_600_000.0);
    [
        cluster.into(),
        broker.into(),
        id.into(),
        address.into(),
        text("brokerVersionDesc").into(),
        load("putTps", "send"),
        load("getTransferedTps", "pull"),
        Cell::number(text("timerOffsetBehind")),
        Cell::number(text("pageCacheLockTimeMills")),
        Cell::decimal(hours, 2),
        Cell::decimal(text("commitLogDiskRatio").parse().unwrap_or(0.0), 4),
        text("brokerActive").into(),
    ]
}

fn totals(cluster: &str, broker: &str, known: &KVTable) -> [Cell; 6] {
    let number = |key: &str| known.table.get(key).and_then(|text| text.parse().ok()).unwrap_or(0);
    let between =
        |from: &str, to: &str| -> Cell { i64::wrapping_sub(number(to), number(from)).into() };
    [
        cluster.into(),
        broker.into(),
        between("msgPutTotalYesterdayMorning", "msgPutTotalTodayMorning"),
        between("msgGetTotalYesterdayMorning", "msgGetTotalTodayMorning"),
        between("msgPutTotalTodayMorning", "msgPutTotalTodayNow"),
        between("msgGetTotalTodayMorning", "msgGetTotalTodayNow"),
    ]
}
