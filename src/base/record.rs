//! The message record: what a commit log stores, a pull answers and a client decodes, byte for
//! byte. Layout as of RocketMQ 4.9 (`MessageDecoder`, `CommitLog`); all integers big-endian.
//! The offsets below are for IPv4 hosts; an IPv6 host takes 12 bytes more.
//!
//! ```text
//!   0 total size   i32      40 born timestamp  i64      72 reconsume times         i32
//!   4 magic        u32      48 born host  4 + port i32   76 prepared offset         i64
//!   8 body CRC     u32      56 store timestamp i64      84 body length i32, body
//!  12 queue id     i32      64 store host 4 + port i32      topic length u8 (V2: u16), topic
//!  16 flag         i32                                      properties length u16, properties
//!  20 queue offset i64
//!  28 physical off i64
//!  36 system flag  i32
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::checksum::body_crc;

/// Magic of a record with a one-byte topic length.
pub const MAGIC_V1: u32 = 0xDAA3_20A7;
/// Magic of a record with a two-byte topic length (RocketMQ 5), for topics beyond 127 bytes: read,
/// but not written, since clients of RocketMQ 4 pass over such records.
pub const MAGIC_V2: u32 = 0xDAA3_20AB;

/// System flag: the born host is an IPv6 address.
pub const SYS_FLAG_BORN_HOST_V6: i32 = 0x10;
/// System flag: the store host is an IPv6 address.
pub const SYS_FLAG_STORE_HOST_V6: i32 = 0x20;

/// Where the fields that stand before the first address are.
pub mod at {
    pub const MAGIC: usize = 4;
    pub const PHYSICAL_OFFSET: usize = 28;
    pub const SYS_FLAG: usize = 36;
    pub const BORN_TIMESTAMP: usize = 40;
    pub const BORN_HOST: usize = 48;
}

/// A message about to be stored. The topic has at most [`crate::limits::TOPIC_BYTES_MAX`] bytes;
/// `properties`, at most [`crate::limits::PROPERTIES_BYTES_MAX`] together, are written one behind
/// the other.
#[derive(Clone, Debug)]
pub struct NewRecord<'a> {
    pub topic: &'a str,
    pub queue_id: i32,
    pub flag: i32,
    /// The bits for IPv6 hosts are set by the encoder.
    pub sys_flag: i32,
    pub born_timestamp: i64,
    pub born_host: SocketAddr,
    pub store_host: SocketAddr,
    pub reconsume_times: i32,
    pub prepared_transaction_offset: i64,
    pub body: &'a [u8],
    pub properties: [&'a [u8]; 3],
}

/// What the log decides about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    pub queue_offset: i64,
    pub physical_offset: i64,
    /// Milliseconds since 1970.
    pub store_timestamp: i64,
}

impl NewRecord<'_> {
    pub fn properties_bytes(&self) -> usize {
        self.properties.iter().map(|part| part.len()).sum()
    }

    /// Bytes of the encoded record.
    pub fn size(&self) -> usize {
        let hosts = host_bytes(&self.born_host) + host_bytes(&self.store_host);
        73 + hosts + self.body.len() + self.topic.len() + 2 + self.properties_bytes()
    }

    /// Encodes into `out`, which is exactly [`NewRecord::size`] long.
    ///
    /// # Panics
    /// If a length does not fit its field; callers have checked the limits before.
    pub fn encode(&self, out: &mut [u8], placement: &Placement) {
        let size = self.size();
        assert_eq!(out.len(), size, "record size");
        let properties = self.properties_bytes();
        assert!(properties <= crate::limits::PROPERTIES_BYTES_MAX, "properties length");
        let mut out = Writer { out, at: 0 };
        out.u32(u32::try_from(size).expect("record size was limited"));
        out.u32(MAGIC_V1);
        out.u32(body_crc(self.body));
        out.i32(self.queue_id);
        out.i32(self.flag);
        out.i64(placement.queue_offset);
        out.i64(placement.physical_offset);
        let mut sys_flag = self.sys_flag & !(SYS_FLAG_BORN_HOST_V6 | SYS_FLAG_STORE_HOST_V6);
        if self.born_host.is_ipv6() {
            sys_flag |= SYS_FLAG_BORN_HOST_V6;
        }
        if self.store_host.is_ipv6() {
            sys_flag |= SYS_FLAG_STORE_HOST_V6;
        }
        out.i32(sys_flag);
        out.i64(self.born_timestamp);
        out.host(&self.born_host);
        out.i64(placement.store_timestamp);
        out.host(&self.store_host);
        out.i32(self.reconsume_times);
        out.i64(self.prepared_transaction_offset);
        out.u32(u32::try_from(self.body.len()).expect("body was limited"));
        out.put(self.body);
        assert!(self.topic.len() <= crate::limits::TOPIC_BYTES_MAX, "topic length");
        out.put(&[self.topic.len() as u8]);
        out.put(self.topic.as_bytes());
        out.u16(properties as u16);
        for part in self.properties {
            out.put(part);
        }
        assert_eq!(out.at, size);
    }
}

