//! Who reads a log from front to back, and how far ahead to read for them. Pure: positions in,
//! ranges out.
//!
//! A reader is known by the place where its last read ended. The first read of a stream fetches
//! nothing ahead; the second one 64 KiB, and every further range is twice as large, up to 1 MiB. A
//! range that was gone again when its reader came, or that the reader jumped over, halves the next.

use std::time::Duration;

use super::LOG_BLOCK_BYTES;

const WINDOW_BYTES_MIN: u64 = 64 << 10;
const WINDOW_BYTES_MAX: u64 = 1 << 20;
/// A reader may step back so far (the block is still there) or skip so much (the messages of other
/// queues) and is the same stream.
const BACK_BYTES: u64 = LOG_BLOCK_BYTES;
const GAP_BYTES: u64 = 128 << 10;
const STREAMS_MAX: usize = 64;
/// A reader that has paused for so long begins anew.
const IDLE: Duration = Duration::from_secs(2);

struct Stream {
    id: u64,
    /// Where the reader is, and up to where was read ahead for it.
    next: u64,
    ahead: u64,
    /// Size of the last range read ahead; 0 before the first.
    window: u64,
    /// A range is under way.
    flying: bool,
    used: Duration,
}

impl Stream {
    fn distance(&self, from: u64) -> Option<u64> {
        let near = from.saturating_add(BACK_BYTES) >= self.next
            && from <= self.ahead.saturating_add(GAP_BYTES);
        near.then(|| from.abs_diff(self.next))
    }
}

/// What a read means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The read goes on where another one ended.
    pub sequential: bool,
    pub ahead: Option<Ahead>,
}

/// A range to fetch for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    pub stream: u64,
    pub from: u64,
    pub bytes: u64,
}

/// The streams of a log, the recent ones.
pub struct Streams {
    streams: Vec<Stream>,
    ids: u64,
    budget: u64,
}

impl Streams {
    /// All streams together have about `budget` bytes read ahead.
    pub fn new(budget: u64) -> Streams {
        Streams { streams: Vec::new(), ids: 0, budget }
    }

    /// Takes note of a read of `from..end`. `missed`: not all of it was in memory or on its way.
    pub fn note(&mut self, from: u64, end: u64, missed: bool, now: Duration) -> Access {
        self.streams.retain(|stream| stream.flying || now.saturating_sub(stream.used) < IDLE);
        let share = self.budget / self.streams.len().max(1) as u64;
        let share = share.min(WINDOW_BYTES_MAX);
        let near = self.streams.iter_mut().filter_map(|one| Some((one.distance(from)?, one)));
        let Some((_, stream)) = near.min_by_key(|(distance, _)| *distance) else {
            self.add(end, now);
            return Access::default();
        };
        let lost = stream.window > 0 && (missed && end <= stream.ahead || from > stream.ahead);
        stream.next = stream.next.max(end);
        if lost {
            stream.ahead = stream.next;
        }
        stream.ahead = stream.ahead.max(stream.next);
        stream.used = now;
        let enough = stream.ahead - stream.next > stream.window / 2;
        if stream.flying || enough || share < LOG_BLOCK_BYTES {
            return Access { sequential: true, ahead: None };
        }
        let window = if lost { stream.window / 2 } else { stream.window * 2 };
        stream.window = window.max(WINDOW_BYTES_MIN).min(share);
        let ahead = Ahead { stream: stream.id, from: stream.ahead, bytes: stream.window };
        Access { sequential: true, ahead: Some(ahead) }
    }

    fn add(&mut self, end: u64, now: Duration) {
        if self.streams.len() >= STREAMS_MAX {
            let oldest = self.streams.iter().enumerate().min_by_key(|(_, stream)| stream.used);
            let oldest = oldest.map_or(0, |(at, _)| at);
            self.streams.swap_remove(oldest);
        }
        self.ids += 1;
        let id = self.ids;
        self.streams.push(Stream {
            id,
            next: end,
            ahead: end,
            window: 0,
            flying: false,
            used: now,
        });
    }

    /// Everything before `position` was fetched for the stream or is under way.
    pub fn fetched(&mut self, stream: u64, position: u64, flying: bool) {
        if let Some(stream) = self.streams.iter_mut().find(|one| one.id == stream) {
            stream.ahead = stream.ahead.max(position);
            stream.flying = flying;
        }
    }

