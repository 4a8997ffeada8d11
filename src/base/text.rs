//! Text out of bytes.

/// The same as [`std::str::from_utf8`], quicker for short ASCII: names and properties of messages
/// are hardly ever anything else.
#[inline]
pub fn from_utf8(bytes: &[u8]) -> Option<&str> {
    if is_ascii(bytes) {
        // SAFETY: every byte is below 128, and such a byte is a character of UTF-8.
        return Some(unsafe { std::str::from_utf8_unchecked(bytes) });
    }
    std::str::from_utf8(bytes).ok()
}

/// Eight bytes at a time; the last eight may overlap those before.
#[inline]
fn is_ascii(bytes: &[u8]) -> bool {
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let Some(last) = bytes.last_chunk::<8>() else {
        return bytes.iter().fold(0, |seen, byte| seen | byte) < 0x80;
    };
    let (chunks, _) = bytes.as_chunks::<8>();
    let seen = chunks.iter().fold(0, |seen, chunk| seen | u64::from_le_bytes(*chunk));
    (seen | u64::from_le_bytes(*last)) & HIGHS == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_the_standard_library_takes_for_text() {
        for length in 0..40 {
            let plain = vec![b'a'; length];
            assert_eq!(from_utf8(&plain).map(str::len), Some(length));
            for at in 0..length {
                for odd in [0x80, 0xC3, 0xFF] {
                    let mut bytes = plain.clone();
                    bytes[at] = odd;
                    assert_eq!(from_utf8(&bytes), None, "{length} {at}");
                    if odd == 0xC3 && at + 1 < length {
                        bytes[at + 1] = 0xA4;
                        assert_eq!(from_utf8(&bytes), std::str::from_utf8(&bytes).ok());
                        assert!(from_utf8(&bytes).is_some());
                    }
                }
            }
        }
    }
}
