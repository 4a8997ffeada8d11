//! The allocator of the C library, where its defaults do not fit a process that keeps within a
//! stated amount of memory.

/// Has buffers of `bytes` and more given back to the kernel when they are freed. By default glibc
/// raises this bound to the largest buffer that was ever freed (up to 32 MiB) and keeps what is
/// below it in heaps that grow: seen with messages of 3 MiB, twice the memory that was in use.
/// Costs a large buffer its page faults. Call it before the load begins; the last call counts.
pub fn give_back_from(bytes: i32) {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes two integers by value, may be called at any time from any thread, and
    // changes where later allocations lie, not those that there are.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, bytes);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = bytes;
}
