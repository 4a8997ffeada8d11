//! Asks the processor for memory that is needed a little later.

/// Has the line of the cache that `place` is in fetched, without a wait. `place` need not be valid:
/// it is never read.
#[inline(always)]
pub fn prefetch<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint; no address makes it fault, and nothing is read or written.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }
    // Elsewhere it comes when it is needed.
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

#[cfg(test)]
mod tests {
    #[test]
    fn any_place_will_do() {
        super::prefetch(&7_u64);
        super::prefetch(std::ptr::null::<u64>());
        super::prefetch(std::ptr::without_provenance::<u8>(usize::MAX));
    }
}
