//! How far the copies of all logs are, added up over the shards: one number where RocketMQ has one
//! offset, since its logs are one.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use ringmq_base::LogId;
use ringmq_io::Runtime;
use ringmq_remoting::body::{HaClientInfo, HaConnectionInfo, HaRuntimeInfo};

use super::Control;
use crate::shard::{
    Shard,
    copies::{FollowedFacts, FollowerFacts},
};

/// A log as its shard knows it.
struct LogCopies {
    log: LogId,
    end: u64,
    slaves: Vec<FollowerFacts>,
    master: Option<FollowedFacts>,
}

/// A slave, over all logs that it is connected for.
struct Sum {
    log: LogId,
    logs: usize,
    info: HaConnectionInfo,
}

/// How far copies were a while ago, for how fast they get on: by slave; on a slave its own end.
#[derive(Default)]
pub struct Before {
    /// Of the monotonic clock.
    at: Duration,
    held: BTreeMap<u32, i64>,
}

/// The slave itself among those that are measured.
const ITSELF: u32 = u32::MAX;

impl Before {
    fn per_second(&self, now: Duration, who: u32, held: i64) -> i64 {
        let ms = i64::try_from(now.saturating_sub(self.at).as_millis()).unwrap_or(i64::MAX);
        let before = self.held.get(&who).filter(|_| ms > 0);
        before.map_or(0, |before| (held - before).max(0).saturating_mul(1000) / ms)
    }
}

impl<R: Runtime> Control<R> {
    /// What tools are told of masters and slaves.
    pub async fn ha_status(&self) -> HaRuntimeInfo {
        let (shard, logs) = (&self.shard, self.log_copies().await);
        let (now, before) = (shard.runtime.monotonic(), self.copies_before.borrow());
        if !shard.settings.role.is_slave() {
            let mut status = HaRuntimeInfo { master: true, ..HaRuntimeInfo::default() };
            status.master_commit_log_max_offset = logs.iter().map(|log| signed(log.end)).sum();
            for (slave, mut info) in as_master(&logs) {
                info.transferred_byte_in_second =
                    before.per_second(now, slave, info.slave_ack_offset);
                status.in_sync_slave_nums += i32::from(info.in_sync);
                status.ha_connection_info.push(info);
            }
            return status;
        }
        let known = self.registrar.master.address().ha;
        let mut own = as_slave(&logs, known.as_deref());
        own.transferred_byte_in_second = before.per_second(now, ITSELF, own.max_offset);
        let heard = self.membership.iter().flat_map(|own| own.peers.all());
        if let Some(heard) = heard.map(|(_, peer)| peer.heard).max() {
            let ago = i64::try_from(now.saturating_sub(heard).as_millis()).unwrap_or(0);
            own.last_read_timestamp = shard.runtime.now_ms() - ago;
            // It answers what it hears.
            own.last_write_timestamp = own.last_read_timestamp;
        }
        HaRuntimeInfo { ha_client_runtime_info: own, ..HaRuntimeInfo::default() }
    }

    /// Notes how far copies are, now and then.
    pub(super) async fn sample_copies(&self) {
        if self.membership.is_none() {
            return;
        }
        let logs = self.log_copies().await;
        let held: BTreeMap<u32, i64> = match self.shard.settings.role.is_slave() {
            true => [(ITSELF, as_slave(&logs, None).max_offset)].into(),
            false => as_master(&logs).map(|(slave, info)| (slave, info.slave_ack_offset)).collect(),
        };
        self.copies_before.replace(Before { at: self.shard.runtime.monotonic(), held });
    }

    async fn log_copies(&self) -> Vec<LogCopies> {
        let all = self.shard.call_all(async |shard: Rc<Shard<R>>| copies_of(&shard)).await;
        all.into_iter().flatten().collect()
    }
}

fn copies_of<R: Runtime>(shard: &Shard<R>) -> Vec<LogCopies> {
    let streams = shard.log_copies.streams.get();
    let slaves = streams.map(|streams| streams.followers()).unwrap_or_default();
    let masters = streams.map(|streams| streams.followed()).unwrap_or_default();
    let of_log = |log: &crate::shard::BrokerLog<R>| {
        let id = log.id();
        LogCopies {
            log: id,
            end: log.ends().end.0,
            slaves: slaves.iter().filter(|facts| facts.log == id).cloned().collect(),
            master: masters.iter().find(|facts| facts.log == id).cloned(),
        }
    };
    shard.queues.own_logs().map(of_log).collect()
}

