//! `ringmq admin storagePlan`.

use anyhow::{Context, ensure};
use comfy_table::{CellAlignment, Table, presets};
use ringmq_base::units::human_bytes;
use ringmq_client::Client;
use ringmq_remoting::{
    body::{StorageDisk, StorageLog, StoragePlan, StorageRules, StorageSegment},
    codes::{request, response},
    fastjson,
};
use serde_json::Value;

use crate::output::{Cell, Page};
use crate::questions::{MASTER, clusters};
use crate::session::{Run, Session};

/// Segments of a log that are listed one by one if not all are asked for.
const SEGMENTS_SHOWN: usize = 10;

#[derive(clap::Args, Debug)]
pub struct Options {
    /// One broker, host:port; without it all masters that the name servers know.
    #[arg(short = 'b', long = "brokerAddr", value_name = "ADDRESS")]
    broker: Option<String>,
    /// Lists every segment, not only those that go first.
    #[arg(short = 'a', long)]
    all: bool,
    /// What the brokers answered, as with -o json.
    #[arg(long)]
    json: bool,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-b 127.0.0.1:10911", "-n 127.0.0.1:9876 --all -o json"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let addresses = match &self.broker {
            Some(broker) => vec![broker.clone()],
            None => {
                let brokers = clusters(client)?.broker_addr_table.into_values();
                brokers.filter_map(|mut data| data.broker_addrs.remove(&MASTER)).collect()
            }
        };
        ensure!(!addresses.is_empty(), "the name servers know no broker: is one registered?");
        let mut plans = Vec::new();
        let mut text = String::new();
        for address in addresses {
            let (plan, value) = plan_of(client, &address)?;
            text +=
                &if self.json { format!("{value}\n") } else { render(&plan, &address, self.all) };
            plans.push(value);
        }
        Ok(Page::document(text.trim_end(), Value::Array(plans)))
    }
}

fn plan_of(client: &mut Client, address: &str) -> anyhow::Result<(StoragePlan, Value)> {
    let answer = client.call(address, request::STORAGE_PLAN, &[], &[])?;
    ensure!(
        answer.code != response::REQUEST_CODE_NOT_SUPPORTED,
        "{address} does not know storagePlan: it is no RingMQ broker, or an older one"
    );
    let (code, remark) = (answer.code, &answer.remark);
    ensure!(code == response::SUCCESS, "{address}: code {code} {remark}");
    let unclear = || format!("the answer of {address} is not understood");
    let plan = fastjson::from_slice(&answer.body).with_context(unclear)?;
    Ok((plan, serde_json::from_slice(&answer.body).with_context(unclear)?))
}

fn render(plan: &StoragePlan, address: &str, all: bool) -> String {
    let mut text = format!("Broker {} at {address}\n", plan.broker_name);
    if let Some(disk) = &plan.disk {
        text += &render_disk(disk);
    }
    text += &render_rules(&plan.rules);
    if plan.deleted_segments > 0 {
        let (segments, bytes) = (plan.deleted_segments, human_bytes(plan.deleted_bytes));
        text += &format!("Deleted since the start: {segments} segments, {bytes}\n");
    }
    for log in &plan.logs {
        text += &render_log(log, plan.now, all);
    }
    text.push('\n');
    text
}

fn render_disk(disk: &StorageDisk) -> String {
    let StorageDisk { path, state, warn_above, clean_above, refuse_above, .. } = disk;
    let (whole, tenth) = (disk.used_permille / 10, disk.used_permille % 10);
    let meaning = match state.as_str() {
        "normal" => "expired segments go at the hours of deleteWhen",
        "warn" => "expired segments go at any hour",
        "clean" => "the oldest segments go before their time",
        "refuse" => "SENDS ARE REFUSED until there is space",
        _ => "unknown to this version",
    };
    format!(
        "Disk of {path}: {used} of {total} used ({whole}.{tenth} %), {free} free\n\
         State {state}: {meaning}\n\
         \x20 above {warn_above:>2} % diskMaxUsedSpaceRatio: expired segments go at any hour\n\
         \x20 above {clean_above:>2} % diskSpaceCleanForciblyRatio: the oldest segments go\n\
         \x20 above {refuse_above:>2} % diskSpaceWarningLevelRatio: sends are refused\n",
        used = human_bytes(disk.total_bytes.saturating_sub(disk.free_bytes)),
        total = human_bytes(disk.total_bytes),
        free = human_bytes(disk.free_bytes),
    )
}

