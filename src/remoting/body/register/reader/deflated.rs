//! Registrations as a zlib stream, inflated a piece at a time.

use std::io::Read as _;

use flate2::read::ZlibDecoder;

use super::{PART_BYTES_MAX, Part, TopicQueues};
use crate::{
    body::register::{DECOMPRESSED_BYTES_MAX, RegisterError},
    fastjson,
};

/// What is inflated at a time.
const PIECE_BYTES: usize = 32 * 1024;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Version,
    Count,
    Topics {
        left: usize,
    },
    FilterServers,
    /// So many bytes of them.
    FilterServersRest {
        left: usize,
    },
    /// What RocketMQ 5 adds, to the end of the stream, so that its checksum is compared.
    Rest,
    End,
}

pub struct Deflated<'a> {
    decoder: ZlibDecoder<&'a [u8]>,
    /// Inflated and not taken yet, from `start` on.
    content: Vec<u8>,
    start: usize,
    /// Bytes that were inflated in all.
    inflated: usize,
    ended: bool,
    at: At,
}

impl<'a> Deflated<'a> {
    pub fn new(bytes: &'a [u8]) -> Deflated<'a> {
        let decoder = ZlibDecoder::new(bytes);
        let content = Vec::new();
        Deflated { decoder, content, start: 0, inflated: 0, ended: false, at: At::Version }
    }

    pub fn next(&mut self, read: &mut usize) -> Result<Part, RegisterError> {
        match self.at {
            At::Version => {
                let length = self.length("data version", read)?;
                let bytes = self.take(length, "data version", read)?;
                let version = fastjson::from_slice_within(bytes, PART_BYTES_MAX)?;
                self.at = At::Count;
                Ok(Part::Version(version))
            }
            At::Count => {
                let left = self.length("topic count", read)?;
                self.at = At::Topics { left };
                Ok(Part::Other)
            }
            At::Topics { left: 0 } => {
                self.at = At::FilterServers;
                Ok(Part::Other)
            }
            At::Topics { left } => {
                let length = self.length("topic", read)?;
                let text = String::from_utf8_lossy(self.take(length, "topic", read)?);
                let topic = topic_of(&text);
                self.at = At::Topics { left: left - 1 };
                Ok(topic.map_or(Part::Other, Part::Topic))
            }
            At::FilterServers => {
                let left = self.length("filter servers", read)?;
                self.at = At::FilterServersRest { left };
                Ok(Part::Other)
            }
            At::FilterServersRest { left: 0 } => {
                self.at = At::Rest;
                Ok(Part::Other)
            }
            At::FilterServersRest { left } => {
                let piece = left.min(PIECE_BYTES);
                self.take(piece, "filter servers", read)?;
                self.at = At::FilterServersRest { left: left - piece };
                Ok(Part::Other)
            }
            At::Rest => {
                (self.content, self.start) = (Vec::new(), 0);
                let before = self.inflated;
                self.inflate()?;
                *read += self.inflated - before;
                if self.ended {
                    self.at = At::End;
                }
                Ok(Part::Other)
            }
            At::End => Ok(Part::End),
        }
    }

    fn length(&mut self, field: &'static str, read: &mut usize) -> Result<usize, RegisterError> {
        let short = RegisterError::Short { field };
        let Some(length) = self.take(4, field, read)?.first_chunk::<4>() else {
            return Err(short);
        };
        usize::try_from(i32::from_be_bytes(*length)).map_err(|_| short)
    }

    fn take(
        &mut self,
        bytes: usize,
        field: &'static str,
        read: &mut usize,
    ) -> Result<&[u8], RegisterError> {
        if bytes > PART_BYTES_MAX {
            return Err(RegisterError::Part { at: self.inflated, limit: PART_BYTES_MAX });
        }
        while self.content.len() - self.start < bytes {
            if self.ended {
                return Err(RegisterError::Short { field });
            }
            self.content.drain(..self.start);
            self.start = 0;
            self.inflate()?;
        }
        let begin = self.start;
        self.start += bytes;
        *read += bytes;
        Ok(self.content.get(begin..self.start).unwrap_or_default())
    }

    /// Inflates a piece.
    fn inflate(&mut self) -> Result<(), RegisterError> {
        let before = self.content.len();
        self.content.resize(before + PIECE_BYTES, 0);
        let room = self.content.get_mut(before..).unwrap_or_default();
        let count = self.decoder.read(room)?;
        self.content.truncate(before + count);
        self.ended = count == 0;
        self.inflated += count;
        let limit = DECOMPRESSED_BYTES_MAX;
        if self.inflated > limit { Err(RegisterError::Long { limit }) } else { Ok(()) }
    }
}

/// `name readQueues writeQueues perm filterType`, and what may follow.
fn topic_of(text: &str) -> Option<TopicQueues> {
    let mut parts = text.splitn(6, ' ');
    let topic_name = parts.next()?.to_owned();
    let read_queue_nums = parts.next()?.parse().ok()?;
    let write_queue_nums = parts.next()?.parse().ok()?;
    let perm = parts.next()?.parse().ok()?;
    parts.next()?;
    let topic_sys_flag = 0;
    Some(TopicQueues { topic_name, read_queue_nums, write_queue_nums, perm, topic_sys_flag })
}
