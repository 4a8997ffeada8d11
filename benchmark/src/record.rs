//! Message records in the body of a pull reply.

/// What the tool looks at in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Offset in the queue.
    pub queue_offset: i64,
    /// Milliseconds since 1970, by the producer's clock.
    pub born_ms: u64,
    /// Milliseconds since 1970, by the broker's clock.
    pub stored_ms: u64,
    /// CRC32 of the body with the highest bit cleared.
    pub body_crc: u32,
    /// The body as stored.
    pub body: &'a [u8],
}

/// The records one after another; stops at the first that is cut or impossible.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
}

const BORN_HOST_IS_V6: u32 = 0x10;
const STORE_HOST_IS_V6: u32 = 0x20;

impl<'a> Records<'a> {
    /// The records of `body`.
    pub fn new(body: &'a [u8]) -> Records<'a> {
        Records { rest: body }
    }

    /// Bytes behind the last good record; not zero means that the body is damaged.
    pub fn rest(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = RecordView<'a>;

    fn next(&mut self) -> Option<RecordView<'a>> {
        let bytes = read_u32(self.rest, 0)? as usize;
        let (record, rest) = self.rest.split_at_checked(bytes)?;
        let flags = read_u32(record, 36)?;
        let host_bytes = |bit: u32| if flags & bit == 0 { 8 } else { 20 };
        let stored_at = 48 + host_bytes(BORN_HOST_IS_V6);
        // Behind the store time: host, reconsume times, offset of the prepared message.
        let length_at = stored_at + 8 + host_bytes(STORE_HOST_IS_V6) + 12;
        let body_bytes = read_u32(record, length_at)? as usize;
        let view = RecordView {
            queue_offset: read_u64(record, 20)? as i64,
            born_ms: read_u64(record, 40)?,
            stored_ms: read_u64(record, stored_at)?,
            body_crc: read_u32(record, 8)?,
            body: record.get(length_at + 4..)?.get(..body_bytes)?,
        };
        self.rest = rest;
        Some(view)
    }
}

impl RecordView<'_> {
    /// Whether the body is what its CRC says.
    pub fn is_intact(&self) -> bool {
        crc32fast::hash(self.body) & 0x7FFF_FFFF == self.body_crc
    }
}

fn read_u32(bytes: &[u8], place: usize) -> Option<u32> {
    bytes.get(place..)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}

fn read_u64(bytes: &[u8], place: usize) -> Option<u64> {
    bytes.get(place..)?.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64, body: &[u8], flags: u32) -> Vec<u8> {
        let host = |bit| vec![0; if flags & bit == 0 { 8 } else { 20 }];
        let mut record = vec![0; 4];
        record.extend_from_slice(&0xDAA3_20A7u32.to_be_bytes());
        record.extend_from_slice(&(crc32fast::hash(body) & 0x7FFF_FFFF).to_be_bytes());
        record.extend_from_slice(&[0; 8]);
        record.extend_from_slice(&offset.to_be_bytes());
        record.extend_from_slice(&[0; 8]);
        record.extend_from_slice(&flags.to_be_bytes());
        record.extend_from_slice(&1000u64.to_be_bytes());
        record.extend_from_slice(&host(BORN_HOST_IS_V6));
        record.extend_from_slice(&1001u64.to_be_bytes());
        record.extend_from_slice(&host(STORE_HOST_IS_V6));
        record.extend_from_slice(&[0; 12]);
        record.extend_from_slice(&(body.len() as u32).to_be_bytes());
        record.extend_from_slice(body);
        record.extend_from_slice(b"\x01T\x00\x00");
        let bytes = (record.len() as u32).to_be_bytes();
        record[..4].copy_from_slice(&bytes);
        record
    }

    #[test]
    fn records_are_walked_and_checked() {
        let mut body = record(7, b"first", 0);
        body.extend_from_slice(&record(8, b"second", BORN_HOST_IS_V6 | STORE_HOST_IS_V6));
        let mut records = Records::new(&body);
        let first = records.next().expect("a record");
        assert_eq!((first.queue_offset, first.born_ms, first.stored_ms), (7, 1000, 1001));
        assert!(first.is_intact() && first.body == b"first");
        let second = records.next().expect("a record");
        assert!(second.is_intact() && second.queue_offset == 8 && second.body == b"second");
        assert_eq!((records.next(), records.rest()), (None, 0));
    }

    #[test]
    fn damage_is_noticed_and_never_panics() {
        let mut body = record(7, b"first", 0);
        for length in 1..body.len() {
            let mut records = Records::new(&body[..length]);
            assert_eq!(records.next(), None);
            assert_eq!(records.rest(), length);
        }
        body[90] ^= 1;
        assert!(!Records::new(&body).next().expect("a record").is_intact());
    }
}
