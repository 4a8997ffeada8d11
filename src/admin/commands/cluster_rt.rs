//! `clusterRT`.

use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::Timestamp;
use ringmq_client::Client;

use crate::output::{Cell, Column, Page, Table};
use crate::questions::sends::{New, send, writable};
use crate::questions::{brokers_of, clusters};
use crate::session::{Run, Session, pause};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// How many messages a round are sent to each broker.
    #[arg(short = 'a', long = "amount", value_name = "COUNT", default_value_t = 100)]
    amount: u32,
    /// Bytes of a message.
    #[arg(short = 's', long = "size", value_name = "BYTES", default_value_t = 128)]
    size: usize,
    /// Only this cluster.
    #[arg(short = 'c', long = "cluster", value_name = "NAME")]
    cluster: Option<String>,
    /// Seconds between rounds; 0 for one round only.
    #[arg(short = 'i', long = "interval", value_name = "SECONDS", default_value_t = 10)]
    seconds: u64,
    /// Lines for a log, with fields between bars.
    #[arg(short = 'p', long = "print", value_name = "true|false",
        default_value = "false", action = clap::ArgAction::Set)]
    log: bool,
    /// The name of this place in them.
    #[arg(short = 'm', long = "machine", value_name = "NAME", default_value = "noname")]
    place: String,
}

const HEADS: [&str; 5] = ["#Cluster Name", "#Broker Name", "#RT", "#successCount", "#failCount"];
const COLUMNS: &[Column] = &[
    Column::new("#Cluster Name", "cluster"),
    Column::new("#Broker Name", "broker"),
    Column::new("#RT", "ms"),
    Column::new("#successCount", "sent"),
    Column::new("#failCount", "failed"),
];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -a 10", "-n 127.0.0.1:9876 -a 10 -i 0 # once"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let info = clusters(&mut session.client)?;
        let names: Vec<&str> = match &self.cluster {
            Some(cluster) => {
                brokers_of(&info, cluster)?;
                vec![cluster]
            }
            None => info.cluster_addr_table.keys().map(String::as_str).collect(),
        };
        let table = Table::new("rounds", COLUMNS);
        let line = |cells: [&str; 5]| {
            let [cluster, broker, ms, sent, failed] = cells;
            format!("{cluster:<24}  {broker:<24}  {ms:<8}  {sent:<16}  {failed}")
        };
        if !self.log {
            session.say(&line(HEADS))?;
        }
        loop {
            for cluster in &names {
                for broker in brokers_of(&info, cluster)? {
                    let (ms, sent, failed) = self.round(&mut session.client, broker)?;
                    let texts = (format!("{ms:.2}"), sent.to_string(), failed.to_string());
                    let text = match self.log {
                        true => self.log_line(cluster, broker, ms),
                        false => line([cluster, broker, &texts.0, &texts.1, &texts.2]),
                    };
                    let row = [
                        (*cluster).into(),
                        broker.as_str().into(),
                        Cell::decimal(ms, 3),
                        sent.into(),
                        failed.into(),
                    ];
                    session.show(&table, &text, &row)?;
                }
            }
            if self.seconds == 0 {
                return Ok(Page::default());
            }
            pause(Duration::from_secs(self.seconds));
        }
    }
}

impl Options {
    fn log_line(&self, cluster: &str, broker: &str, ms: f64) -> String {
        let now = Cell::time(Timestamp::now().as_millisecond(), "").text;
        format!("{now}|{}|{cluster}|{broker}|{ms:.0}", self.place)
    }

    /// Milliseconds of a send, without the first one, which connects; how many worked and failed.
    fn round(&self, client: &mut Client, broker: &str) -> anyhow::Result<(f64, u32, u32)> {
        let body = vec![b'a'; self.size];
        let queues = writable(client, broker)?;
        let (mut total, mut sent, mut failed) = (Duration::ZERO, 0, 0);
        for number in 0..self.amount {
            let place = usize::try_from(number)? % queues.len();
            let queue = queues.get(place).context("there is a queue")?;
            let new = New { topic: broker, body: &body, properties: Vec::new() };
            let began = Instant::now();
            match send(client, queue, &new) {
                Ok(_) => sent += 1,
                Err(_) => failed += 1,
            }
            if number > 0 {
                total += began.elapsed();
            }
        }
        let counted = self.amount.saturating_sub(1).max(1);
        Ok((total.as_secs_f64() * 1000.0 / f64::from(counted), sent, failed))
    }
}
