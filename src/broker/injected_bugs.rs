//! What the broker does wrong on request; see [`ringmq_base::injected_bugs`].

use ringmq_base::injected_bugs::Bug;
pub(crate) use ringmq_base::injected_bugs::is_planted;

const fn bug(name: &'static str) -> Bug {
    Bug { name, file: "src/broker/injected_bugs.rs" }
}

/// The first message of a batch is appended apart from the others.
pub const BATCH_CUT: Bug = bug("cuts a batch in two");
/// What is for the reply lane of a shard waits for its request lane.
pub const LANE_BLOCKS: Bug = bug("lets a lane block another");
/// A shard learns of a change after a while, and goes on before.
pub const CHANGE_LATE: Bug = bug("tells a change late");
/// Several answers for one connection of another shard are dropped.
pub const ANSWER_DROPPED: Bug = bug("drops an answer");
/// A shard that is behind gets requests all the same.
pub const BACKLOG_UNBOUNDED: Bug = bug("has a backlog without a bound");
/// A message of a batch that cannot be stored is left out.
pub const MEMBER_ERROR_FORGOTTEN: Bug = bug("forgets the error of a batch's message");
/// A transaction that is decided is committed all the same.
pub const COMMIT_TWICE: Bug = bug("applies a commit twice");
/// A start does not read which transactions are decided.
pub const DECISION_LOST: Bug = bug("loses decisions of transactions at a restart");
/// Messages with a time of their own are delivered a second before it.
pub const DELIVERED_EARLY: Bug = bug("delivers a message before its time");
/// A deletion is stored on one log only.
pub const DELETION_ELSEWHERE: Bug = bug("looks for what a deletion cancels in one place");
/// A start takes messages that are not due for delivered.
pub const TIMER_DROPPED: Bug = bug("drops messages with a time at a restart");
/// A start takes delayed messages that are not due for delivered.
pub const DELAYED_DROPPED: Bug = bug("drops delayed messages at a restart");
/// What is given back comes again at once.
pub const BACK_AT_ONCE: Bug = bug("does not wait with what is given back");
/// A message is given back once more than it may be.
pub const DEAD_LETTER_LATE: Bug = bug("gives a message back too often");
/// Whatever clients commit counts, also behind a reset.
pub const RESET_UNDONE: Bug = bug("lets old commits undo a reset");
/// A reset is acknowledged before it is durable.
pub const RESET_LOST: Bug = bug("acknowledges a reset that is not durable");
/// A reset to a time passes over the message of that very time.
pub const RESET_PAST_TIME: Bug = bug("passes over messages when resetting to a time");
/// A name server that was away is not told of the broker again.
pub const REGISTERS_ONCE: Bug = bug("registers with a name server once");
