//! What a shard counts for metrics besides its use of topics: answers by request and code, and how
//! long the stages of a request take. Numbers of one thread: no lock, and nothing is allocated but
//! for a pair of codes that was not seen before.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use ringmq_io::Runtime;
use ringmq_remoting::codes::{request, response};

use super::{
    Shard,
    buckets::{Buckets, Sums, TIME_BUCKETS, bucket_of, time_bucket},
};
use crate::messages::{Asked, ReplyTo};

/// Upper bounds of how long requests take, in milliseconds. Source: `RemotingMetricsManager`.
pub const RPC_BOUNDS_MS: [u64; 9] = [1, 3, 5, 7, 10, 100, 1_000, 2_000, 3_000];
const RPC_BUCKETS: usize = RPC_BOUNDS_MS.len() + 1;
/// The same of the creation of topics and groups. Source: `BrokerMetricsManager`.
pub const CREATE_BOUNDS_MS: [u64; 5] = [10, 100, 1_000, 3_000, 5_000];
const CREATE_BUCKETS: usize = CREATE_BOUNDS_MS.len() + 1;

/// Pairs of request and answer that are counted apart; all others together.
const RPC_KINDS_MAX: usize = 512;
/// One send, and one pull, of so many is measured in its stages.
const SAMPLE: u32 = 64;

/// Where a request spends its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A send is checked; one of 64 is measured.
    Check,
    /// A send is on its way from the shard that has checked it to the owner of its queue.
    Route,
    /// A message is put into the tail of its log; one of 64 is measured.
    Append,
    /// Answers are made of a write, and sent.
    Answer,
    /// Messages of a pull are copied from memory; one of 64 is measured.
    PullMemory,
    /// They are read through the block cache, and found there.
    PullCache,
    /// They are read from the disk.
    PullDisk,
}

const STAGES: usize = 7;

/// A request and what it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RpcKind {
    /// -1: one that the broker does not know.
    pub request: i32,
    pub answer: i32,
    pub is_long_poll: bool,
    pub is_oneway: bool,
}

/// Times of some kind of request, in milliseconds.
pub type RpcTimes = Sums<RPC_BUCKETS>;

/// Everything that a shard has counted since the start.
#[derive(Clone, Debug, Default)]
pub struct ProbeSums {
    pub rpc: Vec<(RpcKind, RpcTimes)>,
    /// By [`Stage`], in nanoseconds.
    pub stages: [Sums<TIME_BUCKETS>; STAGES],
    /// Of topics and of groups, those that succeeded and those that did not, in milliseconds.
    pub created: [[Sums<CREATE_BUCKETS>; 2]; 2],
}

#[derive(Default)]
pub struct Probe {
    /// Monotonic clock of this turn in microseconds; wraps.
    now_us: Cell<u32>,
    rpc: RefCell<Vec<(RpcKind, Buckets<RPC_BUCKETS>)>>,
    /// Index of the kind that was counted last.
    last: Cell<usize>,
    stages: [Buckets<TIME_BUCKETS>; STAGES],
    created: [[Buckets<CREATE_BUCKETS>; 2]; 2],
    pub sends: Samples,
    pub pulls: Samples,
}

/// Which of some requests are measured.
#[derive(Default)]
pub struct Samples {
    left: Cell<u32>,
}

impl Samples {
    /// Whether this one is.
    #[inline]
    pub fn takes(&self) -> bool {
        let left = self.left.get();
        self.left.set(if left == 0 { SAMPLE - 1 } else { left - 1 });
        left == 0
    }
}

/// The clock as requests carry it.
#[inline]
pub fn micros(time: Duration) -> u32 {
    time.as_micros() as u32
}

impl Probe {
    /// Notes the clock, for what is answered in this turn.
    #[inline]
    pub fn set_now(&self, now: Duration) {
        self.now_us.set(micros(now));
    }

    /// Counts a stage.
    pub fn took(&self, stage: Stage, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.stages[stage as usize].add(time_bucket(nanos), nanos);
    }

    /// Counts a stage that began at this time of the requests' clock; none that seems to end
    /// before, because the clock was not looked at for so long.
    pub fn took_since(&self, stage: Stage, began_us: u32, now: Duration) {
        let micros = micros(now).wrapping_sub(began_us);
        if micros <= u32::MAX / 2 {
            self.took(stage, Duration::from_micros(micros.into()));
        }
    }

    /// Counts an answer.
    #[inline]
    pub fn answered(&self, asked: Asked, kind: RpcKind) {
        let micros = self.now_us.get().wrapping_sub(asked.at_us);
        // The clock of this turn may be older than the request, by less than a turn.
        let micros = if micros > u32::MAX / 2 { 0 } else { micros };
        let millis = u64::from(micros / 1000);
        let bucket = bucket_of(&RPC_BOUNDS_MS, u64::from(micros).div_ceil(1000));
        let all = self.rpc.borrow();
        if let Some((known, times)) = all.get(self.last.get())
            && *known == kind
        {
            return times.add(bucket, millis);
        }
        let place = all.iter().position(|(known, _)| *known == kind);
        drop(all);
        let place = place.unwrap_or_else(|| self.place_of(kind));
        self.last.set(place);
        if let Some((_, times)) = self.rpc.borrow().get(place) {
            times.add(bucket, millis);
        }
    }

