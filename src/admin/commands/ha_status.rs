//! `haStatus`.

use ringmq_remoting::codes::request;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::output::{Cell, Page};
use crate::questions::ask;
use crate::session::{Run, Session};
use crate::target::Target;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// Asks again every so many seconds, as --watch.
    #[arg(short = 'i', long = "interval", value_name = "SECONDS")]
    interval: Option<u64>,
}

/// How a broker replicates.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    master: bool,
    master_commit_log_max_offset: i64,
    in_sync_slave_nums: i64,
    ha_connection_info: Vec<Slave>,
    ha_client_runtime_info: Own,
}

/// A slave as its master sees it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Slave {
    addr: String,
    slave_ack_offset: i64,
    diff: i64,
    in_sync: bool,
    transferred_byte_in_second: i64,
    transfer_from_where: i64,
}

/// A slave as it sees itself. Times are milliseconds since 1970.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Own {
    master_addr: Option<String>,
    transferred_byte_in_second: i64,
    max_offset: i64,
    last_read_timestamp: i64,
    last_write_timestamp: i64,
    master_flush_offset: i64,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-b 127.0.0.1:10911", "-n 127.0.0.1:9876 -c DefaultCluster -i 5"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let mut all = Page::default();
        for address in self.target.masters(client)? {
            let found = ask::<Status>(client, &address, request::GET_BROKER_HA_STATUS, &[]);
            all.add(found.map(|status| {
                let mut page = Page::default();
                let (text, value) = match status.master {
                    true => status.of_master(&address),
                    false => status.ha_client_runtime_info.of_slave(),
                };
                page.done(text, [("broker", address.into()), ("status", value)]);
                page
            }));
        }
        Ok(all)
    }
}

fn kib(bytes: i64) -> String {
    format!("{:.2}", bytes as f64 / 1024.0)
}

impl Status {
    fn of_master(&self, address: &str) -> (String, Value) {
        let (offset, slaves) = (self.master_commit_log_max_offset, &self.ha_connection_info);
        let mut text = format!(
            "\n#MasterAddr\t{address}\n#MasterCommitLogMaxOffset\t{offset}\n#SlaveNum\t{}\n\
             #InSyncSlaveNum\t{}\n{:<32}  {:<16} {:>16} {:>16} {:>16} {:>16}",
            slaves.len(),
            self.in_sync_slave_nums,
            "#SlaveAddr",
            "#SlaveAckOffset",
            "#Diff",
            "#TransferSpeed(KB/s)",
            "#Status",
            "#TransferFromWhere"
        );
        let mut values = Vec::new();
        for slave in slaves {
            let Slave { addr, slave_ack_offset, diff, in_sync, transfer_from_where, .. } = slave;
            let state = if *in_sync { "OK" } else { "Fall Behind" };
            let speed = kib(slave.transferred_byte_in_second);
            text += &format!(
                "\n{addr:<32}  {slave_ack_offset:<16} {diff:>16} {speed:>16} {state:>16} \
                 {transfer_from_where:>16}"
            );
            values.push(json!({
                "address": addr, "ackOffset": slave_ack_offset, "behind": diff,
                "bytesPerSecond": slave.transferred_byte_in_second, "inSync": in_sync,
                "transferFrom": transfer_from_where,
            }));
        }
        let count = self.in_sync_slave_nums;
        (text, json!({"role": "master", "maxOffset": offset, "inSync": count, "slaves": values}))
    }
}

impl Own {
    fn of_slave(&self) -> (String, Value) {
        let master = self.master_addr.as_deref().unwrap_or("null");
        let time = |ms| Cell::time_ms(ms, "").text;
        let text = format!(
            "\n#MasterAddr\t{master}\n#CommitLogMaxOffset\t{}\n#TransferSpeed(KB/s)\t{}\n\
             #LastReadTime\t{}\n#LastWriteTime\t{}\n#MasterFlushOffset\t{}",
            self.max_offset,
            kib(self.transferred_byte_in_second),
            time(self.last_read_timestamp),
            time(self.last_write_timestamp),
            self.master_flush_offset
        );
        let value = json!({
            "role": "slave", "master": self.master_addr, "maxOffset": self.max_offset,
            "bytesPerSecond": self.transferred_byte_in_second,
            "lastReadTimestamp": self.last_read_timestamp,
            "lastWriteTimestamp": self.last_write_timestamp,
            "masterFlushOffset": self.master_flush_offset,
        });
        (text, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_shows_its_slaves() {
        let slave = Slave {
            addr: "10.0.0.2:10912".to_owned(),
            slave_ack_offset: 90,
            diff: 10,
            transferred_byte_in_second: 2048,
            ..Slave::default()
        };
        let status = Status {
            master_commit_log_max_offset: 100,
            ha_connection_info: vec![slave],
            ..Status::default()
        };
        let (text, value) = status.of_master("10.0.0.1:10911");
        let words: Vec<&str> = text.lines().last().unwrap_or("").split_whitespace().collect();
        assert_eq!(words, ["10.0.0.2:10912", "90", "10", "2.00", "Fall", "Behind", "0"]);
        assert_eq!((&value["slaves"][0]["behind"], &value["maxOffset"]), (&10.into(), &100.into()));
    }
}