fn render_rules(rules: &StorageRules) -> String {
    let StorageRules { file_reserved_time, delete_when, time_zone, .. } = rules;
    let limit = match rules.retention_bytes {
        0 => "no limit of size (retentionBytes)".to_owned(),
        bytes => format!("at most {} (retentionBytes)", human_bytes(bytes)),
    };
    let forcibly = match (rules.clean_file_forcibly_enable, rules.delete_unconsumed_when_full) {
        (false, _) => "never before their time (cleanFileForciblyEnable = false)",
        (true, true) => "consumed or not (deleteUnconsumedWhenFull = true)",
        (true, false) => "consumed ones only (deleteUnconsumedWhenFull = false)",
    };
    format!(
        "Kept for {file_reserved_time} hours (fileReservedTime), deleted at hours {delete_when} \
         of {time_zone} (deleteWhen); {limit}; when space is short, {forcibly}\n"
    )
}

fn render_log(log: &StorageLog, now: i64, all: bool) -> String {
    let bytes: u64 = log.segments.iter().map(|segment| segment.bytes).sum();
    let mut text =
        format!("\nLog {}: {} segments, {}", log.log, log.segments.len(), human_bytes(bytes));
    if log.spare_bytes > 0 {
        text += &format!(", and {} kept for reuse", human_bytes(log.spare_bytes));
    }
    if let Some(oldest) = log.segments.first().and_then(|segment| segment.first_stored) {
        text += &format!("; oldest message of {}", time(oldest));
    }
    text.push('\n');
    if let Some(behind) = &log.unconsumed {
        text += &format!(
            "Group {} has not consumed topic {}, queue {}, from position {} on\n",
            behind.group, behind.topic, behind.queue_id, behind.position
        );
    }
    let shown = if all { log.segments.len() } else { SEGMENTS_SHOWN };
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["start", "size", "oldest", "newest", "deleted", "because"]);
    for column in table.column_iter_mut().take(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for segment in log.segments.iter().take(shown) {
        table.add_row(row(segment, now));
    }
    text += &table.trim_fmt();
    text.push('\n');
    if let Some(rest) = log.segments.len().checked_sub(shown).filter(|rest| *rest > 0) {
        text += &format!("... and {rest} more (--all)\n");
    }
    text
}

fn row(segment: &StorageSegment, now: i64) -> [String; 6] {
    let deleted = match segment.delete_at {
        None => "-".to_owned(),
        Some(at) if at <= now => "now".to_owned(),
        Some(at) => time(at),
    };
    [
        segment.start.to_string(),
        human_bytes(segment.bytes),
        segment.first_stored.map_or_else(|| "-".to_owned(), time),
        time(segment.last_stored),
        deleted,
        segment.why.clone(),
    ]
}

fn time(ms: i64) -> String {
    Cell::time(ms, "-").text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_tells_what_goes_when_and_why() {
        let segment = |start: u64, delete_at: Option<i64>, why: &str| StorageSegment {
            start,
            bytes: 1 << 30,
            first_stored: Some(1_700_000_000_000),
            last_stored: 1_700_000_100_000,
            delete_at,
            why: why.to_owned(),
        };
        let segments = (0..12).map(|at| segment(at << 30, Some(5), "older than fileReservedTime"));
        let mut segments: Vec<_> = segments.collect();
        segments.push(segment(12 << 30, None, "written to"));
        let disk = StorageDisk {
            path: "/data".to_owned(),
            total_bytes: 100 << 30,
            free_bytes: 8 << 30,
            used_permille: 920,
            state: "refuse".to_owned(),
            warn_above: 75,
            clean_above: 85,
            refuse_above: 90,
        };
        let log = StorageLog { segments, ..StorageLog::default() };
        let plan =
            StoragePlan { now: 10, disk: Some(disk), logs: vec![log], ..StoragePlan::default() };
        let text = render(&plan, "127.0.0.1:10911", false);
        for part in ["92.0 GiB of 100.0 GiB", "(92.0 %)", "SENDS ARE REFUSED", "and 3 more"] {
            assert!(text.contains(part), "{part:?} is missing in:\n{text}");
        }
        assert!(!text.contains("written to"));
        assert!(render(&plan, "a", true).contains("written to"));
    }
}
