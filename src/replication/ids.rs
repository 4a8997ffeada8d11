//! How members and leaderships are told apart.

/// A member of a broker name, for as long as it has its directory; from 1 on. What clients see as
/// broker id is a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub u32);

/// Counts the leaderships of a broker name, from 1 on. Logs begin a new one with a record of their
/// own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

impl Epoch {
    /// # Panics
    /// After 4,294,967,295 leaderships.
    pub fn next(self) -> Epoch {
        Epoch(self.0.checked_add(1).expect("fewer leaderships than a u32 counts"))
    }
}

impl std::fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
