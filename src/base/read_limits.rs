//! How much one read of a queue may bring.

/// What a read may bring. Each is checked before a further message is added, so that the first
/// message always comes, however large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Messages.
    pub messages: usize,
    /// Bytes of message records.
    pub bytes: usize,
    /// Index entries looked at, those that the filter turned down included.
    pub scan: usize,
}
