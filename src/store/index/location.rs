//! An entry of a queue: where a message record is.

/// Bytes of an entry in a page.
pub const BYTES: usize = 20;

/// Where a message record is. Position of the record, behind its envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    pub position: u64,
    pub size: u32,
    pub tags_code: i64,
}

impl Location {
    pub fn end(&self) -> u64 {
        self.position + u64::from(self.size)
    }

    pub fn pack(&self) -> Packed {
        let (position, tags) = (self.position, self.tags_code.cast_unsigned());
        let low = |word: u64| (word & 0xFFFF_FFFF) as u32;
        Packed([low(position), low(position >> 32), self.size, low(tags), low(tags >> 32)])
    }
}

/// Position, size and tags code in 32-bit words, in the order in which a page has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed([u32; 5]);

const _: () = assert!(size_of::<Packed>() == BYTES);

impl Packed {
    pub fn unpack(self) -> Location {
        let [low, high, size, tags_low, tags_high] = self.0;
        let wide = |low: u32, high: u32| u64::from(low) | (u64::from(high) << 32);
        Location {
            position: wide(low, high),
            size,
            tags_code: wide(tags_low, tags_high).cast_signed(),
        }
    }

    pub fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        for (word, out) in self.0.iter().zip(bytes.chunks_exact_mut(4)) {
            out.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    pub fn from_bytes(bytes: &[u8; BYTES]) -> Packed {
        let mut words = [0; 5];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Packed(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_as_they_were() {
        for (position, size, tags_code) in [(1 << 47, 150, i64::MIN + 3), (4128, 1, -1)] {
            let location = Location { position, size, tags_code };
            let packed = location.pack();
            assert_eq!(packed.unpack(), location);
            assert_eq!(Packed::from_bytes(&packed.to_bytes()), packed);
        }
    }
}