fn host_bytes(host: &SocketAddr) -> usize {
    if host.is_ipv6() { 20 } else { 8 }
}

struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.put(&value.to_be_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.put(&value.to_be_bytes());
    }

    fn host(&mut self, host: &SocketAddr) {
        match host.ip() {
            IpAddr::V4(ip) => self.put(&ip.octets()),
            IpAddr::V6(ip) => self.put(&ip.octets()),
        }
        self.i32(i32::from(host.port()));
    }
}

/// Why bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("record has {have} bytes, field {field} needs {need}")]
    Short { field: &'static str, need: usize, have: usize },
    #[error("record magic is {0:#010x}")]
    Magic(u32),
    #[error("record field {field} has the value {value}")]
    Value { field: &'static str, value: i64 },
    #[error("record topic is not UTF-8")]
    Topic,
}

/// A decoded record that borrows from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Bytes from the start of this record to that of the next.
    pub size: usize,
    pub body_crc: u32,
    pub queue_id: i32,
    pub flag: i32,
    pub queue_offset: i64,
    pub physical_offset: i64,
    pub sys_flag: i32,
    pub born_timestamp: i64,
    pub born_host: SocketAddr,
    pub store_timestamp: i64,
    pub store_host: SocketAddr,
    pub reconsume_times: i32,
    pub prepared_transaction_offset: i64,
    pub body: &'a [u8],
    pub topic: &'a str,
    pub properties: &'a [u8],
}

