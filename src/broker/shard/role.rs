//! The part that a broker plays among those of its name.

use ringmq_base::config::{BrokerConfig, BrokerRole};

/// Fixed while the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nobody copies it, and nobody has asked for that.
    Alone,
    /// Slaves may copy it. What it writes itself counts as stored; they get it as fast as they can.
    AsyncMaster,
    /// Slaves may copy it, and a send waits for one of them.
    SyncMaster,
    /// It copies the master of its name and takes nothing from clients.
    Slave,
}

impl Role {
    /// `written`: whether somebody has written the key `brokerRole`. Its default is no wish to be
    /// copied.
    pub fn of(config: &BrokerConfig, written: bool) -> Role {
        match config.broker_role {
            BrokerRole::AsyncMaster if written => Role::AsyncMaster,
            BrokerRole::AsyncMaster => Role::Alone,
            BrokerRole::SyncMaster => Role::SyncMaster,
            BrokerRole::Slave => Role::Slave,
        }
    }

    pub fn is_slave(self) -> bool {
        self == Role::Slave
    }

    /// Whether others may copy it: it listens on `haListenPort`.
    pub fn is_copied(self) -> bool {
        matches!(self, Role::AsyncMaster | Role::SyncMaster)
    }
}
