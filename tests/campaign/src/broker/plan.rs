//! What a seed's broker looks like, what happens to it, and how its processes end.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use ringmq_base::config::{AddressList, AdminAccess, BrokerConfig};
use ringmq_broker::{settings::BrokerSettings, sizes::Sizes};
use ringmq_io::sim::Random;
use ringmq_store::KeySizes;

use super::timers;

const KIB: u64 = 1 << 10;
/// More than all clients of a seed leave untaken.
const ROOMY_OUTPUT: usize = 16 << 20;
/// Time in which a client takes none of its answers; where room for answers is scarce, an eighth of
/// it is enough for all that waits for a client, see the key `outputStallTimeMs`.
const OUTPUT_STALL: Duration = Duration::from_secs(2);
/// Largest body of a message, or of a batch.
pub const BODY_BYTES_MAX: u64 = 96 * KIB;

/// What goes wrong with the disk of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// Full from the first time on, with so many bytes left, until the second.
    Full {
        from: Duration,
        until: Duration,
        left: u64,
    },
    /// Writes to one log take long, for some writes.
    SlowLog {
        log: u16,
        from: Duration,
        each: Duration,
        writes: u64,
    },
    /// The same of the metadata log.
    SlowMeta {
        from: Duration,
        each: Duration,
    },
    /// Writes and syncs of some files fail, some times.
    Errors {
        from: Duration,
        times: u64,
    },
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Clean,
    Kill,
    PowerCut,
}

/// What can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Batches of messages.
    Batches,
    /// Deletions of topics.
    Deletions,
    /// Disks that are full for a while.
    FullDisks,
    /// Disks that stall.
    SlowDisks,
    /// Operations of the disk that fail.
    Errors,
    /// Lanes of less than their usual length.
    SmallLanes,
    /// Transactions.
    Transactions,
    /// Messages that are kept back until their time.
    Timers,
    /// Messages that consumers give back.
    Retries,
    /// Consumer offsets that are reset.
    Resets,
}

/// One process.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    pub shards: usize,
    pub trouble: Trouble,
    pub end: End,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub logs: u16,
    pub sync: bool,
    /// Sends to topics that are not there make them; else topics are deleted and made again.
    pub auto_create: bool,
    pub without: Vec<Part>,
    pub processes: Vec<Process>,
    pub last_shards: usize,
    pub clients: u32,
    pub steps: u64,
    pub queues: i32,
    pub socket_bytes: usize,
    pub slow_readers: bool,
    pub offset_interval: Duration,
    /// An offset of a group whose name is as long as a frame allows.
    pub huge_name: bool,
    config: BrokerConfig,
    sizes: Sizes,
    segment_bytes: u64,
    zero_ahead_bytes: u64,
    hot_tail_bytes: usize,
    block_cache_bytes: usize,
    pub backlog_bytes_max: usize,
    pub requests_max: u32,
    pub output_bytes_max: usize,
    /// Of a shard, for all its connections.
    output_budget: usize,
    /// More than the clients of a seed send at once.
    pub input_bytes_max: usize,
}

fn bytes(number: u64) -> usize {
    usize::try_from(number).expect("small")
}

impl Plan {
    pub fn draw(seed: u64, without: &[Part]) -> Plan {
        let mut random = Random::new(seed ^ 0x6272_6f6b);
        let mut of = |choices: &[u64]| choices[random.index(choices.len())];
        let logs = of(&[0, 0, 1, 2, 4]);
        let shards = bytes(of(&[1, 2, 2, 4, 4, 7]));
        let logs = if logs == 0 { shards as u16 } else { logs as u16 };
        let interval = of(&[50, 100, 500]);
        let fast_failure = of(&[0, 1, 1]) == 1;
        let auto_create = of(&[0, 1]) == 1;
        let sync = of(&[0, 1, 1]) == 1;
        let sizes = sizes(&mut of);
        let mut plan = Plan {
            seed,
            logs,
            sync,
            auto_create,
            without: without.to_vec(),
            processes: Vec::new(),
            last_shards: shards,
            clients: of(&[2, 3, 4, 6]) as u32,
            steps: of(&[6, 12, 24]),
            queues: of(&[2, 4, 8]) as i32,
            socket_bytes: bytes(of(&[512, 4 * KIB, 64 * KIB])),
            slow_readers: of(&[0, 0, 1]) == 1,
            offset_interval: Duration::from_millis(interval),
            huge_name: false,
            config: config(interval, fast_failure, auto_create, of(&[2, 15])),
            sizes,
            segment_bytes: of(&[64, 128, 256]) * KIB,
            zero_ahead_bytes: of(&[8, 32]) * KIB,
            hot_tail_bytes: bytes(of(&[0, 8, 64]) * KIB),
            block_cache_bytes: bytes(of(&[0, 16, 256]) * KIB),
            backlog_bytes_max: bytes(of(&[128, 160, 512]) * KIB),
            requests_max: of(&[16, 64, 1000]) as u32,
            output_bytes_max: bytes(of(&[4, 16, 256]) * KIB),
            output_budget: 0,
            input_bytes_max: bytes(16 * 1024 * KIB),
        };
        plan.output_budget = [32, 256, 16 * 1024][random.index(3)] * bytes(KIB);
        plan.huge_name = random.chance(1, 800);
        if plan.huge_name {
            plan.socket_bytes = bytes(64 * KIB);
        }
        plan.draw_processes(shards, &mut random);
        plan.leave_out();
        plan
    }

