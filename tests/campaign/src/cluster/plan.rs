//! What a seed's cluster looks like and what happens to it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ringmq_base::config::NamesrvConfig;
use ringmq_io::sim::Random;

use crate::broker::{Part, plan::Plan};

/// How long a broker waits for the answer to a registration.
pub const REGISTER_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest pause of a broker between two attempts to register.
const REGISTER_PAUSE_MAX: Duration = Duration::from_secs(10);
/// How far clocks are off, in millionths.
const DRIFT_MAX: u64 = 50_000;
/// What is said of times allows for that, and for what takes its time besides.
const MARGIN: Duration = Duration::from_secs(2);

/// Parts of the workload of a broker that take the clock of one machine, or requests that arrive
/// long after nobody waits for them.
const WITHOUT: [Part; 8] = [
    Part::Timers,
    Part::Transactions,
    Part::Retries,
    Part::Resets,
    Part::Deletions,
    Part::FullDisks,
    Part::SlowDisks,
    Part::Errors,
];

pub struct ClusterPlan {
    pub seed: u64,
    pub brokers: Vec<BrokerPlan>,
    pub server_clock: ClockPlan,
    pub rounds: Vec<Round>,
    /// Silence after which the name server drops a broker, and how often it looks.
    pub expired: Duration,
    pub scan: Duration,
    /// Between two registrations.
    pub period: Duration,
}

pub struct BrokerPlan {
    pub name: String,
    pub plan: Plan,
    pub clock: ClockPlan,
    pub shards: usize,
}

#[derive(Clone, Copy, Debug)]
pub struct ClockPlan {
    pub drift: i32,
    pub wall_ms: i64,
}

/// What happens while clients work.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub after: Duration,
    pub fault: Fault,
    pub lasts: Duration,
}

/// Brokers by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// A broker is told to stop, and started again with so many shards.
    Restart {
        broker: usize,
        shards: usize,
    },
    /// Its process dies.
    Kill {
        broker: usize,
        shards: usize,
    },
    /// Its machine does.
    PowerCut {
        broker: usize,
        shards: usize,
    },
    /// It stands still.
    Pause {
        broker: usize,
    },
    /// Nothing comes through between a broker and others.
    Cut {
        broker: usize,
        others: Others,
        way: Way,
    },
    /// What a broker sends comes late, and all that was sent.
    Hold {
        broker: usize,
        others: Others,
    },
    /// Its connections are reset.
    Reset {
        broker: usize,
        others: Others,
    },
    /// It is far away from its clients.
    Slow {
        broker: usize,
    },
    /// The name server dies, with its machine or alone.
    ServerDies {
        power_cut: bool,
    },
    /// The name server stands still.
    ServerPauses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    NameServer,
    Clients,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    FromBroker,
    ToBroker,
    Both,
}

pub fn server_ip() -> IpAddr {
    Ipv4Addr::new(10, 0, 0, 1).into()
}

pub fn server_address() -> SocketAddr {
    SocketAddr::new(server_ip(), 9876)
}

pub fn observer_ip() -> IpAddr {
    Ipv4Addr::new(10, 0, 0, 2).into()
}

pub fn broker_ip(number: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 1, u8::try_from(number + 1).expect("few")).into()
}

/// Of the clients of a broker.
pub fn client_ip(number: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 2, u8::try_from(number + 1).expect("few")).into()
}

impl ClusterPlan {
    pub fn draw(seed: u64) -> ClusterPlan {
        let mut random = Random::new(seed ^ 0x636c_7573);
        let count = 1 + random.index(3);
        let expired = Duration::from_secs([4, 6, 12][random.index(3)]);
        let period = expired / 4;
        let mut brokers = Vec::new();
        for number in 0..count {
            let name = format!("b-{number}");
            let mut plan = Plan::draw(random.word(), &WITHOUT);
            plan.join(&name, broker_ip(number), server_address(), (period, REGISTER_TIMEOUT));
            let clock = ClockPlan::draw(&mut random);
            brokers.push(BrokerPlan { name, plan, clock, shards: shards(&mut random) });
        }
        let mut plan = ClusterPlan {
            seed,
            brokers,
            server_clock: ClockPlan::draw(&mut random),
            rounds: Vec::new(),
            expired,
            scan: Duration::from_millis([200, 1000][random.index(2)]),
            period,
        };
        for _ in 0..2 + random.index(4) {
            let round = plan.draw_round(&mut random);
            plan.rounds.push(round);
        }
        plan
    }

    fn draw_round(&self, random: &mut Random) -> Round {
        let broker = random.index(self.brokers.len());
        let shards = shards(random);
        let others = if random.chance(1, 2) { Others::NameServer } else { Others::Clients };
        let way = [Way::FromBroker, Way::ToBroker, Way::Both][random.index(3)];
        let fault = match random.below(16) {
            0 => Fault::None,
            1 => Fault::Restart { broker, shards },
            2..=4 => Fault::Kill { broker, shards },
            5 | 6 if self.brokers[broker].plan.sync => Fault::PowerCut { broker, shards },
            5 | 6 => Fault::Kill { broker, shards },
            7 | 8 => Fault::Pause { broker },
            9..=11 => Fault::Cut { broker, others, way },
            12 => Fault::Hold { broker, others },
            13 => match random.chance(1, 2) {
                true => Fault::Reset { broker, others },
                false => Fault::Slow { broker },
            },
            14 => Fault::ServerDies { power_cut: random.chance(1, 2) },
            _ => Fault::ServerPauses,
        };
        let short = Duration::from_millis(20 + random.below(3000));
        // So that the name server notices.
        let long = self.gone_within() + Duration::from_millis(random.below(1000));
        // Clients count on locks for a while from the answer on, however late that comes.
        let to_clients = matches!(fault, Fault::Cut { others: Others::Clients, .. });
        let lasts = if to_clients || random.chance(1, 2) { short } else { long };
        Round { after: Duration::from_millis(random.below(400)), fault, lasts }
    }

    /// When nobody finds a broker any more that the name server hears nothing of.
    pub fn gone_within(&self) -> Duration {
        slower(self.expired + self.scan) + MARGIN
    }

    /// When everybody finds a broker again after it and the name server can reach each other.
    pub fn back_within(&self) -> Duration {
        let attempt = REGISTER_TIMEOUT * 2;
        slower(self.period + attempt + REGISTER_PAUSE_MAX + attempt) + MARGIN
    }

    pub fn server_config(&self) -> NamesrvConfig {
        let millis = |time: Duration| u64::try_from(time.as_millis()).expect("seconds");
        NamesrvConfig {
            kv_config_path: PathBuf::from("/ns/kvConfig.json"),
            broker_channel_expired_time_ms: millis(self.expired),
            scan_not_active_broker_interval_ms: millis(self.scan),
            ..NamesrvConfig::default()
        }
    }
}

impl ClockPlan {
    fn draw(random: &mut Random) -> ClockPlan {
        let off = |random: &mut Random, most: u64| {
            i64::try_from(random.below(2 * most + 1)).expect("small") - most as i64
        };
        let is_off = random.chance(2, 3);
        ClockPlan {
            drift: if is_off { off(random, DRIFT_MAX) as i32 } else { 0 },
            wall_ms: if is_off { off(random, 60_000) } else { 0 },
        }
    }
}

/// As the slowest clock shows it, in true time.
fn slower(time: Duration) -> Duration {
    time * 106 / 100
}

fn shards(random: &mut Random) -> usize {
    [1, 2, 2, 4][random.index(4)]
}
