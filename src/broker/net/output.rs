//! What waits to be sent on one connection, in pieces, so that memory goes with what the socket
//! takes, and whose count each answer is in.

use std::collections::VecDeque;

/// A piece of so many bytes gets no further answers.
const PIECE_BYTES: usize = 128 * 1024;
/// Capacity that an emptied piece may keep.
const IDLE_BYTES: usize = 64 * 1024;

/// An answer that another shard counts.
#[derive(Clone, Copy, Debug)]
struct Counted {
    /// Where it ends, in bytes of the connection.
    end: u64,
    /// Its bytes in the output.
    length: usize,
    /// What is counted for it, and by which shard.
    by: u16,
    bytes: usize,
}

#[derive(Default)]
pub struct Output {
    /// Full pieces, the oldest first.
    full: VecDeque<Vec<u8>>,
    last: Vec<u8>,
    /// Bytes of the oldest piece that the socket has taken.
    sent: usize,
    /// Bytes of the connection: all, and those whose pieces are given back.
    written: u64,
    gone: u64,
    counted: VecDeque<Counted>,
    /// Bytes of all of these.
    of_others: usize,
}

impl Output {
    /// Bytes of pieces that are not given back, those that the writer has included.
    pub fn bytes(&self) -> usize {
        usize::try_from(self.written - self.gone).unwrap_or(usize::MAX)
    }

    /// Of these, what other shards count.
    pub fn of_others(&self) -> usize {
        self.of_others
    }

    /// Appends what `write` writes; how many bytes that was.
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        if self.last.len() >= PIECE_BYTES {
            self.full.push_back(std::mem::take(&mut self.last));
        }
        let before = self.last.len();
        write(&mut self.last);
        let length = self.last.len() - before;
        self.written += length as u64;
        length
    }

    /// Appends bytes as they are, as a piece of their own.
    pub fn push(&mut self, piece: Vec<u8>) {
        if !self.last.is_empty() {
            self.full.push_back(std::mem::take(&mut self.last));
        }
        self.written += piece.len() as u64;
        self.full.push_back(piece);
    }

    /// What was written last, `length` bytes, is counted by another shard.
    pub fn count(&mut self, length: usize, by: u16, bytes: usize) {
        self.counted.push_back(Counted { end: self.written, length, by, bytes });
        self.of_others += length;
    }

    /// What is to be sent next: the rest of the oldest piece.
    pub fn first(&self) -> Option<&[u8]> {
        let piece = self.full.front().unwrap_or(&self.last);
        piece.get(self.sent..).filter(|rest| !rest.is_empty())
    }

    /// The socket has taken so many bytes of [`Output::first`]. The length of its piece, if that
    /// is sent in full and given back.
    pub fn sent(&mut self, count: usize) -> Option<usize> {
        self.sent += count;
        let whole = self.full.front().unwrap_or(&self.last).len();
        if self.sent < whole {
            return None;
        }
        self.sent = 0;
        if self.full.pop_front().is_none() {
            self.last.clear();
            self.last.shrink_to(IDLE_BYTES);
        }
        self.gone += whole as u64;
        Some(whole)
    }

    /// Takes the oldest piece out, and how much of it is sent. It still counts.
    pub fn take_first(&mut self) -> Option<(Vec<u8>, usize)> {
        let piece = self.full.pop_front().unwrap_or_else(|| std::mem::take(&mut self.last));
        (!piece.is_empty()).then(|| (piece, std::mem::take(&mut self.sent)))
    }

    /// A piece that was taken out is sent and given back.
    pub fn gone(&mut self, bytes: usize) {
        self.gone += bytes as u64;
    }

    /// An answer that is sent in full and another shard counts: bytes in the output, that shard,
    /// and what it counts.
    pub fn next_counted(&mut self) -> Option<(usize, u16, usize)> {
        self.counted.front().filter(|first| first.end <= self.gone)?;
        let first = self.counted.pop_front()?;
        self.of_others -= first.length;
        Some((first.length, first.by, first.bytes))
    }

    /// Gives everything back, as if it were sent.
    pub fn clear(&mut self) {
        (self.full, self.last, self.sent) = (VecDeque::new(), Vec::new(), 0);
        self.gone = self.written;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(output: &mut Output, bytes: usize) {
        assert_eq!(output.write(|out| out.extend(std::iter::repeat_n(7, bytes))), bytes);
    }

    #[test]
    fn memory_goes_with_what_is_sent() {
        let mut output = Output::default();
        add(&mut output, PIECE_BYTES);
        add(&mut output, 4 * PIECE_BYTES);
        add(&mut output, 10);
        assert_eq!(output.first().map(<[u8]>::len), Some(PIECE_BYTES));
        assert_eq!(output.sent(100), None);
        assert_eq!(output.bytes(), 5 * PIECE_BYTES + 10, "the piece is still there");
        assert_eq!(output.sent(PIECE_BYTES - 100), Some(PIECE_BYTES));
        assert_eq!(output.bytes(), 4 * PIECE_BYTES + 10);
        let (piece, sent) = output.take_first().expect("two are left");
        assert_eq!((piece.len(), sent), (4 * PIECE_BYTES, 0));
        assert_eq!(output.bytes(), 4 * PIECE_BYTES + 10, "the writer has it");
        output.gone(piece.len());
        assert_eq!(output.bytes(), 10);
        assert_eq!(output.sent(10), Some(10));
        assert_eq!((output.bytes(), output.first()), (0, None));
    }

    #[test]
    fn long_bodies_are_not_copied_and_keep_their_place() {
        let mut output = Output::default();
        add(&mut output, 10);
        assert_eq!(output.sent(4), None);
        let body = vec![8; 1000];
        let memory = body.as_ptr();
        output.push(body);
        add(&mut output, 5);
        assert_eq!(output.bytes(), 1015);
        assert_eq!(output.first(), Some([7; 6].as_slice()));
        assert_eq!(output.sent(6), Some(10));
        assert_eq!(output.first().map(<[u8]>::as_ptr), Some(memory));
        assert_eq!(output.sent(1000), Some(1000));
        assert_eq!(output.first(), Some([7; 5].as_slice()));
        assert_eq!((output.sent(5), output.bytes()), (Some(5), 0));
    }

    #[test]
    fn answers_are_told_when_they_are_sent_in_full() {
        let mut output = Output::default();
        add(&mut output, PIECE_BYTES);
        output.count(PIECE_BYTES, 2, 77);
        add(&mut output, 10);
        output.count(10, 3, 5);
        assert_eq!(output.of_others(), PIECE_BYTES + 10);
        assert_eq!(output.sent(PIECE_BYTES - 1), None);
        assert_eq!(output.next_counted(), None);
        assert_eq!(output.sent(1), Some(PIECE_BYTES));
        assert_eq!(output.next_counted(), Some((PIECE_BYTES, 2, 77)));
        assert_eq!(output.next_counted(), None);
        output.clear();
        assert_eq!(output.next_counted(), Some((10, 3, 5)));
        assert_eq!((output.bytes(), output.of_others()), (0, 0));
    }
}