    /// Has it be a broker among others, on a machine of its own, that registers with a name server:
    /// how often, and how long it waits for an answer.
    pub fn join(
        &mut self,
        name: &str,
        ip: IpAddr,
        name_server: SocketAddr,
        (period, timeout): (Duration, Duration),
    ) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).expect("seconds");
        let config = &mut self.config;
        config.broker_name = name.to_owned();
        config.broker_ip1 = ip.to_string();
        config.broker_ip2 = ip.to_string();
        config.bind_address = Ipv4Addr::UNSPECIFIED.into();
        config.admin_access = AdminAccess::Any;
        config.register_name_server_period_ms = millis(period);
        config.register_broker_timeout_ms = millis(timeout);
        config.namesrv_addr = AddressList(vec![name_server.to_string()]);
        self.huge_name = false;
    }

    fn draw_processes(&mut self, shards: usize, random: &mut Random) {
        let count = 1 + random.index(2);
        let mut shards = shards;
        for _ in 0..count {
            let end = match random.below(4) {
                0 => End::Kill,
                1 if self.sync => End::PowerCut,
                1 => End::Kill,
                _ => End::Clean,
            };
            let trouble = self.draw_trouble(random);
            self.processes.push(Process { shards, trouble, end });
            if random.chance(2, 3) {
                shards = [1, 2, 4, 7][random.index(4)];
            }
        }
        self.last_shards = shards;
    }

    fn leave_out(&mut self) {
        for part in self.without.clone() {
            for process in &mut self.processes {
                let left_out = match process.trouble {
                    Trouble::None => false,
                    Trouble::Full { .. } => part == Part::FullDisks,
                    Trouble::SlowLog { .. } | Trouble::SlowMeta { .. } => part == Part::SlowDisks,
                    Trouble::Errors { .. } => part == Part::Errors,
                };
                if left_out {
                    process.trouble = Trouble::None;
                }
            }
            if part == Part::SmallLanes {
                let usual = Sizes::default();
                self.sizes.lane_messages = usual.lane_messages;
                self.sizes.backlog_messages_max = usual.backlog_messages_max;
            }
        }
    }

    pub fn has(&self, part: Part) -> bool {
        !self.without.contains(&part)
    }

    fn draw_trouble(&self, random: &mut Random) -> Trouble {
        let from = Duration::from_millis(random.below(40));
        match random.below(8) {
            0 | 1 => {
                let until = from + Duration::from_millis(100 + random.below(900));
                let left = [0, 0, 4, 16, 64][random.index(5)] * KIB;
                Trouble::Full { from, until, left }
            }
            2 | 3 => {
                let log = random.below(u64::from(self.logs)) as u16;
                let each = Duration::from_millis(200 + random.below(3000));
                Trouble::SlowLog { log, from, each, writes: 1 + random.below(3) }
            }
            4 => {
                let each = Duration::from_millis(50 + random.below(1500));
                Trouble::SlowMeta { from, each }
            }
            5 => Trouble::Errors { from, times: 1 + random.below(3) },
            _ => Trouble::None,
        }
    }

    /// What the answers of a shard may take in a process. Readers that take a few bytes at a time
    /// may use up a small budget, and then pulls wait until the slowest of them are closed: beside
    /// a slow log, where prompt answers are asked for, it is large.
    pub fn output_budget(&self, process: &Process) -> usize {
        match process.trouble {
            Trouble::SlowLog { .. } => ROOMY_OUTPUT,
            _ => self.output_budget,
        }
    }

    pub fn settings(&self, now_ms: i64, process: &Process) -> BrokerSettings {
        let shards = process.shards;
        let settings = BrokerSettings::new(self.config.clone(), shards, now_ms);
        let mut settings = settings.expect("a sound configuration");
        settings.config.logs = self.logs;
        settings.flush_sync = self.sync;
        settings.segment_bytes = self.segment_bytes;
        settings.zero_ahead_bytes = self.zero_ahead_bytes;
        settings.hot_tail_bytes = self.hot_tail_bytes;
        settings.block_cache_bytes = self.block_cache_bytes;
        settings.scrub_bytes_per_second = 0;
        settings.backlog_bytes_max = self.backlog_bytes_max;
        settings.requests_max = self.requests_max;
        settings.connection_output_bytes_max = self.output_bytes_max;
        settings.output_bytes_max = self.output_budget(process);
        settings.output_stall_time = OUTPUT_STALL;
        settings.input_bytes_max = self.input_bytes_max;
        settings.sizes = self.sizes.clone();
        settings
    }

    /// Bodies up to here fit into a segment.
    pub fn legal_body(&self) -> usize {
        match self.segment_bytes {
            0..=65_536 => 50_000,
            _ => bytes(BODY_BYTES_MAX),
        }
    }

    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }
}