    #[cold]
    fn place_of(&self, mut kind: RpcKind) -> usize {
        let mut all = self.rpc.borrow_mut();
        if request::name(kind.request).is_none() {
            kind.request = -1;
        }
        if all.len() >= RPC_KINDS_MAX {
            kind = RpcKind { request: -1, answer: -1, is_long_poll: false, is_oneway: false };
        }
        all.iter().position(|(known, _)| *known == kind).unwrap_or_else(|| {
            all.push((kind, Buckets::default()));
            all.len() - 1
        })
    }

    /// Counts the creation of a topic or group, if that is what was asked for.
    fn created(&self, asked: Asked, answer: i32) {
        let what = match asked.code {
            request::UPDATE_AND_CREATE_TOPIC | request::UPDATE_AND_CREATE_TOPIC_LIST => 0,
            request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP
            | request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST => 1,
            _ => return,
        };
        let failed = usize::from(answer != response::SUCCESS);
        let millis = u64::from(self.now_us.get().wrapping_sub(asked.at_us) / 1000);
        self.created[what][failed].add(bucket_of(&CREATE_BOUNDS_MS, millis), millis);
    }

    pub fn sums(&self) -> ProbeSums {
        let rpc = self.rpc.borrow().iter().map(|(kind, times)| (*kind, times.sums())).collect();
        let of = |pair: &[Buckets<CREATE_BUCKETS>; 2]| [pair[0].sums(), pair[1].sums()];
        ProbeSums {
            rpc,
            stages: std::array::from_fn(|at| self.stages[at].sums()),
            created: [of(&self.created[0]), of(&self.created[1])],
        }
    }
}

impl ProbeSums {
    /// Adds those of another shard.
    pub fn add(&mut self, other: &ProbeSums) {
        for (kind, times) in &other.rpc {
            match self.rpc.iter_mut().find(|(known, _)| known == kind) {
                Some((_, sums)) => sums.add(times),
                None => self.rpc.push((*kind, *times)),
            }
        }
        for (stage, more) in self.stages.iter_mut().zip(&other.stages) {
            stage.add(more);
        }
        let created = self.created.iter_mut().flatten();
        for (sums, more) in created.zip(other.created.iter().flatten()) {
            sums.add(more);
        }
    }
}

impl<R: Runtime> Shard<R> {
    /// A send is checked that is measured; what the clock says then.
    #[cold]
    pub fn note_checked(&self, began: Duration) -> Duration {
        let now = self.runtime.monotonic();
        self.probe.took(Stage::Check, now.saturating_sub(began));
        now
    }

    /// One is appended, or on its way.
    #[cold]
    pub fn note_appended(&self, began: Duration) {
        self.probe.took(Stage::Append, self.runtime.monotonic().saturating_sub(began));
    }

    /// Messages of a pull that is measured are copied.
    #[cold]
    pub fn note_copied(&self, began: Duration) {
        self.probe.took(Stage::PullMemory, self.runtime.monotonic().saturating_sub(began));
    }

    /// Counts an answer that is made in this turn.
    #[inline]
    pub fn count_answer(&self, reply_to: &ReplyTo, answer: i32, is_long_poll: bool) {
        let asked = reply_to.asked;
        let is_oneway = reply_to.oneway;
        let kind = RpcKind { request: asked.code, answer, is_long_poll, is_oneway };
        self.probe.answered(asked, kind);
    }

    /// Counts an answer that is not made in the turn in which its request came.
    pub fn count_late_answer(&self, reply_to: &ReplyTo, answer: i32, is_long_poll: bool) {
        self.probe.set_now(self.runtime.monotonic());
        self.count_answer(reply_to, answer, is_long_poll);
        self.probe.created(reply_to.asked, answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(request: i32, answer: i32) -> RpcKind {
        RpcKind { request, answer, is_long_poll: false, is_oneway: false }
    }

    #[test]
    fn answers_are_counted_by_request_and_code() {
        let probe = Probe::default();
        probe.set_now(Duration::from_millis(10));
        let asked = |at_us| Asked { code: request::SEND_MESSAGE_V2, at_us };
        let sent = kind(request::SEND_MESSAGE_V2, response::SUCCESS);
        probe.answered(asked(9_000), sent);
        probe.answered(asked(8_999), sent);
        probe.answered(asked(10_500), sent);
        probe.answered(asked(0), kind(request::SEND_MESSAGE_V2, response::SYSTEM_BUSY));
        let sums = probe.sums();
        assert_eq!(sums.rpc.len(), 2);
        let (_, times) = sums.rpc.iter().find(|(kind, _)| *kind == sent).expect("counted");
        assert_eq!(times.counts[..3], [2, 1, 0], "1 ms, a bit more, and a clock that is behind");
        let mut twice = sums.clone();
        twice.add(&sums);
        assert_eq!(twice.rpc.len(), 2);
        assert_eq!(twice.rpc[0].1.counts[0], 2 * sums.rpc[0].1.counts[0]);
    }

    #[test]
    fn what_clients_make_up_takes_one_place() {
        let probe = Probe::default();
        for number in 0..10_000 {
            probe.answered(Asked::default(), kind(1_000_000 + number, 3));
        }
        assert_eq!(probe.sums().rpc.len(), 1);
        for number in 0..10_000 {
            probe.answered(Asked::default(), kind(request::SEND_MESSAGE, number));
        }
        assert!(probe.sums().rpc.len() <= RPC_KINDS_MAX + 1);
        let counted: u64 = probe.sums().rpc.iter().map(|(_, times)| times.counts[0]).sum();
        assert_eq!(counted, 20_000);
    }

    #[test]
    fn one_of_so_many_is_measured() {
        let samples = Samples::default();
        let measured = (0..10 * SAMPLE).filter(|_| samples.takes()).count();
        assert_eq!(measured, 10);
    }
}
