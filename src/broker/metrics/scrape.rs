//! An answer to whoever asks for metrics: collected from all shards a slice at a time, and written
//! down beside them, part by part, so that neither its length nor its reader holds a shard up.

use std::{rc::Rc, sync::Arc};

use ringmq_io::{Disk, Runtime, Stream};
use ringmq_store::Counters;

use super::{
    broker::{self, Broker},
    clients,
    families::*,
    http::{Gone, Out},
    labels::{is_system, is_system_topic},
    lag::{self, LagRow},
    text::{Metric, Page, Style},
};
use crate::{
    control::{
        Control,
        series::{GroupSeries, Pair, TopicSeries},
        statistics,
    },
    shard::{
        Shard,
        probe::ProbeSums,
        usage::{DELAY_BOUNDS_S, FINISH_BOUNDS_S, SIZE_BOUNDS},
    },
};

/// Series of topics or groups that are written down in one part: some 500 KiB at most.
const SLICE_ROWS: usize = 256;

/// Writes all metrics to a client.
///
/// # Errors
/// If the client is gone.
pub async fn write<R: Runtime, S: Stream>(
    control: &Rc<Control<R>>,
    style: &Arc<Style>,
    out: &mut Out<'_, R, S>,
) -> Result<(), Gone> {
    control.collect().await;
    control.sweep_series().await;
    let most = control.shard.settings.config.metrics_otel_cardinality_limit as usize;
    let clients = clients::all(control, most).await;
    let (lags, lags_left_out) = lag::all(&control.shard, most).await;
    let left_out = clients.left_out + lags_left_out;
    let broker = Broker { clients, ..broker(control, left_out as u64).await };
    out.part(style, move |page| broker::write(page, &broker)).await?;
    write_topics(control, style, out).await?;
    write_groups(control, style, out).await?;
    write_lags(control, style, out, lags.into()).await
}

/// What is told of the broker as a whole.
async fn broker<R: Runtime>(control: &Rc<Control<R>>, left_out: u64) -> Broker {
    let shard = &control.shard;
    let settings = &shard.settings;
    let space = shard.runtime.disk().space(&settings.log_path).await.ok();
    let all = statistics::all_totals(shard).await;
    let states = shard.call_all(async |shard: Rc<Shard<R>>| state(&shard)).await;
    let state = states.into_iter().fold(State::default(), State::and);
    let tables = control.tables.borrow();
    let (sent, pairs) = control.series.borrow().counts();
    Broker {
        now_ms: shard.runtime.now_ms(),
        started_ms: settings.boot_timestamp,
        permission: shard.live().config.broker_permission,
        topics: tables.topics.len(),
        groups: tables.groups.len(),
        earliest_ms: control.storage.earliest_ms.get(),
        used_bytes: space.map(|(free, total)| total.saturating_sub(free)),
        series: sent + pairs,
        left_out: control.series.borrow().left_out() + left_out,
        state,
        all,
        ..Broker::default()
    }
}

/// What a shard tells of itself.
#[derive(Debug, Default)]
pub struct State {
    pub probe: ProbeSums,
    pub connections: usize,
    pub waiting_pulls: usize,
    /// Pulls that wait for room for their answers.
    pub pulls_without_room: usize,
    /// Requests of other shards that it has not handled yet.
    pub requests: usize,
    /// Transactions that are open.
    pub halves: i64,
    pub logs: LogSums,
}

/// What logs tell, added up.
#[derive(Debug, Default)]
pub struct LogSums {
    pub failed: u64,
    pub damaged: u64,
    pub cache_hits: u64,
    pub cache_misses: u64,
    pub writes: u64,
    pub write_bytes: u64,
}

impl LogSums {
    fn add(&mut self, counters: &Counters) {
        self.failed += u64::from(counters.fenced.is_some() || counters.stalled.is_some());
        self.damaged += counters.damaged_ranges;
        self.cache_hits += counters.cache_hits;
        self.cache_misses += counters.cache_misses;
        self.writes += counters.writes;
        self.write_bytes += counters.write_bytes;
    }
}

