//! A slave's side: each log dials the master, takes what that has, and is cut where the master goes
//! on otherwise.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use futures_lite::future;
use ringmq_base::{LogId, LogPosition};
use ringmq_io::{Net, Runtime, Shares, Stream, signal::Event};
use ringmq_replication::{
    Epoch,
    streams::{FrameReader, GoOn, LogFacts, StreamError, connect, dial, receive},
};
use ringmq_store::{LogError, RawError};

use super::{
    own::Own,
    reopening::{Remedy, reopen},
};
use crate::{
    control::Control,
    messages::StoreFacts,
    replication::master,
    shard::{
        BrokerLog, Shard,
        copies::{Dialled, FollowedFacts, FollowerFacts, Streams},
    },
};

/// The first pause before the master is dialled again, and the longest: doubled ones between.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// The same where somebody has to do something first, and how often that is said.
const AGAIN_LATER: Duration = Duration::from_secs(60);
/// How soon segments are given up again that could not go.
const RETIRE_AGAIN: Duration = Duration::from_secs(10);

/// The logs of a shard of a slave; their tasks have them.
struct Slaves<R: Runtime> {
    logs: Vec<Weak<Followed<R>>>,
}

/// A log that follows.
struct Followed<R: Runtime> {
    shard: Rc<Shard<R>>,
    own: Rc<Own>,
    id: LogId,
    store: StoreFacts,
    /// Where the master's log begins.
    master_first: Cell<LogPosition>,
    retires: Event,
    state: RefCell<State>,
    said: Rc<RefCell<Said>>,
}

#[derive(Clone, Default)]
struct State {
    master: Option<SocketAddr>,
    since_ms: i64,
    trouble: Option<Arc<str>>,
}

/// What was complained of last by a log of the shard: all of them tend to have the same trouble.
#[derive(Default)]
struct Said {
    sentence: String,
    at: Duration,
}

impl Said {
    /// Whether it was not said lately. It is then.
    fn is_news(&mut self, sentence: &str, now: Duration) -> bool {
        let is_news = self.sentence != sentence || now.saturating_sub(self.at) >= AGAIN_LATER;
        if is_news {
            *self = Said { sentence: sentence.to_owned(), at: now };
        }
        is_news
    }
}

/// Why a log is on no connection any more.
enum Ended {
    Stream(StreamError),
    Needs(Remedy),
    /// The master's log begins there, behind the end of this one.
    Removed {
        first: u64,
    },
    /// The master is elsewhere now.
    Moved,
}

impl<E: Into<StreamError>> From<E> for Ended {
    fn from(error: E) -> Ended {
        Ended::Stream(error.into())
    }
}

/// Has the logs of this shard follow.
pub fn begin<R: Runtime>(shard: &Rc<Shard<R>>, own: &Rc<Own>, store: StoreFacts) {
    let said = Rc::default();
    let ids: Vec<_> = shard.queues.own_logs().map(|log| log.id()).collect();
    let followed = ids.into_iter().map(|id| {
        Rc::new(Followed {
            shard: shard.clone(),
            own: own.clone(),
            id,
            store,
            master_first: Cell::new(LogPosition(0)),
            retires: Event::default(),
            state: RefCell::default(),
            said: Rc::clone(&said),
        })
    });
    let logs: Vec<_> = followed.collect();
    for log in &logs {
        let (follows, retires) = (log.clone(), log.clone());
        shard.runtime.spawn(Shares::Foreground, "a log follows", async move {
            follows.follow().await;
        });
        shard.runtime.spawn(Shares::Background, "old segments", async move {
            retires.retire().await;
        });
    }
    let slaves = Slaves { logs: logs.iter().map(Rc::downgrade).collect() };
    assert!(shard.log_copies.streams.set(Rc::new(slaves)).is_ok(), "logs follow once");
}

/// On the control shard of a slave: has the logs of all shards dial its master wherever that is.
pub fn tell_master<R: Runtime>(control: &Rc<Control<R>>) {
    let control = control.clone();
    let runtime = control.shard.runtime.clone();
    runtime.spawn(Shares::Admin, "where the master is", async move {
        let shard = &control.shard;
        while !shard.stopping.get() {
            let changed = master::changed(&control);
            let address = master::address(&control);
            let tell = async move |own: Rc<Shard<R>>| own.log_copies.master.set(address);
            shard.call_all(tell).await;
            changed.await;
        }
    });
}

impl<R: Runtime> Streams for Slaves<R> {
    /// Nobody follows a slave.
    fn take(&self, _: Dialled) {}

    fn followers(&self) -> Vec<FollowerFacts> {
        Vec::new()
    }

    fn followed(&self) -> Vec<FollowedFacts> {
        self.logs.iter().filter_map(Weak::upgrade).map(|log| log.facts()).collect()
    }
}

impl<R: Runtime> Followed<R> {
    fn log(&self) -> BrokerLog<R> {
        self.shard.queues.log(self.id).expect("a log of this shard").clone()
    }

    fn facts(&self) -> FollowedFacts {
        let (ends, state) = (self.log().ends(), self.state.borrow());
        FollowedFacts {
            log: self.id,
            master: state.master,
            end: ends.end,
            committed: ends.committed,
            since_ms: state.since_ms,
            trouble: state.trouble.clone(),
        }
    }

