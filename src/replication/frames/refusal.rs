//! Why a frame is not taken: one sentence each. The connection ends with it.

use crate::frames::header::Kind;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "{what} of the replication stream has checksum {measured:#010x} and says {said:#010x}: \
         bytes were damaged on the way; the member connects again"
    )]
    Damaged { what: &'static str, said: u32, measured: u32 },
    #[error(
        "a frame of the replication stream is of kind {code}, and kinds go up to {last}: the peer \
         runs another version; let both run the same",
        last = Kind::ALL.len()
    )]
    Kind { code: u8 },
    #[error(
        "{name} has come on the replication stream, where only {names} may: the peer runs another \
         version, or is none of this group; look at what is behind its address",
        name = .kind.name(),
        names = .expected.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" or ")
    )]
    Unexpected { kind: Kind, expected: &'static [Kind] },
    #[error(
        "{name} of the replication stream has {length} bytes, more than {most}: the peer runs \
         another version, or is none of this group; look at what is behind its address",
        name = .kind.name()
    )]
    Long { kind: Kind, length: usize, most: usize },
    #[error(
        "{name} of the replication stream has {length} bytes, fewer than {least}: the peer runs \
         another version, or is none of this group; look at what is behind its address",
        name = .kind.name()
    )]
    Short { kind: Kind, length: usize, least: usize },
    #[error(
        "{name} of the replication stream says {value} for {field}, more than {most}: the peer \
         runs another version; let both run the same",
        name = .kind.name()
    )]
    Value { kind: Kind, field: &'static str, value: u64, most: u64 },
    #[error(
        "{field} in {name} of the replication stream is not UTF-8 from byte {at} on: the peer runs \
         another version; let both run the same",
        name = .kind.name()
    )]
    Text { kind: Kind, field: &'static str, at: usize },
    #[error(
        "{name} of the replication stream has {rest} bytes behind its last field, and there is \
         none: the peer runs another version; let both run the same",
        name = .kind.name()
    )]
    Rest { kind: Kind, rest: usize },
    #[error(
        "{name} of the replication stream ends within {field}, {missing} bytes too early: the peer \
         runs another version; let both run the same",
        name = .kind.name()
    )]
    Ends { kind: Kind, field: &'static str, missing: usize },
    #[error(
        "{name} of the replication stream: {why}; look at the peer's store with `ringmq doctor`",
        name = .kind.name()
    )]
    Epochs { kind: Kind, why: crate::epochs::NoTable },
}

impl Refusal {
    pub(super) fn value(kind: Kind, field: &'static str, value: u64, most: u64) -> Refusal {
        Refusal::Value { kind, field, value, most }
    }
}
