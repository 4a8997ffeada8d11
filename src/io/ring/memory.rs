//! Memory that the kernel reads and writes past the page cache: zeroed, in whole blocks.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    ptr::NonNull,
    slice,
};

use ringmq_base::limits::BLOCK_BYTES;

pub struct Blocks {
    start: NonNull<u8>,
    layout: Layout,
}

impl Blocks {
    /// Panics unless `bytes` are blocks, at least one.
    pub fn zeroed(bytes: usize) -> Blocks {
        assert!(bytes > 0 && bytes.is_multiple_of(BLOCK_BYTES), "{bytes} bytes are no blocks");
        let layout = Layout::from_size_align(bytes, BLOCK_BYTES).expect("a size that fits memory");
        // SAFETY: the size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Blocks { start, layout }
    }

    pub fn len(&self) -> usize {
        self.layout.size()
    }

    /// For the kernel, which may write there while no reference to the bytes exists.
    pub fn pointer(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the memory is ours and was initialised with zeros.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len()) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed alone.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len()) }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}
