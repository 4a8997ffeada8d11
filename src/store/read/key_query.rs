//! Messages of a log by topic and key: candidates from the key index, each held against its
//! message.

use ringmq_base::{LogPosition, PhysicalOffset, record::Record};
use ringmq_io::Runtime;

use crate::{
    api::{errors::ReadError, options::Sink},
    keys::{Search, Wanted, Words, hash_of},
    log::Log,
};

/// Pages that one query reads at most (16 MiB), so that it ends whatever is in the index.
const PAGES_MAX: u32 = 4096;
/// Messages that one query looks at for each one that it may bring: with 64-bit hashes only those
/// at the edges of the time range are looked at in vain.
const LOOKS_PER_MESSAGE: usize = 16;

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct KeyQuery<'a> {
    pub topic: &'a str,
    /// A unique id or a word of the user's keys.
    pub key: &'a str,
    /// Store times in milliseconds since 1970, both included.
    pub begin_ms: i64,
    pub end_ms: i64,
    /// Most messages and most bytes of records; the first message comes however large it is.
    pub messages_max: usize,
    pub bytes_max: usize,
}

/// A message that a query found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMatch {
    pub physical: PhysicalOffset,
    pub store_timestamp: i64,
    pub record: Vec<u8>,
}

#[derive(Debug, Default)]
pub struct KeyAnswer {
    /// Newest first.
    pub matches: Vec<KeyMatch>,
    /// The newest message in the index of this log, whatever its key: offset and store time.
    pub newest: Option<(PhysicalOffset, i64)>,
    /// Damage on the way: messages may be missing.
    pub damage: Option<ReadError>,
    /// Given up before the end: the query has read as much as one may.
    pub cut: bool,
}

impl<R: Runtime, S: Sink> Log<R, S> {
    /// The newest visible messages of a topic with a key. Fails if the disk does; damage is told
    /// in the answer.
    pub async fn query(&self, query: &KeyQuery<'_>) -> Result<KeyAnswer, ReadError> {
        let mut answer = KeyAnswer::default();
        let (mut search, log) = self.begin_search(query, &mut answer);
        let mut looks = query.messages_max.saturating_mul(LOOKS_PER_MESSAGE);
        let mut bytes = 0;
        'search: while answer.matches.len() < query.messages_max && looks > 0 {
            let missing = query.messages_max - answer.matches.len();
            let candidates = search.next(missing.min(looks)).await?;
            if candidates.is_empty() {
                break;
            }
            looks = looks.saturating_sub(candidates.len());
            for position in candidates {
                let physical = PhysicalOffset::new(log, LogPosition(position));
                let record = match self.read_record(physical).await {
                    Ok(Some(record)) => record,
                    Ok(None) | Err(ReadError::Removed { .. }) => continue,
                    Err(error @ ReadError::Disk(_)) => return Err(error),
                    Err(damage) => {
                        answer.damage = Some(damage);
                        continue;
                    }
                };
                let store_timestamp = match matching(&record, query) {
                    Found::Match(store_timestamp) => store_timestamp,
                    // Behind it are only older ones.
                    Found::Older => break 'search,
                    Found::Other => continue,
                };
                if !answer.matches.is_empty() && bytes + record.len() > query.bytes_max {
                    break 'search;
                }
                bytes += record.len();
                answer.matches.push(KeyMatch { physical, store_timestamp, record });
            }
        }
        let missing = answer.matches.len() < query.messages_max;
        answer.cut = missing && (search.is_cut() || looks == 0);
        if let Some(damage) = search.damage {
            answer.damage = Some(damage);
        }
        Ok(answer)
    }

    /// Takes memory and runs together, as they are now.
    fn begin_search(
        &self,
        query: &KeyQuery<'_>,
        answer: &mut KeyAnswer,
    ) -> (Search<R>, ringmq_base::LogId) {
        let state = self.shared.state.borrow();
        let wanted = Wanted {
            hash: hash_of(query.topic, query.key.as_bytes()),
            before: state.committed,
            begin_ms: query.begin_ms,
            end_ms: query.end_ms,
        };
        let (position, time) = state.keys.newest();
        if position > 0 && position < state.committed {
            answer.newest = Some((PhysicalOffset::new(state.log, LogPosition(position)), time));
        }
        let in_memory_max = query.messages_max.saturating_mul(LOOKS_PER_MESSAGE);
        let runs = self.shared.key_files.runs();
        (Search::new(wanted, &state.keys, runs, in_memory_max, PAGES_MAX), state.log)
    }
}

enum Found {
    /// The message wanted, with its store time.
    Match(i64),
    /// One from before the times.
    Older,
    Other,
}

fn matching(record: &[u8], query: &KeyQuery<'_>) -> Found {
    let Ok(record) = Record::decode(record) else {
        return Found::Other;
    };
    if record.store_timestamp < query.begin_ms {
        return Found::Older;
    }
    let fits = record.topic == query.topic
        && record.store_timestamp <= query.end_ms
        && Words::of(record.properties).contains(query.key.as_bytes());
    if fits { Found::Match(record.store_timestamp) } else { Found::Other }
}
