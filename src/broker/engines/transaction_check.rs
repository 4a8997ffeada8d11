//! Transactions as time passes: which are decided is read at the start, and producers are asked for
//! those that are not, in sweeps over the half messages of a log; those that were asked for too
//! often, or are too old, are given up.
//!
//! Memory: a bit for each half behind the oldest undecided one, the times of the last sweeps, and
//! what is asked for at one time.

mod ask;
mod recover;

use std::{
    collections::BTreeMap,
    rc::{Rc, Weak},
    time::Duration,
};

use futures_util::future::{LocalBoxFuture, join_all};
use ringmq_base::{LogId, LogPosition, record::Record};
use ringmq_io::{Runtime, Shares};
use ringmq_rules::{
    meta::MetaChange,
    refusal::{Refusal, code},
    topic::CHECKED_OUT_TOPIC,
    transaction::{CheckStep, Checked, Decision, Half, Sweep, step},
};
use ringmq_store::{Entry, QueueHandle};

use self::ask::Question;
use crate::shard::{BrokerLog, Shard, held_messages::HeldMessages, lookups::position_of};

pub use recover::repair;

/// Halves that are looked at side by side, as long as they have no more bytes than that together.
const WINDOW: usize = 128;
const WINDOW_BYTES: u64 = 4 << 20;
/// Pause between two windows: clients get no more than some 100,000 questions a second.
const PAUSE: Duration = Duration::from_millis(1);

/// Starts a task for each log of this shard. [`repair`] comes before.
pub fn start<R: Runtime>(shard: &Rc<Shard<R>>) {
    for log in shard.queues.own_logs().map(|log| log.sink().log) {
        let own = shard.clone();
        shard.runtime.spawn(Shares::Admin, "transactions", async move {
            if let Err(refusal) = serve(&own, log).await {
                tracing::error!(%log, %refusal, "transactions of a log are not checked");
            }
        });
    }
    let held = UndecidedHalves { shard: Rc::downgrade(shard) };
    shard.held_messages.borrow_mut().push(Rc::new(held));
}

/// What retention must not delete: half messages that are undecided. What ends them lies behind
/// them.
struct UndecidedHalves<R: Runtime> {
    shard: Weak<Shard<R>>,
}

impl<R: Runtime> HeldMessages for UndecidedHalves<R> {
    fn first_held(self: Rc<Self>) -> LocalBoxFuture<'static, BTreeMap<LogId, LogPosition>> {
        Box::pin(async move {
            let mut held = BTreeMap::new();
            let Some(shard) = self.shard.upgrade() else {
                return held;
            };
            for log in shard.queues.own_logs() {
                let id = log.sink().log;
                let Ok(queue) = shard.half_queue(id) else {
                    continue;
                };
                let first = shard.transactions.with(id, |own| own.halves.first());
                if let Some(position) = position_of(log, queue, first).await {
                    held.insert(id, position);
                }
            }
            held
        })
    }
}

/// Looks after the transactions of a log as long as the shard runs.
async fn serve<R: Runtime>(shard: &Rc<Shard<R>>, id: LogId) -> Result<(), Refusal> {
    let log = shard.queues.log(id).ok_or_else(|| Refusal::system_error("no log of this shard"))?;
    let queue = shard.half_queue(id)?;
    recover::read_decisions(shard, log, queue).await?;
    shard.transactions.set_ready(id);
    let durable = shard.transactions.with(id, |own| own.halves.first());
    let mut sweeps = Sweeper { shard: shard.clone(), id, queue, durable };
    while !shard.stopping.get() {
        let interval_ms = shard.live().config.transaction_check_interval_ms;
        shard.runtime.sleep(Duration::from_millis(interval_ms)).await;
        sweeps.sweep(log).await;
    }
    Ok(())
}

/// Sweeps over the half messages of one log.
struct Sweeper<R: Runtime> {
    shard: Rc<Shard<R>>,
    id: LogId,
    queue: QueueHandle,
    /// The first half that may be undecided, as the metadata has it, or less.
    durable: i64,
}

