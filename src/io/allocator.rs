//! The allocator of the C library, where its defaults do not fit a process that keeps within a
//! stated amount of memory.

/// Buffers of this size and more are given back to the kernel when they are freed.
const LARGE_BUFFER_BYTES: i32 = 1 << 20;
/// A heap gives back its end when more than this is free there: the default of 128 KiB would do it
/// every few messages.
const FREE_END_BYTES: i32 = 2 * LARGE_BUFFER_BYTES;

/// Has buffers of 1 MiB and more given back to the kernel when they are freed. By default glibc
/// raises this bound to the largest buffer that was ever freed (up to 32 MiB) and keeps what is
/// below it in heaps that grow: seen with requests of 3 MiB, two to five times the memory that was
/// in use. Costs a large buffer its page faults. Call it before the load begins.
pub fn give_back_large_buffers() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes two integers by value, may be called at any time from any thread, and
    // changes where later allocations lie, not those that there are.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BUFFER_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, FREE_END_BYTES);
    }
}
