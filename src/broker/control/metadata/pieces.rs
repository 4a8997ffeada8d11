//! Changes as records of the metadata log, and how many of them are written together.

use ringmq_rules::meta::MetaChange;

/// Bytes of records that are written together: encoding them, and noting what they say, holds the
/// shard less than a millisecond each.
const WRITE_BYTES_MAX: usize = 128 * 1024;

/// The records of the first changes, as many as are written together. What is larger stands alone,
/// so that it fails alone.
pub fn first(changes: &[MetaChange]) -> Vec<Vec<u8>> {
    let (mut records, mut bytes) = (Vec::new(), 0);
    for change in changes {
        let record = encode(change);
        bytes += record.len();
        if bytes > WRITE_BYTES_MAX && !records.is_empty() {
            break;
        }
        records.push(record);
    }
    records
}

/// A deletion of more queues is encoded aside.
const LONG_DELETION: usize = 4096;

/// A copy of the first change, if encoding it would hold the shard for long. It stands alone.
pub fn long(changes: &[MetaChange]) -> Option<MetaChange> {
    let is_long = |change: &&MetaChange| match change {
        MetaChange::TopicDelete { ends, .. } => ends.len() > LONG_DELETION,
        _ => false,
    };
    changes.first().filter(is_long).cloned()
}

pub fn encode(change: &MetaChange) -> Vec<u8> {
    serde_json::to_vec(change).expect("changes have string keys only")
}

#[cfg(test)]
mod tests {
    use ringmq_rules::offsets::OffsetTable;

    use super::*;

    fn offsets(changes: &[MetaChange]) -> usize {
        let count = |change: &MetaChange| match change {
            MetaChange::Offsets { offsets, .. } => offsets.len(),
            _ => 0,
        };
        changes.iter().map(count).sum()
    }

    #[test]
    fn a_hundred_thousand_offsets_are_written_in_pieces() {
        let mut table = OffsetTable::default();
        for number in 0..100_000 {
            // One group has very many queues, and very many groups have one.
            let group = if number % 2 == 0 { "g".to_owned() } else { format!("group-{number}") };
            table.commit("topic", &group, number, i64::from(number) << 20).expect("room");
        }
        let changes = table.take_dirty(usize::MAX);
        let (mut rest, mut written, mut most) = (changes.as_slice(), 0, 0);
        while !rest.is_empty() {
            let piece;
            (piece, rest) = rest.split_at(first(rest).len());
            written += offsets(piece);
            most = most.max(offsets(piece));
        }
        assert_eq!(written, 100_000);
        assert!(most < 10_000, "{most} offsets are written in one piece");
    }

    #[test]
    fn what_is_larger_than_a_piece_stands_alone() {
        let removal =
            |bytes| MetaChange::OffsetsDelete { topic: Some("t".repeat(bytes)), group: None };
        let changes = [removal(1), removal(WRITE_BYTES_MAX), removal(1), removal(1)];
        assert_eq!(first(&changes).len(), 1);
        assert_eq!(first(&changes[1..]).len(), 1);
        assert_eq!(first(&changes[2..]).len(), 2);
    }
}