/// What became of the halves of a sweep.
#[derive(Default)]
struct Counts {
    asked: u64,
    /// Nobody could be asked for them.
    alone: u64,
    given_up: u64,
    failed: u64,
}

impl<R: Runtime> Sweeper<R> {
    async fn sweep(&mut self, log: &BrokerLog<R>) {
        let now = self.shard.runtime.now_ms();
        let (min, end) = log.bounds(self.queue);
        let own = &self.shard.transactions;
        own.with(self.id, |own| own.halves.skip_to(min.min(end)));
        if own.with(self.id, |own| own.halves.undecided(end)) == 0 {
            let cleared = own.with(self.id, |own| own.sweeps.clear());
            if cleared || own.with(self.id, |own| own.halves.first()) != self.durable {
                self.persist(log).await;
            }
            return;
        }
        let (mut counts, mut at) = (Counts::default(), min);
        while !self.shard.stopping.get() {
            let window = self.window(log, at, end).await;
            let Some((last, _)) = window.last() else {
                break;
            };
            at = last + 1;
            let looks = window.iter().filter_map(|(offset, entry)| Some((*offset, (*entry)?)));
            let looks = looks.map(|(offset, entry)| self.look(log, offset, entry, now));
            let mut questions = Vec::new();
            for outcome in join_all(looks).await {
                match outcome {
                    Outcome::Nothing => {}
                    Outcome::Ask(question) => questions.push(question),
                    Outcome::GivenUp => counts.given_up += 1,
                    Outcome::Failed => counts.failed += 1,
                }
            }
            let all = questions.len() as u64;
            let alone = ask::ask(&self.shard, questions).await;
            counts.asked += all - alone;
            counts.alone += alone;
            self.shard.runtime.sleep(PAUSE).await;
        }
        let most = self.shard.live().transactions.checks_max;
        own.with(self.id, |own| own.sweeps.add(Sweep { at: now, end }, most));
        self.note(&counts);
        self.persist(log).await;
    }

    /// The next undecided halves that are looked at together, and their entries if they are due.
    async fn window(&self, log: &BrokerLog<R>, from: i64, end: i64) -> Vec<(i64, Option<Entry>)> {
        let (mut window, mut bytes, mut at) = (Vec::new(), 0, from);
        let now = self.shard.runtime.now_ms();
        let next =
            |at| self.shard.transactions.with(self.id, |own| own.halves.next_undecided(at, end));
        while window.len() < WINDOW
            && let Some(offset) = next(at)
        {
            let entry = match log.entry(self.queue, offset).await {
                Ok(entry) => entry.filter(|entry| entry.tags_code <= now),
                Err(error) => {
                    tracing::warn!(log = %self.id, offset, %error, "a half message is not found");
                    None
                }
            };
            let size = entry.map_or(0, |entry| u64::from(entry.size));
            if bytes + size > WINDOW_BYTES && bytes > 0 {
                break;
            }
            bytes += size;
            window.push((offset, entry));
            at = offset + 1;
        }
        window
    }