impl<'a> Record<'a> {
    /// Decodes the record at the start of `bytes`; more may follow it. Does not check the body CRC.
    pub fn decode(bytes: &'a [u8]) -> Result<Record<'a>, RecordError> {
        let mut input = Reader { bytes, at: 0 };
        let size = input.length("total size")?;
        let magic = input.u32("magic")?;
        if magic != MAGIC_V1 && magic != MAGIC_V2 {
            return Err(RecordError::Magic(magic));
        }
        let body_crc = input.u32("body CRC")?;
        let queue_id = input.i32("queue id")?;
        let flag = input.i32("flag")?;
        let queue_offset = input.i64("queue offset")?;
        let physical_offset = input.i64("physical offset")?;
        let sys_flag = input.i32("system flag")?;
        let born_timestamp = input.i64("born timestamp")?;
        let born_host = input.host("born host", sys_flag & SYS_FLAG_BORN_HOST_V6 != 0)?;
        let store_timestamp = input.i64("store timestamp")?;
        let store_host = input.host("store host", sys_flag & SYS_FLAG_STORE_HOST_V6 != 0)?;
        let reconsume_times = input.i32("reconsume times")?;
        let prepared_transaction_offset = input.i64("prepared transaction offset")?;
        let body_length = input.length("body length")?;
        let body = input.take("body", body_length)?;
        let topic_length = if magic == MAGIC_V1 {
            usize::from(input.array::<1>("topic length")?[0])
        } else {
            usize::from(input.u16("topic length")?)
        };
        let topic = input.take("topic", topic_length)?;
        let topic = std::str::from_utf8(topic).map_err(|_| RecordError::Topic)?;
        let properties_length = usize::from(input.u16("properties length")?);
        let properties = input.take("properties", properties_length)?;
        if input.at != size {
            return Err(RecordError::Value { field: "total size", value: size as i64 });
        }
        Ok(Record {
            size,
            body_crc,
            queue_id,
            flag,
            queue_offset,
            physical_offset,
            sys_flag,
            born_timestamp,
            born_host,
            store_timestamp,
            store_host,
            reconsume_times,
            prepared_transaction_offset,
            body,
            topic,
            properties,
        })
    }

    /// Whether the body is the one that the producer's broker stored.
    pub fn body_is_intact(&self) -> bool {
        body_crc(self.body) == self.body_crc
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, field: &'static str, length: usize) -> Result<&'a [u8], RecordError> {
        let end = self.at.saturating_add(length);
        let part = self.bytes.get(self.at..end).ok_or(RecordError::Short {
            field,
            need: end,
            have: self.bytes.len(),
        })?;
        self.at = end;
        Ok(part)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], RecordError> {
        let part = self.take(field, N)?;
        Ok(part.try_into().expect("take gives the length asked for"))
    }

    fn u16(&mut self, field: &'static str) -> Result<u16, RecordError> {
        self.array(field).map(u16::from_be_bytes)
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, RecordError> {
        self.array(field).map(u32::from_be_bytes)
    }

    fn i32(&mut self, field: &'static str) -> Result<i32, RecordError> {
        self.array(field).map(i32::from_be_bytes)
    }

    fn i64(&mut self, field: &'static str) -> Result<i64, RecordError> {
        self.array(field).map(i64::from_be_bytes)
    }

    fn length(&mut self, field: &'static str) -> Result<usize, RecordError> {
        let value = self.i32(field)?;
        usize::try_from(value).map_err(|_| RecordError::Value { field, value: i64::from(value) })
    }

    fn host(&mut self, field: &'static str, v6: bool) -> Result<SocketAddr, RecordError> {
        let ip = if v6 {
            IpAddr::V6(Ipv6Addr::from(self.array::<16>(field)?))
        } else {
            IpAddr::V4(Ipv4Addr::from(self.array::<4>(field)?))
        };
        let port = self.i32(field)?;
        let port = u16::try_from(port)
            .map_err(|_| RecordError::Value { field, value: i64::from(port) })?;
        Ok(SocketAddr::new(ip, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample<'a>(born: &str, topic: &'a str) -> NewRecord<'a> {
        NewRecord {
            topic,
            queue_id: 3,
            flag: 7,
            sys_flag: 1,
            born_timestamp: 1_700_000_000_000,
            born_host: born.parse().expect("address"),
            store_host: "10.0.0.1:10911".parse().expect("address"),
            reconsume_times: 2,
            prepared_transaction_offset: 5,
            body: b"hello",
            properties: [b"TAGS\x01a\x02", b"CLUSTER\x01c\x02", b""],
        }
    }

    const PLACE: Placement =
        Placement { queue_offset: 42, physical_offset: 4096, store_timestamp: 1_700_000_000_001 };

    #[test]
    fn records_round_trip() {
        let long = "t".repeat(crate::limits::TOPIC_BYTES_MAX);
        for (born, topic) in [("1.2.3.4:5", "T"), ("[::1]:65535", "T"), ("1.2.3.4:5", &long)] {
            let new = sample(born, topic);
            let mut bytes = vec![0; new.size()];
            new.encode(&mut bytes, &PLACE);
            let record = Record::decode(&bytes).expect("decodes");
            assert_eq!(record.size, bytes.len());
            assert_eq!((record.topic, record.body), (topic, b"hello".as_slice()));
            assert_eq!(record.born_host, new.born_host);
            assert_eq!(record.queue_offset, 42);
            assert_eq!(record.physical_offset, 4096);
            assert_eq!(record.properties, b"TAGS\x01a\x02CLUSTER\x01c\x02");
            assert!(record.body_is_intact());
        }
    }

    #[test]
    fn a_record_of_a_long_topic_is_read() {
        let new = sample("1.2.3.4:5", "T");
        let mut bytes = vec![0; new.size()];
        new.encode(&mut bytes, &PLACE);
        let behind_topic = bytes.split_off(bytes.len() - new.properties_bytes() - 2);
        bytes.truncate(bytes.len() - 2);
        let topic = "t".repeat(300);
        bytes.extend_from_slice(&300_u16.to_be_bytes());
        bytes.extend_from_slice(topic.as_bytes());
        bytes.extend_from_slice(&behind_topic);
        let size = bytes.len() as u32;
        bytes[..4].copy_from_slice(&size.to_be_bytes());
        bytes[at::MAGIC..at::MAGIC + 4].copy_from_slice(&MAGIC_V2.to_be_bytes());
        let record = Record::decode(&bytes).expect("decodes");
        assert_eq!((record.topic, record.body), (&*topic, b"hello".as_slice()));
        assert_eq!(record.properties, b"TAGS\x01a\x02CLUSTER\x01c\x02");
    }

    #[test]
    fn a_plain_record_has_the_size_of_java() {
        let new = sample("1.2.3.4:5", "T");
        assert_eq!(new.size(), 91 + 5 + 1 + 17);
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_survived() {
        let new = sample("1.2.3.4:5", "T");
        let mut bytes = vec![0; new.size()];
        new.encode(&mut bytes, &PLACE);
        for cut in 0..bytes.len() {
            assert!(Record::decode(&bytes[..cut]).is_err());
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xFF;
            let _ = Record::decode(&damaged);
        }
    }
}
