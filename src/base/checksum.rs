//! Checksums: CRC32 (IEEE) where RocketMQ's formats prescribe it, CRC32C in RingMQ's own.

/// `bodyCRC` of a message record: CRC32 with the sign bit cleared.
pub fn body_crc(body: &[u8]) -> u32 {
    crc32fast::hash(body) & 0x7FFF_FFFF
}

/// [`body_crc`] of a body that comes in pieces.
#[derive(Default)]
pub struct BodyCrc(crc32fast::Hasher);

impl BodyCrc {
    pub fn add(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub fn value(self) -> u32 {
        self.0.finalize() & 0x7FFF_FFFF
    }
}

/// CRC32 (IEEE), as in `bodyCrc32` of a broker registration.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// CRC32C (Castagnoli), which the processor computes; guards every byte of RingMQ's own formats.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// Continues [`crc32c`] over a further part.
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_values_of_the_two_polynomials() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(body_crc(b"123456789"), 0x4BF4_3926);
        let mut crc = BodyCrc::default();
        crc.add(b"1234");
        crc.add(b"56789");
        assert_eq!(crc.value(), 0x4BF4_3926);
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c_append(crc32c(b"1234"), b"56789"), 0xE306_9283);
    }
}