    /// Looks for the master for ever. Ends with the shard, or with a device that fails.
    async fn follow(&self) {
        let (shard, mut pause) = (&self.shard, AGAIN.0);
        while !shard.stopping.get() {
            if let Some(error) = self.log().failure() {
                return self.give_up(&error);
            }
            let changed = shard.log_copies.master.changed.wait();
            let Some(address) = shard.log_copies.master.get() else {
                changed.await;
                continue;
            };
            let moved = async {
                changed.await;
                Ended::Moved
            };
            let ended = future::or(self.take(&address), moved).await;
            if self.state.borrow().master.is_some() {
                pause = AGAIN.0;
            }
            if shard.stopping.get() {
                return;
            }
            let again = self.after(ended, &address).await.err().unwrap_or(pause);
            shard.runtime.sleep(again).await;
            pause = (pause * 2).min(AGAIN.1);
        }
    }

    /// One connection, to its end.
    async fn take(&self, address: &str) -> Ended {
        match self.take_or_fail(address).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn take_or_fail(&self, address: &str) -> Result<std::convert::Infallible, Ended> {
        let (runtime, log) = (&self.shard.runtime, self.log());
        let stream = self.reach(address).await?;
        let mut reader = FrameReader::new(&stream);
        let facts = LogFacts::of(&log).await?;
        let party = self.own.party(Epoch(log.epoch()));
        let with = (&stream, &mut reader);
        let (epoch, go_on, welcome) = dial(runtime, &log, &facts, &party, with).await?;
        match go_on {
            GoOn::AtEnd => {}
            GoOn::Truncate { to } => {
                return Err(Ended::Needs(Remedy::Cut { to, epoch }));
            }
            GoOn::Seed => return Err(Ended::Removed { first: welcome.first }),
        }
        let (peer, end) = (stream.peer(), facts.end);
        tracing::info!(log = %self.id, master = %peer, %epoch, end, "the log follows its master");
        self.note(Some(peer), None);
        let retire = |first| {
            self.master_first.set(first);
            self.retires.set();
        };
        let received = receive(runtime, &log, epoch, retire, (&stream, &mut reader)).await;
        match received {
            Ok(never) => match never {},
            Err(StreamError::Records(RawError::OtherSegment { known, named })) => {
                Err(Ended::Needs(Remedy::Segment { known, named, epoch }))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn reach(&self, address: &str) -> Result<<R::Net as Net>::Stream, StreamError> {
        let runtime = &self.shard.runtime;
        let mut last = StreamError::Closed;
        for found in runtime.net().look_up(address).await? {
            match connect(runtime, found).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// What is done before the master is dialled again. Fails with a longer pause until then.
    async fn after(&self, ended: Ended, address: &str) -> Result<(), Duration> {
        let id = self.id;
        let remedy = match ended {
            Ended::Moved => {
                self.note(None, None);
                return Ok(());
            }
            Ended::Needs(remedy) => remedy,
            Ended::Stream(error) => {
                self.complain(format!("the master at {address} is not followed: {error}"));
                return Ok(());
            }
            Ended::Removed { first } => {
                let end = self.log().ends().end;
                self.complain(format!(
                    "the master at {address} has given up what log {id} lacks here: it ends at \
                     {end} and the master's begins at {first}. To have a copy again, stop both, \
                     copy the master's store here without its file replica, and start both; from a \
                     master that runs this version cannot fill it"
                ));
                return Err(AGAIN_LATER);
            }
        };
        self.note(None, None);
        let reopened = reopen(&self.shard, id, self.store, remedy).await;
        reopened.map_err(|sentence| {
            self.complain(format!("log {id} does not go on as its master's does: {sentence}"));
            AGAIN_LATER
        })
    }

    fn give_up(&self, error: &LogError) {
        self.note(None, Some(error.to_string().into()));
        tracing::error!(log = %self.id, %error, "the log follows its master no more");
    }

    fn note(&self, master: Option<SocketAddr>, trouble: Option<Arc<str>>) {
        let since_ms = self.shard.runtime.now_ms();
        self.state.replace(State { master, since_ms, trouble });
    }

    /// Notes what went wrong; says so if nobody has lately.
    fn complain(&self, sentence: String) {
        let now = self.shard.runtime.monotonic();
        if self.said.borrow_mut().is_news(&sentence, now) {
            tracing::warn!(log = %self.id, "{sentence}");
        }
        self.note(None, Some(sentence.into()));
    }

    /// Gives up what the master has given up. Ends with the shard.
    async fn retire(&self) {
        let (shard, spares) = (&self.shard, self.shard.settings.config.spare_segments_max);
        while !shard.stopping.get() {
            self.retires.wait_and_clear().await;
            loop {
                let (log, before) = (self.log(), self.master_first.get());
                if log.position_range().0.position() >= before || shard.stopping.get() {
                    break;
                }
                match log.retire(before, spares as usize).await {
                    Ok(retired) if retired.segments > 0 => {
                        let (id, segments, bytes) = (self.id, retired.segments, retired.bytes);
                        tracing::info!(log = %id, segments, bytes, %before, "segments retired");
                    }
                    Ok(_) | Err(LogError::ShuttingDown) => shard.runtime.sleep(RETIRE_AGAIN).await,
                    Err(error) => {
                        tracing::warn!(log = %self.id, %error, "segments not retired");
                        break;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_logs_complain_of_is_said_once_and_each_minute() {
        let mut said = Said::default();
        let mut is_news = |sentence, second| said.is_news(sentence, Duration::from_secs(second));
        let heard: Vec<_> = [0, 1, 59, 60, 61, 120].map(|second| is_news("away", second)).into();
        assert_eq!(heard, [true, false, false, true, false, true]);
        assert!(is_news("another", 121) && is_news("away", 122));
    }
}