impl State {
    fn and(mut self, other: State) -> State {
        self.probe.add(&other.probe);
        self.connections += other.connections;
        self.waiting_pulls += other.waiting_pulls;
        self.pulls_without_room += other.pulls_without_room;
        self.requests += other.requests;
        self.halves += other.halves;
        self.logs.failed += other.logs.failed;
        self.logs.damaged += other.logs.damaged;
        self.logs.cache_hits += other.logs.cache_hits;
        self.logs.cache_misses += other.logs.cache_misses;
        self.logs.writes += other.logs.writes;
        self.logs.write_bytes += other.logs.write_bytes;
        self
    }
}

fn state<R: Runtime>(shard: &Shard<R>) -> State {
    let mut state = State {
        probe: shard.probe.sums(),
        connections: shard.connections.count(),
        waiting_pulls: shard.waiting_pulls.count(),
        pulls_without_room: shard.answer_room.waiting(),
        requests: shard.router.requests_ahead(),
        ..State::default()
    };
    for log in shard.queues.own_logs() {
        state.logs.add(&log.counters());
        state.halves += shard.open_transactions(log);
    }
    state
}

/// Writes one line, or one histogram, of a topic.
type WriteTopic = fn(&mut Page, &str, &TopicSeries);

async fn write_topics<R: Runtime, S: Stream>(
    control: &Rc<Control<R>>,
    style: &Arc<Style>,
    out: &mut Out<'_, R, S>,
) -> Result<(), Gone> {
    let families: [(&'static Metric, WriteTopic); 7] = [
        (&MESSAGES_IN, |page, topic, series| {
            sent(page, topic, series, |page, labels, sizes| {
                page.sample(labels, sizes.counts.iter().sum::<u64>());
            });
        }),
        (&THROUGHPUT_IN, |page, topic, series| {
            sent(page, topic, series, |page, labels, sizes| {
                page.sample(labels, sizes.sum);
            });
        }),
        (&MESSAGE_SIZE, |page, topic, series| {
            sent(page, topic, series, |page, labels, sizes| {
                page.histogram(labels, SIZE_BOUNDS.iter(), &sizes.counts, sizes.sum);
            });
        }),
        (&COMMITTED, |page, topic, series| {
            if let Some(ended) = &series.ended {
                page.sample(&[("topic", topic)], ended.committed);
            }
        }),
        (&ROLLED_BACK, |page, topic, series| {
            if let Some(ended) = &series.ended {
                page.sample(&[("topic", topic)], ended.rolled_back);
            }
        }),
        (&FINISH_LATENCY, |page, topic, series| {
            if let Some(ended) = &series.ended {
                let (counts, sum) = (&ended.open_s.counts, ended.open_s.sum);
                page.histogram(&[("topic", topic)], FINISH_BOUNDS_S.iter(), counts, sum);
            }
        }),
        (&DELAY_LATENCY, |page, topic, series| {
            if let Some(delays) = &series.delays_s {
                let labels =
                    [("storage_type", "local"), ("storage_medium", "disk"), ("topic", topic)];
                page.histogram(&labels, DELAY_BOUNDS_S.iter(), &delays.counts, delays.sum);
            }
        }),
    ];
    for (metric, write) in families {
        let mut last: Option<Arc<str>> = None;
        loop {
            let some = control.series.borrow().topics(last.as_ref(), SLICE_ROWS);
            if some.is_empty() && last.is_some() {
                break;
            }
            let (is_first, is_last) = (last.is_none(), some.len() < SLICE_ROWS);
            last = some.last().map(|(name, _)| name.clone());
            out.part(style, move |page| {
                begin(page, metric, is_first);
                some.iter().for_each(|(topic, series)| write(page, topic, series));
            })
            .await?;
            if is_last {
                break;
            }
        }
    }
    Ok(())
}

fn begin(page: &mut Page, metric: &Metric, is_first: bool) {
    if is_first {
        page.family(metric);
    } else {
        page.go_on(metric);
    }
}

fn sent(
    page: &mut Page,
    topic: &str,
    series: &TopicSeries,
    write: impl Fn(&mut Page, &[(&str, &str)], &crate::shard::usage::Sizes),
) {
    for (kind, sizes) in &series.sent {
        let labels = [
            ("topic", topic),
            ("message_type", kind.name()),
            ("is_system", is_system_topic(topic)),
        ];
        write(page, &labels, sizes);
    }
}

/// What a metric tells of a group in a topic.
type OfGroup = fn(&GroupSeries) -> u64;
/// What one tells of how far a group is, at a time.
type OfLag = fn(&LagRow, i64) -> Option<u64>;

async fn write_groups<R: Runtime, S: Stream>(
    control: &Rc<Control<R>>,
    style: &Arc<Style>,
    out: &mut Out<'_, R, S>,
) -> Result<(), Gone> {
    let families: [(&'static Metric, OfGroup); 3] = [
        (&MESSAGES_OUT, |series| series.messages),
        (&THROUGHPUT_OUT, |series| series.bytes),
        (&DEAD_LETTERS, |series| series.dead),
    ];
    for (metric, value) in families {
        let is_dead = metric.name == DEAD_LETTERS.name;
        let mut last: Option<Pair> = None;
        loop {
            let some = control.series.borrow().pairs(last.as_ref(), SLICE_ROWS);
            let (is_first, is_last) = (last.is_none(), some.len() < SLICE_ROWS);
            if let Some((pair, _)) = some.last() {
                last = Some(pair.clone());
            }
            out.part(style, move |page| {
                begin(page, metric, is_first);
                for ((topic, group), series) in &some {
                    // Who gives up nothing has no series of it, and who only gives up no others.
                    if is_dead == (series.dead > 0) || (!is_dead && series.messages > 0) {
                        let labels = [
                            ("consumer_group", &**group),
                            ("topic", topic),
                            ("is_system", is_system(topic, group)),
                        ];
                        page.sample(&labels, value(series));
                    }
                }
            })
            .await?;
            if is_last {
                break;
            }
        }
    }
    Ok(())
}

async fn write_lags<R: Runtime, S: Stream>(
    control: &Rc<Control<R>>,
    style: &Arc<Style>,
    out: &mut Out<'_, R, S>,
    lags: Arc<[LagRow]>,
) -> Result<(), Gone> {
    let now = control.shard.runtime.now_ms();
    let families: [(&'static Metric, OfLag); 5] = [
        (&LAG_MESSAGES, |(_, lag), _| Some(lag.behind)),
        (&INFLIGHT, |(_, lag), _| Some(lag.inflight)),
        (&READY, |(_, lag), _| Some(lag.ready)),
        (&LAG_LATENCY, |(_, lag), now| age(lag.behind, lag.unconfirmed_ms, now)),
        (&QUEUEING_LATENCY, |(_, lag), now| age(lag.ready, lag.unpulled_ms, now)),
    ];
    for (metric, value) in families {
        for from in (0..lags.len().max(1)).step_by(4 * SLICE_ROWS) {
            let lags = lags.clone();
            out.part(style, move |page| {
                begin(page, metric, from == 0);
                for row in lags.iter().skip(from).take(4 * SLICE_ROWS) {
                    let (group, topic) = &row.0;
                    let labels = [
                        ("consumer_group", &**group),
                        ("topic", topic),
                        ("is_retry", "false"),
                        ("is_system", is_system(topic, group)),
                    ];
                    if let Some(value) = value(row, now) {
                        page.sample(&labels, value);
                    }
                }
            })
            .await?;
        }
    }
    Ok(())
}

/// Milliseconds since then; 0 without such a message, `None` if nobody knows.
fn age(messages: u64, since: Option<i64>, now: i64) -> Option<u64> {
    match (messages, since) {
        (0, _) => Some(0),
        (_, Some(since)) => Some(u64::try_from(now - since).unwrap_or(0)),
        (_, None) => None,
    }
}
