//! Searching short texts: property strings and headers are a few dozen bytes, too short for a call
//! to `memchr` to pay.

/// Bytes that are looked at together.
const WIDE: usize = 16;

/// Position of the first such byte.
#[inline]
pub fn find_byte(bytes: &[u8], wanted: u8) -> Option<usize> {
    find(bytes, [wanted])
}

/// Position of the first byte that is one of two.
#[inline]
pub fn find_either(bytes: &[u8], wanted: [u8; 2]) -> Option<usize> {
    find(bytes, wanted)
}

#[inline(always)]
fn find<const N: usize>(bytes: &[u8], wanted: [u8; N]) -> Option<usize> {
    let (chunks, _) = bytes.as_chunks::<WIDE>();
    for (index, chunk) in chunks.iter().enumerate() {
        if let Some(at) = first_in(chunk, wanted) {
            return Some(WIDE * index + at);
        }
    }
    // Of what this overlaps with nothing was wanted.
    if let Some(last) = bytes.last_chunk::<WIDE>() {
        return Some(bytes.len() - WIDE + first_in(last, wanted)?);
    }
    let (words, rest) = bytes.as_chunks::<8>();
    if let Some(word) = words.first()
        && let Some(at) = first_in_word(*word, wanted)
    {
        return Some(at);
    }
    Some(8 * words.len() + rest.iter().position(|byte| wanted.contains(byte))?)
}

/// Position of the first wanted byte of eight.
#[inline(always)]
fn first_in_word<const N: usize>(word: [u8; 8], wanted: [u8; N]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_le_bytes(word);
    // A byte that is wanted gets its high bit. Borrows make this wrong only above the first one.
    let equal = wanted.iter().fold(0, |found, byte| {
        let differs = word ^ ONES.wrapping_mul(u64::from(*byte));
        found | differs.wrapping_sub(ONES) & !differs & HIGHS
    });
    (equal != 0).then(|| equal.trailing_zeros() as usize / 8)
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn first_in<const N: usize>(chunk: &[u8; WIDE], wanted: [u8; N]) -> Option<usize> {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
        _mm_setzero_si128,
    };
    // SAFETY: every x86-64 processor has SSE2; the load is of the 16 bytes of the array, which need
    // not be aligned for it.
    let equal = unsafe {
        let chunk = _mm_loadu_si128(chunk.as_ptr().cast());
        let equal = wanted.iter().fold(_mm_setzero_si128(), |found, byte| {
            let byte = _mm_set1_epi8(byte.cast_signed());
            _mm_or_si128(found, _mm_cmpeq_epi8(chunk, byte))
        });
        _mm_movemask_epi8(equal)
    };
    (equal != 0).then(|| equal.trailing_zeros() as usize)
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn first_in<const N: usize>(chunk: &[u8; WIDE], wanted: [u8; N]) -> Option<usize> {
    let (words, _) = chunk.as_chunks::<8>();
    let mut words = words.iter().enumerate();
    words.find_map(|(index, word)| Some(8 * index + first_in_word(*word, wanted)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_wanted_bytes_is_found_wherever_it_is() {
        for length in 0..70 {
            // Neighbours of what is wanted, some with the high bit.
            let mut bytes: Vec<u8> = (0..length).map(|at| [0x81, 0, 3, 0x80][at % 4]).collect();
            assert_eq!((find_byte(&bytes, 1), find_either(&bytes, [1, 2])), (None, None));
            for at in (0..length).rev() {
                bytes[at] = 1 + (at % 2) as u8;
                assert_eq!(find_either(&bytes, [1, 2]), Some(at), "{length}");
                assert_eq!(find_either(&bytes, [2, 1]), Some(at), "{length}");
                let one = bytes.iter().position(|byte| *byte == 1);
                assert_eq!(find_byte(&bytes, 1), one, "{length}");
            }
        }
    }
}
