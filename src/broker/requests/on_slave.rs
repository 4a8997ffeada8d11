//! What a slave does with the requests of the table: it has all that its master has, and nothing
//! that it does not.

use ringmq_rules::refusal::Refusal;

use super::table::Row;
use crate::messages::SlaveView;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSlave {
    /// It answers as a master does, with what it has.
    Answers,
    /// Refused as a send is: clients take another broker.
    Stores,
    /// Refused: topics, groups, offsets and locks are the master's.
    Changes,
    /// Refused with the code of Java, SLAVE_NOT_AVAILABLE.
    NotThere,
    /// Refused: its own configuration, which it has nowhere to store.
    Keys,
    /// Taken in memory while it does not hear its master, for clients that have no other broker.
    TakesAlone,
}

/// The answer to a request that a slave does not do.
pub fn refusal(row: &Row, slave: Option<&SlaveView>) -> Option<Refusal> {
    let slave = slave?;
    match row.on_slave {
        OnSlave::Answers => None,
        OnSlave::Stores => Some(slave.sends.clone()),
        OnSlave::Changes => Some(slave.refuses_change(row.name)),
        OnSlave::NotThere => Some(slave.refuses_work(row.name)),
        OnSlave::Keys => Some(slave.refuses_keys()),
        OnSlave::TakesAlone => slave.is_heard.then(|| slave.refuses_offset()),
    }
}