    /// The range under way has come, or failed.
    pub fn ended(&mut self, stream: u64) {
        if let Some(stream) = self.streams.iter_mut().find(|one| one.id == stream) {
            stream.flying = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Reads `count` times `bytes` and says what was fetched ahead.
    fn sweep(streams: &mut Streams, from: &mut u64, bytes: u64, count: usize) -> Vec<u64> {
        let mut windows = Vec::new();
        for _ in 0..count {
            let access = streams.note(*from, *from + bytes, false, at(0));
            *from += bytes;
            if let Some(ahead) = access.ahead {
                assert!(ahead.from >= *from);
                streams.fetched(ahead.stream, ahead.from + ahead.bytes, true);
                streams.ended(ahead.stream);
                windows.push(ahead.bytes / KIB);
            }
        }
        windows
    }

    #[test]
    fn the_window_doubles_while_a_reader_goes_on() {
        let mut streams = Streams::new(8 << 20);
        let mut position = 1 << 30;
        let windows = sweep(&mut streams, &mut position, 16 * KIB, 300);
        assert_eq!(windows[..6], [64, 128, 256, 512, 1024, 1024]);
        assert!(windows.iter().skip(5).all(|window| *window == 1024));
    }

    #[test]
    fn random_reads_fetch_nothing_ahead() {
        let mut streams = Streams::new(8 << 20);
        for number in 0..1000_u64 {
            let from = number * 7919 % 1000 * (1 << 20);
            assert_eq!(streams.note(from, from + 5000, true, at(0)), Access::default());
        }
        assert_eq!(streams.streams.len(), STREAMS_MAX);
    }

    #[test]
    fn many_readers_are_told_apart_and_share_the_budget() {
        let mut streams = Streams::new(8 << 20);
        let mut positions: Vec<u64> = (0..20).map(|reader| reader << 30).collect();
        let mut last = vec![0; 20];
        for _ in 0..300 {
            for (reader, position) in positions.iter_mut().enumerate() {
                if let Some(window) = sweep(&mut streams, position, 16 * KIB, 1).last() {
                    last[reader] = *window;
                }
            }
        }
        let share = (8 << 10) / 20;
        assert!(last.iter().all(|window| *window == share), "{last:?}");
    }

    #[test]
    fn what_is_lost_or_skipped_halves_the_window() {
        let mut streams = Streams::new(8 << 20);
        let mut position = 0;
        sweep(&mut streams, &mut position, 16 * KIB, 300);
        let window = streams.streams[0].window;
        assert_eq!(window, 1 << 20);
        let access = streams.note(position, position + 4096, true, at(0));
        let ahead = access.ahead.expect("begins again behind the reader");
        assert_eq!((ahead.from, ahead.bytes), (position + 4096, 512 * KIB));
        streams.fetched(ahead.stream, ahead.from + ahead.bytes, false);
        let jump = streams.streams[0].ahead + 100 * KIB;
        let access = streams.note(jump, jump + 4096, true, at(0));
        assert_eq!(access.ahead.map(|ahead| ahead.bytes), Some(256 * KIB));
        assert_eq!(streams.streams.len(), 1);
    }

    #[test]
    fn one_range_at_a_time_and_a_small_budget_means_none() {
        let mut streams = Streams::new(8 << 20);
        streams.note(0, 16 * KIB, true, at(0));
        let ahead = streams.note(16 * KIB, 32 * KIB, true, at(0)).ahead.expect("the second read");
        streams.fetched(ahead.stream, ahead.from + ahead.bytes, true);
        for block in 2..6 {
            let access = streams.note(block * 16 * KIB, (block + 1) * 16 * KIB, false, at(0));
            assert_eq!(access, Access { sequential: true, ahead: None });
        }
        streams.ended(ahead.stream);
        assert!(streams.note(96 * KIB, 112 * KIB, false, at(0)).ahead.is_some());
        let mut streams = Streams::new(LOG_BLOCK_BYTES - 1);
        let mut position = 0;
        assert_eq!(sweep(&mut streams, &mut position, 4096, 100), []);
    }

    #[test]
    fn a_reader_that_paused_begins_anew() {
        let mut streams = Streams::new(8 << 20);
        streams.note(0, 4096, true, at(0));
        assert!(streams.note(4096, 8192, false, at(1999)).sequential);
        assert!(!streams.note(8192, 9000, false, at(5000)).sequential);
    }
}