/// The slaves by their number.
fn as_master(logs: &[LogCopies]) -> impl Iterator<Item = (u32, HaConnectionInfo)> {
    let end: i64 = logs.iter().map(|log| signed(log.end)).sum();
    let mut slaves: BTreeMap<u32, Sum> = BTreeMap::new();
    for log in logs {
        for facts in &log.slaves {
            let begin = || Sum {
                log: log.log,
                logs: 0,
                info: HaConnectionInfo { in_sync: true, ..HaConnectionInfo::default() },
            };
            let sum = slaves.entry(facts.replica).or_insert_with(begin);
            // The streams of a slave have a port each: it is named by that of its first log.
            if sum.logs == 0 || log.log < sum.log {
                (sum.log, sum.info.addr) = (log.log, facts.address.to_string());
            }
            sum.logs += 1;
            sum.info.slave_ack_offset += signed(log.end.saturating_sub(facts.behind));
            sum.info.transfer_from_where += signed(facts.written.0);
            sum.info.in_sync &= facts.is_in_sync;
        }
    }
    let count = logs.len();
    slaves.into_iter().map(move |(slave, Sum { logs, info, .. })| {
        let diff = (end - info.slave_ack_offset).max(0);
        (slave, HaConnectionInfo { diff, in_sync: info.in_sync && logs == count, ..info })
    })
}

/// `known`: the address of the master that this slave goes by.
fn as_slave(logs: &[LogCopies], known: Option<&str>) -> HaClientInfo {
    let masters = || logs.iter().filter_map(|log| log.master.as_ref());
    let connected = |facts: &FollowedFacts| facts.master;
    let first = masters().find_map(connected).map(|address| address.to_string());
    HaClientInfo {
        master_addr: known.map(str::to_owned).or(first),
        max_offset: logs.iter().map(|log| signed(log.end)).sum(),
        master_flush_offset: masters().map(|facts| signed(facts.committed.0)).sum(),
        activated: !logs.is_empty()
            && logs.iter().all(|log| log.master.as_ref().is_some_and(|one| one.master.is_some())),
        ..HaClientInfo::default()
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use ringmq_base::LogPosition;

    use super::*;

    fn log(number: u16, end: u64, slaves: &[(u32, u64, bool)]) -> LogCopies {
        let log = LogId::new(number).expect("small");
        let slave = |(replica, behind, is_in_sync): &(u32, u64, bool)| FollowerFacts {
            log,
            replica: *replica,
            address: std::net::SocketAddr::from(([10, 0, 0, 1], 4000 + number)),
            written: LogPosition(end),
            stable: LogPosition(end - behind),
            behind: *behind,
            is_in_sync: *is_in_sync,
            since_ms: 0,
        };
        LogCopies { log, end, slaves: slaves.iter().map(slave).collect(), master: None }
    }

    #[test]
    fn a_slave_is_in_sync_when_all_of_its_logs_are() {
        let logs = [
            log(1, 100, &[(1, 0, true), (2, 10, false)]),
            log(0, 50, &[(1, 10, true), (2, 0, true), (3, 0, true)]),
        ];
        let told: Vec<_> = as_master(&logs).map(|(_, info)| info).collect();
        let [one, two, three] = told.as_slice() else {
            panic!("three slaves: {told:?}");
        };
        assert_eq!(one.addr, "10.0.0.1:4000", "of the first log");
        assert_eq!((one.slave_ack_offset, one.diff, one.in_sync), (140, 10, true));
        assert_eq!(one.transfer_from_where, 150);
        assert_eq!((two.diff, two.in_sync), (10, false));
        assert_eq!((three.diff, three.in_sync), (100, false), "one log has no connection");
    }

    #[test]
    fn a_slave_adds_up_what_it_hears() {
        let master = |log: &LogCopies, committed, is_connected: bool| FollowedFacts {
            log: log.log,
            master: is_connected.then(|| ([10, 0, 0, 2], 10_912).into()),
            end: LogPosition(log.end),
            committed: LogPosition(committed),
            since_ms: 0,
            trouble: None,
        };
        let mut logs = [log(0, 10, &[]), log(1, 20, &[])];
        let nothing = HaClientInfo { max_offset: 30, ..HaClientInfo::default() };
        assert_eq!(as_slave(&logs, None), nothing);
        logs[0].master = Some(master(&logs[0], 9, true));
        logs[1].master = Some(master(&logs[1], 20, false));
        let told = as_slave(&logs, None);
        assert_eq!(told.master_addr.as_deref(), Some("10.0.0.2:10912"));
        assert!(!told.activated, "one log hears nothing");
        logs[1].master = Some(master(&logs[1], 20, true));
        let told = as_slave(&logs, Some("master:10912"));
        assert!(told.activated);
        assert_eq!(told.master_addr.as_deref(), Some("master:10912"), "as it was told");
        assert_eq!((told.max_offset, told.master_flush_offset), (30, 29));
    }

    #[test]
    fn speed_is_that_since_the_last_sample() {
        let at = Duration::from_secs;
        let before = Before { at: at(10), held: [(1, 1000)].into() };
        assert_eq!(before.per_second(at(12), 1, 5000), 2000);
        assert_eq!(before.per_second(at(12), 2, 5000), 0, "it has come since");
        assert_eq!(before.per_second(at(10), 1, 5000), 0);
        assert_eq!(before.per_second(at(12), 1, 10), 0, "it was cut");
    }
}
