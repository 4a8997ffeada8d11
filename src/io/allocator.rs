//! The allocator of the C library, where its defaults do not fit a process that keeps within a
//! stated amount of memory.

/// What a broker gives back: a smaller one may come with every message.
pub const BROKER_BUFFER_BYTES: i32 = 1 << 20;
/// What a name server gives back: one of this size is rare, and forty connections with half of a
/// registration each left three times of what they may take in a heap of smaller ones.
pub const NAME_SERVER_BUFFER_BYTES: i32 = 128 << 10;

/// Has buffers of so many bytes and more given back to the kernel when they are freed. By default
/// glibc raises this bound to the largest buffer that was ever freed (up to 32 MiB) and keeps what
/// is below it in heaps that grow: seen with requests of 3 MiB, two to five times the memory that
/// was in use. Costs such a buffer its page faults. Call it before the load begins.
pub fn give_back_buffers_from(bytes: i32) {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes two integers by value, may be called at any time from any thread, and
    // changes where later allocations lie, not those that there are.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, bytes);
        // The end of a heap: by default 128 KiB, which would come with every few messages.
        libc::mallopt(libc::M_TRIM_THRESHOLD, bytes.saturating_mul(2));
    }
}
