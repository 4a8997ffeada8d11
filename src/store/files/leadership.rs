//! The payload of the first record of a leadership in each log of a group. It is committed like any
//! record, and with it everything before it: what earlier leaders left counts from then on.
//!
//! Little-endian, 24 bytes; the epoch is in the envelope:
//!
//! ```text
//!   0 leader       u64  replica id of the leader
//!   8 set version  u64  of the in-sync set that elected it
//!  16 time         i64  milliseconds since 1970, by the leader's clock
//! ```

pub const BYTES: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// Replica id.
    pub leader: u64,
    /// Of the in-sync set that elected it.
    pub set_version: u64,
    /// Milliseconds since 1970.
    pub time_ms: i64,
}

impl Leadership {
    pub fn write(&self, out: &mut [u8; BYTES]) {
        let (leader, rest) = out.split_at_mut(8);
        let (version, time) = rest.split_at_mut(8);
        leader.copy_from_slice(&self.leader.to_le_bytes());
        version.copy_from_slice(&self.set_version.to_le_bytes());
        time.copy_from_slice(&self.time_ms.to_le_bytes());
    }

    /// `None` if it is not as long as that.
    pub fn read(payload: &[u8]) -> Option<Leadership> {
        let (leader, rest) = payload.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk::<8>()?;
        let (time, rest) = rest.split_first_chunk::<8>()?;
        rest.is_empty().then_some(Leadership {
            leader: u64::from_le_bytes(*leader),
            set_version: u64::from_le_bytes(*version),
            time_ms: i64::from_le_bytes(*time),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let start = Leadership { leader: 2, set_version: 1 << 40, time_ms: -7 };
        let mut out = [0; BYTES];
        start.write(&mut out);
        assert_eq!(Leadership::read(&out), Some(start));
        assert_eq!(Leadership::read(&out[..23]), None);
        assert_eq!(Leadership::read(&[0; 25]), None);
    }
}
