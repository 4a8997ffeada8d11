//! Frames out of a stream, one behind the other: the one place that cuts them.

use ringmq_base::read_buffer::ReadBuffer;

use super::{BegunFrame, FrameError, LENGTH_BYTES, Scan, begun, scan};

/// What was read from a stream and not yet consumed, frame by frame.
pub struct FrameBuffer {
    bytes: ReadBuffer,
    /// Length of the first frame, as far as known; never more than a frame may have.
    need: usize,
    /// The first frame is complete.
    complete: bool,
    /// Bytes to come of a frame that nobody wants.
    skip: usize,
}

impl Default for FrameBuffer {
    fn default() -> Self {
        FrameBuffer { bytes: ReadBuffer::default(), need: LENGTH_BYTES, complete: false, skip: 0 }
    }
}

impl FrameBuffer {
    /// The first frame with its length field; `None`: read more into [`FrameBuffer::space`].
    ///
    /// # Errors
    /// If the bytes are no frame, as soon as it can be seen: the stream is of no use afterwards.
    pub fn first(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let data = self.bytes.data();
        match scan(data)? {
            Scan::Incomplete { need } => {
                (self.need, self.complete) = (need, false);
                Ok(None)
            }
            Scan::Complete { length } => {
                (self.need, self.complete) = (length, true);
                Ok(data.get(..length))
            }
        }
    }

    /// The frame that [`FrameBuffer::first`] returned is done with.
    ///
    /// # Panics
    /// If it returned none.
    pub fn consume_first(&mut self) {
        assert!(self.complete, "a frame is consumed that is not complete");
        self.complete = false;
        self.bytes.consume(self.need);
    }

    /// What is known of a first frame that is not complete; `None` if it has not begun, or is
    /// complete.
    ///
    /// # Errors
    /// If the bytes are no frame.
    pub fn begun(&self) -> Result<Option<BegunFrame<'_>>, FrameError> {
        if self.complete { Ok(None) } else { begun(self.bytes.data()) }
    }

    /// Passes over the first frame, of which some is still to come: that takes no memory.
    pub fn skip_first(&mut self) {
        let here = self.bytes.data().len().min(self.need);
        self.bytes.consume(here);
        self.skip = self.need - here;
        (self.need, self.complete) = (LENGTH_BYTES, false);
    }

    /// Bytes that the first frame needs, its length field included, as far as known.
    pub fn need(&self) -> usize {
        self.need
    }

    /// Whether the first frame has begun and is not complete.
    pub fn is_partial(&self) -> bool {
        !self.complete && !self.bytes.data().is_empty()
    }

    /// Bytes of memory held: at most twice what has arrived and not been consumed, or what an idle
    /// or busy connection keeps.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gives memory back if nothing is in it.
    pub fn give_back(&mut self) {
        self.bytes.give_back();
    }

    /// Room for the next read, never empty.
    pub fn space(&mut self) -> &mut [u8] {
        self.bytes.space(self.need)
    }

    /// A read put `count` bytes into the room.
    pub fn filled(&mut self, count: usize) {
        self.bytes.filled(count);
        if self.skip > 0 {
            let skipped = self.skip.min(self.bytes.data().len());
            self.bytes.consume(skipped);
            self.skip -= skipped;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(buffer: &mut FrameBuffer, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = buffer.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            buffer.filled(count);
            bytes = &bytes[count..];
        }
    }

    fn frame(body: usize) -> Vec<u8> {
        let length = u32::try_from(4 + 2 + body).expect("short");
        [&length.to_be_bytes()[..], &[0, 0, 0, 2], b"{}", &vec![7; body]].concat()
    }

    #[test]
    fn frames_come_out_whole_and_in_order_however_they_come_in() {
        let frames: Vec<_> = [0, 1, 5, 100_000, 3].map(frame).into();
        let stream = frames.concat();
        for size in [1, 3, 4096, 70_000, stream.len()] {
            let mut buffer = FrameBuffer::default();
            let mut found = Vec::new();
            for chunk in stream.chunks(size) {
                feed(&mut buffer, chunk);
                while let Some(first) = buffer.first().expect("frames") {
                    found.push(first.to_vec());
                    buffer.consume_first();
                }
            }
            assert!(found == frames, "{size}");
            assert_eq!(buffer.need(), LENGTH_BYTES);
        }
    }

    #[test]
    fn a_frame_stays_until_it_is_consumed() {
        let mut buffer = FrameBuffer::default();
        assert!(matches!(buffer.first(), Ok(None)));
        feed(&mut buffer, &frame(5));
        assert_eq!(buffer.first().expect("a frame").map(<[u8]>::len), Some(15));
        assert_eq!(buffer.first().expect("a frame").map(<[u8]>::len), Some(15));
        buffer.consume_first();
        assert!(matches!(buffer.first(), Ok(None)));
    }

    #[test]
    fn a_frame_that_is_passed_over_takes_no_memory() {
        for here in [8, 10, 1000, 999_999] {
            let mut buffer = FrameBuffer::default();
            let large = frame(1_000_000);
            feed(&mut buffer, &large[..here]);
            assert!(matches!(buffer.first(), Ok(None)));
            let begun = buffer.begun().expect("a frame").expect("its prefix");
            assert_eq!((begun.header_bytes, begun.body_bytes), (2, 1_000_000));
            assert_eq!(begun.bodyless.is_some(), here >= 10);
            buffer.skip_first();
            let before = buffer.capacity();
            feed(&mut buffer, &large[here..]);
            assert!(!buffer.is_partial() && buffer.capacity() <= before.max(256 * 1024));
            feed(&mut buffer, &frame(5));
            assert_eq!(buffer.first().expect("a frame"), Some(&frame(5)[..]), "{here}");
            assert_eq!(buffer.begun(), Ok(None));
        }
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        let mut buffer = FrameBuffer::default();
        feed(&mut buffer, b"GET / HTTP/1.1");
        assert!(buffer.first().is_err());
    }
}
