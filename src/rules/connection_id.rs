//! Which client connection of which shard.

/// Names one connection for as long as the process lives: slots of a shard's connection table are
/// used again, each time with the next generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    pub shard: u16,
    pub slot: u32,
    pub generation: u32,
}
