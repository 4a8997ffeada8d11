//! What the name server does wrong on request; see [`ringmq_base::injected_bugs`].

use ringmq_base::injected_bugs::Bug;
pub(crate) use ringmq_base::injected_bugs::is_planted;

const fn bug(name: &'static str) -> Bug {
    Bug { name, file: "src/namesrv/injected_bugs.rs" }
}

/// A broker stays whose connection has ended.
pub const DEAD_STAYS: Bug = bug("keeps a broker whose connection has ended");
/// A broker stays that says nothing any more.
pub const SILENT_STAYS: Bug = bug("keeps a silent broker");
/// The end of a connection also drops a broker that has registered by another one since.
pub const OLD_CONNECTION_COUNTS: Bug = bug("drops a broker with its old connection");
/// A registration that comes late, by an old connection, takes the broker over from the new one.
pub const LATE_TAKES_OVER: Bug = bug("has a late registration take a broker over");
