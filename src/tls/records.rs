//! Where records end in what comes: what has come of one that is not complete is in memory.

/// Type, version and length.
const HEADER_BYTES: usize = 5;

#[derive(Default)]
pub struct Records {
    header: [u8; HEADER_BYTES],
    /// Bytes of the header that have come; none between records.
    begun: usize,
    /// Bytes of the record that have come behind its header, and are to come.
    came: usize,
    left: usize,
}

impl Records {
    /// These bytes have come.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.begun < HEADER_BYTES {
                if let Some(place) = self.header.get_mut(self.begun) {
                    *place = *first;
                }
                self.begun += 1;
                if self.begun == HEADER_BYTES {
                    let [.., high, low] = self.header;
                    (self.came, self.left) = (0, u16::from_be_bytes([high, low]).into());
                }
                bytes = rest;
            } else {
                let count = self.left.min(bytes.len());
                self.came += count;
                self.left -= count;
                bytes = bytes.get(count..).unwrap_or_default();
            }
            if self.begun == HEADER_BYTES && self.left == 0 {
                self.begun = 0;
            }
        }
    }

    /// Bytes up to the end of the header or of the record that is next, or has begun.
    pub fn missing_bytes(&self) -> usize {
        match self.begun {
            HEADER_BYTES => self.left,
            begun => HEADER_BYTES - begun,
        }
    }

    /// Bytes that are here of a record of which some are to come.
    pub fn partial_bytes(&self) -> usize {
        match self.begun {
            HEADER_BYTES => HEADER_BYTES + self.came,
            begun => begun,
        }
    }
}

/// Length of the complete records at the start of `bytes`.
pub fn complete_bytes(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some(&[_, _, _, high, low]) = bytes.get(end..end + HEADER_BYTES) {
        let next = end + HEADER_BYTES + usize::from(u16::from_be_bytes([high, low]));
        if next > bytes.len() {
            break;
        }
        end = next;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(bytes: u16) -> Vec<u8> {
        let mut record = vec![22, 3, 3];
        record.extend(bytes.to_be_bytes());
        record.resize(HEADER_BYTES + usize::from(bytes), 7);
        record
    }

    #[test]
    fn what_is_partial_is_known_however_the_bytes_come() {
        let stream = [record(0), record(1), record(300), record(16_640), record(5)].concat();
        let ends: Vec<usize> = [0, 1, 300, 16_640, 5]
            .iter()
            .scan(0, |end, bytes| {
                *end += HEADER_BYTES + bytes;
                Some(*end)
            })
            .collect();
        for size in [1, 3, 7, 4096, stream.len()] {
            let mut records = Records::default();
            let mut passed = 0;
            for part in stream.chunks(size) {
                records.pass(part);
                passed += part.len();
                let begin = ends.iter().rev().find(|end| **end <= passed).copied().unwrap_or(0);
                assert_eq!(records.partial_bytes(), passed - begin, "{size}: {passed}");
                assert_eq!(complete_bytes(&stream[..passed]), begin, "{size}: {passed}");
            }
        }
    }

    #[test]
    fn whoever_reads_what_is_missing_never_reads_beyond_a_record() {
        let stream = [record(0), record(1), record(300), record(16_640), record(5)].concat();
        let mut records = Records::default();
        let (mut passed, mut steps) = (0, 0);
        while passed < stream.len() {
            let missing = records.missing_bytes();
            assert!(missing > 0);
            records.pass(&stream[passed..passed + missing]);
            passed += missing;
            steps += 1;
        }
        assert_eq!((records.partial_bytes(), passed, steps), (0, stream.len(), 9));
    }

    #[test]
    fn what_is_no_record_is_counted_as_one() {
        let mut records = Records::default();
        records.pass(&[0xFF; 1000]);
        assert_eq!(records.partial_bytes(), 1000);
        assert_eq!(complete_bytes(&[0xFF; 1000]), 0);
    }
}
