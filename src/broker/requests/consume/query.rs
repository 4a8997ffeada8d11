//! Messages by key: QUERY_MESSAGE (12). The queues of a topic are in several logs, so every shard
//! is asked; the newest messages of all answers go to the client, in the order of their storing.

use std::rc::Rc;

use ringmq_base::{PhysicalOffset, limits::FRAME_BYTES_MAX};
use ringmq_io::Runtime;
use ringmq_remoting::{
    codes::response,
    headers::consume::{QueryMessageRequestHeader, QueryMessageResponseHeader},
};
use ringmq_store::{KeyMatch, KeyQuery};

use crate::{
    requests::{Handled, Request, Response},
    shard::Shard,
};
use ringmq_rules::refusal::Refusal;

/// Most messages of an answer. Source: `maxMsgsNumBatch` of the Java broker.
const MESSAGES_MAX: usize = 64;
/// Bytes of records in an answer: a frame with room for its header.
const BYTES_MAX: usize = FRAME_BYTES_MAX - 64 * 1024;

/// What every shard is asked.
#[derive(Clone, Debug)]
pub struct Lookup {
    pub topic: String,
    pub key: String,
    /// Store times in milliseconds since 1970, both included.
    pub begin_ms: i64,
    pub end_ms: i64,
    pub messages_max: usize,
}

/// What the logs of a shard, or of all, have.
#[derive(Debug, Default)]
pub struct LookedUp {
    pub matches: Vec<KeyMatch>,
    /// The newest message in an index, whatever its key: offset and store time.
    pub newest: Option<(PhysicalOffset, i64)>,
    /// Why messages may be missing.
    pub doubt: Option<String>,
}

impl LookedUp {
    fn add(&mut self, other: LookedUp, messages_max: usize) {
        self.matches.extend(other.matches);
        let newest_first = |one: &KeyMatch| (-one.store_timestamp, -one.physical.get());
        self.matches.sort_by_key(newest_first);
        let mut bytes = 0;
        let mut kept = 0;
        for one in self.matches.iter().take(messages_max) {
            bytes += one.record.len();
            if kept > 0 && bytes > BYTES_MAX {
                break;
            }
            kept += 1;
        }
        self.matches.truncate(kept);
        let time = |newest: &Option<(PhysicalOffset, i64)>| newest.map(|(_, time)| time);
        if time(&other.newest) > time(&self.newest) {
            self.newest = other.newest;
        }
        self.doubt = self.doubt.take().or(other.doubt);
    }
}

pub async fn by_key<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let wanted = QueryMessageRequestHeader::decode(&request.header.fields)?;
    let messages_max = if wanted.unique_key_query == Some(true) {
        shard.live().config.default_query_max_num as usize
    } else {
        usize::try_from(wanted.max_num).unwrap_or(0)
    };
    let messages_max = messages_max.min(MESSAGES_MAX);
    let lookup = Lookup {
        topic: wanted.topic,
        key: wanted.key,
        begin_ms: wanted.begin_timestamp,
        end_ms: wanted.end_timestamp,
        messages_max,
    };
    let mut all = LookedUp::default();
    // One after the other, so that there are the answers of two shards at most in memory.
    for owner in shard.all_shards() {
        let lookup = lookup.clone();
        let look_up = async move |shard: Rc<Shard<R>>| look_up(&shard, &lookup).await;
        all.add(shard.call(owner, look_up).await?, messages_max);
    }
    answer(all)
}

fn answer(found: LookedUp) -> Handled {
    let (offset, time) = found.newest.map_or((0, 0), |(offset, time)| (offset.get(), time));
    let header = QueryMessageResponseHeader {
        index_last_update_timestamp: time,
        index_last_update_phyoffset: offset,
    };
    let mut response = Response::with_fields(&header.encode());
    match found.doubt {
        // Not to be found may be wrong then.
        Some(doubt) if found.matches.is_empty() => return Err(Refusal::system_error(doubt)),
        None if found.matches.is_empty() => {
            response.code = response::QUERY_NOT_FOUND;
            let remark = "can not find message, maybe time range not correct";
            response.remark = Some(remark.to_owned());
        }
        _ => {
            for one in found.matches.iter().rev() {
                response.body.extend_from_slice(&one.record);
            }
        }
    }
    Ok(response)
}

