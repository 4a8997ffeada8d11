//! Identifiers that must not be mixed up, as types of their own.

use std::fmt;

/// Number of a commit log within a store: 0 to [`LogId::MAX`], so that a physical offset stays
/// positive as a Java `long`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(u16);

impl LogId {
    pub const MAX: LogId = LogId(0x7FFF);

    #[inline]
    pub const fn new(id: u16) -> Option<LogId> {
        if id <= Self::MAX.0 { Some(LogId(id)) } else { None }
    }

    #[inline]
    pub const fn get(self) -> u16 {
        self.0
    }

    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Byte position within one commit log, counted from its creation over all segments: 48 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition(pub u64);

impl LogPosition {
    /// The first position that a physical offset cannot express.
    pub const LIMIT: LogPosition = LogPosition(1 << 48);
}

/// `log_id << 48 | position`: the `physicalOffset` of the wire protocol, never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhysicalOffset(i64);

impl PhysicalOffset {
    #[inline]
    pub const fn new(log: LogId, position: LogPosition) -> PhysicalOffset {
        assert!(position.0 < LogPosition::LIMIT.0);
        PhysicalOffset(((log.0 as i64) << 48) | position.0 as i64)
    }

    /// The offset that a client sent; `None` if it is negative.
    #[inline]
    pub const fn from_wire(value: i64) -> Option<PhysicalOffset> {
        if value < 0 { None } else { Some(PhysicalOffset(value)) }
    }

    #[inline]
    pub const fn get(self) -> i64 {
        self.0
    }

    #[inline]
    pub const fn log(self) -> LogId {
        LogId((self.0 >> 48) as u16)
    }

    #[inline]
    pub const fn position(self) -> LogPosition {
        LogPosition((self.0 as u64) & (LogPosition::LIMIT.0 - 1))
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// Logical offset of a message in its queue: 0 for the first, without gaps.
    QueueOffset(i64)
);
number!(
    /// Number of a queue within its topic, 0 to queues - 1; clients send -1 for "any".
    QueueId(i32)
);
number!(
    /// Counts the openings of a store; stamped on every record written since.
    Epoch(u32)
);
number!(
    /// Number of an executor (shard) of this process: 0 to shards - 1.
    ShardId(u16)
);

impl ShardId {
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for PhysicalOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn physical_offset_round_trips_and_stays_positive() {
        for log in [0, 1, 77, 0x7FFF] {
            for position in [0, 1, 4096, (1 << 48) - 1] {
                let log = LogId::new(log).expect("in range");
                let offset = PhysicalOffset::new(log, LogPosition(position));
                assert!(offset.get() >= 0);
                let back = PhysicalOffset::from_wire(offset.get()).expect("positive");
                assert_eq!((back.log(), back.position()), (log, LogPosition(position)));
            }
        }
        assert!(LogId::new(0x8000).is_none());
        assert!(PhysicalOffset::from_wire(-1).is_none());
    }
}
