//! What the broker says of itself: GET_BROKER_RUNTIME_INFO (28), GET_BROKER_CONFIG (26), and
//! UPDATE_BROKER_CONFIG (25).

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use ringmq_base::{
    config::{Table, properties},
    units::human_bytes,
};
use ringmq_io::{Disk, Runtime};
use ringmq_remoting::{body::KVTable, encode::VERSION, fastjson};

use super::{body::version, tool_keys};
use crate::{
    control::{
        Control,
        statistics::{self, ShardTotals},
    },
    requests::{Field, Handled, Request, Response},
};
use ringmq_rules::{
    delay_levels::schedule_queue,
    rates::{Rates, Totals},
    retention::disk::DiskUsage,
    topic::SCHEDULE_TOPIC,
    write_times::{RecentWrites, distribution},
};

/// The release whose behaviour RingMQ shows; goes with [`VERSION`].
const VERSION_NAME: &str = "V4_9_8";

pub async fn runtime_info<R: Runtime>(control: &Rc<Control<R>>, _: &Request<'_>) -> Handled {
    let shard = &control.shard;
    let mut table = BTreeMap::new();
    let mut put = |name: &str, value: String| table.insert(name.to_owned(), value);
    let settings = &shard.settings;
    let now = shard.runtime.now_ms();
    put("brokerVersion", VERSION.to_string());
    put("brokerVersionDesc", VERSION_NAME.to_owned());
    put("bootTimestamp", settings.boot_timestamp.to_string());
    put("runtime", uptime(now - settings.boot_timestamp));
    let start = shard.live().config.start_accept_send_request_time_stamp;
    put("startAcceptSendRequestTimeStamp", start.to_string());
    for name in COUNTS {
        put(name, "0".to_owned());
    }
    put("brokerActive", "true".to_owned());
    put_delays(control, &mut put).await;
    let all = statistics::all_totals(shard).await;
    put_totals(&mut put, &control.rates.borrow(), &all.totals, now);
    put_timers(&mut put, &control.rates.borrow(), &all, now);
    put_writes(&mut put, &control.recent_writes.borrow(), &all);
    put("consumerOffsetsNotDurableMillis", all.offsets_failing.as_millis().to_string());
    let (min, max) = all.range.unwrap_or_default();
    put("commitLogMinOffset", min.to_string());
    put("commitLogMaxOffset", max.to_string());
    let earliest = control.storage.earliest_ms.get().unwrap_or(-1);
    put("earliestMessageTimeStamp", earliest.to_string());
    if let Ok((free, total)) = shard.runtime.disk().space(&settings.log_path).await {
        let path = settings.log_path.clone();
        let ratio = DiskUsage { path, total, free }.ratio();
        put("commitLogDiskRatio", ratio.to_string());
        put(&format!("commitLogDiskRatio_{}", settings.log_path.display()), ratio.to_string());
        put("consumeQueueDiskRatio", ratio.to_string());
        let text = format!("Total : {}, Free : {}.", human_bytes(total), human_bytes(free));
        put("commitLogDirCapacity", text);
    }
    Ok(Response::with_body(fastjson::to_vec(&KVTable { table })))
}

/// "current,end" of each delay level that has delivered something.
async fn put_delays<R: Runtime, T>(control: &Control<R>, put: &mut impl FnMut(&str, String) -> T) {
    let shard = &control.shard;
    let Some(topic) = shard.topic(SCHEDULE_TOPIC) else {
        return;
    };
    let bounds = shard.bounds(&topic, 0..topic.topic.queues()).await;
    for (level, delivered) in control.metadata.delay_offsets() {
        let queue = schedule_queue(level);
        let end = bounds.iter().find(|bounds| bounds.queue_id == queue);
        let end = end.map_or(delivered, |bounds| bounds.max);
        put(&format!("scheduleMessageOffset_{level}"), format!("{delivered},{end}"));
    }
}

/// What a rate counts.
type Count = fn(&Totals) -> u64;

/// "a b c": averages over 10 s, 60 s and 600 s. Both spellings of the last are in use.
const RATES: [(&str, Count); 6] = [
    ("putTps", |all| all.puts),
    ("getTotalTps", |all| all.gets_found + all.gets_missed),
    ("getFoundTps", |all| all.gets_found),
    ("getMissTps", |all| all.gets_missed),
    ("getTransferedTps", |all| all.transferred),
    ("getTransferredTps", |all| all.transferred),
];