/// Looks in the logs of this shard.
async fn look_up<R: Runtime>(shard: &Shard<R>, lookup: &Lookup) -> Result<LookedUp, Refusal> {
    let query = KeyQuery {
        topic: &lookup.topic,
        key: &lookup.key,
        begin_ms: lookup.begin_ms,
        end_ms: lookup.end_ms,
        messages_max: lookup.messages_max,
        bytes_max: BYTES_MAX,
    };
    let mut all = LookedUp::default();
    for log in shard.queues.own_logs() {
        let found = log.query(&query).await;
        let found = found.map_err(|error| Refusal::system_error(error.to_string()))?;
        let doubt = match found.damage {
            Some(damage) => Some(damage.to_string()),
            None if found.cut => Some(
                "the search was given up because it had read too much; narrow the time range"
                    .to_owned(),
            ),
            None => None,
        };
        let found = LookedUp { matches: found.matches, newest: found.newest, doubt };
        all.add(found, lookup.messages_max);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use ringmq_base::{LogId, LogPosition};

    use super::*;

    fn found(log: u16, times: &[i64]) -> LookedUp {
        let log = LogId::new(log).expect("in range");
        let matches = times.iter().map(|time| KeyMatch {
            physical: PhysicalOffset::new(log, LogPosition(time.cast_unsigned() * 8)),
            store_timestamp: *time,
            record: vec![*time as u8; 10],
        });
        let matches: Vec<_> = matches.collect();
        let newest = matches.first().map(|one| (one.physical, one.store_timestamp));
        LookedUp { matches, newest, doubt: None }
    }

    #[test]
    fn the_newest_of_all_logs_are_answered_in_their_order() {
        let mut all = LookedUp::default();
        all.add(found(0, &[9, 5, 1]), 4);
        all.add(found(1, &[]), 4);
        all.add(found(2, &[8, 7, 6]), 4);
        let times: Vec<_> = all.matches.iter().map(|one| one.store_timestamp).collect();
        assert_eq!(times, [9, 8, 7, 6]);
        let response = answer(all).expect("found");
        assert_eq!(response.code, response::SUCCESS);
        assert_eq!(response.body, [[6; 10], [7; 10], [8; 10], [9; 10]].concat());
        assert_eq!(response.fields[0].1, crate::requests::Field::Int(9));
        assert_eq!(response.fields[1].1, crate::requests::Field::Int(72));
    }

    #[test]
    fn an_answer_fits_into_a_frame() {
        let mut all = LookedUp::default();
        let mut large = found(0, &[3, 2, 1]);
        large.matches.iter_mut().for_each(|one| one.record = vec![0; BYTES_MAX / 2]);
        all.add(large, 64);
        assert_eq!(all.matches.len(), 2);
        let mut huge = found(0, &[9]);
        huge.matches[0].record = vec![0; BYTES_MAX + 1];
        all.add(huge, 64);
        assert_eq!(all.matches.len(), 1);
    }

    #[test]
    fn nothing_found_is_told_as_java_does_unless_it_is_in_doubt() {
        let response = answer(LookedUp::default()).expect("an answer");
        assert_eq!(response.code, response::QUERY_NOT_FOUND);
        let remark = "can not find message, maybe time range not correct";
        assert_eq!(response.remark.as_deref(), Some(remark));
        let doubt = Some("damaged".to_owned());
        let refusal = answer(LookedUp { doubt, ..LookedUp::default() }).expect_err("in doubt");
        assert_eq!(refusal.code, response::SYSTEM_ERROR);
    }
}