    /// Finds out what is to be done about a half, and gives it up if that is it.
    async fn look(&self, log: &BrokerLog<R>, offset: i64, entry: Entry, now: i64) -> Outcome {
        let mut checked = Checked { offset, check_from: entry.tags_code, stored_at: None };
        let step = |checked: &Checked| {
            let rules = &self.shard.live().transactions;
            self.shard.transactions.with(self.id, |own| step(rules, checked, &own.sweeps, now))
        };
        let bytes = match log.read_record(entry.physical).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Outcome::Nothing,
            Err(error) => return self.unreadable(&checked, step(&checked), &error).await,
        };
        let record = match Record::decode(&bytes) {
            Ok(record) => record,
            Err(error) => return self.unreadable(&checked, step(&checked), &error).await,
        };
        let half = match Half::of(&record) {
            Ok(half) => half,
            Err(error) => return self.unreadable(&checked, step(&checked), &error).await,
        };
        checked.stored_at = Some(record.store_timestamp);
        match step(&checked) {
            CheckStep::NotYet => Outcome::Nothing,
            CheckStep::GiveUp => self.give_up(&half).await,
            CheckStep::Check { times } => Outcome::Ask(Question::of(&self.shard, &half, times)),
        }
    }

    async fn give_up(&self, half: &Half<'_>) -> Outcome {
        let logs = i32::from(self.shard.queues.log_count());
        let topic = self.shard.ensure_internal_topic(CHECKED_OUT_TOPIC, logs, 0).await;
        let given_up = match topic {
            Ok(_) => self.shard.decide(self.id, half, Decision::GiveUp).await,
            Err(refusal) => Err(refusal),
        };
        match given_up {
            Ok(()) => Outcome::GivenUp,
            // Somebody was faster.
            Err(_) if self.is_decided(half.record.queue_offset) => Outcome::Nothing,
            // With what is added it fits nowhere: better lost than in the way for ever.
            Err(refusal) if refusal.code == code::MESSAGE_ILLEGAL => {
                self.drop_half(half.record.queue_offset, &refusal).await
            }
            Err(_) => Outcome::Failed,
        }
    }

    /// A half that cannot be read is dropped when it would be given up: nobody can commit it.
    #[cold]
    async fn unreadable(
        &self,
        half: &Checked,
        step: CheckStep,
        error: &dyn std::fmt::Display,
    ) -> Outcome {
        let (log, offset) = (self.id, half.offset);
        tracing::error!(%log, offset, %error, "a half message cannot be read");
        if step != CheckStep::GiveUp {
            return Outcome::Failed;
        }
        self.drop_half(offset, error).await
    }

    #[cold]
    async fn drop_half(&self, offset: i64, error: &dyn std::fmt::Display) -> Outcome {
        let dropped = self.shard.drop_half(self.id, offset).await;
        let log = self.id;
        match dropped {
            Ok(()) => {
                tracing::error!(%log, offset, %error, "a half message is given up and is nowhere");
                Outcome::GivenUp
            }
            Err(_) => Outcome::Failed,
        }
    }

    fn is_decided(&self, half: i64) -> bool {
        self.shard.transactions.with(self.id, |own| own.halves.is_decided(half))
    }

    fn note(&self, counts: &Counts) {
        let Counts { asked, alone, given_up, failed } = *counts;
        let log = self.id;
        if given_up > 0 {
            tracing::info!(
                %log, given_up,
                "transactions were checked too often or are too old: their messages are in \
                 {CHECKED_OUT_TOPIC}"
            );
        }
        if failed > 0 {
            tracing::error!(%log, failed, "transactions could not be checked or given up");
        }
        tracing::debug!(%log, asked, alone, "producers were asked for transactions");
    }

    /// Makes durable how far the decisions go and when the sweeps were. Nothing depends on it but
    /// how much a start reads, and the count of checks.
    async fn persist(&mut self, log: &BrokerLog<R>) {
        let first = self.shard.transactions.with(self.id, |own| own.halves.first());
        let change = self.shard.transactions.with(self.id, |own| MetaChange::Transactions {
            log: self.id.get(),
            first,
            sweeps: own.sweeps.to_vec(),
        });
        // A power cut must not take back decisions, or halves, that the metadata counts on.
        if log.synced().await.is_err() {
            return;
        }
        match self.shard.persist(vec![change]).await {
            Ok(()) => self.durable = first,
            Err(not_written) => {
                let (log, why) = (self.id, not_written.refusal);
                tracing::warn!(%log, %why, "how far transactions are decided is not durable");
            }
        }
    }
}

/// What became of a half.
enum Outcome {
    Nothing,
    Ask(Question),
    GivenUp,
    Failed,
}
