//! A buffer between a socket and a frame scanner: grows while reads fill it, shrinks when they
//! no longer do, so that ten thousand idle connections cost little.

/// Smallest capacity; what an idle connection holds.
const BYTES_MIN: usize = 4 * 1024;
/// Capacity up to which full reads double it. A larger frame grows it further, for that frame only.
const BYTES_BULK: usize = 256 * 1024;
/// Reads in a row that use less than a quarter of the capacity, after which it is given back.
const QUIET_READS: u32 = 64;

/// Bytes that were read and not yet consumed, and room for more.
pub struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    quiet: u32,
}

impl Default for ReadBuffer {
    fn default() -> Self {
        ReadBuffer { bytes: vec![0; BYTES_MIN], start: 0, end: 0, quiet: 0 }
    }
}

impl ReadBuffer {
    /// What was read and not yet consumed.
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Room for the next read, never empty. `need` is the length of the frame at the start of
    /// [`ReadBuffer::data`], as far as known: the caller has checked it against its limit.
    pub fn space(&mut self, need: usize) -> &mut [u8] {
        let pending = self.end - self.start;
        if pending == 0 {
            self.start = 0;
            self.end = 0;
            if self.quiet > QUIET_READS && self.bytes.len() > BYTES_MIN {
                *self = ReadBuffer::default();
            }
        }
        if self.start > 0 && (self.bytes.len() - self.end < BYTES_MIN || need > self.bytes.len()) {
            self.bytes.copy_within(self.start..self.end, 0);
            self.start = 0;
            self.end = pending;
        }
        if self.end == self.bytes.len() {
            // A length that was announced takes no memory: what has arrived is at most doubled.
            let doubled = (self.bytes.len() * 2).max(BYTES_MIN);
            let grown = if need > self.bytes.len() { doubled.min(need) } else { doubled };
            self.bytes.reserve_exact(grown - self.bytes.len());
            self.bytes.resize(grown, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// A read put `count` bytes into the room.
    pub fn filled(&mut self, count: usize) {
        assert!(count <= self.bytes.len() - self.end);
        self.end += count;
        self.quiet = if count < self.bytes.len() / 4 { self.quiet + 1 } else { 0 };
        let room_used_up = self.end == self.bytes.len();
        if room_used_up && self.bytes.len() < BYTES_BULK {
            let doubled = (self.bytes.len() * 2).min(BYTES_BULK);
            self.bytes.resize(doubled, 0);
        }
    }

    /// The first `count` bytes of the data are done with.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.end - self.start);
        self.start += count;
    }

    /// Gives all memory back but that of an idle connection, if there is nothing in it.
    pub fn give_back(&mut self) {
        if self.data().is_empty() && self.bytes.len() > BYTES_MIN {
            *self = ReadBuffer::default();
        }
    }

    /// Bytes of memory held.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(buffer: &mut ReadBuffer, mut bytes: &[u8], need: usize) {
        while !bytes.is_empty() {
            let space = buffer.space(need);
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            buffer.filled(count);
            bytes = &bytes[count..];
        }
    }

    #[test]
    fn bytes_come_out_in_order_whatever_the_consumption() {
        let input: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        let mut buffer = ReadBuffer::default();
        let mut output = Vec::new();
        for chunk in input.chunks(777) {
            feed(&mut buffer, chunk, 4);
            let take = buffer.data().len() * 2 / 3;
            output.extend_from_slice(&buffer.data()[..take]);
            buffer.consume(take);
        }
        output.extend_from_slice(buffer.data());
        assert!(output == input);
        assert!(buffer.capacity() <= BYTES_BULK);
    }

    #[test]
    fn a_large_frame_gets_room_and_memory_is_given_back() {
        let mut buffer = ReadBuffer::default();
        feed(&mut buffer, &[1; 100], 3_000_000);
        assert_eq!(buffer.capacity(), BYTES_MIN, "announced, not arrived");
        feed(&mut buffer, &vec![1; 999_900], 3_000_000);
        assert!(buffer.capacity() <= 2_000_000, "{}", buffer.capacity());
        feed(&mut buffer, &vec![1; 2_000_000], 3_000_000);
        assert_eq!(buffer.capacity(), 3_000_000);
        buffer.consume(3_000_000);
        for _ in 0..=QUIET_READS + 1 {
            feed(&mut buffer, &[1; 100], 4);
            buffer.consume(100);
        }
        assert_eq!(buffer.capacity(), BYTES_MIN);
    }
}