fn sizes(of: &mut impl FnMut(&[u64]) -> u64) -> Sizes {
    let mut sizes = Sizes {
        lane_messages: bytes(of(&[1, 2, 4, 64])),
        backlog_messages_max: bytes(of(&[1, 2, 8, 256])),
        batch_bytes_max: bytes(of(&[256, 2 * KIB, 16 * KIB, 1024 * KIB])),
        batch_sends_max: bytes(of(&[2, 5, 40, 16 * KIB])),
        meta_grow_bytes: of(&[4, 4, 256]) * KIB,
        ..Sizes::default()
    };
    let log = &mut sizes.log;
    log.batch_bytes_max = bytes(of(&[8, 16, 64]) * KIB);
    log.checkpoint_interval = Duration::from_millis(of(&[10, 100, 1000]));
    log.async_sync_interval = Duration::from_millis(of(&[5, 20, 500]));
    log.snapshot_bytes = of(&[20, 100, 1000]) * KIB;
    log.index_segment_blocks = of(&[3, 9]);
    log.index_batch_pages = bytes(of(&[1, 5]));
    log.index_cache_pages = bytes(of(&[1, 4]));
    log.keys = KeySizes { run_pages: 1, slots: 2, sealed_max: 2 };
    sizes
}

fn config(interval: u64, fast_failure: bool, auto_create: bool, checks: u64) -> BrokerConfig {
    let (interval, checks) = (interval.to_string(), checks.to_string());
    let body_max = BODY_BYTES_MAX.to_string();
    let precision = timers::PRECISION_MS.to_string();
    let keys = [
        ("brokerName", "sim"),
        ("brokerIP1", "127.0.0.1"),
        ("bindAddress", "127.0.0.1"),
        ("vipPortEnable", "false"),
        ("storePathRootDir", "store"),
        ("messageDelayLevel", "1s 2s"),
        ("timerPrecisionMs", &precision),
        ("recallMessageEnable", "true"),
        ("maxMessageSize", &body_max),
        ("cleanResourceInterval", "500"),
        ("flushConsumerOffsetInterval", &interval),
        ("brokerFastFailureEnable", if fast_failure { "true" } else { "false" }),
        ("autoCreateTopicEnable", if auto_create { "true" } else { "false" }),
        ("messageIndexEnable", "false"),
        ("diskMaxUsedSpaceRatio", "95"),
        ("diskSpaceCleanForciblyRatio", "99"),
        ("diskSpaceWarningLevelRatio", "99"),
        ("cleanFileForciblyEnable", "false"),
        ("transactionTimeOut", "100"),
        ("transactionCheckInterval", "200"),
        ("transactionCheckMax", &checks),
        ("deleteUnconsumedWhenFull", "false"),
    ];
    let keys = keys.map(|(key, value)| (key.to_owned(), value.to_owned()));
    BrokerConfig::load(None, &keys).expect("sound keys").config
}