fn put_totals<T>(put: &mut impl FnMut(&str, String) -> T, rates: &Rates, all: &Totals, now: i64) {
    for (name, count) in RATES {
        let [ten, sixty, six_hundred] = rates.per_second(now, all, count);
        put(name, format!("{ten:.3} {sixty:.3} {six_hundred:.3}"));
    }
    let (today, yesterday) = (rates.today_morning(), rates.yesterday_morning());
    for (name, count) in [
        ("msgPutTotalYesterdayMorning", yesterday.puts),
        ("msgPutTotalTodayMorning", today.puts),
        ("msgPutTotalTodayNow", all.puts),
        ("msgGetTotalYesterdayMorning", yesterday.transferred),
        ("msgGetTotalTodayMorning", today.transferred),
        ("msgGetTotalTodayNow", all.transferred),
        ("putMessageTimesTotal", all.puts),
        ("putMessageFailedTimes", all.puts_failed),
        ("putMessageSizeTotal", all.put_bytes),
        ("scheduleMessagePassedOver", all.delayed_passed_over),
    ] {
        put(name, count.to_string());
    }
    put("putMessageAverageSize", average(all.put_bytes, all.puts));
}

/// Of messages with a time of their own; whole seconds behind, as in Java.
fn put_timers<T>(
    put: &mut impl FnMut(&str, String) -> T,
    rates: &Rates,
    all: &ShardTotals,
    now: i64,
) {
    let behind_ms = all.timers.next_due_ms.map_or(0, |due| (now - due).max(0));
    put("timerReadBehind", (behind_ms / 1000).to_string());
    put("timerOffsetBehind", all.timers.unread.to_string());
    put("timerCongestNum", all.timers.waiting.to_string());
    put("timerMemoryBytes", all.timers.bytes.to_string());
    let counts: [(&str, Count); 2] =
        [("timerEnqueueTps", |all| all.timers_read), ("timerDequeueTps", |all| all.timers_settled)];
    for (name, count) in counts {
        let [ten, ..] = rates.per_second(now, &all.totals, count);
        put(name, format!("{ten:.1}"));
    }
}

/// What RocketMQ measures of putting a message is here the write that it waits for.
fn put_writes<T>(
    put: &mut impl FnMut(&str, String) -> T,
    recent: &RecentWrites,
    all: &ShardTotals,
) {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let lately = recent.recent(&all.write_latency);
    put("putMessageEntireTimeMax", all.write_latency.longest().as_millis().to_string());
    put("putMessageDistributeTime", distribution(&lately));
    put("putLatency99", format!("{:.2}", ms(lately.quantile(0.99))));
    put("putLatency999", format!("{:.2}", ms(lately.quantile(0.999))));
    put("remainHowManyDataToFlush", human_bytes(all.queued.bytes));
}

/// Numbers that RingMQ has no counterpart of, or does not count.
const COUNTS: [&str; 23] = [
    "getMessageEntireTimeMax",
    "dispatchMaxBuffer",
    "dispatchBehindBytes",
    "pageCacheLockTimeMills",
    "remainTransientStoreBufferNumbs",
    "remainHowManyDataToCommit",
    "sendThreadPoolQueueSize",
    "sendThreadPoolQueueCapacity",
    "sendThreadPoolQueueHeadWaitTimeMills",
    "pullThreadPoolQueueSize",
    "pullThreadPoolQueueCapacity",
    "pullThreadPoolQueueHeadWaitTimeMills",
    "litePullThreadPoolQueueSize",
    "litePullThreadPoolQueueCapacity",
    "litePullThreadPoolQueueHeadWaitTimeMills",
    "queryThreadPoolQueueSize",
    "queryThreadPoolQueueCapacity",
    "queryThreadPoolQueueHeadWaitTimeMills",
    "ackThreadPoolQueueSize",
    "ackThreadPoolQueueCapacity",
    "ackThreadPoolQueueHeadWaitTimeMills",
    "EndTransactionQueueSize",
    "EndTransactionThreadPoolQueueCapacity",
];

fn average(bytes: u64, messages: u64) -> String {
    format!("{:.1}", if messages == 0 { 0.0 } else { bytes as f64 / messages as f64 })
}

fn uptime(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    format!(
        "[ {} days, {} hours, {} minutes, {} seconds ]",
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}

pub async fn config<R: Runtime>(control: &Rc<Control<R>>, _: &Request<'_>) -> Handled {
    let shard = &control.shard;
    let current = version(control.tables.borrow().topics.version());
    let version = String::from_utf8(fastjson::to_vec(&current)).unwrap_or_default();
    let config = &shard.live().config;
    let mut text = config.to_properties();
    text.push_str(&tool_keys::lines(shard.router.shards(), config.tls_enable));
    Ok(Response {
        fields: vec![("version", Field::Text(version))],
        body: text.into_bytes(),
        ..Response::default()
    })
}

/// All keys that the body names change, or none.
pub async fn update_config<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    control.change_keys(&properties::decode(request.body)).await?;
    Ok(Response::ok())
}
